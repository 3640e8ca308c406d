/* SPDX-License-Identifier: MIT */

/* Records out: plaintext sealed into slabs of the lower link. */

#include "transport/secure_link_internal.h"

enum {
    /* Pieces up to this share a record with their neighbours by being copied: cheaper than a record
     * of their own.  Larger ones are sealed from where they lie. */
    GATHER_MAX = 1 << 10,
};

void secure_link_out_drop(struct secure_link *t) {
    for (uint32_t i = 0; i < t->out_count; i++)
        slice_unref(&t->out[i]);
    t->out_count = 0;
    t->out_bytes = 0;
    t->said_len = 0;
    t->gathered = 0;
    t->tail = buf_unref(t->tail);
}

/* --- Records into slabs --- */

/* Room for `min` bytes behind tail_used; a new slab is of the size that `hint` bytes need, or
 * larger as the backlog grows, or smaller when only that is to be had. */
static bool tail_reserve(struct secure_link *t, size_t min, size_t hint) {
    assert(t->gathered == 0);
    if (t->tail != NULL && t->tail->size - t->tail_used >= min)
        return true;
    if (t->out_count == SECURE_OUT_SLICES_MAX)
        return false;
    for (int c = (int)buf_class_for(MAX(min, MAX(hint, t->out_bytes)));
         c >= (int)buf_class_for(min); c--) {
        struct buf *b = buf_new(reactor_pool(t->reactor), (enum buf_class)c, link_quota(t->lower));
        if (b == NULL)
            continue;
        (void)buf_unref(t->tail);
        t->tail = b;
        t->tail_used = 0;
        return true;
    }
    return false;
}

/* The end of a slab cuts a record only where half of the largest one fits, or for want of slabs:
 * the rest would be another record, and the sealing of short ones is dear. */
static bool tail_reserve_for_record(struct secure_link *t, size_t plain_len, size_t hint) {
    const struct secure_ops *ops = t->engine->ops;
    return tail_reserve(t, MIN(plain_len, ops->plain_max / 2) + ops->overhead_max, hint) ||
           tail_reserve(t, GATHER_MAX + ops->overhead_max, hint);
}

/* The next n bytes of the tail are to be sent. */
static void tail_publish(struct secure_link *t, size_t n) {
    struct slice *last = t->out_count == 0 ? NULL : &t->out[t->out_count - 1];
    if (last != NULL && last->data + last->len == t->tail->data + t->tail_used &&
        last->buf == t->tail) {
        last->len += (uint32_t)n;
    } else {
        assert(t->out_count < SECURE_OUT_SLICES_MAX);
        t->out[t->out_count++] = slice_of(buf_ref(t->tail), t->tail_used, (uint32_t)n);
    }
    t->out_bytes += n;
    t->tail_used += (uint32_t)n;
}

bool secure_link_say(struct secure_link *t) {
    assert(t->gathered == 0);
    for (;;) {
        if (t->said_len == 0)
            t->said_len = secure_pull(t->engine, t->said, sizeof(t->said));
        if (t->said_len == 0)
            return true;
        if (!tail_reserve(t, t->said_len, t->said_len))
            return false;
        memcpy(t->tail->data + t->tail_used, t->said, t->said_len);
        tail_publish(t, t->said_len);
        t->said_len = 0;
    }
}

/* Makes a record at the tail of plaintext that lies there already, or elsewhere. */
static bool seal(struct secure_link *t, struct bytes plain) {
    size_t len = secure_seal(t->engine, plain, t->tail->data + t->tail_used);
    if (len == 0) {
        secure_link_fail_by_engine(t);
        return false;
    }
    assert(len <= t->tail->size - t->tail_used);
    tail_publish(t, len);
    return true;
}

static void seal_gathered(struct secure_link *t) {
    size_t n = t->gathered;
    t->gathered = 0;
    if (n == 0)
        return;
    uint8_t *plain = t->tail->data + t->tail_used + t->engine->ops->header_bytes;
    if (seal(t, bytes_of(plain, n)))
        (void)secure_link_say(t); /* what found no slab is tried again */
}

/* How much plaintext the record at the tail could have. */
static size_t record_room(const struct secure_link *t) {
    size_t room = t->tail->size - t->tail_used;
    size_t overhead = t->engine->ops->overhead_max;
    return room <= overhead ? 0 : MIN(room - overhead, t->engine->ops->plain_max);
}

