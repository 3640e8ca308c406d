/* SPDX-License-Identifier: MIT */
#pragma once

/* The copy of the config that a daemon or a relay last started with.
 * Spec: config.md, section 5. */

#include "core/base/base.h"

struct arena;
struct log;
struct mem;
struct problem;

/* "<dir>/.<stem>.last-good<ext>" and its like beside a config file: see config.md, section 1.
 * NULL when the arena has no memory. */
enum config_sibling { CONFIG_LAST_GOOD, CONFIG_PENDING, CONFIG_PRE_CONFIRMED };
NODISCARD char *config_sibling_path(struct arena *a, const char *path, enum config_sibling which);

/* Copies the config to .last-good, mode 0600.  Does nothing while a commit-confirmed is pending:
 * an unconfirmed config is not known to be good.  -errno */
NODISCARD int config_archive(struct mem *mem, const char *path, struct problem *ret_problem);

/* The same for who has started: a failure is logged, and no more.  Once nothing that the config
 * asks for can fail any more: who does not start, as beside one that runs already, leaves the copy
 * of the config that did. */
void config_keep_last_good(struct mem *mem, const char *path, struct log *log);

/* Puts that copy in the config's place, which may be missing or broken.
 *   -ENOENT  there is no copy
 *   errors of config_file_read() and of writing                                              */
NODISCARD int config_rollback(struct mem *mem, const char *path, struct problem *ret_problem);
