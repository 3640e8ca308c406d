/* SPDX-License-Identifier: MIT */
/* Goal: a relay gives what it has room for and not one more, whatever its clients try.
 * Spec: libp2p relay-v2, order of checks and limits; decision 7. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "core/base/net_addr.h"
#include "relay/proto/hop_book.h"
#include "tests/support/fail_mem.h"
#include "tests/support/fixed_rng.h"

#define TTL SEC(3600)

#define OK      CIRCUIT_STATUS_OK
#define REFUSED CIRCUIT_STATUS_RESERVATION_REFUSED
#define FULL    CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED
#define NONE    CIRCUIT_STATUS_NO_RESERVATION

/* go's limits. */
static struct hop_book_config config(void) {
    static struct fixed_rng rng;
    fixed_rng_init(&rng, 1);
    return (struct hop_book_config){
        .mem = mem_system(),
        .rng = &rng.rng,
        .reservations_max = 128,
        .reservations_per_ip = 8,
        .reservations_per_asn = 32,
        .circuits_per_peer_max = 16,
        .ttl = TTL,
    };
}

static void book_init(struct hop_book *b, struct hop_book_config cfg) {
    cr_assert_eq(hop_book_init(b, &cfg, SEC(1)), 0);
}

static struct peer_id peer(uint32_t n) {
    struct peer_id id = {.len = 6, .bytes = {0, 4}};
    memcpy(id.bytes + 2, &n, sizeof(n));
    return id;
}

static struct net_addr ip(const char *text) {
    struct net_addr a;
    cr_assert_eq(net_addr_parse_ip(text, &a), 0, "%s", text);
    return a;
}

/* 44.x.y.z */
static struct net_addr ip4(uint32_t n) {
    return (struct net_addr){.family = NET_IP4,
                             .ip = {44, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}};
}

/* Reserves at the book's own time.  "": counted nowhere. */
static enum circuit_status reserve(struct hop_book *b, uint32_t n, const char *from) {
    struct peer_id id = peer(n);
    struct net_addr a = {.family = NET_NONE};
    nsec_t expires_at = 7;
    if (from[0] != '\0')
        a = ip(from);
    enum circuit_status status =
        hop_book_reserve(b, &id, from[0] == '\0' ? NULL : &a, b->now, &expires_at);
    cr_assert_eq(expires_at, status == OK ? b->now + TTL : 7);
    return status;
}

static bool has(const struct hop_book *b, uint32_t n) {
    struct peer_id id = peer(n);
    return hop_book_has(b, &id, b->now);
}

static void forget(struct hop_book *b, uint32_t n) {
    struct peer_id id = peer(n);
    hop_book_forget(b, &id);
}

static enum circuit_status connect_peers(struct hop_book *b, uint32_t source, uint32_t destination,
                                         struct hop_circuit *ret_circuit) {
    struct peer_id src = peer(source);
    struct peer_id dst = peer(destination);
    return hop_book_connect(b, &src, &dst, b->now, ret_circuit);
}

/* --- reservations ---------------------------------------------------------------------------- */

Test(hop_book, a_full_relay_refuses_newcomers_and_renews_the_others) {
    struct hop_book b;
    book_init(&b, config());
    for (uint32_t n = 0; n < 128; n++)
        cr_assert_eq(reserve(&b, n, ""), OK);
    cr_assert_eq(b.reservations_count, 128);
    cr_assert_eq(reserve(&b, 128, ""), REFUSED);
    cr_assert_not(has(&b, 128));
    cr_assert_eq(reserve(&b, 5, ""), OK);
    cr_assert_eq(b.reservations_count, 128);
    forget(&b, 5);
    cr_assert_eq(reserve(&b, 128, ""), OK);
    cr_assert_eq(reserve(&b, 5, ""), REFUSED);
    hop_book_done(&b);
}

