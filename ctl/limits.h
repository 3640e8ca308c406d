/* SPDX-License-Identifier: MIT */
#pragma once

/* What the process may have; for programs of ours, never for the library. */

struct log;

/* Raises the limit of open files to the most that is allowed: each TCP connection is one, and the
 * usual soft limit of 1,024 is less than a proxy may hold. */
void limits_raise_descriptors(struct log *log);