/* Not before what the engine said is in its place: it may have been about the keys. */
static bool may_seal(const struct secure_link *t) {
    return t->error == 0 && t->said_len == 0;
}

/* The two ways into a record; each returns how much it took, 0 without a slab. */

static size_t gather(struct secure_link *t, struct bytes in, size_t hint) {
    in.len = MIN(in.len, t->engine->ops->plain_max);
    if (t->gathered > 0 && record_room(t) < t->gathered + in.len)
        seal_gathered(t);
    if (!may_seal(t))
        return 0;
    if (t->gathered == 0 && !tail_reserve(t, in.len + t->engine->ops->overhead_max, hint))
        return 0;
    uint8_t *at = t->tail->data + t->tail_used + t->engine->ops->header_bytes;
    memcpy(at + t->gathered, in.data, in.len);
    t->gathered += (uint32_t)in.len;
    return in.len;
}

static size_t seal_from(struct secure_link *t, struct bytes in, size_t hint) {
    seal_gathered(t);
    if (!may_seal(t) || !tail_reserve_for_record(t, in.len, hint))
        return 0;
    size_t n = MIN(in.len, record_room(t));
    if (!seal(t, bytes_of(in.data, n)))
        return 0;
    (void)secure_link_say(t);
    return n;
}

bool secure_link_has_room(const struct secure_link *t) {
    return t->out_count < SECURE_OUT_SLICES_MAX && t->out_bytes < SECURE_OUT_BYTES_MAX &&
           t->out_bytes < link_batch(t->lower);
}

/* Seals what is left of the slice that was taken; `behind` tells how much follows it. */
static void seal_part(struct secure_link *t, size_t behind) {
    size_t n = 1;
    while (t->part.len > 0 && n > 0 && may_seal(t) && secure_link_has_room(t)) {
        size_t hint = t->part.len + behind + 4 * t->engine->ops->overhead_max;
        struct bytes in = slice_bytes(&t->part);
        n = in.len <= GATHER_MAX ? gather(t, in, hint) : seal_from(t, in, hint);
        if (t->error == 0)
            slice_skip(&t->part, (uint32_t)n);
    }
    if (t->part.len == 0)
        slice_unref(&t->part);
}

/* Takes slices from *taken on while there is room.  Whether anything was sealed. */
static bool fill(struct secure_link *t, const struct slice *v, size_t count, size_t *taken) {
    size_t before = t->out_bytes;
    size_t behind = 0;
    for (size_t i = *taken; i < count; i++)
        behind += v[i].len;
    seal_part(t, behind);
    while (t->error == 0 && t->part.len == 0 && secure_link_has_room(t) && *taken < count &&
           v[*taken].len > 0) {
        t->part = v[(*taken)++];
        behind -= t->part.len;
        seal_part(t, behind);
    }
    if (t->error == 0)
        seal_gathered(t);
    return t->out_bytes > before;
}

/* --- Slabs to the lower link --- */

bool secure_link_flush(struct secure_link *t) {
    if (t->out_count == 0)
        return true;
    ssize_t n = link_write(t->lower, t->out, t->out_count);
    if (n < 0) {
        secure_link_lower_failed(t, (int)n);
        return false;
    }
    for (ssize_t i = 0; i < n; i++)
        t->out_bytes -= t->out[i].len;
    t->out_count -= (uint32_t)n;
    memmove(t->out, t->out + n, t->out_count * sizeof(t->out[0]));
    if (t->out_count > 0)
        return false;
    struct slice none = SLICE_EMPTY;
    t->tail = buf_unref(t->tail);
    t->lower_busy = link_write(t->lower, &none, 1) == 0;
    return true;
}

void secure_link_ask_for_room(struct secure_link *t) {
    struct slice none = SLICE_EMPTY;
    if (link_write(t->lower, &none, 1) != 0)
        timer_start(&t->timer, reactor_now(t->reactor) + SECURE_RETRY_AFTER);
}

void secure_link_write_on(struct secure_link *t, const struct slice *v, size_t count,
                          size_t *taken) {
    bool more = true;
    while (more) {
        (void)secure_link_say(t);
        more = !t->handshaking && fill(t, v, count, taken);
        more = secure_link_flush(t) && more;
    }
    if (t->out_count == 0 && (t->part.len > 0 || t->said_len > 0))
        secure_link_ask_for_room(t);
}