Test(hop_book, a_renewal_replaces_and_is_not_counted_twice) {
    struct hop_book b;
    book_init(&b, config());
    for (nsec_t at = SEC(2); at < SEC(202); at += SEC(2)) {
        hop_book_tick(&b, at);
        cr_assert_eq(reserve(&b, 1, "44.0.0.1"), OK);
        cr_assert_eq(hop_book_deadline(&b), at + TTL);
    }
    cr_assert_eq(b.reservations_count, 1);
    for (uint32_t n = 2; n <= 8; n++)
        cr_assert_eq(reserve(&b, n, "44.0.0.1"), OK);
    cr_assert_eq(reserve(&b, 9, "44.0.0.1"), REFUSED);
    hop_book_done(&b);
}

Test(hop_book, an_ip4_address_has_its_limit_by_itself) {
    struct hop_book b;
    book_init(&b, config());
    for (uint32_t n = 0; n < 8; n++)
        cr_assert_eq(reserve(&b, n, "44.0.0.1"), OK);
    cr_assert_eq(reserve(&b, 8, "44.0.0.1"), REFUSED);
    struct net_addr other_port = ip("44.0.0.1");
    struct peer_id id = peer(8);
    nsec_t expires_at;
    other_port.port = 4001;
    cr_assert_eq(hop_book_reserve(&b, &id, &other_port, b.now, &expires_at), REFUSED);
    cr_assert_eq(reserve(&b, 3, "44.0.0.1"), OK, "renewed where it is full");
    cr_assert_eq(reserve(&b, 8, "44.0.0.2"), OK);
    forget(&b, 0);
    cr_assert_eq(reserve(&b, 9, "44.0.0.1"), OK);
    hop_book_done(&b);
}

Test(hop_book, an_ip6_address_counts_by_its_56_bits) {
    struct hop_book b;
    book_init(&b, config());
    for (uint32_t n = 0; n < 8; n++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "2a00:1:2:3%02x::%x", n, n + 1);
        cr_assert_eq(reserve(&b, n, text), OK, "%s", text);
    }
    cr_assert_eq(reserve(&b, 8, "2a00:1:2:3ff:1:2:3:4"), REFUSED);
    cr_assert_eq(reserve(&b, 8, "2a00:1:2:4ff:1:2:3:4"), OK);
    hop_book_done(&b);
}

/* The /32 stands for it; IPv4 has no such limit. */
Test(hop_book, an_ip6_network_counts_as_an_autonomous_system) {
    struct hop_book b;
    book_init(&b, config());
    char text[64];
    uint32_t n = 0;
    for (; n < 32; n++) {
        (void)snprintf(text, sizeof(text), "2a00:1:%x::1", n);
        cr_assert_eq(reserve(&b, n, text), OK, "%s", text);
    }
    cr_assert_eq(reserve(&b, 99, "2a00:1:ffff::1"), REFUSED);
    cr_assert_eq(reserve(&b, 3, "2a00:1:3::2"), OK, "renewed where it is full");
    cr_assert_eq(reserve(&b, 3, "2a00:1:fffe::2"), OK, "and moved within it");
    cr_assert_eq(reserve(&b, 99, "2a00:2::1"), OK);
    for (; n < 80; n++) {
        (void)snprintf(text, sizeof(text), "42.0.0.%u", n);
        cr_assert_eq(reserve(&b, n, text), OK, "as many bytes alike, but IPv4");
    }
    hop_book_done(&b);
}

Test(hop_book, a_renewal_moves_the_peer_to_its_new_address) {
    struct hop_book b;
    book_init(&b, config());
    for (uint32_t n = 0; n < 8; n++)
        cr_assert_eq(reserve(&b, n, "44.0.0.1"), OK);
    cr_assert_eq(reserve(&b, 0, "2a00::1"), OK);
    cr_assert_eq(reserve(&b, 8, "44.0.0.1"), OK, "the old address has room again");
    for (uint32_t n = 10; n < 17; n++)
        cr_assert_eq(reserve(&b, n, "2a00::2"), OK);
    cr_assert_eq(reserve(&b, 17, "2a00::2"), REFUSED, "the new one counts it");
    cr_assert_eq(reserve(&b, 0, ""), OK);
    cr_assert_eq(reserve(&b, 17, "2a00::2"), OK, "authorized since, and counted nowhere");
    hop_book_done(&b);
}

