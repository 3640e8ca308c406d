/* SPDX-License-Identifier: MIT */
#include "core/base/err.h"
#include "core/base/mem.h"
#include "transport/proto/quic_packet.h"
#include "transport/quic_transport_internal.h"

enum { ANSWERS_PER_SECOND = 200 };

/* --- Slots --- */

/* There is no way to the destination, at least from here: nothing will change that soon. */
static bool is_unreachable(int error) {
    return error == -ENETUNREACH || error == -EHOSTUNREACH || error == -EADDRNOTAVAIL ||
           error == -EACCES || error == -EPERM;
}

static void on_sent(struct udp_send *send, int error) {
    struct quic_slot *slot = CONTAINER_OF(send, struct quic_slot, send);
    /* A dial need not wait for its timeout.  Otherwise it is loss, whatever the cause: QUIC repeats
     * what matters, and path MTU discovery learns from it. */
    if (is_unreachable(error))
        quic_driver_fail_dials(slot->socket, &send->remote, error);
    quic_socket_return_slot(slot);
}

struct quic_slot *quic_socket_take_slot(struct quic_socket *s) {
    if (list_is_empty(&s->free_slots))
        return NULL;
    struct buf *b = buf_new(reactor_pool(s->transport->reactor), BUF_64K, NULL);
    if (b == NULL)
        return NULL;
    struct quic_slot *slot = LIST_ENTRY(list_shift(&s->free_slots), struct quic_slot, node);
    slot->buf = b;
    return slot;
}

void quic_socket_return_slot(struct quic_slot *slot) {
    slot->buf = buf_unref(slot->buf);
    /* To the front: the slab and the slot used last are those still in the cache. */
    list_unshift(&slot->socket->free_slots, &slot->node);
    quic_socket_wake_next(slot->socket);
}

void quic_socket_wake_next(struct quic_socket *s) {
    struct list *waiting = list_is_empty(&s->free_slots) ? NULL : list_shift(&s->waiting);
    if (waiting != NULL)
        quic_driver_wake(LIST_ENTRY(waiting, struct quic_driver, wait_node));
}

void quic_socket_send(struct quic_slot *slot, const struct quic_batch *batch) {
    slot->send.data = slot->buf->data;
    slot->send.len = batch->len;
    slot->send.segment_len = batch->segment_len;
    slot->send.remote = batch->path.remote;
    slot->send.local = batch->path.local;
    if (net_addr_is_unspecified(&slot->send.local))
        slot->send.local = (struct net_addr){.family = NET_NONE};
    slot->send.ecn = batch->ecn;
    slot->send.done = on_sent;
    udp_send_start(&slot->socket->udp, &slot->send);
}

/* --- Packets without a connection --- */

static bool may_answer(struct quic_transport *t) {
    return quic_budget_take(&t->answers, ANSWERS_PER_SECOND, reactor_now(t->reactor));
}

/* Which answer is due to a packet that no connection takes. */
enum answer { ANSWER_VERSION, ANSWER_RESET, ANSWER_REFUSAL, ANSWER_RETRY };

static void answer(struct quic_socket *s, enum answer what, const struct quic_packet *in,
                   size_t in_len, const struct quic_path *path) {
    struct quic_transport *t = s->transport;
    struct rng *rng = reactor_rng(t->reactor);
    struct quic_slot *slot = quic_socket_take_slot(s);
    if (slot == NULL)
        return;
    void *out = slot->buf->data;
    size_t len = 0;
    switch (what) {
    case ANSWER_VERSION:
        len = quic_packet_version_negotiation(in, rng, out);
        break;
    case ANSWER_RESET:
        len = quic_packet_stateless_reset(in, in_len, t->reset_key, rng, out);
        break;
    case ANSWER_REFUSAL:
        len = quic_packet_refusal(in, out);
        break;
    case ANSWER_RETRY:
        len = quic_packet_retry(in, &path->remote, t->token_key, rng, reactor_now(t->reactor), out);
        break;
    }
    if (len == 0) {
        quic_socket_return_slot(slot);
        return;
    }
    quic_socket_send(slot, &(struct quic_batch){.len = len, .segment_len = len, .path = *path});
}

static struct quic_driver *accept_initial(struct quic_socket *s, const struct quic_packet *in,
                                          size_t in_len, const struct quic_path *path) {
    struct quic_transport *t = s->transport;
    if (!s->listening || t->closing)
        return NULL;
    struct quic_initial initial;
    int e = quic_packet_initial(in, &path->remote, t->token_key, reactor_now(t->reactor), &initial);
    if (e < 0)
        return NULL;
    if (t->half_open.count >= QUIC_HALF_OPEN_MAX || t->drivers_count >= QUIC_CONNS_MAX ||
        half_open_is_full_for(&t->half_open, &path->remote)) {
        if (may_answer(t))
            answer(s, ANSWER_REFUSAL, in, in_len, path);
        return NULL;
    }
    if (t->half_open.count >= QUIC_HALF_OPEN_RETRY && !initial.after_retry) {
        if (may_answer(t))
            answer(s, ANSWER_RETRY, in, in_len, path);
        return NULL;
    }
    struct quic_driver *d;
    return quic_driver_accept(s, &initial, path, &d) == 0 ? d : NULL;
}

/* A peer that was restarted under a connection says so with a token that only the connection
 * knows.  Looking through all of them is rare enough, by may_answer(). */
static void offer_as_reset(struct quic_socket *s, struct bytes packet,
                           const struct quic_path *path) {
    list_for_each (node, &s->transport->drivers) {
        struct quic_driver *d = LIST_ENTRY(node, struct quic_driver, node);
        if (d->socket == s)
            quic_driver_recv_stray(d, &path->remote, packet);
    }
}

