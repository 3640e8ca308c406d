/* SPDX-License-Identifier: MIT */
/* DCUtR, script: the first byte is role and options, then operations say what the peer and the
 * driver do.  Oracles: one last event and silence behind it, a deadline only before it, at most
 * three attempts, never an address that is not to be dialled. */
#include "core/base/net_addr.h"
#include "relay/proto/dcutr.h"
#include "tests/fuzz/fuzz.h"

enum {
    OP_RECV,
    OP_STREAM_OPEN,
    OP_STREAM_FAILED,
    OP_DIAL_FAILED,
    OP_DIRECT_FAILED,
    OP_TICK,
    OP_CONNECTED,
    OP_COUNT,
};

static void check_addrs(const struct dcutr_addrs *addrs, bool accept_private) {
    assert(addrs->count > 0);
    assert(addrs->count <= DCUTR_ADDRS_MAX);
    for (size_t i = 0; i < addrs->count; i++) {
        struct net_addr ip;
        int e = multiaddr_to_net_addr(&addrs->list[i], &ip);
        assert(e == 0);
        assert(ip.port != 0);
        assert(!multiaddr_is_relayed(&addrs->list[i]));
        assert(accept_private || net_addr_is_public(&ip));
    }
}

/* Returns whether the engine is over. */
static bool drain(struct dcutr *d, bool accept_private) {
    struct dcutr_event event;
    bool over = false;
    while (dcutr_next_event(d, &event)) {
        assert(!over);
        assert(event.attempt <= DCUTR_ATTEMPTS_MAX);
        over = event.type == DCUTR_EV_DONE || event.type == DCUTR_EV_FAILED;
        if (event.type == DCUTR_EV_FAILED)
            assert(event.error < 0);
        if (event.type == DCUTR_EV_DIAL || event.type == DCUTR_EV_DIAL_BACK)
            check_addrs(event.addrs, accept_private);
        if (event.type == DCUTR_EV_SEND)
            assert(event.message.len > 0);
    }
    return over;
}

static void step(struct dcutr *d, struct bytes *script, nsec_t *now) {
    uint8_t op = fuzz_u8(script);
    uint8_t n = fuzz_u8(script);
    switch (op % OP_COUNT) {
    case OP_RECV: {
        struct bytes in = fuzz_take(script, n);
        uint8_t *body = fuzz_copy(in);
        dcutr_recv(d, bytes_of(body, in.len), *now);
        free(body);
        break;
    }
    case OP_STREAM_OPEN:
        if (d->role == DCUTR_OPENER)
            dcutr_stream_open(d, *now);
        break;
    case OP_STREAM_FAILED:
        dcutr_stream_failed(d, -1 - n, *now);
        break;
    case OP_DIAL_FAILED:
        dcutr_dial_failed(d, *now);
        break;
    case OP_DIRECT_FAILED:
        dcutr_direct_failed(d, *now);
        break;
    case OP_TICK:
        *now += MSEC(n * 50);
        dcutr_tick(d, *now);
        break;
    default:
        dcutr_connected(d, *now);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes script = bytes_of(data, size);
    uint8_t options = fuzz_u8(&script);
    bool is_opener = options & 1;
    struct net_addr ip = {.ip = {1, 2, 3, 4}, .port = 5, .family = NET_IP4};
    struct dcutr_addrs own = {.count = options & 2 ? 0 : 1};
    multiaddr_from_net_addr(&ip, MULTIADDR_KIND_QUIC, &own.list[0]);
    struct dcutr_config config = {
        .role = is_opener ? DCUTR_OPENER : DCUTR_ACCEPTOR,
        .own = &own,
        .accept_private = options & 4,
        .try_direct = is_opener && (options & 8),
    };
    struct dcutr d;
    nsec_t now = 0;
    dcutr_init(&d, &config, now);
    bool over = drain(&d, config.accept_private);
    while (script.len > 0) {
        step(&d, &script, &now);
        bool ended_now = drain(&d, config.accept_private);
        assert(!over || !ended_now);
        over = over || ended_now;
        assert((dcutr_deadline(&d) == NSEC_NEVER) == over);
    }
    return 0;
}