Test(hop_book, a_refused_renewal_leaves_the_old_reservation_alone) {
    struct hop_book b;
    book_init(&b, config());
    cr_assert_eq(reserve(&b, 100, "44.0.0.2"), OK);
    hop_book_tick(&b, SEC(2));
    for (uint32_t n = 0; n < 8; n++)
        cr_assert_eq(reserve(&b, n, "44.0.0.1"), OK);
    cr_assert_eq(reserve(&b, 100, "44.0.0.1"), REFUSED);
    cr_assert(has(&b, 100));
    cr_assert_eq(hop_book_deadline(&b), SEC(1) + TTL);
    for (uint32_t n = 10; n < 17; n++)
        cr_assert_eq(reserve(&b, n, "44.0.0.2"), OK);
    cr_assert_eq(reserve(&b, 17, "44.0.0.2"), REFUSED, "it still counts where it was");
    hop_book_done(&b);
}

/* Decision 7: friends share a CGNAT address.  Loopback is a reverse proxy's, as for connections. */
Test(hop_book, authorized_peers_and_those_of_a_reverse_proxy_have_no_limit_by_address) {
    struct hop_book b;
    book_init(&b, config());
    for (uint32_t n = 0; n < 90; n++)
        cr_assert_eq(reserve(&b, n, n % 3 == 0 ? "" : n % 3 == 1 ? "127.0.0.1" : "::1"), OK);
    cr_assert_eq(b.networks.count, 0);
    hop_book_done(&b);
}

Test(hop_book, reservations_expire_at_their_deadline_and_not_before) {
    struct hop_book b;
    book_init(&b, config());
    cr_assert_eq(hop_book_deadline(&b), NSEC_NEVER);
    cr_assert_eq(reserve(&b, 1, "44.0.0.1"), OK);
    hop_book_tick(&b, SEC(2));
    cr_assert_eq(reserve(&b, 2, "44.0.0.1"), OK);
    hop_book_tick(&b, SEC(3));
    cr_assert_eq(reserve(&b, 1, "44.0.0.1"), OK); /* now behind 2 */
    cr_assert_eq(hop_book_deadline(&b), SEC(2) + TTL);
    hop_book_tick(&b, SEC(2) + TTL - 1);
    cr_assert(has(&b, 2));
    struct peer_id two = peer(2);
    cr_assert_not(hop_book_has(&b, &two, SEC(2) + TTL), "also before the tick");
    hop_book_tick(&b, SEC(2) + TTL);
    cr_assert_not(has(&b, 2));
    cr_assert_eq(b.reservations_count, 1);
    cr_assert_eq(hop_book_deadline(&b), SEC(3) + TTL);
    hop_book_tick(&b, SEC(9) + TTL);
    cr_assert_eq(b.reservations_count, 0);
    cr_assert_eq(b.peers.count, 0);
    cr_assert_eq(b.networks.count, 0);
    cr_assert_eq(hop_book_deadline(&b), NSEC_NEVER);
    hop_book_done(&b);
}

/* Without a tick in between. */
Test(hop_book, what_has_expired_makes_room) {
    struct hop_book_config cfg = config();
    struct hop_book b;
    struct peer_id two = peer(2);
    struct net_addr from = ip("44.0.0.1");
    nsec_t expires_at;
    cfg.reservations_max = 1;
    cfg.reservations_per_ip = 1;
    book_init(&b, cfg);
    cr_assert_eq(reserve(&b, 1, "44.0.0.1"), OK);
    cr_assert_eq(hop_book_reserve(&b, &two, &from, SEC(1) + TTL - 1, &expires_at), REFUSED);
    cr_assert_eq(hop_book_reserve(&b, &two, &from, SEC(1) + TTL, &expires_at), OK);
    cr_assert_eq(b.reservations_count, 1);
    hop_book_done(&b);
}

