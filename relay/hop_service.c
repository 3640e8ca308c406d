/* SPDX-License-Identifier: MIT */
#include "relay/hop_service.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/net_addr.h"
#include "core/base/wr.h"
#include "core/p2p/protocol_id.h"
#include "relay/hop_service_internal.h"
#include "transport/conn.h"

enum { REFUSALS_LOGGED_AT_ONCE = 20 }; /* then one a second */

/* The rest: expiry, status, limit, and the heads of all. */
_Static_assert((int)HOP_ADDRS_BYTES_MAX + (int)VOUCHER_BYTES_MAX + 128 <= (int)CIRCUIT_MSG_MAX,
               "an answer fits");

const enum circuit_status hop_statuses[HOP_STATUSES] = {
    CIRCUIT_STATUS_OK,
    CIRCUIT_STATUS_RESERVATION_REFUSED,
    CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED,
    CIRCUIT_STATUS_PERMISSION_DENIED,
    CIRCUIT_STATUS_CONNECTION_FAILED,
    CIRCUIT_STATUS_NO_RESERVATION,
    CIRCUIT_STATUS_MALFORMED_MESSAGE,
    CIRCUIT_STATUS_UNEXPECTED_MESSAGE,
};

static nsec_t now_of(const struct hop_service *s) {
    return reactor_now(s->cfg.reactor);
}

/* --- Reservations come and go ---------------------------------------------------------------- */

static void set_expiry(struct hop_service *s) {
    timer_start(&s->expiry, hop_book_deadline(&s->book));
}

void hop_service_tick(struct hop_service *s) {
    uint32_t before = s->book.reservations_count;
    hop_book_tick(&s->book, now_of(s));
    uint32_t expired = before - s->book.reservations_count;
    if (expired > 0)
        log_info(s->cfg.log, L_RELAY, "reservations expired", kv_uint("count", expired));
    set_expiry(s);
}

static void on_expiry(struct timer *t) {
    hop_service_tick(CONTAINER_OF(t, struct hop_service, expiry));
}

static void on_conn_closed(struct host_watch *w, struct conn *c) {
    struct hop_service *s = CONTAINER_OF(w, struct hop_service, watch);
    char id[PEER_ID_SHORT_MAX];
    if (host_conns_count(s->cfg.host, &c->peer) > 0 || !hop_book_has(&s->book, &c->peer, now_of(s)))
        return;
    hop_book_forget(&s->book, &c->peer);
    set_expiry(s);
    log_info(s->cfg.log, L_RELAY, "reservation lost",
             kv_str("peer", peer_id_format_short(&c->peer, id)),
             kv_str("reason", "its last connection closed"));
}

/* --- What a reservation says ----------------------------------------------------------------- */

/* Leaves out what does not fit. */
static void put_addr(const struct hop_service *s, struct wr *w, size_t *count,
                     const struct multiaddr *addr) {
    struct multiaddr with_id = *addr;
    struct wr longer = *w;
    if (*count == HOP_ADDRS_MAX ||
        multiaddr_add_peer(&with_id, &host_identity(s->cfg.host)->id) < 0)
        return;
    circuit_put_addr(&longer, &with_id);
    if (wr_done(&longer) < 0)
        return;
    *w = longer;
    (*count)++;
}

static bool is_wanted(const struct hop_service *s, const struct multiaddr *addr) {
    if (multiaddr_is_relayed(addr) || multiaddr_is_in(addr, s->announce, s->announce_count))
        return false;
    return s->cfg.announces_private || multiaddr_class(addr) == MULTIADDR_PUBLIC;
}

/* Where the client came in, if that is an address at all: we may have dialled it, or not know. */
static bool reached_at(const struct conn *c) {
    struct net_addr local;
    return c->inbound && c->local.len > 0 && multiaddr_to_net_addr(&c->local, &local) == 0 &&
           !net_addr_is_unspecified(&local) && local.port != 0;
}

/* rust takes a list without addresses for a failure, so that the one that led here is better than
 * none. */
static struct bytes put_addrs(const struct hop_service *s, const struct conn *c, uint8_t *memory) {
    struct multiaddr addrs[HOST_ADVERTISED_MAX];
    struct wr w = wr_init(memory, HOP_ADDRS_BYTES_MAX);
    size_t count = 0;
    for (size_t i = 0; i < s->announce_count; i++)
        put_addr(s, &w, &count, &s->announce[i]);
    size_t advertised = host_advertised_addrs(s->cfg.host, c, addrs);
    for (size_t i = 0; i < advertised; i++)
        if (is_wanted(s, &addrs[i]))
            put_addr(s, &w, &count, &addrs[i]);
    if (count == 0 && reached_at(c))
        put_addr(s, &w, &count, &c->local);
    return wr_written(&w);
}

/* Where it is counted; NULL: nowhere, for limits by address do not bind listed peers. */
static const struct net_addr *place_of(const struct hop_service *s, const struct conn *c,
                                       struct net_addr *memory) {
    return s->cfg.is_open && multiaddr_to_net_addr(&c->remote, memory) == 0 ? memory : NULL;
}

