/* SPDX-License-Identifier: MIT */

/* Records in: the handshake, and bodies opened where they lie or where they were put together. */

#include "transport/secure_link_internal.h"

enum { READ_SLICES = 8 };

static void assembly_drop(struct secure_link *t) {
    t->header_got = 0;
    t->body = buf_unref(t->body);
    t->body_got = 0;
}

void secure_link_read_drop(struct secure_link *t) {
    slice_queue_done(&t->received);
    slice_queue_done(&t->plain);
    assembly_drop(t);
    t->own_buf = NULL;
}

/* --- From the lower link to records --- */

bool secure_link_may_receive(const struct secure_link *t) {
    return t->error == 0 &&
           (t->plain.count == 0 || t->read_quota.used_bytes < t->read_quota.max_bytes);
}

void secure_link_take_over(struct secure_link *t, const struct slice *s) {
    if (s->buf != NULL && s->buf->refs == 1)
        buf_charge(s->buf, &t->read_quota);
}

static void received_skip(struct secure_link *t, size_t n) {
    const struct buf *first = slice_queue_at(&t->received, 0)->buf;
    slice_queue_drop(&t->received, n);
    if (t->received.count == 0 || slice_queue_at(&t->received, 0)->buf != first)
        t->own_buf = NULL;
}

static void plain_push(struct secure_link *t, struct slice s) {
    if (slice_queue_push(&t->plain, s) < 0) {
        slice_unref(&s);
        secure_link_fail(t, -ENOMEM);
        return;
    }
    t->readable_due = true;
}

/* Opens a record whose body lies in a slab that nobody else looks at. */
static void open_record(struct secure_link *t, const uint8_t *header, struct slice body) {
    size_t bytes = t->engine->ops->header_bytes + body.len;
    struct bytes plain = bytes_of(NULL, 0);
    int error = secure_open(t->engine, header, body.data, body.len, &plain);
    if (error == -ENODATA) {
        t->read_over = true;
        t->readable_due = true;
    } else if (error < 0) {
        secure_link_fail_by_engine(t);
    }
    if (error == 0 && plain.len > 0) {
        assert(plain.data >= body.data);
        assert(plain.len <= body.len - (size_t)(plain.data - body.data));
        uint32_t offset = (uint32_t)(plain.data - body.buf->data);
        plain_push(t, slice_of(buf_ref(body.buf), offset, (uint32_t)plain.len));
    }
    link_credit(t->lower, bytes - plain.len);
    (void)secure_link_say(t);
}

/* The body's size, or 0 after a failure. */
static size_t body_size_of(struct secure_link *t, const uint8_t *header) {
    ssize_t size = secure_body_size(t->engine, header);
    if (size < 0) {
        secure_link_fail_by_engine(t);
        (void)secure_link_say(t);
        return 0;
    }
    assert(size <= SECURE_BODY_MAX);
    return (size_t)size;
}

/* The first record, where it lies.  False: it is not whole in one slab of ours. */
static bool open_in_place(struct secure_link *t) {
    struct slice *first = slice_queue_at(&t->received, 0);
    size_t header_bytes = t->engine->ops->header_bytes;
    if (t->own_buf == NULL && first->buf->refs == 1)
        t->own_buf = first->buf;
    if (t->own_buf != first->buf || first->len < header_bytes)
        return false;
    size_t size = body_size_of(t, first->data);
    if (t->error != 0)
        return true;
    if (first->len < header_bytes + size)
        return false;
    uint8_t *header = first->data;
    struct slice body = slice_of(
        buf_ref(first->buf), (uint32_t)(header + header_bytes - first->buf->data), (uint32_t)size);
    received_skip(t, header_bytes + size);
    open_record(t, header, body);
    slice_unref(&body);
    return true;
}

static size_t received_copy(struct secure_link *t, uint8_t *out, size_t max) {
    const struct slice *first = slice_queue_at(&t->received, 0);
    size_t n = MIN(max, (size_t)first->len);
    memcpy(out, first->data, n);
    received_skip(t, n);
    return n;
}