Test(hop_book, forgetting_takes_the_reservation_and_nothing_else) {
    struct hop_book b;
    struct hop_circuit c;
    book_init(&b, config());
    forget(&b, 1);
    cr_assert_eq(reserve(&b, 1, "44.0.0.1"), OK);
    cr_assert_eq(connect_peers(&b, 2, 1, &c), OK);
    forget(&b, 2); /* has a circuit, but no reservation */
    forget(&b, 1);
    forget(&b, 1);
    cr_assert_not(has(&b, 1));
    cr_assert_eq(hop_book_deadline(&b), NSEC_NEVER);
    cr_assert_eq(b.circuits_count, 1);
    hop_book_end(&b, &c);
    cr_assert_eq(b.peers.count, 0);
    hop_book_done(&b);
}

/* --- circuits -------------------------------------------------------------------------------- */

Test(hop_book, a_circuit_needs_a_reservation_of_its_destination_alone) {
    struct hop_book b;
    struct hop_circuit c;
    book_init(&b, config());
    cr_assert_eq(connect_peers(&b, 1, 2, &c), NONE);
    cr_assert_eq(reserve(&b, 1, ""), OK);
    cr_assert_eq(connect_peers(&b, 1, 2, &c), NONE);
    cr_assert_eq(reserve(&b, 2, ""), OK);
    cr_assert_eq(connect_peers(&b, 3, 2, &c), OK);
    cr_assert_eq(connect_peers(&b, 2, 3, &(struct hop_circuit){NULL}), NONE,
                 "the other end of a circuit is not reserved by it");
    hop_book_end(&b, &c);
    struct peer_id three = peer(3);
    struct peer_id two = peer(2);
    cr_assert_eq(hop_book_connect(&b, &three, &two, SEC(1) + TTL, &c), NONE, "expired");
    cr_assert_eq(b.peers.count, 0);
    hop_book_done(&b);
}

Test(hop_book, each_end_has_its_limit_of_circuits_whichever_end_it_is) {
    struct hop_book b;
    struct hop_circuit circuits[64];
    size_t count = 0;
    book_init(&b, config());
    for (uint32_t n = 0; n < 40; n++)
        cr_assert_eq(reserve(&b, n, ""), OK);
    for (uint32_t n = 1; n <= 10; n++)
        cr_assert_eq(connect_peers(&b, 0, n, &circuits[count++]), OK);
    for (uint32_t n = 1; n <= 6; n++)
        cr_assert_eq(connect_peers(&b, n, 0, &circuits[count++]), OK);
    cr_assert_eq(connect_peers(&b, 0, 20, &circuits[count]), FULL, "as a source");
    cr_assert_eq(connect_peers(&b, 20, 0, &circuits[count]), FULL, "as a destination");
    cr_assert_eq(connect_peers(&b, 999, 0, &circuits[count]), FULL);
    cr_assert_eq(b.peers.count, 40, "a refused stranger leaves nothing behind");
    cr_assert_eq(connect_peers(&b, 20, 21, &circuits[count++]), OK);
    hop_book_end(&b, &circuits[0]);
    cr_assert_eq(connect_peers(&b, 20, 0, &circuits[0]), OK);
    cr_assert_eq(b.circuits_count, count);
    for (size_t i = 0; i < count; i++)
        hop_book_end(&b, &circuits[i]);
    cr_assert_eq(b.circuits_count, 0);
    hop_book_done(&b);
}

Test(hop_book, a_circuit_to_oneself_counts_twice) {
    struct hop_book b;
    struct hop_circuit circuits[9];
    struct hop_circuit other;
    book_init(&b, config());
    cr_assert_eq(reserve(&b, 1, ""), OK);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(connect_peers(&b, 1, 1, &circuits[i]), OK);
    cr_assert_eq(connect_peers(&b, 1, 1, &circuits[8]), FULL);
    hop_book_end(&b, &circuits[7]);
    cr_assert_eq(connect_peers(&b, 2, 1, &other), OK);
    cr_assert_eq(connect_peers(&b, 1, 1, &circuits[7]), FULL, "one is left, two are needed");
    hop_book_end(&b, &other);
    for (int i = 0; i < 7; i++)
        hop_book_end(&b, &circuits[i]);
    forget(&b, 1);
    cr_assert_eq(b.peers.count, 0);
    hop_book_done(&b);
}

