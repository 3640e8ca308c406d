/* SPDX-License-Identifier: MIT */
#pragma once

/* What a command prints: lines on standard output, in colour where a person reads them, JSON, and
 * errors on standard error.
 *
 * Spec: cli.md, sections 1.3 and 1.4.  Control characters in what is printed (comments and names
 * may come from peers) become '?', so they never reach a terminal.
 */

#include "core/base/base.h"

enum out_color { OUT_PLAIN, OUT_SUCCESS, OUT_NOTICE, OUT_FAILURE, OUT_DETAIL };

/* One line on standard output; LF is added.  LF inside the text stays. */
void out_line(enum out_color color, const char *format, ...) PRINTF(2, 3);

/* The same without LF, flushed: for prompts and progress. */
void out_text(enum out_color color, const char *format, ...) PRINTF(2, 3);

/* "Error: <text>" on standard error.  Returns the exit status of failed commands, 1. */
int out_error(const char *format, ...) PRINTF(1, 2);

/* The bare text on standard error; returns 1. */
int out_failure(const char *format, ...) PRINTF(1, 2);

/* Flushes standard output.  -errno when something that was printed could not be written. */
NODISCARD int out_finish(void);

enum out_type { OUT_TEXT, OUT_INT, OUT_FLOAT, OUT_BOOL };

struct out_field {
    const char *key;
    enum out_type type;
    union {
        const char *text;
        int64_t number;
        double real; /* printed with as few digits as give it back */
    } v;
};

#define out_field_text(k, s) ((struct out_field){.key = (k), .type = OUT_TEXT, .v.text = (s)})
#define out_field_int(k, n)  ((struct out_field){.key = (k), .type = OUT_INT, .v.number = (n)})
#define out_field_real(k, x) ((struct out_field){.key = (k), .type = OUT_FLOAT, .v.real = (x)})
#define out_field_bool(k, b) ((struct out_field){.key = (k), .type = OUT_BOOL, .v.number = (b)})

/* One JSON object and LF: on one line, or indented by 2. */
void out_json(const struct out_field *fields, size_t count, bool indented);
