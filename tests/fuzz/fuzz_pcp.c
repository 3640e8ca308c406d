/* SPDX-License-Identifier: MIT */
/* PCP and NAT-PMP, script: a gateway that says anything at any time.  Oracles: what is sent is
 * whole and not too much in a time, each event changes something, a deadline lies ahead once all
 * due was done, and nothing is left to do after closing. */
#include "core/base/rng.h"
#include "relay/proto/pcp.h"
#include "tests/fuzz/fuzz.h"

enum { OP_RECV, OP_SEND, OP_TICK, OP_CLOSE, OP_COUNT };

static void count_up(struct rng *g, void *out, size_t size) {
    (void)g;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)out)[i] = (uint8_t)i;
}

/* Sends all that is due: a packet a mapping, and one for the address. */
static void send_all(struct pcp *p, nsec_t now) {
    uint8_t out[PCP_OUT_MAX];
    size_t len;
    size_t count = 0;
    while (pcp_next_send(p, out, &len, now)) {
        assert(len == PCP_REQUEST_BYTES || len == NATPMP_MAP_REQUEST_BYTES ||
               len == NATPMP_ADDRESS_REQUEST_BYTES);
        assert(++count <= p->mappings_count + 1);
    }
}

static void drain(struct pcp *p, bool is_closed) {
    struct pcp_event event;
    size_t count = 0;
    while (pcp_next_event(p, &event)) {
        assert(!is_closed);
        assert(++count <= p->mappings_count);
        assert((event.error == 0) == (event.external.family != NET_NONE));
        assert((event.error == 0) == (event.external.port != 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes script = bytes_of(data, size);
    struct rng rng = {.fill = count_up};
    struct net_addr client = {.ip = {10, 0, 0, 2}, .family = NET_IP4};
    struct pcp p;
    nsec_t now = 0;
    bool is_closed = false;
    if (fuzz_u8(&script) & 1)
        client.family = NET_IP6;
    pcp_init(&p, &client, &rng, now);
    (void)pcp_add(&p, false, 4001, now); /* their places are 0 and 1 */
    (void)pcp_add(&p, true, 4001, now);
    while (script.len > 0) {
        uint8_t op = fuzz_u8(&script);
        uint8_t n = fuzz_u8(&script);
        switch (op % OP_COUNT) {
        case OP_RECV: {
            struct bytes in = fuzz_take(&script, n);
            uint8_t *datagram = fuzz_copy(in);
            pcp_recv(&p, bytes_of(datagram, in.len), now);
            free(datagram);
            break;
        }
        case OP_SEND:
            send_all(&p, now);
            break;
        case OP_TICK:
            now += MSEC(n) * n * 4; /* up to 260 s */
            pcp_tick(&p, now);
            send_all(&p, now);
            pcp_tick(&p, now);
            send_all(&p, now);
            assert(pcp_deadline(&p) > now);
            break;
        default:
            pcp_close(&p, now);
            is_closed = true;
            break;
        }
        drain(&p, is_closed);
    }
    pcp_close(&p, now);
    send_all(&p, now);
    assert(pcp_deadline(&p) == NSEC_NEVER);
    return 0;
}
