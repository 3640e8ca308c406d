/* SPDX-License-Identifier: MIT */
#include "links.h"

#include "transport/secure_link.h"
#include "transport/stream_link.h"
#include "transport/tcp_link.h"
#include "transport/ws_link.h"
#include "xor_secure.h"

uint8_t end_pattern(uint64_t at) {
    return (uint8_t)(at * 2654435761u >> 13);
}

struct slice end_slice(struct end *x, uint32_t len) {
    struct buf *b = buf_new(reactor_pool(x->t->reactor), buf_class_for(len), link_quota(x->link));
    if (b == NULL)
        return SLICE_EMPTY; /* taken: then nothing is on its way that holds the quota */
    for (uint32_t i = 0; i < len; i++)
        b->data[i] = end_pattern(x->written + i);
    return slice_of(b, 0, len);
}

static void end_push(struct end *x) {
    static const uint32_t sizes[] = {1, 65536, 3, 1000, 4097, 65535, 16384, 257};
    for (size_t i = 0; x->link != NULL && x->written < x->to_write; i++) {
        uint32_t size = sizes[(x->written + i) % ARRAY_COUNT(sizes)];
        size = (uint32_t)MIN((uint64_t)size, x->to_write - x->written);
        struct slice v = end_slice(x, size);
        uint32_t len = v.len;
        ssize_t n = link_write(x->link, &v, 1);
        if (n != 1)
            slice_unref(&v);
        if (n < 0)
            x->write_error = (int)n;
        if (n <= 0)
            return;
        x->written += len;
    }
}

void end_write(struct end *x, uint64_t bytes) {
    x->to_write += bytes;
    end_push(x);
}

void end_credit(struct end *x) {
    uint64_t bytes = x->uncredited;
    x->uncredited = 0;
    if (x->link != NULL && bytes > 0)
        link_credit(x->link, (size_t)bytes);
}

void end_read(struct end *x) {
    struct slice in[3];
    ssize_t n = 0;
    while (x->link != NULL && (n = link_read(x->link, in, 1 + x->got % ARRAY_COUNT(in))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            cr_assert(in[i].len > 0);
            for (uint32_t at = 0; at < in[i].len; at++)
                cr_assert_eq(in[i].data[at], end_pattern(x->got + at));
            x->got += in[i].len;
            x->uncredited += in[i].len;
            slice_unref(&in[i]);
        }
        if (!x->keeps_credit)
            end_credit(x);
    }
    if (n < 0)
        x->read_error = (int)n;
}

void end_close(struct end *x, bool reset) {
    struct link *l = TAKE(x->link);
    if (l == NULL)
        return;
    if (reset)
        link_reset(l);
    else
        link_close(l);
    cr_assert_eq(x->closed, 0, "a callback from inside the call");
}

static void on_readable(struct link *l) {
    struct end *x = l->user;
    cr_assert(x->link == l, "an event after link_close()");
    if (x->close_at == CLOSE_AT_READABLE)
        end_close(x, false);
    else if (!x->paused)
        end_read(x);
}

static void on_writable(struct link *l) {
    struct end *x = l->user;
    cr_assert(x->link == l, "an event after link_close()");
    x->writable++;
    if (x->close_at == CLOSE_AT_WRITABLE)
        end_close(x, false);
    else
        end_push(x);
}

static void on_link_closed(struct link *l, int error) {
    struct end *x = l->user;
    cr_assert_eq(x->link, NULL, "closed() without link_close()");
    x->closed++;
    x->closed_error = error;
}

static const struct link_events link_events = {on_readable, on_writable, on_link_closed};

void end_attach(struct end *x, struct fixture *t, struct link *l) {
    x->t = t;
    x->link = l;
    link_set_events(l, &link_events, x);
    end_read(x);
}

/* --- The kinds --- */

static void on_secured(struct link *l) {
    struct end *x = l->user;
    cr_assert(x->link == l, "secured() after link_close()");
    cr_assert(!x->secured);
    x->secured = true;
}

struct link *channel_over(struct ends *e, struct link *lower, const struct xor_options *o,
                          struct slice_queue *rest) {
    struct link *link;
    struct mem *mem = reactor_mem(e->t->reactor);
    struct slice_queue nothing;
    slice_queue_init(&nothing, mem);
    struct secure *channel = xor_secure_new(mem, o);
    cr_assert_eq(secure_link_new(e->t->reactor, lower, channel, rest == NULL ? &nothing : rest,
                                 on_secured, &link),
                 0);
    return link;
}

static struct link *ws_accepted(struct ends *e, struct link *lower) {
    struct link *link;
    struct slice_queue nothing;
    slice_queue_init(&nothing, reactor_mem(e->t->reactor));
    cr_assert_eq(ws_link_accept(e->t->reactor, lower, &nothing, &link), 0);
    return link;
}

static struct link *ws_dialled(struct ends *e, struct link *lower) {
    struct link *link;
    cr_assert_eq(ws_link_dial(e->t->reactor, lower, "localhost:1", &link), 0);
    return link;
}

