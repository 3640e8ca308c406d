/* SPDX-License-Identifier: MIT */
#include "transport/secure_link.h"

#include "core/base/mem.h"
#include "transport/secure_link_internal.h"

/* How long a last word may take to get on its way. */
#define LINGER_MAX SEC(1)

static struct secure_link *link_of(struct link *l) {
    return CONTAINER_OF(l, struct secure_link, link);
}

/* --- The ends --- */

void secure_link_fail(struct secure_link *t, int error) {
    assert(error < 0);
    if (t->error != 0)
        return;
    t->error = error;
    secure_link_read_drop(t);
    slice_unref(&t->part);
    t->readable_due = true;
}

void secure_link_fail_by_engine(struct secure_link *t) {
    secure_link_fail(t, t->engine->error != 0 ? t->engine->error : -ERR_CRYPTO);
}

void secure_link_lower_failed(struct secure_link *t, int error) {
    secure_link_out_drop(t);
    slice_unref(&t->part);
    t->write_over = true;
    t->lower_shut = true;
    t->lower_busy = false;
    if (error != -EPIPE)
        secure_link_fail(t, error);
}

static void goodbye(struct secure_link *t) {
    if (!t->goodbye_said && t->error == 0 && !t->handshaking) {
        t->goodbye_said = true;
        secure_close(t->engine);
    }
}

/* The end, once all before it is with the lower link. */
static void end_on(struct secure_link *t) {
    if (!t->write_over || t->lower_shut || t->handshaking || t->part.len > 0)
        return;
    goodbye(t);
    if (secure_link_say(t) && secure_link_flush(t)) {
        link_shutdown_write(t->lower);
        t->lower_shut = true;
    }
}

/* --- Telling; the owner may close the link in each event --- */

static void tell(struct secure_link *t) {
    if (t->secured_due && t->error == 0 && !t->closing) {
        t->secured_due = false;
        t->secured(&t->link);
    }
    if (t->readable_due && !t->closing) {
        t->readable_due = false;
        t->link.events->readable(&t->link);
    }
    if (t->closing || !t->want_writable)
        return; /* the lower link is perhaps closed, too */
    bool room = !t->handshaking && t->part.len == 0 && secure_link_has_room(t);
    if (room || t->write_over || t->error != 0) {
        t->want_writable = false;
        t->link.events->writable(&t->link);
    }
}

/* Everything that can be done now, whatever happened. */
static void look(struct secure_link *t) {
    size_t none = 0;
    secure_link_receive(t);
    secure_link_write_on(t, NULL, 0, &none);
    end_on(t);
    tell(t);
}

/* --- Closing --- */

static void lower_close(struct secure_link *t, bool reset) {
    secure_link_out_drop(t);
    timer_stop(&t->timer);
    if (reset)
        link_reset(t->lower);
    else
        link_close(t->lower);
}

/* The last word is on its way: closes when the lower link has passed it on. */
static void linger(struct secure_link *t) {
    (void)secure_link_flush(t);
    if (t->out_count == 0 && !t->lower_busy)
        lower_close(t, false);
}

static void on_timer(struct timer *timer) {
    struct secure_link *t = CONTAINER_OF(timer, struct secure_link, timer);
    if (t->closing)
        lower_close(t, true);
    else
        look(t);
}

static void secure_link_close(struct link *l, bool reset) {
    struct secure_link *t = link_of(l);
    assert(!t->closing);
    t->closing = true;
    deferred_cancel(&t->work);
    secure_link_read_drop(t);
    bool loses = t->error == 0 && (t->part.len > 0 || t->out_count > 0);
    slice_unref(&t->part);
    if (reset || loses) {
        lower_close(t, true);
        return;
    }
    goodbye(t);
    (void)secure_link_say(t);
    timer_start(&t->timer, reactor_now(t->reactor) + LINGER_MAX);
    linger(t);
}

/* --- From the lower link --- */

static void on_lower_readable(struct link *lower) {
    struct secure_link *t = lower->user;
    if (!t->closing)
        look(t);
}

static void on_lower_writable(struct link *lower) {
    struct secure_link *t = lower->user;
    t->lower_busy = false;
    if (t->closing)
        linger(t);
    else
        look(t);
}

static void on_work(struct deferred *d) {
    look(CONTAINER_OF(d, struct secure_link, work));
}

static void on_lower_closed(struct link *lower, int error) {
    struct secure_link *t = lower->user;
    assert(t->closing);
    assert(t->read_quota.used_bytes == 0);
    assert(t->write_quota.used_bytes == 0);
    (void)error; /* told before, or nobody asked */
    timer_done(&t->timer);
    t->engine = secure_free(t->engine); /* its library context may go in closed() */
    t->link.events->closed(&t->link, t->error);
    (void)mem_free(reactor_mem(t->reactor), t);
}