/* Reservations that go while their circuits stay are the one way to more circuits than all
 * reservations together may have. */
Test(hop_book, circuits_outlive_their_reservation_but_are_bounded_in_all) {
    struct hop_book_config cfg = config();
    struct hop_book b;
    struct hop_circuit circuits[6];
    cfg.reservations_max = 2;
    cfg.circuits_per_peer_max = 3;
    book_init(&b, cfg);
    for (uint32_t n = 0; n < 6; n++) {
        cr_assert_eq(reserve(&b, n, ""), OK);
        cr_assert_eq(connect_peers(&b, 100 + n, n, &circuits[n]), OK);
        forget(&b, n);
    }
    cr_assert_eq(reserve(&b, 6, ""), OK);
    cr_assert_eq(connect_peers(&b, 106, 6, &(struct hop_circuit){NULL}), FULL);
    hop_book_end(&b, &circuits[0]);
    cr_assert_eq(connect_peers(&b, 106, 6, &circuits[0]), OK);
    for (size_t i = 0; i < 6; i++)
        hop_book_end(&b, &circuits[i]);
    cr_assert_eq(b.peers.count, 1);
    hop_book_done(&b);
}

/* --- hostile --------------------------------------------------------------------------------- */

Test(hop_book, a_flood_of_newcomers_leaves_nothing_behind) {
    struct hop_book_config cfg = config();
    struct hop_book b;
    struct fail_mem f;
    fail_mem_start(&f);
    f.fail_at = 0;
    cfg.mem = &f.mem;
    cfg.reservations_max = 1024;
    book_init(&b, cfg);
    for (uint32_t n = 0; n < 1024; n++) {
        struct peer_id id = peer(n);
        struct net_addr from = ip4(n);
        nsec_t expires_at;
        cr_assert_eq(hop_book_reserve(&b, &id, &from, SEC(1), &expires_at), OK);
    }
    long blocks = f.blocks;
    long calls = f.calls;
    for (uint32_t n = 1024; n < 50000; n++) {
        struct peer_id id = peer(n);
        struct peer_id nobody = peer(n + 1);
        struct net_addr from = ip4(n);
        struct hop_circuit c;
        nsec_t expires_at;
        cr_assert_eq(hop_book_reserve(&b, &id, &from, SEC(1), &expires_at), REFUSED);
        cr_assert_eq(hop_book_connect(&b, &id, &nobody, SEC(1), &c), NONE);
    }
    cr_assert_eq(f.calls, calls, "refused before memory is taken");
    cr_assert_eq(f.blocks, blocks);
    cr_assert_eq(b.reservations_count, 1024);
    hop_book_done(&b);
    cr_assert_eq(f.blocks, 0);
}

Test(hop_book, one_peer_that_reserves_from_many_addresses_holds_one_reservation) {
    struct hop_book_config cfg = config();
    struct hop_book b;
    struct fail_mem f;
    struct peer_id id = peer(1);
    fail_mem_start(&f);
    f.fail_at = 0;
    cfg.mem = &f.mem;
    book_init(&b, cfg);
    long blocks = f.blocks;
    for (uint32_t n = 0; n < 20000; n++) {
        struct net_addr from = ip4(n);
        nsec_t expires_at;
        if (n % 2 != 0) {
            from.family = NET_IP6;
            memcpy(from.ip + 4, &n, sizeof(n));
        }
        cr_assert_eq(hop_book_reserve(&b, &id, &from, SEC(1) + n * SEC(2), &expires_at), OK);
        cr_assert_leq(b.networks.count, 2);
    }
    cr_assert_eq(b.reservations_count, 1);
    forget(&b, 1);
    cr_assert_eq(f.blocks, blocks);
    hop_book_done(&b);
}

