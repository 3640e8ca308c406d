/* SPDX-License-Identifier: MIT */
#include "cli/out.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/strbuf.h"

enum { OUT_BYTES_MAX = 16 << 20 }; /* of one line or one document */

static const char *const CODES[] = {
    [OUT_PLAIN] = "",           [OUT_SUCCESS] = "\x1b[32m", [OUT_NOTICE] = "\x1b[33m",
    [OUT_FAILURE] = "\x1b[31m", [OUT_DETAIL] = "\x1b[2m",
};

static bool wants_color(void) {
    const char *no_color = getenv("NO_COLOR");
    struct stat st;
    return (no_color == NULL || *no_color == '\0') && fstat(STDOUT_FILENO, &st) == 0 &&
           S_ISCHR(st.st_mode);
}

/* How many bytes follow the first byte of a UTF-8 character; -1 for one that cannot be first. */
static int utf8_followers(unsigned char c) {
    if (c < 0x80)
        return 0;
    if (c < 0xc2 || c > 0xf4)
        return -1;
    return c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
}

/* The length of the character at `p`, or 0 when it is a control character (C0 but LF and TAB, DEL,
 * and C1: U+0080 to U+009F) or no UTF-8. */
static size_t safe_length(const char *p) {
    unsigned char c = (unsigned char)*p, next = (unsigned char)p[1];
    int followers = utf8_followers(c);

    if (followers < 0 || (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ||
        (c == 0xc2 && next < 0xa0))
        return 0;
    /* Longer than it need be, a surrogate, or beyond the last code point. */
    if ((c == 0xe0 && next < 0xa0) || (c == 0xed && next > 0x9f) || (c == 0xf0 && next < 0x90) ||
        (c == 0xf4 && next > 0x8f))
        return 0;
    for (int i = 1; i <= followers; i++)
        if (((unsigned char)p[i] & 0xc0) != 0x80)
            return 0;
    return (size_t)followers + 1;
}

static void write_safe(FILE *f, const char *text) {
    while (*text != '\0') {
        size_t len = safe_length(text);
        if (len == 0)
            (void)fputc('?', f); /* out_finish() tells of errors */
        else
            (void)fwrite(text, 1, len, f); /* as above */
        text += MAX(len, (size_t)1);
    }
}

static void PRINTF(4, 0) write_message(FILE *f, enum out_color color, const char *end,
                                       const char *format, va_list args) {
    char line[1024], *text = line;
    va_list again;

    va_copy(again, args);
    int len = vsnprintf(line, sizeof(line), format, args);
    SCOPED(strbuf_free) struct strbuf longer = STRBUF_INIT(OUT_BYTES_MAX);
    if (len >= (int)sizeof(line)) {
        for (int i = 0; i <= len; i++)
            strbuf_add_char(&longer, ' ');
        if (strbuf_error(&longer) == 0) {
            (void)vsnprintf(longer.text, (size_t)len + 1, format, again);
            text = longer.text;
        }
    }
    va_end(again);

    bool colored = color != OUT_PLAIN && wants_color();
    if (colored)
        (void)fputs(CODES[color], f);
    write_safe(f, text);
    if (colored)
        (void)fputs("\x1b[0m", f);
    (void)fputs(end, f);
}

void out_line(enum out_color color, const char *format, ...) {
    va_list args;
    va_start(args, format);
    write_message(stdout, color, "\n", format, args);
    va_end(args);
}

void out_text(enum out_color color, const char *format, ...) {
    va_list args;
    va_start(args, format);
    write_message(stdout, color, "", format, args);
    va_end(args);
    (void)fflush(stdout); /* out_finish() tells of errors */
}

int out_error(const char *format, ...) {
    va_list args;
    (void)fflush(stdout); /* keeps the order where both go to one place */
    (void)fputs("Error: ", stderr);
    va_start(args, format);
    write_message(stderr, OUT_PLAIN, "\n", format, args);
    va_end(args);
    return 1;
}

int out_failure(const char *format, ...) {
    va_list args;
    (void)fflush(stdout); /* as above */
    va_start(args, format);
    write_message(stderr, OUT_PLAIN, "\n", format, args);
    va_end(args);
    return 1;
}

int out_finish(void) {
    bool failed_before = ferror(stdout) != 0;
    if (fflush(stdout) != 0)
        return -errno;
    return failed_before ? -EIO : 0;
}

/* JSON */

static void add_json_text(struct strbuf *out, const char *text) {
    strbuf_add_char(out, '"');
    for (const char *p = text; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\')
            strbuf_addf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            strbuf_addf(out, "\\u%04x", c);
        else
            strbuf_add_char(out, *p);
    }
    strbuf_add_char(out, '"');
}

static void add_json_real(struct strbuf *out, double value) {
    char text[32];
    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    strbuf_add(out, text);
}

static void add_json_value(struct strbuf *out, const struct out_field *f) {
    switch (f->type) {
    case OUT_TEXT:
        add_json_text(out, f->v.text);
        return;
    case OUT_INT:
        strbuf_addf(out, "%" PRId64, f->v.number);
        return;
    case OUT_FLOAT:
        add_json_real(out, f->v.real);
        return;
    case OUT_BOOL:
        strbuf_add(out, f->v.number != 0 ? "true" : "false");
        return;
    }
}

void out_json(const struct out_field *fields, size_t count, bool indented) {
    SCOPED(strbuf_free) struct strbuf out = STRBUF_INIT(OUT_BYTES_MAX);
    strbuf_add_char(&out, '{');
    for (size_t i = 0; i < count; i++) {
        strbuf_add(&out, i == 0 ? "" : ",");
        strbuf_add(&out, indented ? "\n  " : "");
        add_json_text(&out, fields[i].key);
        strbuf_add(&out, indented ? ": " : ":");
        add_json_value(&out, &fields[i]);
    }
    strbuf_add(&out, indented && count > 0 ? "\n}\n" : "}\n");
    (void)fwrite(strbuf_text(&out), 1, out.len, stdout); /* out_finish() tells of errors */
}