static const struct link_events lower_events = {
    .readable = on_lower_readable,
    .writable = on_lower_writable,
    .closed = on_lower_closed,
};

/* --- From the owner --- */

static ssize_t secure_link_write(struct link *l, const struct slice *v, size_t count) {
    struct secure_link *t = link_of(l);
    assert(!t->closing);
    if (t->error != 0)
        return t->error;
    if (t->write_over)
        return -EPIPE;
    size_t taken = 0;
    secure_link_write_on(t, v, count, &taken);
    t->want_writable = taken < count;
    if (t->error != 0 || t->write_over)
        reactor_defer(t->reactor, &t->work);
    else if (t->want_writable && !t->handshaking && t->out_count == 0)
        secure_link_ask_for_room(t);
    return (ssize_t)taken;
}

static ssize_t secure_link_read(struct link *l, struct slice *out, size_t max) {
    struct secure_link *t = link_of(l);
    assert(!t->closing);
    if (t->error != 0)
        return t->error;
    size_t n = 0;
    while (n < max && slice_queue_shift(&t->plain, &out[n]))
        n++;
    if (t->paused && secure_link_may_receive(t))
        reactor_defer(t->reactor, &t->work);
    return n == 0 && max > 0 && t->read_over ? -ENODATA : (ssize_t)n;
}

static void secure_link_credit(struct link *l, size_t bytes) {
    struct secure_link *t = link_of(l);
    assert(!t->closing);
    link_credit(t->lower, bytes);
}

static void secure_link_shutdown_write(struct link *l) {
    struct secure_link *t = link_of(l);
    assert(!t->closing);
    if (t->write_over || t->error != 0)
        return;
    t->write_over = true;
    end_on(t);
    if (t->error != 0)
        reactor_defer(t->reactor, &t->work);
}

static struct quota *secure_link_quota(struct link *l) {
    return &link_of(l)->write_quota;
}

static size_t secure_link_batch(const struct link *l) {
    return link_batch(CONTAINER_OF(l, const struct secure_link, link)->lower);
}

static int secure_link_acked(const struct link *l, uint64_t *ret_bytes, nsec_t *ret_at) {
    return link_acked(CONTAINER_OF(l, const struct secure_link, link)->lower, ret_bytes, ret_at);
}

static nsec_t secure_link_unanswered_since(const struct link *l) {
    return link_unanswered_since(CONTAINER_OF(l, const struct secure_link, link)->lower);
}

static const struct link_ops secure_link_ops = {
    .write = secure_link_write,
    .read = secure_link_read,
    .credit = secure_link_credit,
    .shutdown_write = secure_link_shutdown_write,
    .close = secure_link_close,
    .quota = secure_link_quota,
    .batch = secure_link_batch,
    .acked = secure_link_acked,
    .unanswered_since = secure_link_unanswered_since,
};

/* --- Making --- */

int secure_link_new(struct reactor *r, struct link *lower, struct secure *engine,
                    struct slice_queue *rest, void (*secured)(struct link *l),
                    struct link **ret_link) {
    struct secure_link *t = mem_alloc(reactor_mem(r), sizeof(*t));
    if (t == NULL)
        return -ENOMEM;
    *t = (struct secure_link){
        .link.ops = &secure_link_ops,
        .reactor = r,
        .lower = lower,
        .engine = engine,
        .secured = secured,
        .received = *rest,
        .handshaking = true,
        .read_quota = QUOTA_INIT(LINK_BUFFERED_MAX, NULL),
        /* As much as a TCP link has; what is taken is sealed at once. */
        .write_quota = QUOTA_INIT((size_t)8 * SECURE_OUT_BYTES_MAX, NULL),
    };
    int error = timer_init(&t->timer, r, on_timer);
    if (error < 0) {
        (void)mem_free(reactor_mem(r), t);
        return error;
    }
    slice_queue_init(rest, reactor_mem(r));
    slice_queue_init(&t->plain, reactor_mem(r));
    for (uint32_t i = 0; i < t->received.count; i++)
        secure_link_take_over(t, slice_queue_at(&t->received, i));
    deferred_init(&t->work, on_work);
    link_set_events(lower, &lower_events, t);
    reactor_defer(r, &t->work);
    *ret_link = &t->link;
    return 0;
}

const struct secure *secure_link_engine(const struct link *l) {
    return CONTAINER_OF(l, const struct secure_link, link)->engine;
}
