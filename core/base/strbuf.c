/* SPDX-License-Identifier: MIT */
#include "core/base/strbuf.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/base/err.h"
#include "core/base/mem.h"

enum { STRBUF_SIZE_MIN = 64 };

/* Makes room for n more characters and the NUL. */
static bool make_room(struct strbuf *s, size_t n) {
    if (s->error != 0)
        return false;
    if (n > s->len_max - s->len) {
        s->error = -ERR_LIMIT;
        return false;
    }
    size_t wanted = s->len + n + 1;
    if (wanted <= s->size)
        return true;
    size_t size = MAX(MAX(wanted, 2 * s->size), (size_t)STRBUF_SIZE_MIN);
    char *text = mem_resize(mem_system(), s->text, size);
    if (text == NULL) {
        s->error = -ENOMEM;
        return false;
    }
    s->text = text;
    s->size = size;
    return true;
}

void strbuf_add_bytes(struct strbuf *s, struct bytes b) {
    if (!make_room(s, b.len))
        return;
    if (b.len > 0)
        memcpy(s->text + s->len, b.data, b.len);
    s->len += b.len;
    s->text[s->len] = '\0';
}

void strbuf_add(struct strbuf *s, const char *text) {
    strbuf_add_bytes(s, bytes_of_str(text));
}

void strbuf_add_char(struct strbuf *s, char c) {
    strbuf_add_bytes(s, bytes_of(&c, 1));
}

void strbuf_addf(struct strbuf *s, const char *format, ...) {
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    assert(n >= 0);
    if (make_room(s, (size_t)n)) {
        (void)vsnprintf(s->text + s->len, (size_t)n + 1, format, again); /* n, as just measured */
        s->len += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

void strbuf_reset(struct strbuf *s) {
    s->len = 0;
    s->error = 0;
    if (s->text != NULL)
        s->text[0] = '\0';
}

int strbuf_error(const struct strbuf *s) {
    return s->error;
}

char *strbuf_take(struct strbuf *s) {
    if (!make_room(s, 0)) { /* an empty text is still a text */
        strbuf_free(s);
        return NULL;
    }
    s->text[s->len] = '\0';
    char *text = TAKE(s->text);
    *s = STRBUF_INIT(s->len_max);
    return text;
}

void strbuf_free(struct strbuf *s) {
    (void)mem_free(mem_system(), s->text);
    *s = STRBUF_INIT(s->len_max);
}
