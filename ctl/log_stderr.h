/* SPDX-License-Identifier: MIT */
#pragma once

/* The log on standard error: one line of text a record (behaviour.md, 11.1).  INFO and above;
 * PEERUP_LOG=debug or =trace shows more, =warn or =error less. */

#include "core/base/log.h"

/* Without state of its own: may be used by any thread.  `level_max` is what is shown where the
 * environment does not say. */
void log_stderr_init(struct log *log, enum log_level level_max);

/* Audit lines there, too: JSON, whatever the environment says (behaviour.md, 11.2). */
void log_stderr_init_audit(struct log *log);
