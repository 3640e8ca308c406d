/* SPDX-License-Identifier: MIT */
#include "ctl/say.h"

#include <stdio.h>

void say_v(say_fn *say, void *user, const char *format, va_list args) {
    char text[SAY_BYTES_MAX];
    (void)vsnprintf(text, sizeof(text), format, args);
    say(user, text);
}