/* The connection of a packet; may be made by it.  NULL when there is none: it was answered, handed
 * to the sink or dropped. */
static struct quic_driver *find_driver(struct quic_socket *s, const struct quic_packet *in,
                                       struct bytes packet, const struct quic_path *path) {
    struct quic_transport *t = s->transport;
    if (in->kind == QUIC_PACKET_FOREIGN) {
        quic_dgram_received(t, path, packet);
        return NULL;
    }
    struct map_node *node = map_find(&t->routes, in->dcid);
    if (node != NULL)
        return CONTAINER_OF(node, struct quic_route, node)->driver;
    switch (in->kind) {
    case QUIC_PACKET_INITIAL:
        return accept_initial(s, in, packet.len, path);
    case QUIC_PACKET_VERSION:
        if (s->listening && may_answer(t))
            answer(s, ANSWER_VERSION, in, packet.len, path);
        return NULL;
    case QUIC_PACKET_SHORT:
        if (may_answer(t)) {
            offer_as_reset(s, packet, path);
            answer(s, ANSWER_RESET, in, packet.len, path);
        }
        quic_dgram_received(t, path, packet);
        return NULL;
    case QUIC_PACKET_LONG:
    case QUIC_PACKET_FOREIGN: /* not here */
        quic_dgram_received(t, path, packet);
        return NULL;
    }
    return NULL;
}

static void on_received(struct udp_socket *u, const struct udp_batch *b) {
    struct quic_socket *s = CONTAINER_OF(u, struct quic_socket, udp);
    struct quic_path path = {.local = b->local, .remote = b->remote};
    /* Packets of one batch are from one sender and mostly of one connection. */
    struct bytes last_dcid = BYTES_EMPTY;
    struct quic_driver *d = NULL;
    for (size_t at = 0; at < b->len; at += b->segment_len) {
        struct bytes packet = bytes_of(b->data + at, MIN(b->segment_len, b->len - at));
        struct quic_packet in;
        quic_packet_parse(packet, &in);
        if (d == NULL || in.kind != QUIC_PACKET_SHORT || !bytes_equal(in.dcid, last_dcid)) {
            d = find_driver(s, &in, packet, &path);
            last_dcid = in.dcid;
        }
        if (d == NULL)
            continue;
        quic_driver_recv(d, &path, b->ecn, packet);
        if (in.kind == QUIC_PACKET_INITIAL && quic_conn_wants_retry(d->engine) &&
            may_answer(s->transport))
            answer(s, ANSWER_RETRY, &in, packet.len, &path);
    }
}

/* --- Life --- */

static void on_closed(struct udp_socket *u) {
    struct quic_socket *s = CONTAINER_OF(u, struct quic_socket, udp);
    struct quic_transport *t = s->transport;
    assert(s->drivers_count == 0);
    list_remove(&s->node);
    (void)mem_free(reactor_mem(t->reactor), s);
    quic_transport_check_closed(t);
}

static void on_failed(struct udp_socket *u, int error) {
    struct quic_socket *s = CONTAINER_OF(u, struct quic_socket, udp);
    char text[NET_ADDR_TEXT_MAX];
    log_error(reactor_log(s->transport->reactor), L_QUIC, "UDP socket failed",
              kv_str("address", net_addr_format(&u->bound, text)), kv_err(error));
}

static const struct udp_events udp_events = {
    .received = on_received,
    .failed = on_failed,
    .closed = on_closed,
};

int quic_socket_open(struct quic_transport *t, const struct net_addr *at, bool listening,
                     struct quic_socket **ret_socket) {
    struct quic_socket *s = mem_alloc(reactor_mem(t->reactor), sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->transport = t;
    s->listening = listening;
    list_init(&s->node);
    list_init(&s->waiting);
    list_init(&s->free_slots);
    for (size_t i = 0; i < ARRAY_COUNT(s->slots); i++) {
        s->slots[i].socket = s;
        list_init(&s->slots[i].node);
        list_push(&s->free_slots, &s->slots[i].node);
    }
    quic_dgram_init(s);
    int e = udp_open(&s->udp, t->reactor, &(struct udp_config){.local = *at}, &udp_events);
    if (e < 0) {
        (void)mem_free(reactor_mem(t->reactor), s);
        return e;
    }
    list_push(&t->sockets, &s->node);
    *ret_socket = s;
    return 0;
}

/* A listener that can reach `to`: of its family, and on loopback only if `to` is.  go picks by the
 * route's source address; with one listener a family, which is what people configure, this is the
 * same. */
static bool can_reach(const struct quic_socket *s, const struct net_addr *to) {
    const struct net_addr *bound = &s->udp.bound;
    if (s->udp.closing || bound->family != to->family)
        return false;
    return net_addr_is_unspecified(bound) ||
           net_addr_is_loopback(bound) == net_addr_is_loopback(to);
}

int quic_socket_for(struct quic_transport *t, const struct net_addr *to,
                    struct quic_socket **ret_socket) {
    struct quic_socket *best = NULL;
    list_for_each (node, &t->sockets) {
        struct quic_socket *s = LIST_ENTRY(node, struct quic_socket, node);
        if (can_reach(s, to) && (best == NULL || (s->listening && !best->listening)))
            best = s;
    }
    if (best != NULL) {
        *ret_socket = best;
        return 0;
    }
    return quic_socket_open(t, &(struct net_addr){.family = to->family}, false, ret_socket);
}

void quic_socket_close_if_unused(struct quic_socket *s) {
    if (s->drivers_count == 0 && !s->udp.closing && (!s->listening || s->transport->closing))
        udp_close(&s->udp);
}
