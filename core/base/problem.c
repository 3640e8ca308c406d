/* SPDX-License-Identifier: MIT */
#include "core/base/problem.h"

#include <stdio.h>

int problem_set_v(struct problem *p, int error, const char *format, va_list args) {
    if (p != NULL)
        (void)vsnprintf(p->text, sizeof(p->text), format, args); /* cut to fit */
    return error;
}

int problem_set(struct problem *p, int error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)problem_set_v(p, error, format, args);
    va_end(args);
    return error;
}
