/* SPDX-License-Identifier: MIT */
#include "tests/unit/relay_reach/talk.h"

static void on_readable(struct stream *s) {
    struct talk *x = stream_user(s);
    struct slice in;
    ssize_t n;
    while ((n = stream_read(s, &in, 1)) == 1) {
        cr_assert_leq(x->got_len + in.len, sizeof(x->got));
        memcpy(x->got + x->got_len, slice_bytes(&in).data, in.len);
        x->got_len += in.len;
        stream_consume(s, &in);
    }
    x->eof = x->eof || n == -ENODATA;
}

static void on_reset(struct stream *s, uint64_t code) {
    struct talk *x = stream_user(s);
    x->resets++;
    x->reset_code = code;
}

static void on_closed(struct stream *s, int error) {
    struct talk *x = stream_user(s);
    x->closed++;
    x->error = error;
}

static const struct stream_events events = {
    .readable = on_readable, .reset = on_reset, .closed = on_closed};

static void take(struct talk *x, struct stream *s) {
    x->stream = s;
    stream_set_events(s, &events, x);
}

static void on_opened(struct stream_request *r, struct stream *s, int error) {
    struct talk *x = CONTAINER_OF(r, struct talk, request);
    if (error < 0) {
        x->closed++;
        x->error = error;
        return;
    }
    take(x, s);
}

void talk_open(struct talk *x, struct party *from, const struct peer_id *to, const char *protocol) {
    *x = (struct talk){0};
    host_open_stream(from->host, &x->request, to, protocol, reactor_now(from->t->reactor) + SEC(5),
                     on_opened);
    TURN_UNTIL(from->t, x->stream != NULL || x->closed > 0);
}

void talk_open_on(struct talk *x, struct party *from, struct conn *c, const char *protocol) {
    struct stream *s;
    *x = (struct talk){0};
    cr_assert_eq(host_open_stream_on(from->host, c, protocol, &s), 0);
    take(x, s);
}

void talk_say(struct talk *x, struct bytes b) {
    cr_assert_eq(stream_write_bytes(x->stream, b), 0);
}

void talk_end(struct talk *x) {
    x->stream = stream_release(x->stream);
}

bool talk_is_lost(const struct talk *x) {
    return x->resets > 0 || x->error < 0;
}

static void on_accepted(struct protocol_handler *ph, struct stream *s) {
    struct listener *l = CONTAINER_OF(ph, struct listener, handler);
    cr_assert_lt(l->count, ARRAY_COUNT(l->talks));
    take(&l->talks[l->count++], s);
}

void listener_open(struct listener *l, struct party *p, const char *protocol) {
    *l = (struct listener){
        .handler = {.protocol = protocol, .protocol_class = CLASS_ANY, .accept = on_accepted}};
    cr_assert_eq(host_handle(p->host, &l->handler), 0);
}

void listener_end(struct listener *l, struct party *p) {
    for (size_t i = 0; i < l->count; i++)
        talk_end(&l->talks[i]);
    host_unhandle(p->host, &l->handler);
}

struct conn *conn_to(const struct party *who, const struct peer_id *to) {
    struct conn *c;
    return host_conns(who->host, to, &c, 1) == 1 ? c : NULL;
}