Test(hop_book, without_memory_nothing_changes_and_nothing_is_lost) {
    struct fail_mem f;
    for (fail_mem_start(&f);; fail_mem_again(&f)) {
        struct hop_book_config cfg = config();
        struct hop_book b;
        struct hop_circuit c;
        cfg.mem = &f.mem;
        int e = hop_book_init(&b, &cfg, SEC(1));
        if (e < 0) {
            cr_assert(f.failed);
            cr_assert_eq(e, -ENOMEM);
            cr_assert_eq(f.blocks, 0);
            continue;
        }
        enum circuit_status first = reserve(&b, 1, "2a00::1");
        cr_assert_eq(has(&b, 1), first == OK);
        if (first != OK)
            cr_assert_eq(b.peers.count + b.networks.count, 0);
        enum circuit_status moved = reserve(&b, 1, "2a01::1");
        if (moved != OK && first == OK)
            cr_assert_eq(b.networks.count, 2, "counted where it was");
        enum circuit_status connected = connect_peers(&b, 2, 1, &c);
        cr_assert_eq(b.circuits_count, connected == OK);
        if (connected == OK)
            hop_book_end(&b, &c);
        for (uint32_t n = 10; n < 40; n++) /* maps grow */
            cr_assert(reserve(&b, n, "") == OK || f.failed);
        bool complete = first == OK && moved == OK && connected == OK;
        cr_assert(complete || f.failed);
        hop_book_done(&b);
        cr_assert_eq(f.blocks, 0);
        if (!f.failed)
            break;
    }
}

/* --- against a list -------------------------------------------------------------------------- */

enum { MODEL_PEERS = 24, MODEL_CIRCUITS = 64 };

/* The same ledger, kept without any cleverness. */
struct model {
    struct hop_book_config cfg;
    nsec_t expires_at[MODEL_PEERS]; /* 0: no reservation */
    int ip[MODEL_PEERS];            /* -1: counted nowhere */
    struct {
        struct hop_circuit handle;
        int source; /* -1: none */
        int destination;
    } circuits[MODEL_CIRCUITS];
};

static uint32_t model_reservations(const struct model *m, nsec_t now, int from) {
    uint32_t count = 0;
    for (int i = 0; i < MODEL_PEERS; i++)
        count += m->expires_at[i] > now && (from < 0 || m->ip[i] == from);
    return count;
}

static uint32_t model_circuits(const struct model *m, int peer) {
    uint32_t count = 0;
    for (size_t i = 0; i < MODEL_CIRCUITS; i++) {
        bool open = m->circuits[i].source >= 0;
        count += open && (peer < 0 || m->circuits[i].source == peer);
        count += open && peer >= 0 && m->circuits[i].destination == peer;
    }
    return count;
}

static enum circuit_status model_reserve(struct model *m, int peer, int from, nsec_t now) {
    bool renews = m->expires_at[peer] > now;
    if (!renews && model_reservations(m, now, -1) >= m->cfg.reservations_max)
        return REFUSED;
    bool counted = renews && m->ip[peer] == from;
    if (from >= 0 && !counted && model_reservations(m, now, from) >= m->cfg.reservations_per_ip)
        return REFUSED;
    m->expires_at[peer] = now + m->cfg.ttl;
    m->ip[peer] = from;
    return OK;
}

static enum circuit_status model_connect(const struct model *m, int source, int destination,
                                         nsec_t now) {
    uint32_t wanted = source == destination ? 2 : 1;
    uint32_t limit = m->cfg.circuits_per_peer_max;
    if (m->expires_at[destination] <= now)
        return NONE;
    if (model_circuits(m, -1) >= m->cfg.reservations_max * limit ||
        model_circuits(m, source) + wanted > limit ||
        model_circuits(m, destination) + wanted > limit)
        return FULL;
    return OK;
}

