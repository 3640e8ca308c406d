/* SPDX-License-Identifier: MIT */
#include "relay/splice_service.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/p2p/protocol_id.h"
#include "relay/splice_service_internal.h"
#include "transport/stream.h"

enum { REFUSALS_LOGGED_AT_ONCE = 20 }; /* then one a second */

_Static_assert((int)SPLICE_PREFACE_BYTES <= (int)TCP_PREFACE_MAX, "a leg's first bytes fit");

static nsec_t now_of(const struct splice_service *s) {
    return reactor_now(s->cfg.reactor);
}

/* --- Tokens and legs ------------------------------------------------------------------------- */

void splice_service_set_expiry(struct splice_service *s) {
    timer_start(&s->expiry, splice_book_deadline(&s->book));
}

static void on_expiry(struct timer *t) {
    struct splice_service *s = CONTAINER_OF(t, struct splice_service, expiry);
    struct splice_ticket *late;
    while ((late = splice_book_expired(&s->book, now_of(s))) != NULL)
        splice_session_end(CONTAINER_OF(late, struct splice_session, ticket), -ETIMEDOUT);
    splice_service_set_expiry(s);
}

static void on_leg(struct tcp_preface *p, struct tcp_leg *leg, const uint8_t *bytes) {
    struct splice_service *s = CONTAINER_OF(p, struct splice_service, preface);
    enum splice_side side;
    struct splice_ticket *t =
        splice_book_redeem(&s->book, bytes + SPLICE_MAGIC_BYTES, now_of(s), &side);
    if (t != NULL)
        splice_session_leg(CONTAINER_OF(t, struct splice_session, ticket), side, leg);
    else
        s->stats.unwanted++; /* and is closed, since nobody takes it */
}

/* --- Streams --------------------------------------------------------------------------------- */

static uint32_t count_of(const struct splice_service *s, const struct peer_id *source) {
    uint32_t count = 0;
    list_for_each (node, &s->half_open)
        count += peer_id_equal(
            &LIST_ENTRY(node, const struct splice_session, node)->peers[SPLICE_SOURCE], source);
    return count;
}

static void on_accept(struct protocol_handler *h, struct stream *stream) {
    struct splice_service *s = CONTAINER_OF(h, struct splice_service, handler);
    char id[PEER_ID_SHORT_MAX];
    bool has_room = s->stats.half_open < SPLICE_HALF_OPEN_MAX &&
                    count_of(s, stream_peer(stream)) < SPLICE_HALF_OPEN_PER_PEER_MAX;
    if (has_room && splice_session_start(s, stream) == 0)
        return;
    s->stats.refused++;
    if (log_allow(&s->refusal_log, now_of(s)))
        log_warn(s->cfg.log, L_RELAY, "too many spliced paths in the making: stream reset",
                 kv_str("peer", peer_id_format_short(stream_peer(stream), id)));
    stream_reset(stream, STREAM_CODE_RESOURCE_LIMIT);
    (void)stream_release(stream);
}

/* A path whose peer has ended it has no stream any more that could tell. */
static void on_gate_changed(struct host_watch *w) {
    struct splice_service *s = CONTAINER_OF(w, struct splice_service, watch);
    list_for_each_safe (node, &s->standing) {
        struct splice_session *ss = LIST_ENTRY(node, struct splice_session, node);
        if (splice_session_is_denied(ss))
            splice_session_end(ss, -ERR_GATED);
    }
}

/* --- Life ------------------------------------------------------------------------------------ */

int splice_service_new(const struct splice_service_config *cfg,
                       struct splice_service **ret_service) {
    struct mem *mem = reactor_mem(cfg->reactor);
    struct splice_service *s = mem_alloc(mem, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->cfg = *cfg;
    s->mem = mem;
    s->handler = (struct protocol_handler){
        .protocol = PROTOCOL_SPLICE, .protocol_class = CLASS_AUTHORIZED, .accept = on_accept};
    s->preface = (struct tcp_preface){.magic = splice_magic,
                                      .magic_len = SPLICE_MAGIC_BYTES,
                                      .len = SPLICE_PREFACE_BYTES,
                                      .arrived = on_leg};
    s->watch = (struct host_watch){.gate_changed = on_gate_changed};
    s->refusal_log = LOG_LIMIT_INIT(REFUSALS_LOGGED_AT_ONCE, SEC(1));
    list_init(&s->half_open);
    list_init(&s->standing);
    list_init(&s->closing);
    splice_book_init(&s->book, reactor_rng(cfg->reactor), now_of(s));
    int e = timer_init(&s->expiry, cfg->reactor, on_expiry);
    if (e == 0) {
        e = host_handle(cfg->host, &s->handler);
        if (e < 0)
            timer_done(&s->expiry);
    }
    if (e < 0) {
        (void)mem_free(mem, s);
        return e;
    }
    host_set_preface(cfg->host, &s->preface);
    host_watch(cfg->host, &s->watch);
    *ret_service = s;
    return 0;
}

static void check_closed(struct deferred *d) {
    struct splice_service *s = CONTAINER_OF(d, struct splice_service, close_check);
    if (list_is_empty(&s->half_open) && list_is_empty(&s->standing) && list_is_empty(&s->closing))
        s->closed(s->closed_user);
}

void splice_service_session_ended(struct splice_service *s) {
    if (s->is_closing)
        reactor_defer(s->cfg.reactor, &s->close_check);
}

static void end_all(struct list *sessions) {
    list_for_each_safe (node, sessions)
        splice_session_end(LIST_ENTRY(node, struct splice_session, node), -ERR_SHUTDOWN);
}

void splice_service_close(struct splice_service *s, void (*closed)(void *user), void *user) {
    assert(!s->is_closing);
    s->is_closing = true;
    s->closed = closed;
    s->closed_user = user;
    deferred_init(&s->close_check, check_closed);
    host_unhandle(s->cfg.host, &s->handler);
    host_set_preface(s->cfg.host, NULL);
    host_unwatch(&s->watch);
    end_all(&s->half_open);
    end_all(&s->standing);
    reactor_defer(s->cfg.reactor, &s->close_check);
}

struct splice_service *splice_service_free(struct splice_service *s) {
    if (s == NULL)
        return NULL;
    assert(s->is_closing);
    assert(list_is_empty(&s->half_open));
    assert(list_is_empty(&s->standing));
    assert(list_is_empty(&s->closing));
    deferred_cancel(&s->close_check);
    timer_done(&s->expiry);
    return mem_free(s->mem, s);
}

const struct splice_service_stats *splice_service_stats(const struct splice_service *s) {
    return &s->stats;
}
