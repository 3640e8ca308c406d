/* SPDX-License-Identifier: MIT */
#include "xor_secure.h"

#include "core/base/err.h"
#include "core/base/mem.h"

enum { MESSAGE_BYTES = 4, MESSAGES = 3 };
#define ALERT "XORA"

enum record { RECORD_DATA = 'D', RECORD_END = 'E', RECORD_ALERT = 'A' };

struct xor_secure {
    struct secure secure;
    struct secure_ops ops;
    struct mem *mem;
    struct xor_options options;
    uint32_t sealed;
    unsigned messages; /* of the handshake, sent or received */
    uint8_t in[MESSAGE_BYTES];
    size_t in_len;
    uint8_t out[16];
    size_t out_len;
};

static struct xor_secure *xor_of(struct secure *s) {
    return CONTAINER_OF(s, struct xor_secure, secure);
}

static void say(struct xor_secure *x, const void *bytes, size_t len) {
    assert(x->out_len + len <= sizeof(x->out));
    memcpy(x->out + x->out_len, bytes, len);
    x->out_len += len;
}

static void fail(struct xor_secure *x, int error) {
    x->secure.state = SECURE_FAILED;
    x->secure.error = error;
    (void)problem_set(&x->secure.problem, error, "xor: %s", err_text(error));
    if (x->messages < MESSAGES)
        say(x, ALERT, MESSAGE_BYTES);
    else
        say(x, "A\0", XOR_HEADER_BYTES);
}

static void message_done(struct xor_secure *x) {
    if (++x->messages == MESSAGES)
        x->secure.state = SECURE_OPEN;
}

static void send_message(struct xor_secure *x) {
    say(x, "XORH", MESSAGE_BYTES);
    message_done(x);
}

static size_t xor_recv(struct secure *s, struct bytes in) {
    struct xor_secure *x = xor_of(s);
    if (s->state != SECURE_HANDSHAKE || x->out_len > 0)
        return 0;
    size_t n = MIN(in.len, MESSAGE_BYTES - x->in_len);
    memcpy(x->in + x->in_len, in.data, n);
    x->in_len += n;
    if (x->in_len == MESSAGE_BYTES) {
        x->in_len = 0;
        message_done(x);
        if (x->options.refuses)
            fail(x, -ERR_PEER_ID_MISMATCH);
        else if (memcmp(x->in, ALERT, MESSAGE_BYTES) == 0)
            fail(x, -ERR_GATED);
        else if (memcmp(x->in, "XORH", MESSAGE_BYTES) != 0)
            fail(x, -ERR_HANDSHAKE);
        else if (s->state == SECURE_HANDSHAKE)
            send_message(x);
    }
    return n;
}

static size_t xor_pull(struct secure *s, void *out, size_t size) {
    struct xor_secure *x = xor_of(s);
    size_t n = MIN(size, x->out_len);
    memcpy(out, x->out, n);
    memmove(x->out, x->out + n, x->out_len - n);
    x->out_len -= n;
    return n;
}

static uint8_t tag_of(const uint8_t *data, size_t len) {
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + data[i]);
    return sum;
}

static ssize_t xor_body_size(struct secure *s, const uint8_t *header) {
    if (header[0] != RECORD_DATA && header[0] != RECORD_END && header[0] != RECORD_ALERT) {
        fail(xor_of(s), -ERR_PROTOCOL_VIOLATION);
        return s->error;
    }
    return header[1] << 8 | header[2];
}

static int xor_open(struct secure *s, const uint8_t *header, uint8_t *body, size_t len,
                    struct bytes *ret_plain) {
    assert(s->state == SECURE_OPEN);
    if (header[0] == RECORD_END) {
        s->state = SECURE_ENDED;
        return -ENODATA;
    }
    if (header[0] == RECORD_ALERT) {
        s->state = SECURE_FAILED;
        return s->error = -ERR_GATED;
    }
    if (len < XOR_TAG_BYTES || body[len - 1] != tag_of(body, len - XOR_TAG_BYTES)) {
        fail(xor_of(s), -ERR_PROTOCOL_VIOLATION);
        return s->error;
    }
    for (size_t i = 0; i < len - XOR_TAG_BYTES; i++)
        body[i] ^= 0x5a;
    *ret_plain = bytes_of(body, len - XOR_TAG_BYTES);
    return 0;
}

static size_t xor_seal(struct secure *s, struct bytes plain, uint8_t *out) {
    struct xor_secure *x = xor_of(s);
    assert(plain.len > 0 && plain.len <= x->ops.plain_max);
    if (x->options.seals_max != 0 && x->sealed == x->options.seals_max) {
        fail(x, -ERR_CRYPTO);
        return 0;
    }
    x->sealed++;
    uint8_t *body = out + XOR_HEADER_BYTES;
    size_t body_len = plain.len + XOR_TAG_BYTES;
    for (size_t i = 0; i < plain.len; i++)
        body[i] = plain.data[i] ^ 0x5a;
    memset(body + plain.len, 0, XOR_TAG_BYTES);
    body[body_len - 1] = tag_of(body, plain.len);
    out[0] = RECORD_DATA;
    out[1] = (uint8_t)(body_len >> 8);
    out[2] = (uint8_t)body_len;
    return XOR_HEADER_BYTES + body_len;
}

static void xor_close(struct secure *s) {
    static const uint8_t end[] = {RECORD_END, 0, 0};
    say(xor_of(s), end, sizeof(end));
}

static void xor_free(struct secure *s) {
    struct xor_secure *x = xor_of(s);
    (void)mem_free(x->mem, x);
}

struct secure *xor_secure_new(struct mem *mem, const struct xor_options *o) {
    struct xor_secure *x = mem_alloc(mem, sizeof(*x));
    if (x == NULL)
        return NULL;
    x->mem = mem;
    x->options = *o;
    x->ops = (struct secure_ops){
        .protocol = "/xor",
        .header_bytes = XOR_HEADER_BYTES,
        .overhead_max = XOR_HEADER_BYTES + XOR_TAG_BYTES,
        .plain_max = o->plain_max > 0 ? o->plain_max : XOR_PLAIN_MAX,
        .recv = xor_recv,
        .pull = xor_pull,
        .body_size = xor_body_size,
        .open = xor_open,
        .seal = xor_seal,
        .close = xor_close,
        .free = xor_free,
    };
    x->secure.ops = &x->ops;
    if (o->initiator)
        send_message(x);
    return &x->secure;
}

uint32_t xor_secure_sealed(const struct secure *s) {
    return xor_of((struct secure *)(uintptr_t)s)->sealed;
}
