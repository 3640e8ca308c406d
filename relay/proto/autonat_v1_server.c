/* SPDX-License-Identifier: MIT */
#include "relay/proto/autonat_v1_server.h"

#define MINUTE SEC(60)

struct autonat_v1_admitted *autonat_v1_enter(struct autonat_v1_limits *l,
                                             const struct peer_id *peer, nsec_t now) {
    struct autonat_v1_admitted *place = NULL;
    unsigned requests = 0;
    unsigned streams = 0;
    for (size_t i = 0; i < ARRAY_COUNT(l->admitted); i++) {
        struct autonat_v1_admitted *a = &l->admitted[i];
        bool counts = a->until > now;
        bool is_peers = peer_id_equal(&a->peer, peer);
        if (!counts && !a->is_open)
            place = a;
        requests += counts && is_peers;
        streams += a->is_open && is_peers;
    }
    if (place == NULL || requests >= AUTONAT_V1_PEER_REQUESTS_PER_MINUTE ||
        streams >= AUTONAT_V1_PEER_STREAMS_MAX)
        return NULL;
    *place = (struct autonat_v1_admitted){.peer = *peer, .is_open = true, .until = now + MINUTE};
    return place;
}

void autonat_v1_leave(struct autonat_v1_admitted *place) {
    if (place != NULL)
        place->is_open = false;
}

/* The same port and transport, where the peer is seen. */
static bool place_at(const struct autonat_v1_asker *asker, const struct net_addr *seen,
                     const struct multiaddr *told, struct multiaddr *ret_addr) {
    struct net_addr at;
    if (multiaddr_to_net_addr(told, &at) < 0)
        return false;
    enum multiaddr_kind kind = multiaddr_kind(told);
    if (!(asker->kinds >> kind & 1) || at.family != seen->family || at.port == 0)
        return false;
    uint16_t port = at.port;
    at = *seen;
    at.port = port;
    multiaddr_from_net_addr(&at, kind == MULTIADDR_KIND_WS ? MULTIADDR_KIND_TCP : kind, ret_addr);
    return kind != MULTIADDR_KIND_WS || multiaddr_add(ret_addr, MULTIADDR_WS) == 0;
}

static void add(const struct autonat_v1_asker *asker, const struct net_addr *seen,
                const struct multiaddr *told, struct autonat_v1_task *task) {
    struct multiaddr a;
    if (place_at(asker, seen, told, &a) && !multiaddr_is_in(&a, task->addrs, task->addrs_count))
        task->addrs[task->addrs_count++] = a;
}

static void collect(const struct autonat_v1_asker *asker, const struct net_addr *seen,
                    struct bytes addrs, struct autonat_v1_task *task) {
    struct bytes raw;
    add(asker, seen, asker->observed, task);
    while (task->addrs_count < AUTONAT_V1_DIALS_MAX && autonat_v1_next_addr(&addrs, &raw)) {
        struct multiaddr told;
        if (multiaddr_decode(raw, &told) == 0)
            add(asker, seen, &told, task);
    }
}

/* Where the peer is seen; false: where nothing is dialled. */
static bool find_seen(const struct autonat_v1_asker *asker, struct net_addr *ret_seen) {
    if (asker->observed == NULL || multiaddr_to_net_addr(asker->observed, ret_seen) < 0)
        return false;
    return asker->accept_private || net_addr_is_public(ret_seen);
}

int autonat_v1_ask(const struct autonat_v1_asker *asker, struct bytes body,
                   struct autonat_v1_task *ret_task) {
    struct autonat_v1_dial dial;
    struct net_addr seen;
    int e = autonat_v1_decode_dial(body, &dial);
    if (e < 0)
        return e;
    ret_task->addrs_count = 0;
    ret_task->status = AUTONAT_V1_E_DIAL_REFUSED;
    if (!bytes_equal(dial.peer, peer_id_bytes(asker->peer)))
        ret_task->status = AUTONAT_V1_E_BAD_REQUEST;
    else if (find_seen(asker, &seen))
        collect(asker, &seen, dial.addrs, ret_task);
    return 0;
}
