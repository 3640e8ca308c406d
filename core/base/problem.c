/* SPDX-License-Identifier: MIT */
#include "core/base/problem.h"

#include <stdarg.h>
#include <stdio.h>

int problem_set(struct problem *p, int error, const char *format, ...) {
    if (p == NULL)
        return error;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(p->text, sizeof(p->text), format, args); /* cut to fit */
    va_end(args);
    return error;
}
