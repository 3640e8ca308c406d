/* SPDX-License-Identifier: MIT */
/* Goal: a peer has its own IP address dialled and no other, and not too often.
 * Spec: libp2p AutoNAT v1, "Server (go)". */
#include "addrs.h"
#include "core/base/err.h"
#include "relay/proto/autonat_v1_server.h"

#define SEEN "/ip4/8.8.8.8/udp/4001/quic-v1" /* where it listens, too */

enum { KINDS = 1 << MULTIADDR_KIND_TCP | 1 << MULTIADDR_KIND_WS | 1 << MULTIADDR_KIND_QUIC };

static struct peer_id peer_of(uint8_t n) {
    struct peer_id id = {.len = 4};
    id.bytes[3] = n;
    return id;
}

static struct autonat_v1_task ask_as(const struct peer_id *said,
                                     const struct autonat_v1_asker *asker, const char *const *addrs,
                                     size_t count) {
    static uint8_t out[AUTONAT_V1_OUT_MAX];
    struct multiaddr list[AUTONAT_V1_ADDRS_MAX];
    struct autonat_v1_task task;
    for (size_t i = 0; i < count; i++)
        list[i] = maddr(addrs[i]);
    size_t len = autonat_v1_encode_dial(said, list, count, out);
    size_t head = out[0] < 0x80 ? 1 : 2;
    cr_assert_eq(autonat_v1_ask(asker, bytes_of(out + head, len - head), &task), 0);
    return task;
}

static struct autonat_v1_task ask(uint8_t peer, const char *observed) {
    static const char *const addrs[] = {"/ip4/192.168.1.2/udp/4001/quic-v1"};
    struct peer_id id = peer_of(peer);
    struct multiaddr at;
    if (observed != NULL)
        at = maddr(observed);
    struct autonat_v1_asker asker = {
        .peer = &id, .kinds = KINDS, .observed = observed == NULL ? NULL : &at};
    return ask_as(&id, &asker, addrs, 1);
}

Test(autonat_v1_server, where_the_peer_is_seen_is_dialled_and_nowhere_else) {
    static const char *const told[] = {
        "/ip4/192.168.1.2/udp/4001/quic-v1",
        "/ip4/9.9.9.9/udp/4001/quic-v1",
        "/ip4/9.9.9.9/tcp/80",
        "/ip4/1.2.3.4/tcp/443/ws",
        "/ip6/2a01::1/tcp/80",
        "/dns4/victim.example/tcp/80",
        "/ip4/9.9.9.9/tcp/0",
    };
    static const char *const wanted[] = {"/ip4/8.8.8.8/tcp/700", "/ip4/8.8.8.8/udp/4001/quic-v1",
                                         "/ip4/8.8.8.8/tcp/80", "/ip4/8.8.8.8/tcp/443/ws"};
    struct peer_id id = peer_of(1);
    struct multiaddr seen = maddr("/ip4/8.8.8.8/tcp/700");
    struct autonat_v1_asker asker = {.peer = &id, .observed = &seen, .kinds = KINDS};
    struct autonat_v1_task task = ask_as(&id, &asker, told, ARRAY_COUNT(told));
    cr_assert_eq(task.addrs_count, ARRAY_COUNT(wanted));
    for (size_t i = 0; i < ARRAY_COUNT(wanted); i++) {
        struct multiaddr a = maddr(wanted[i]);
        cr_expect(multiaddr_equal(&task.addrs[i], &a), "%s", wanted[i]);
    }
}

Test(autonat_v1_server, what_cannot_be_dialled_is_refused) {
    cr_assert_eq(ask(1, NULL).status, AUTONAT_V1_E_DIAL_REFUSED); /* relayed */
    cr_assert_eq(ask(1, "/ip4/10.0.0.1/tcp/1").status, AUTONAT_V1_E_DIAL_REFUSED);
    cr_assert_eq(ask(1, "/ip4/10.0.0.1/tcp/1").addrs_count, 0);
    cr_assert_eq(ask(1, "/dns4/a.example/tcp/1").addrs_count, 0);
    struct autonat_v1_task task = ask(1, "/ip6/2a01::2/tcp/1");
    cr_assert_eq(task.addrs_count, 1, "all that it listens on is of another family");
}