static void log_made(const struct hop_service *s, const struct conn *c) {
    char id[PEER_ID_SHORT_MAX];
    char addr[MULTIADDR_TEXT_MAX];
    log_info(s->cfg.log, L_RELAY, "reservation made",
             kv_str("peer", peer_id_format_short(&c->peer, id)),
             kv_str("addr", multiaddr_format(&c->remote, addr)),
             kv_uint("reservations", s->book.reservations_count));
}

enum circuit_status hop_service_reserve(struct hop_service *s, const struct conn *c,
                                        struct hop_scratch *scratch,
                                        struct circuit_reservation *ret_reservation,
                                        bool *ret_is_renewal) {
    struct net_addr ip;
    nsec_t expires_at;
    if (c->relayed)
        return CIRCUIT_STATUS_PERMISSION_DENIED;
    hop_service_tick(s);
    bool is_renewal = hop_book_has(&s->book, &c->peer, now_of(s));
    enum circuit_status status =
        hop_book_reserve(&s->book, &c->peer, place_of(s, c, &ip), now_of(s), &expires_at);
    set_expiry(s);
    if (status != CIRCUIT_STATUS_OK)
        return status;
    walltime_t expire =
        reactor_walltime(s->cfg.reactor) + (walltime_t)((expires_at - now_of(s)) / SEC(1));
    *ret_reservation =
        (struct circuit_reservation){.expire = expire, .addrs = put_addrs(s, c, scratch->addrs)};
    ssize_t n = voucher_seal(host_identity(s->cfg.host), &c->peer, expire, scratch->voucher);
    if (n > 0) /* it is optional */
        ret_reservation->voucher = bytes_of(scratch->voucher, (size_t)n);
    if (!is_renewal)
        log_made(s, c);
    *ret_is_renewal = is_renewal;
    return CIRCUIT_STATUS_OK;
}

/* --- Streams --------------------------------------------------------------------------------- */

static const char *request_text(enum hop_request request) {
    switch (request) {
    case HOP_REQUEST_RESERVE:
        return "reserve";
    case HOP_REQUEST_CONNECT:
        return "connect";
    case HOP_REQUEST_UNKNOWN:
    case HOP_REQUESTS:
        break;
    }
    return "unknown";
}

static size_t status_index(enum circuit_status status) {
    size_t i = 0;
    while (hop_statuses[i] != status) {
        i++;
        assert(i < HOP_STATUSES);
    }
    return i;
}

void hop_service_answered(struct hop_service *s, const struct hop_answer *a) {
    const struct hop_events *events = s->cfg.events;
    char id[PEER_ID_SHORT_MAX];
    s->stats.answers[a->request][status_index(a->status)]++;
    if (events != NULL && events->answered != NULL)
        events->answered(s->cfg.user, a);
    if (a->status != CIRCUIT_STATUS_OK && !s->is_closing && log_allow(&s->refusal_log, now_of(s)))
        log_info(s->cfg.log, L_RELAY, "request refused",
                 kv_str("peer", peer_id_format_short(a->peer, id)),
                 kv_str("request", request_text(a->request)),
                 kv_str("status", circuit_status_text(a->status)));
}

static void refuse(struct hop_service *s, struct stream *stream) {
    char id[PEER_ID_SHORT_MAX];
    s->stats.refused++;
    if (log_allow(&s->refusal_log, now_of(s)))
        log_warn(s->cfg.log, L_RELAY, "too many requests at a time: stream reset",
                 kv_str("peer", peer_id_format_short(stream_peer(stream), id)));
    stream_reset(stream, STREAM_CODE_RESOURCE_LIMIT);
    (void)stream_release(stream);
}

static void on_accept(struct protocol_handler *h, struct stream *stream) {
    struct hop_service *s = CONTAINER_OF(h, struct hop_service, handler);
    bool has_room = s->stats.half_open < HOP_HALF_OPEN_MAX &&
                    hop_session_count(s, stream_peer(stream)) < HOP_HALF_OPEN_PER_PEER_MAX;
    if (!has_room || hop_session_start(s, stream) < 0)
        refuse(s, stream);
}

/* --- Spliced paths --------------------------------------------------------------------------- */

static uint64_t find_circuit(void *user, const struct peer_id *source,
                             const struct peer_id *destination) {
    return hop_session_find_circuit(user, source, destination);
}

static bool circuit_stands(void *user, uint64_t number) {
    return hop_session_has_circuit(user, number);
}

static int open_splice(struct hop_service *s) {
    struct splice_service_config cfg = {
        .reactor = s->cfg.reactor,
        .host = s->cfg.host,
        .log = s->cfg.log,
        .book = &s->book,
        .circuits = {.find = find_circuit, .stands = circuit_stands, .user = s},
        .data_max = s->cfg.circuit_bytes,
        .duration_max = s->cfg.circuit_duration,
    };
    return s->cfg.splices ? splice_service_new(&cfg, &s->splice) : 0;
}

/* --- Life ------------------------------------------------------------------------------------ */

