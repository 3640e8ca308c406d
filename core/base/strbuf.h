/* SPDX-License-Identifier: MIT */
#pragma once

/* Growing text, born with its ceiling.  The error sticks: once past the ceiling (-ERR_LIMIT) or
 * out of memory (-ENOMEM) further additions do nothing, and strbuf_done() tells. */

#include "core/base/bytes.h"

struct strbuf {
    char *text; /* NUL-terminated when not NULL */
    size_t len;
    size_t size;
    size_t len_max;
    int error;
};

#define STRBUF_INIT(max) ((struct strbuf){.len_max = (max)})

void strbuf_add(struct strbuf *s, const char *text);
void strbuf_add_bytes(struct strbuf *s, struct bytes b);
void strbuf_add_char(struct strbuf *s, char c);
void strbuf_addf(struct strbuf *s, const char *format, ...) PRINTF(2, 3);

/* Never NULL. */
static inline const char *strbuf_text(const struct strbuf *s) {
    return s->text == NULL ? "" : s->text;
}

static inline struct bytes strbuf_bytes(const struct strbuf *s) {
    return bytes_of(s->text, s->len);
}

/* Empties, keeps the memory, clears the error. */
void strbuf_reset(struct strbuf *s);

/* 0 or the first error. */
NODISCARD int strbuf_error(const struct strbuf *s);

/* The text itself, to be freed with mem_free(mem_system(), ...); NULL after an error.  The strbuf
 * is empty afterwards. */
NODISCARD char *strbuf_take(struct strbuf *s);

/* Frees; for SCOPED(strbuf_free). */
void strbuf_free(struct strbuf *s);