static void model_step(struct model *m, struct hop_book *b, struct rng *rng, nsec_t now) {
    int peer_index = (int)rng_below(rng, MODEL_PEERS);
    int other_index = (int)rng_below(rng, MODEL_PEERS);
    size_t slot = (size_t)rng_below(rng, MODEL_CIRCUITS);
    int from = (int)rng_below(rng, 6) - 1;
    struct peer_id id = peer((uint32_t)peer_index);
    struct peer_id other = peer((uint32_t)other_index);
    struct net_addr addr = ip4((uint32_t)from);
    nsec_t expires_at;
    switch (rng_below(rng, 8)) {
    case 0:
        hop_book_forget(b, &id);
        m->expires_at[peer_index] = 0;
        break;
    case 1:
        hop_book_tick(b, now);
        break;
    case 2:
    case 3:
    case 4:
        cr_assert_eq(hop_book_reserve(b, &id, from < 0 ? NULL : &addr, now, &expires_at),
                     model_reserve(m, peer_index, from, now));
        break;
    default:
        if (m->circuits[slot].source >= 0) {
            hop_book_end(b, &m->circuits[slot].handle);
            m->circuits[slot].source = -1;
            break;
        }
        enum circuit_status expected = model_connect(m, peer_index, other_index, now);
        cr_assert_eq(hop_book_connect(b, &id, &other, now, &m->circuits[slot].handle), expected);
        if (expected == OK) {
            m->circuits[slot].source = peer_index;
            m->circuits[slot].destination = other_index;
        }
    }
}

Test(hop_book, it_answers_as_a_list_would) {
    struct hop_book_config cfg = config();
    static struct model m;
    struct fixed_rng rng;
    struct hop_book b;
    nsec_t now = SEC(1);
    cfg.reservations_max = 10;
    cfg.reservations_per_ip = 3;
    cfg.circuits_per_peer_max = 4;
    cfg.ttl = SEC(20);
    m.cfg = cfg;
    for (size_t i = 0; i < MODEL_CIRCUITS; i++)
        m.circuits[i].source = -1;
    fixed_rng_init(&rng, 7);
    book_init(&b, cfg);
    for (int i = 0; i < 30000; i++) {
        now += rng_below(&rng.rng, SEC(1));
        model_step(&m, &b, &rng.rng, now);
        cr_assert_eq(b.circuits_count, model_circuits(&m, -1));
        for (int k = 0; k < MODEL_PEERS; k++) {
            struct peer_id id = peer((uint32_t)k);
            cr_assert_eq(hop_book_has(&b, &id, now), m.expires_at[k] > now);
        }
    }
    hop_book_tick(&b, now);
    cr_assert_eq(b.reservations_count, model_reservations(&m, now, -1));
    for (size_t i = 0; i < MODEL_CIRCUITS; i++)
        if (m.circuits[i].source >= 0)
            hop_book_end(&b, &m.circuits[i].handle);
    hop_book_done(&b);
}

/* Each costs the relay a signature, and the peer next to nothing. */
Test(hop_book, renewals_are_bounded_in_time_for_each_peer) {
    struct hop_book b;
    struct peer_id greedy = peer(1), other = peer(2);
    nsec_t first, at = SEC(1), expires;
    book_init(&b, config());
    cr_assert_eq(hop_book_reserve(&b, &greedy, NULL, at, &first), OK);
    cr_assert_eq(hop_book_reserve(&b, &other, NULL, at, &expires), OK);
    for (int i = 0; i < HOP_RENEWALS_MAX; i++) {
        at += SEC(1);
        cr_assert_eq(hop_book_reserve(&b, &greedy, NULL, at, &expires), OK, "%d", i);
    }
    nsec_t last = expires;
    cr_assert_eq(hop_book_reserve(&b, &greedy, NULL, at, &expires), REFUSED);
    cr_assert_eq(hop_book_reserve(&b, &greedy, NULL, SEC(1) + HOP_RENEWALS_PERIOD - 1, &expires),
                 REFUSED);
    cr_assert(hop_book_has(&b, &greedy, last - 1), "what it has stays");
    cr_assert_eq(hop_book_reserve(&b, &other, NULL, b.now, &expires), OK);
    cr_assert_eq(hop_book_reserve(&b, &greedy, NULL, SEC(1) + HOP_RENEWALS_PERIOD, &expires), OK);
    hop_book_done(&b);
}