static bool assembly_begin(struct secure_link *t) {
    t->body_size = (uint32_t)body_size_of(t, t->header);
    if (t->error != 0)
        return false;
    /* One a link, and no peer can make it wait for slabs that others hold: taken as the reactor's
     * own receives are. */
    t->body = buf_new(reactor_pool(t->reactor), buf_class_for(t->body_size), NULL);
    if (t->body == NULL) {
        secure_link_fail(t, -ENOMEM);
        return false;
    }
    buf_charge(t->body, &t->read_quota);
    return true;
}

/* Puts the first record together, slice by slice, so that none of them is kept waiting.  False: the
 * rest has yet to come. */
static bool assemble(struct secure_link *t) {
    size_t header_bytes = t->engine->ops->header_bytes;
    while (t->header_got < header_bytes && t->received.count > 0)
        t->header_got += received_copy(t, t->header + t->header_got, header_bytes - t->header_got);
    if (t->header_got < header_bytes || (t->body == NULL && !assembly_begin(t)))
        return false;
    while (t->body_got < t->body_size && t->received.count > 0)
        t->body_got +=
            (uint32_t)received_copy(t, t->body->data + t->body_got, t->body_size - t->body_got);
    if (t->body_got < t->body_size)
        return false;
    struct slice body = slice_of(buf_ref(t->body), 0, t->body_size);
    uint8_t header[SECURE_HEADER_MAX];
    memcpy(header, t->header, sizeof(header));
    assembly_drop(t);
    open_record(t, header, body);
    slice_unref(&body);
    return true;
}

static void open_records(struct secure_link *t) {
    bool whole = true;
    while (whole && t->received.count > 0 && !t->read_over && secure_link_may_receive(t))
        whole = (t->header_got == 0 && open_in_place(t)) || assemble(t);
}

/* --- The handshake, and the end --- */

/* What the engine said goes out between its steps: it may wait for that. */
static void handshake(struct secure_link *t) {
    bool more = true;
    while (more && t->engine->state == SECURE_HANDSHAKE) {
        size_t n = 0;
        if (t->received.count > 0)
            n = secure_recv(t->engine, slice_bytes(slice_queue_at(&t->received, 0)));
        if (n > 0) {
            received_skip(t, n);
            link_credit(t->lower, n);
        }
        more = secure_link_say(t) && n > 0;
    }
    if (t->engine->state == SECURE_FAILED)
        secure_link_fail_by_engine(t);
    t->handshaking = t->engine->state == SECURE_HANDSHAKE;
    t->secured_due = t->engine->state == SECURE_OPEN;
}

static void received_ended(struct secure_link *t) {
    if (t->handshaking)
        secure_link_fail(t, -ERR_CONN_CLOSED);
    else if (t->header_got > 0)
        secure_link_fail(t, -ERR_TRUNCATED);
    /* An end without the protocol's word for it is taken as one: what runs inside tells by itself
     * what is whole. */
    if (t->error == 0 && !t->read_over) {
        t->read_over = true;
        t->readable_due = true;
    }
}

/* Behind the peer's goodbye nothing is meant for us. */
static void received_discard(struct secure_link *t) {
    size_t bytes = t->received.len;
    slice_queue_drop(&t->received, bytes);
    t->own_buf = NULL;
    link_credit(t->lower, bytes);
}

static void open_received(struct secure_link *t) {
    if (t->handshaking)
        handshake(t);
    if (!t->handshaking)
        open_records(t);
    if (t->read_over && t->error == 0)
        received_discard(t);
}

void secure_link_receive(struct secure_link *t) {
    struct slice in[READ_SLICES];
    ssize_t n = 1;
    open_received(t);
    while (n > 0 && secure_link_may_receive(t)) {
        n = link_read(t->lower, in, ARRAY_COUNT(in));
        for (ssize_t i = 0; i < n; i++) {
            secure_link_take_over(t, &in[i]);
            if (t->error == 0 && slice_queue_push(&t->received, in[i]) == 0)
                continue;
            slice_unref(&in[i]);
            secure_link_fail(t, -ENOMEM);
        }
        if (n > 0 && t->error == 0)
            open_received(t);
    }
    t->paused = !secure_link_may_receive(t);
    /* The slabs taken over were the lower link's: it may have room again, also when they made no
     * whole record and nothing was credited. */
    if (n >= 0)
        link_credit(t->lower, 0);
    if (n == -ENODATA && t->error == 0)
        received_ended(t);
    else if (n < 0)
        secure_link_lower_failed(t, (int)n);
}
