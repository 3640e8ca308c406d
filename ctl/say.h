/* SPDX-License-Identifier: MIT */
#pragma once

/* Progress for people, by who runs a daemon or a relay: one line, or several with LF between
 * them. */

#include <stdarg.h>

#include "core/base/base.h"

typedef void say_fn(void *user, const char *text);

/* Longer texts are cut at SAY_BYTES_MAX. */
void say_v(say_fn *say, void *user, const char *format, va_list args) PRINTF(3, 0);
enum { SAY_BYTES_MAX = 4096 };
