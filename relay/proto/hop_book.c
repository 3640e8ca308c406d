/* SPDX-License-Identifier: MIT */
#include "relay/proto/hop_book.h"

#include "core/base/mem.h"
#include "core/base/net_addr.h"

/* What reservations are counted by. */
enum network_kind { NETWORK_IP4, NETWORK_IP6_56, NETWORK_IP6_32 };

enum {
    NETWORK_KEY_BYTES = 8, /* the kind, then the prefix */
    NETWORKS_OF_ADDR_MAX = 2,
};

/* Exists while there are reservations from it. */
struct network {
    struct map_node node;
    uint32_t count;
    uint8_t key[NETWORK_KEY_BYTES];
};

/* Exists while it has a reservation or a circuit. */
struct hop_peer {
    struct map_node node;
    struct list expiry; /* linked: it has a reservation */
    nsec_t expires_at;
    struct network *networks[NETWORKS_OF_ADDR_MAX]; /* where it is counted; NULL: nowhere */
    uint32_t circuits_count;
    nsec_t renewals_since; /* the period in which they are counted */
    uint32_t renewals_count;
    struct peer_id id;
};

/* The networks of an address, each with its limit. */
struct place {
    size_t count;
    uint32_t limits[NETWORKS_OF_ADDR_MAX];
    uint8_t keys[NETWORKS_OF_ADDR_MAX][NETWORK_KEY_BYTES];
};

static struct hop_peer *peer_of_node(struct map_node *node) {
    return node == NULL ? NULL : CONTAINER_OF(node, struct hop_peer, node);
}

static struct hop_peer *next_to_expire(const struct hop_book *b) {
    return list_is_empty(&b->expiry) ? NULL : LIST_ENTRY(b->expiry.next, struct hop_peer, expiry);
}

static void set_now(struct hop_book *b, nsec_t now) {
    assert(now >= b->now);
    b->now = now;
}

int hop_book_init(struct hop_book *b, const struct hop_book_config *cfg, nsec_t now) {
    assert(cfg->reservations_max > 0);
    assert(cfg->reservations_per_ip > 0);
    assert(cfg->reservations_per_asn > 0);
    assert(cfg->circuits_per_peer_max > 0);
    assert(cfg->ttl > 0);
    *b = (struct hop_book){.cfg = *cfg, .now = now};
    list_init(&b->expiry);
    int e = map_init(&b->peers, cfg->mem, cfg->rng);
    if (e < 0)
        return e;
    e = map_init(&b->networks, cfg->mem, cfg->rng);
    if (e < 0)
        map_done(&b->peers);
    return e;
}

/* --- peers ----------------------------------------------------------------------------------- */

static struct hop_peer *find(const struct hop_book *b, const struct peer_id *id) {
    return peer_of_node(map_find(&b->peers, peer_id_bytes(id)));
}

