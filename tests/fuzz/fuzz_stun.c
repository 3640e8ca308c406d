/* SPDX-License-Identifier: MIT */
/* STUN, raw: a datagram on a server's and on a client's socket; the client's first request has the
 * transaction ID 00 01 ... 0b.  Oracles: the answer is small and parses, what a client takes for an
 * answer is one, and no result goes beyond what was asked. */
#include "core/base/rng.h"
#include "relay/proto/stun_client.h"
#include "relay/proto/stun_server.h"
#include "tests/fuzz/fuzz.h"

static void count_up(struct rng *g, void *out, size_t size) {
    (void)g;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)out)[i] = (uint8_t)i;
}

static void serve(struct bytes datagram) {
    struct net_addr from = {.ip = {[15] = 7}, .port = 9, .family = NET_IP6};
    struct stun_server s = {.newcomers = {.used_until = 0}};
    struct stun_msg m;
    uint8_t out[STUN_ANSWER_MAX];
    size_t len = stun_server_answer(&s, &from, &from, datagram, out, 0);
    if (len == 0)
        return;
    assert(datagram.len >= STUN_REQUEST_BYTES);
    assert(len <= STUN_ANSWER_MAX);
    int e = stun_decode(bytes_of(out, len), &m);
    assert(e == 0);
    assert(memcmp(m.txid, datagram.data + 8, STUN_TXID_BYTES) == 0);
    if (m.type == STUN_BINDING_SUCCESS)
        assert(net_addr_equal(&m.mapped, &from));
}

static void ask(struct bytes datagram) {
    struct rng rng = {.fill = count_up};
    struct net_addr server = {.ip = {1, 2, 3, 4}, .port = 5, .family = NET_IP4};
    struct stun_client c;
    struct net_addr to;
    struct stun_result result;
    uint8_t request[STUN_REQUEST_BYTES];
    stun_client_init(&c, NET_IP4, &server, 1, &rng, 0);
    bool sends = stun_client_next_send(&c, &to, request, 0);
    assert(sends);
    bool took = stun_client_recv(&c, &server, datagram, 1);
    assert(!took || stun_is_message(datagram));
    assert(c.probes_count <= 2);
    stun_client_result(&c, NULL, 0, &result);
    assert(result.type == NAT_UNKNOWN);
    assert((result.external.family == NET_IP4) == (result.answers_count == 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *copy = fuzz_copy(bytes_of(data, size));
    struct bytes datagram = bytes_of(copy, size);
    struct stun_msg m;
    int e = stun_decode(datagram, &m);
    assert((e == 0) <= stun_is_message(datagram));
    if (e == 0)
        assert(m.unknown_count <= STUN_UNKNOWN_MAX);
    serve(datagram);
    ask(datagram);
    free(copy);
    return 0;
}
