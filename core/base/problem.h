/* SPDX-License-Identifier: MIT */
#pragma once

/* A sentence for people that travels beside an error code: "config line 12: ...".  Written only
 * on failure.  Functions accept NULL when nobody wants the text. */

#include <stdarg.h>

#include "core/base/base.h"

enum { PROBLEM_TEXT_MAX = 512 };

struct problem {
    char text[PROBLEM_TEXT_MAX];
};

#define PROBLEM_INIT ((struct problem){.text = ""})

/* Sets the text (cut to fit) and returns `error`, so that `return problem_set(p, -EINVAL, ...)`
 * does both. */
int problem_set(struct problem *p, int error, const char *format, ...) PRINTF(3, 4);
int problem_set_v(struct problem *p, int error, const char *format, va_list args) PRINTF(3, 0);