/* NULL: out of memory. */
static struct hop_peer *find_or_add(struct hop_book *b, const struct peer_id *id) {
    struct hop_peer *p = find(b, id);
    if (p != NULL)
        return p;
    p = mem_alloc(b->cfg.mem, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->id = *id;
    map_node_init(&p->node);
    list_init(&p->expiry);
    map_insert(&b->peers, &p->node, peer_id_bytes(&p->id));
    return p;
}

static bool has_reservation(const struct hop_peer *p) {
    return list_is_linked(&p->expiry);
}

/* Accepts NULL. */
static void drop_if_idle(struct hop_book *b, struct hop_peer *p) {
    if (p == NULL || has_reservation(p) || p->circuits_count > 0)
        return;
    map_remove(&b->peers, &p->node);
    (void)mem_free(b->cfg.mem, p);
}

/* --- networks -------------------------------------------------------------------------------- */

static void add_network(struct place *place, enum network_kind kind, const struct net_addr *ip,
                        size_t prefix_bytes, uint32_t limit) {
    assert(place->count < NETWORKS_OF_ADDR_MAX);
    assert(prefix_bytes < NETWORK_KEY_BYTES);
    uint8_t *key = place->keys[place->count];
    key[0] = (uint8_t)kind;
    memcpy(key + 1, ip->ip, prefix_bytes);
    place->limits[place->count] = limit;
    place->count++;
}

static struct place place_of(const struct hop_book *b, const struct net_addr *ip) {
    struct place place = {.count = 0};
    if (ip == NULL || net_addr_is_loopback(ip))
        return place;
    assert(ip->family == NET_IP4 || ip->family == NET_IP6);
    if (ip->family == NET_IP4) {
        add_network(&place, NETWORK_IP4, ip, 4, b->cfg.reservations_per_ip);
    } else {
        add_network(&place, NETWORK_IP6_56, ip, 7, b->cfg.reservations_per_ip);
        add_network(&place, NETWORK_IP6_32, ip, 4, b->cfg.reservations_per_asn);
    }
    return place;
}

static struct network *find_network(const struct hop_book *b, const uint8_t *key) {
    struct map_node *node = map_find(&b->networks, bytes_of(key, NETWORK_KEY_BYTES));
    return node == NULL ? NULL : CONTAINER_OF(node, struct network, node);
}

/* Counts one more; NULL: out of memory. */
static struct network *join(struct hop_book *b, const uint8_t *key) {
    struct network *n = find_network(b, key);
    if (n == NULL) {
        n = mem_alloc(b->cfg.mem, sizeof(*n));
        if (n == NULL)
            return NULL;
        memcpy(n->key, key, NETWORK_KEY_BYTES);
        map_node_init(&n->node);
        map_insert(&b->networks, &n->node, BYTES_OF(n->key));
    }
    n->count++;
    return n;
}

static void leave(struct hop_book *b, struct network *const networks[NETWORKS_OF_ADDR_MAX]) {
    for (size_t i = 0; i < NETWORKS_OF_ADDR_MAX; i++) {
        struct network *n = networks[i];
        if (n == NULL)
            continue;
        assert(n->count > 0);
        if (--n->count > 0)
            continue;
        map_remove(&b->networks, &n->node);
        (void)mem_free(b->cfg.mem, n);
    }
}

/* Whether the networks have room for a peer; NULL: for a new one. */
static bool has_room(const struct hop_book *b, const struct place *place,
                     const struct hop_peer *p) {
    for (size_t i = 0; i < place->count; i++) {
        const struct network *n = find_network(b, place->keys[i]);
        bool counted = p != NULL && n == p->networks[i];
        if (n != NULL && !counted && n->count >= place->limits[i])
            return false;
    }
    return true;
}

/* Counts the peer at its new place instead of the old one.  Joins first, so that a network that is
 * in both is not freed in between.  false: out of memory, and nothing has changed. */
static bool move_to(struct hop_book *b, struct hop_peer *p, const struct place *place) {
    struct network *networks[NETWORKS_OF_ADDR_MAX] = {NULL};
    for (size_t i = 0; i < place->count; i++) {
        networks[i] = join(b, place->keys[i]);
        if (networks[i] == NULL) {
            leave(b, networks);
            return false;
        }
    }
    leave(b, p->networks);
    memcpy(p->networks, networks, sizeof(p->networks));
    return true;
}

/* --- reservations ---------------------------------------------------------------------------- */

static void end_reservation(struct hop_book *b, struct hop_peer *p) {
    assert(has_reservation(p));
    assert(b->reservations_count > 0);
    leave(b, p->networks);
    memset(p->networks, 0, sizeof(p->networks));
    list_remove(&p->expiry);
    b->reservations_count--;
    drop_if_idle(b, p);
}

/* All have the same lifetime, so the list stays in order. */
static void begin_reservation(struct hop_book *b, struct hop_peer *p) {
    b->reservations_count += !has_reservation(p);
    list_remove(&p->expiry);
    p->expires_at = b->now + b->cfg.ttl;
    list_push(&b->expiry, &p->expiry);
    assert(b->reservations_count <= b->cfg.reservations_max);
}

static void count_renewals_anew(const struct hop_book *b, struct hop_peer *p) {
    p->renewals_since = b->now;
    p->renewals_count = 0;
}

static bool may_renew(const struct hop_book *b, struct hop_peer *p) {
    if (b->now - p->renewals_since >= HOP_RENEWALS_PERIOD)
        count_renewals_anew(b, p);
    if (p->renewals_count == HOP_RENEWALS_MAX)
        return false;
    p->renewals_count++;
    return true;
}

enum circuit_status hop_book_reserve(struct hop_book *b, const struct peer_id *peer,
                                     const struct net_addr *ip, nsec_t now,
                                     nsec_t *ret_expires_at) {
    hop_book_tick(b, now);
    struct place place = place_of(b, ip);
    struct hop_peer *p = find(b, peer);
    bool renews = p != NULL && has_reservation(p);
    if (!renews && b->reservations_count >= b->cfg.reservations_max)
        return CIRCUIT_STATUS_RESERVATION_REFUSED;
    if (!has_room(b, &place, p) || (renews && !may_renew(b, p)))
        return CIRCUIT_STATUS_RESERVATION_REFUSED;
    p = find_or_add(b, peer);
    if (p == NULL || !move_to(b, p, &place)) {
        drop_if_idle(b, p);
        return CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED;
    }
    if (!renews)
        count_renewals_anew(b, p);
    begin_reservation(b, p);
    *ret_expires_at = p->expires_at;
    return CIRCUIT_STATUS_OK;
}

bool hop_book_has(const struct hop_book *b, const struct peer_id *peer, nsec_t now) {
    const struct hop_peer *p = find(b, peer);
    return p != NULL && has_reservation(p) && p->expires_at > now;
}

void hop_book_forget(struct hop_book *b, const struct peer_id *peer) {
    struct hop_peer *p = find(b, peer);
    if (p != NULL && has_reservation(p))
        end_reservation(b, p);
}

nsec_t hop_book_deadline(const struct hop_book *b) {
    const struct hop_peer *p = next_to_expire(b);
    return p == NULL ? NSEC_NEVER : p->expires_at;
}

void hop_book_tick(struct hop_book *b, nsec_t now) {
    set_now(b, now);
    struct hop_peer *p;
    while ((p = next_to_expire(b)) != NULL && p->expires_at <= now)
        end_reservation(b, p);
}

void hop_book_done(struct hop_book *b) {
    struct hop_peer *p;
    assert(b->circuits_count == 0);
    while ((p = next_to_expire(b)) != NULL)
        end_reservation(b, p);
    assert(b->reservations_count == 0);
    map_done(&b->networks);
    map_done(&b->peers);
}

/* --- circuits -------------------------------------------------------------------------------- */

static bool is_full(const struct hop_book *b) {
    uint64_t circuits_max = (uint64_t)b->cfg.reservations_max * b->cfg.circuits_per_peer_max;
    return b->circuits_count >= circuits_max;
}

/* Whether an end may have so many circuits more. */
static bool has_circuits_left(const struct hop_book *b, const struct hop_peer *p, uint32_t wanted) {
    return b->cfg.circuits_per_peer_max - p->circuits_count >= wanted;
}

enum circuit_status hop_book_connect(struct hop_book *b, const struct peer_id *source,
                                     const struct peer_id *destination, nsec_t now,
                                     struct hop_circuit *ret_circuit) {
    hop_book_tick(b, now);
    struct hop_peer *dst = find(b, destination);
    if (dst == NULL || !has_reservation(dst))
        return CIRCUIT_STATUS_NO_RESERVATION;
    struct hop_peer *src = find_or_add(b, source);
    if (src == NULL)
        return CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED;
    uint32_t wanted = src == dst ? 2 : 1;
    if (is_full(b) || !has_circuits_left(b, src, wanted) || !has_circuits_left(b, dst, wanted)) {
        drop_if_idle(b, src);
        return CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED;
    }
    src->circuits_count++;
    dst->circuits_count++;
    b->circuits_count++;
    *ret_circuit = (struct hop_circuit){.source = src, .destination = dst};
    return CIRCUIT_STATUS_OK;
}

static void uncharge(struct hop_peer *p) {
    assert(p->circuits_count > 0);
    p->circuits_count--;
}

void hop_book_end(struct hop_book *b, struct hop_circuit *c) {
    struct hop_peer *src = TAKE(c->source);
    struct hop_peer *dst = TAKE(c->destination);
    assert(src != NULL);
    assert(b->circuits_count > 0);
    uncharge(src);
    uncharge(dst);
    b->circuits_count--;
    drop_if_idle(b, src);
    if (dst != src)
        drop_if_idle(b, dst);
}