/* Rounded up: 0 would be without limit. */
static struct circuit_limit limit_of(const struct hop_service_config *cfg) {
    nsec_t seconds = cfg->circuit_duration / SEC(1) + (cfg->circuit_duration % SEC(1) != 0);
    return (struct circuit_limit){.duration_s = (uint32_t)MIN(seconds, (nsec_t)UINT32_MAX),
                                  .data_bytes = cfg->circuit_bytes};
}

/* Without our ID behind it, and none of others. */
static void copy_announce(struct hop_service *s, const struct hop_service_config *cfg) {
    const struct peer_id *self = &host_identity(cfg->host)->id;
    for (size_t i = 0; i < cfg->announce_count && s->announce_count < HOP_ADDRS_MAX; i++) {
        struct multiaddr addr = cfg->announce[i];
        struct peer_id id;
        int e = multiaddr_split_peer(&cfg->announce[i], &addr, &id);
        if (e == -ENOENT || (e == 0 && peer_id_equal(&id, self)))
            s->announce[s->announce_count++] = addr;
    }
}

static int begin(struct hop_service *s) {
    const struct hop_service_config *cfg = &s->cfg;
    struct hop_book_config book = {.mem = s->mem,
                                   .rng = reactor_rng(cfg->reactor),
                                   .reservations_max = cfg->reservations_max,
                                   .reservations_per_ip = cfg->reservations_per_ip,
                                   .reservations_per_asn = cfg->reservations_per_asn,
                                   .circuits_per_peer_max = cfg->circuits_per_peer_max,
                                   .ttl = cfg->reservation_ttl};
    int e = timer_init(&s->expiry, cfg->reactor, on_expiry);
    if (e < 0)
        return e;
    e = hop_book_init(&s->book, &book, now_of(s));
    if (e < 0) {
        timer_done(&s->expiry);
        return e;
    }
    e = host_handle(cfg->host, &s->handler);
    if (e == 0) {
        e = open_splice(s);
        if (e < 0)
            host_unhandle(cfg->host, &s->handler);
    }
    if (e < 0) {
        hop_book_done(&s->book);
        timer_done(&s->expiry);
        return e;
    }
    host_watch(cfg->host, &s->watch);
    return 0;
}

int hop_service_new(const struct hop_service_config *cfg, struct hop_service **ret_service) {
    struct mem *mem = reactor_mem(cfg->reactor);
    assert(cfg->reservation_ttl >= SEC(1));
    struct hop_service *s = mem_alloc(mem, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->cfg = *cfg;
    s->mem = mem;
    s->limit = limit_of(cfg);
    s->handler = (struct protocol_handler){
        .protocol = PROTOCOL_CIRCUIT_HOP, .protocol_class = CLASS_AUTHORIZED, .accept = on_accept};
    s->watch = (struct host_watch){.closed = on_conn_closed};
    s->refusal_log = LOG_LIMIT_INIT(REFUSALS_LOGGED_AT_ONCE, SEC(1));
    list_init(&s->half_open);
    list_init(&s->circuits);
    copy_announce(s, cfg);
    int e = begin(s);
    if (e < 0) {
        (void)mem_free(mem, s);
        return e;
    }
    *ret_service = s;
    return 0;
}

static void check_closed(struct deferred *d) {
    struct hop_service *s = CONTAINER_OF(d, struct hop_service, close_check);
    if (list_is_empty(&s->half_open) && list_is_empty(&s->circuits) &&
        (s->splice == NULL || s->splice_is_closed))
        s->closed(s->closed_user);
}

void hop_service_session_ended(struct hop_service *s) {
    if (s->is_closing)
        reactor_defer(s->cfg.reactor, &s->close_check);
}

static void on_splice_closed(void *user) {
    struct hop_service *s = user;
    s->splice_is_closed = true;
    hop_service_session_ended(s);
}

void hop_service_close(struct hop_service *s, void (*closed)(void *user), void *user) {
    assert(!s->is_closing);
    s->is_closing = true;
    s->closed = closed;
    s->closed_user = user;
    deferred_init(&s->close_check, check_closed);
    host_unhandle(s->cfg.host, &s->handler);
    host_unwatch(&s->watch);
    timer_stop(&s->expiry);
    if (s->splice != NULL)
        splice_service_close(s->splice, on_splice_closed, s);
    hop_sessions_shut(s);
    reactor_defer(s->cfg.reactor, &s->close_check);
}

struct hop_service *hop_service_free(struct hop_service *s) {
    if (s == NULL)
        return NULL;
    assert(s->is_closing);
    assert(list_is_empty(&s->half_open));
    assert(list_is_empty(&s->circuits));
    deferred_cancel(&s->close_check);
    s->splice = splice_service_free(s->splice);
    hop_book_done(&s->book);
    timer_done(&s->expiry);
    return mem_free(s->mem, s);
}

void hop_service_stats(const struct hop_service *s, struct hop_service_stats *ret_stats) {
    *ret_stats = s->stats;
    ret_stats->reservations = s->book.reservations_count;
    if (s->splice == NULL)
        return;
    ret_stats->spliced = *splice_service_stats(s->splice);
    ret_stats->bytes.to_destination += ret_stats->spliced.bytes.to_destination;
    ret_stats->bytes.to_source += ret_stats->spliced.bytes.to_source;
}
