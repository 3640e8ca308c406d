/* SPDX-License-Identifier: MIT */

/* What shares a UDP socket with QUIC: STUN, and what punches holes. */

#include "core/base/err.h"
#include "transport/quic_transport_internal.h"

/* How many of a kind a sink sees in a second.  STUN is to serve many; strays are looked at to find
 * the one that a punching peer sent. */
static const uint32_t dgrams_per_second[DGRAM_KINDS_COUNT] = {
    [DGRAM_STUN_REQUEST] = 2000,
    [DGRAM_STUN_ANSWER] = 2000,
    [DGRAM_STRAY] = 200,
};

enum {
    STUN_FIRST_BYTE_MAX = 3,
    STUN_HEADER_BYTES = 20,
    STUN_COOKIE_AT = 4,
    STUN_IS_ANSWER = 1, /* in the first byte: a bit of the class */
};

/* --- Receiving --- */

bool quic_budget_take(struct quic_budget *b, uint32_t per_second, nsec_t now) {
    if (now >= b->refill_at) {
        b->left = per_second;
        b->refill_at = now + SEC(1);
    }
    if (b->left == 0)
        return false;
    b->left--;
    return true;
}

static enum dgram_kind kind_of(struct bytes d) {
    static const uint8_t cookie[] = {0x21, 0x12, 0xa4, 0x42};
    if (d.len < STUN_HEADER_BYTES || d.data[0] > STUN_FIRST_BYTE_MAX ||
        memcmp(d.data + STUN_COOKIE_AT, cookie, sizeof(cookie)) != 0)
        return DGRAM_STRAY;
    return (d.data[0] & STUN_IS_ANSWER) != 0 ? DGRAM_STUN_ANSWER : DGRAM_STUN_REQUEST;
}

void quic_dgram_received(struct quic_transport *t, const struct quic_path *path,
                         struct bytes datagram) {
    enum dgram_kind kind = kind_of(datagram);
    struct dgram_sink *sink = t->sinks[kind];
    if (sink == NULL || !quic_budget_take(&t->dgram_budgets[kind], dgrams_per_second[kind],
                                          reactor_now(t->reactor))) {
        t->dgram_stats.refused[kind]++;
        return;
    }
    t->dgram_stats.received[kind]++;
    sink->received(sink, &path->local, &path->remote, datagram);
}

void quic_transport_set_sink(struct transport *t, enum dgram_kind kind, struct dgram_sink *sink) {
    quic_transport_of(t)->sinks[kind] = sink;
}

const struct dgram_stats *quic_transport_dgram_stats(const struct transport *t) {
    return &CONTAINER_OF(t, const struct quic_transport, base)->dgram_stats;
}

/* --- Sending --- */

void quic_dgram_init(struct quic_socket *s) {
    list_init(&s->free_raws);
    for (size_t i = 0; i < ARRAY_COUNT(s->raws); i++) {
        s->raws[i].socket = s;
        list_init(&s->raws[i].node);
        list_push(&s->free_raws, &s->raws[i].node);
    }
}

/* Nobody waits for one: as loss on the way it is for the sender to repeat. */
static void on_sent(struct udp_send *send, int error) {
    struct quic_raw *raw = CONTAINER_OF(send, struct quic_raw, send);
    struct dgram_stats *stats = &raw->socket->transport->dgram_stats;
    if (error < 0)
        stats->failed++;
    else
        stats->sent++;
    list_unshift(&raw->socket->free_raws, &raw->node);
}

/* The socket that an address of ours is on. */
static int socket_at(struct quic_transport *t, const struct net_addr *from,
                     struct quic_socket **ret_socket) {
    list_for_each (node, &t->sockets) {
        struct quic_socket *s = LIST_ENTRY(node, struct quic_socket, node);
        const struct net_addr *bound = &s->udp.bound;
        if (!s->udp.closing && bound->family == from->family && bound->port == from->port &&
            (net_addr_is_unspecified(bound) || net_addr_ip_equal(bound, from))) {
            *ret_socket = s;
            return 0;
        }
    }
    return -EADDRNOTAVAIL;
}

int quic_transport_send_raw(struct transport *base, const struct net_addr *from,
                            const struct net_addr *to, struct bytes datagram) {
    struct quic_transport *t = quic_transport_of(base);
    struct quic_socket *s;
    assert(to->family != NET_NONE);
    if (datagram.len == 0 || datagram.len > QUIC_PACKET_BYTES_MAX)
        return -EMSGSIZE;
    if (t->closing)
        return -ERR_SHUTDOWN;
    if (from != NULL && from->family != to->family)
        return -EADDRNOTAVAIL;
    int e = from != NULL ? socket_at(t, from, &s) : quic_socket_for(t, to, &s);
    if (e < 0)
        return e;
    struct list *node = list_shift(&s->free_raws);
    if (node == NULL) {
        t->dgram_stats.dropped++;
        return -EAGAIN;
    }
    struct quic_raw *raw = LIST_ENTRY(node, struct quic_raw, node);
    memcpy(raw->data, datagram.data, datagram.len);
    const struct net_addr *local = from != NULL ? from : &s->udp.bound;
    raw->send = (struct udp_send){.data = raw->data,
                                  .len = datagram.len,
                                  .segment_len = datagram.len,
                                  .remote = *to,
                                  .done = on_sent};
    if (!net_addr_is_unspecified(local))
        raw->send.local = *local;
    udp_send_start(&s->udp, &raw->send);
    return 0;
}
