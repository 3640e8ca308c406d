/* SPDX-License-Identifier: MIT */
#pragma once

/* Arguments of one command: flags anywhere, positionals in their order.
 *
 *   -name and --name are equal; -name=value or -name value; a boolean takes its value only with =.
 *   "--" ends the flags; "-" alone is a positional.
 *
 * Spec: cli.md, section 1.2; flags are accepted before and after arguments.
 */

#include "core/base/base.h"

struct problem;

enum flag_type {
    FLAG_BOOL,
    FLAG_TEXT,
    FLAG_INT,      /* decimal */
    FLAG_DURATION, /* Go's syntax; a bare number counts milliseconds where that is said */
};

struct flag {
    const char *name; /* NULL ends an array */
    enum flag_type type;
    const char *value_name; /* "PATH", for the help; NULL for booleans */
    const char *help;
};

enum { ARGS_FLAGS_MAX = 16, ARGS_POSITIONALS_MAX = 64 };

struct args {
    const struct flag *flags;
    const char *values[ARGS_FLAGS_MAX]; /* of each flag; NULL when it was not given */
    const char *positionals[ARGS_POSITIONALS_MAX];
    uint32_t positionals_count;
    bool wants_help;
};

/* Reads the arguments behind the command's name.  Texts stay borrowed.  -h and --help end the
 * reading; "help" as the only argument means the same.
 *   -EINVAL  with Go's text: "flag provided but not defined: -x"                         */
NODISCARD int args_parse(const struct flag *flags, int argc, char **argv, struct args *ret_args,
                         struct problem *ret_problem);

/* The flag must be of the command (asserted). */
bool args_has(const struct args *a, const char *name);
bool args_bool(const struct args *a, const char *name);
/* NULL when it was not given. */
const char *args_text(const struct args *a, const char *name);
int64_t args_int(const struct args *a, const char *name, int64_t otherwise);
int64_t args_duration_ns(const struct args *a, const char *name, int64_t otherwise);

/* NULL when there are fewer. */
const char *args_positional(const struct args *a, uint32_t index);