static void on_accepted(struct tcp_listener *l, int handle, const struct sock_addr *remote) {
    struct ends *e = CONTAINER_OF(l, struct ends, listener);
    struct link *link;
    (void)remote;
    cr_assert_eq(tcp_link_adopt(e->t->reactor, handle, SIZE_MAX, &link), 0);
    if (e->secure)
        link = channel_over(e, link, &e->channel_b, NULL);
    if (e->ws)
        link = ws_accepted(e, link);
    end_attach(&e->b, e->t, link);
}

static void on_listener_closed(struct tcp_listener *l) {
    CONTAINER_OF(l, struct ends, listener)->listener_closed = true;
}

static const struct tcp_listener_events listener_events = {on_accepted, on_listener_closed};

void listener_open(struct ends *e, struct fixture *t) {
    e->t = t;
    e->at = (struct sock_addr){.ip = {.family = NET_IP4, .ip = {127, 0, 0, 1}}};
    cr_assert_eq(tcp_listen(&e->listener, t->reactor, &e->at, &listener_events), 0);
    cr_assert_eq(tcp_listener_addr(&e->listener, &e->at), 0);
}

void listener_close(struct ends *e) {
    tcp_listener_close(&e->listener);
    TURN_UNTIL(e->t, e->listener_closed);
}

void tcp_ends_open(struct ends *e, struct fixture *t) {
    struct link *link;
    listener_open(e, t);
    cr_assert_eq(tcp_link_connect(t->reactor, &e->at, NULL, &link), 0);
    if (e->secure)
        link = channel_over(e, link, &e->channel_a, NULL);
    if (e->ws)
        link = ws_dialled(e, link);
    end_attach(&e->a, t, link);
    TURN_UNTIL(t, e->b.link != NULL);
    listener_close(e);
}

void secure_ends_start(struct ends *e, struct fixture *t) {
    e->secure = true;
    e->channel_a.initiator = true;
    tcp_ends_open(e, t);
}

void secure_ends_open(struct ends *e, struct fixture *t) {
    secure_ends_start(e, t);
    TURN_UNTIL(t, e->a.secured && e->b.secured);
}

void ws_ends_open(struct ends *e, struct fixture *t) {
    struct slice none = SLICE_EMPTY;
    e->ws = true;
    tcp_ends_open(e, t);
    cr_assert_eq(link_write(e->a.link, &none, 1), 0);
    cr_assert_eq(link_write(e->b.link, &none, 1), 0);
    TURN_UNTIL(t, e->a.writable == 1 && e->b.writable == 1);
    e->a.writable = 0;
    e->b.writable = 0;
}

const struct conn_limit no_limit = {0};

void stream_ends_open(struct ends *e, struct fixture *t) {
    struct slice rest = SLICE_EMPTY;
    struct link *link;
    e->t = t;
    stream_pair_open(&e->streams, t);
    cr_assert_eq(stream_link_new(t->reactor, TAKE(e->streams.a.stream), &rest, &no_limit, &link),
                 0);
    end_attach(&e->a, t, link);
    cr_assert_eq(stream_link_new(t->reactor, TAKE(e->streams.b.stream), &rest, &no_limit, &link),
                 0);
    end_attach(&e->b, t, link);
}

void ends_close(struct ends *e) {
    end_close(&e->a, false);
    end_close(&e->b, false);
    TURN_UNTIL(e->t, e->a.closed == 1 && e->b.closed == 1);
}

/* --- The far end as bytes --- */

static void raw_on_readable(struct link *l) {
    struct raw *x = l->user;
    struct slice in[4];
    ssize_t n;
    while ((n = link_read(l, in, ARRAY_COUNT(in))) > 0) {
        x->reads++;
        for (ssize_t i = 0; i < n; i++) {
            cr_assert(x->got_len + in[i].len <= sizeof(x->got));
            memcpy(x->got + x->got_len, in[i].data, in[i].len);
            x->got_len += in[i].len;
            link_consume(l, &in[i]);
        }
    }
    if (n < 0)
        x->read_error = (int)n;
}

static void raw_on_writable(struct link *l) {
    (void)l;
}

static void raw_on_closed(struct link *l, int error) {
    (void)error;
    ((struct raw *)l->user)->closed++;
}

static const struct link_events raw_events = {raw_on_readable, raw_on_writable, raw_on_closed};

void raw_attach(struct raw *x, struct end *from) {
    x->t = from->t;
    x->link = TAKE(from->link);
    link_set_events(x->link, &raw_events, x);
}

void raw_write(struct raw *x, const uint8_t *bytes, size_t len, size_t cut) {
    for (size_t at = 0; at < len;) {
        size_t n = MIN(MIN(cut, len - at), (size_t)65536);
        struct buf *b = buf_new(reactor_pool(x->t->reactor), buf_class_for(n), NULL);
        cr_assert_not_null(b);
        memcpy(b->data, bytes + at, n);
        struct slice v = slice_of(b, 0, (uint32_t)n);
        TURN_UNTIL(x->t, link_write(x->link, &v, 1) == 1);
        at += n;
        if (cut < len)
            for (int turn = 0; turn < 3; turn++)
                cr_assert_eq(reactor_turn(x->t->reactor, 0), 0);
    }
}

void raw_write_text(struct raw *x, const char *text, size_t len) {
    raw_write(x, (const uint8_t *)text, len, SIZE_MAX);
}
