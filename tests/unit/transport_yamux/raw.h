/* SPDX-License-Identifier: MIT */
#pragma once

/* One session of a pair, and a test that is its peer in hex digits. */

#include <stdio.h>

#include "pair.h"
#include "tests/support/hex.h"

enum { CLIENT, SERVER };

/* What the side wants to say now. */
static inline const char *raw_said(struct pair *p, unsigned side) {
    static char text[1 << 16];
    struct wire *w = &p->side[side].out;
    while (pair_drain(p, side) || pair_pull(p, side))
        ;
    cr_assert_lt(w->len, sizeof(text) / 2);
    for (size_t i = 0; i < w->len; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", w->data[i]);
    text[2 * w->len] = '\0';
    w->len = 0;
    return text;
}

#define SAYS(p, side, expected) cr_assert_str_eq(raw_said(p, side), expected)

static inline void raw_hear(struct pair *p, unsigned side, struct bytes b) {
    (void)pair_feed(p, side, &b);
}

#define HEARS(p, side, text) raw_hear(p, side, HEX(text))

/* A pair whose sides have said their first ping. */
static inline struct pair *raw_pair(void) {
    static struct pair p;
    pair_init(&p);
    SAYS(&p, CLIENT, "000200010000000000000000");
    SAYS(&p, SERVER, "000200010000000000000000");
    return &p;
}

static inline struct yamux_stream *raw_stream(struct pair *p, unsigned side, uint32_t id) {
    struct seen *seen = pair_seen_id(&p->side[side], id);
    cr_assert_not_null(seen, "no stream %u", id);
    return seen->stream;
}

static inline struct yamux_stream *raw_open(struct pair *p, unsigned side) {
    struct yamux_stream *s;
    cr_assert_eq(yamux_stream_open(p->side[side].y, &s), 0);
    (void)pair_seen(&p->side[side], s);
    return s;
}

static inline void raw_write(struct pair *p, struct yamux_stream *s, const char *text) {
    cr_assert_eq(pair_write(p, s, bytes_of_str(text)), (ssize_t)strlen(text));
}

/* Reads and credits all; bytes, or the negative answer when there were none. */
static inline ssize_t raw_read(struct yamux_stream *s, void *out, size_t size) {
    struct slice v;
    ssize_t n;
    size_t len = 0;
    while ((n = yamux_stream_read(s, &v, 1)) == 1) {
        if (out != NULL) {
            cr_assert(len + v.len <= size);
            memcpy((char *)out + len, v.data, v.len);
        }
        len += v.len;
        uint32_t bytes = v.len;
        slice_unref(&v);
        yamux_stream_credit(s, bytes);
    }
    return len > 0 ? (ssize_t)len : n;
}

static inline void raw_reads(struct yamux_stream *s, const char *text) {
    char got[256];
    ssize_t n = raw_read(s, got, sizeof(got));
    cr_assert_eq(n, (ssize_t)strlen(text), "%zd", n);
    cr_assert_eq(memcmp(got, text, (size_t)n), 0);
}

/* A header in bytes, then `body_len` bytes of body. */
static inline void raw_frame(struct pair *p, unsigned side, unsigned type, unsigned flags,
                             uint32_t id, uint32_t length, size_t body_len) {
    uint8_t *b = calloc(1, 12 + body_len);
    uint8_t header[12] = {0,
                          (uint8_t)type,
                          (uint8_t)(flags >> 8),
                          (uint8_t)flags,
                          (uint8_t)(id >> 24),
                          (uint8_t)(id >> 16),
                          (uint8_t)(id >> 8),
                          (uint8_t)id,
                          (uint8_t)(length >> 24),
                          (uint8_t)(length >> 16),
                          (uint8_t)(length >> 8),
                          (uint8_t)length};
    memcpy(b, header, sizeof(header));
    raw_hear(p, side, bytes_of(b, 12 + body_len));
    free(b);
}