Test(autonat_v1_server, who_speaks_for_others_is_told_off) {
    struct peer_id id = peer_of(1), other = peer_of(2);
    static const char *const addrs[] = {"/ip4/1.1.1.1/tcp/1"};
    struct multiaddr seen = maddr("/ip4/8.8.8.8/tcp/700");
    struct autonat_v1_asker asker = {.peer = &id, .observed = &seen, .kinds = KINDS};
    struct autonat_v1_task task = ask_as(&other, &asker, addrs, 1);
    cr_assert_eq(task.addrs_count, 0);
    cr_assert_eq(task.status, AUTONAT_V1_E_BAD_REQUEST);
    asker.accept_private = true;
    seen = maddr("/ip4/127.0.0.1/tcp/9");
    cr_assert_eq(ask_as(&id, &asker, addrs, 1).addrs_count, 2, "a lab");
}

static bool enter(struct autonat_v1_limits *l, uint8_t peer, nsec_t now, bool stays) {
    struct peer_id id = peer_of(peer);
    struct autonat_v1_admitted *place = autonat_v1_enter(l, &id, now);
    if (!stays)
        autonat_v1_leave(place);
    return place != NULL;
}

Test(autonat_v1_server, a_peer_has_three_a_minute_and_all_have_thirty) {
    struct autonat_v1_limits l = {0};
    for (int i = 0; i < AUTONAT_V1_PEER_REQUESTS_PER_MINUTE; i++)
        cr_assert(enter(&l, 1, SEC(1), false));
    cr_assert_not(enter(&l, 1, SEC(61) - 1, false));
    cr_assert(enter(&l, 1, SEC(61), false));
    l = (struct autonat_v1_limits){0};
    for (int i = 0; i < AUTONAT_V1_REQUESTS_PER_MINUTE; i++)
        cr_assert(enter(&l, (uint8_t)(10 + i), SEC(1), false));
    cr_assert_not(enter(&l, 99, SEC(2), false));
    cr_assert(enter(&l, 99, SEC(61), false));
}

/* Whether or not it says anything there. */
Test(autonat_v1_server, a_peer_has_two_streams_at_once) {
    struct autonat_v1_limits l = {0};
    struct peer_id id = peer_of(1);
    struct autonat_v1_admitted *first = autonat_v1_enter(&l, &id, SEC(1));
    cr_assert_not_null(first);
    cr_assert(enter(&l, 1, SEC(1), true));
    cr_assert_not(enter(&l, 1, SEC(1), true));
    cr_assert_not(enter(&l, 1, SEC(600), true), "however long ago they came");
    cr_assert(enter(&l, 2, SEC(1), true));
    autonat_v1_leave(first);
    cr_assert(enter(&l, 1, SEC(600), true));
}

Test(autonat_v1_server, what_is_no_request_is_an_error) {
    struct peer_id id = peer_of(1);
    struct multiaddr seen = maddr("/ip4/8.8.8.8/tcp/700");
    struct autonat_v1_asker asker = {.peer = &id, .observed = &seen, .kinds = KINDS};
    struct autonat_v1_task task;
    static const uint8_t large[AUTONAT_V1_MESSAGE_MAX + 1];
    cr_assert_eq(autonat_v1_ask(&asker, BYTES_EMPTY, &task), -ERR_MALFORMED);
    cr_assert_eq(autonat_v1_ask(&asker, BYTES_LIT("\x08"), &task), -ERR_TRUNCATED);
    cr_assert_eq(autonat_v1_ask(&asker, BYTES_OF(large), &task), -ERR_LIMIT);
}
