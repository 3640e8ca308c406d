/* SPDX-License-Identifier: MIT */
/* What this build is.  All strings are constants; they need no release and never are NULL. */
#pragma once

/* Release, such as "0.1.0". */
const char *version_release(void);

/* Abbreviated commit, with "-dirty" after it when the tree had changes; "unknown" outside of a
 * checkout and in developer builds, which are not stamped. */
const char *version_commit(void);

/* Date of the commit as YYYY-MM-DD, or "unknown". */
const char *version_date(void);

/* Compiler, system and processor: "GNU 12.2.0 linux/x86_64". */
const char *version_toolchain(void);
