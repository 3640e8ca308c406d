/* SPDX-License-Identifier: MIT */
/* AutoNAT: the first byte picks raw messages, a script against a probe, or one against a server.
 * Oracles: what decodes is written again the same, one end and silence behind it, no more data than
 * the limit, no dial before it was paid for, none of v1 to where the peer is not. */
#include "core/base/rng.h"
#include "relay/proto/autonat_client.h"
#include "relay/proto/autonat_server.h"
#include "relay/proto/autonat_v1_server.h"
#include "tests/fuzz/fuzz.h"

static void count_up(struct rng *g, void *out, size_t size) {
    (void)g;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)out)[i] = (uint8_t)i;
}

static struct multiaddr some_addr(void) {
    struct net_addr ip = {.ip = {5, 6, 7, 8}, .port = 4001, .family = NET_IP4};
    struct multiaddr a;
    multiaddr_from_net_addr(&ip, MULTIADDR_KIND_QUIC, &a);
    return a;
}

static void check_same(const struct autonat_msg *m) {
    uint8_t out[AUTONAT_SMALL_OUT_MAX];
    struct autonat_msg again;
    size_t len = m->type == AUTONAT_DATA_REQUEST
                     ? autonat_encode_data_request(m->addr_index, m->data_bytes, out)
                     : autonat_encode_response((enum autonat_status)m->status, m->addr_index,
                                               (enum autonat_dial_status)m->dial_status, out);
    int e = autonat_decode(bytes_of(out + 1, len - 1), &again);
    assert(e == 0);
    assert(again.type == m->type);
    assert(again.addr_index == m->addr_index);
    assert(again.data_bytes == m->data_bytes);
}

/* Nobody but the peer is dialled for it. */
static void run_first_server(struct bytes body) {
    struct multiaddr seen = some_addr();
    struct peer_id peer = {.len = 0};
    struct autonat_v1_asker asker = {
        .peer = &peer, .observed = &seen, .kinds = 1 << MULTIADDR_KIND_QUIC};
    struct autonat_v1_task task;
    struct net_addr seen_at, at;
    int e = multiaddr_to_net_addr(&seen, &seen_at);
    assert(e == 0);
    if (autonat_v1_ask(&asker, body, &task) < 0)
        return;
    for (size_t i = 0; i < task.addrs_count; i++) {
        e = multiaddr_to_net_addr(&task.addrs[i], &at);
        assert(e == 0);
        assert(net_addr_ip_equal(&at, &seen_at));
        assert(at.port != 0);
    }
}

static void run_raw(struct bytes body) {
    struct autonat_msg m;
    struct bytes addr;
    uint64_t value;
    if (autonat_decode(body, &m) == 0) {
        size_t sum = 0;
        while (autonat_next_addr(&m.addrs, &addr))
            sum += addr.len;
        assert(sum <= body.len);
        if (m.type == AUTONAT_DATA_REQUEST ||
            (m.type == AUTONAT_DIAL_RESPONSE && m.status <= 1000 && m.dial_status <= 1000))
            check_same(&m);
    }
    value = 7;
    int e = autonat_decode_dial_back(body, &value);
    assert(e == 0 || value == 7);
    value = 7;
    e = autonat_v1_decode_response(body, &value);
    assert(e == 0 || value == 7);
    run_first_server(body);
    struct autonat_v1_dial dial;
    if (autonat_v1_decode_dial(body, &dial) == 0) {
        size_t sum = dial.peer.len;
        while (autonat_v1_next_addr(&dial.addrs, &addr))
            sum += addr.len;
        assert(sum <= body.len);
    }
}

static void run_probe(struct bytes script) {
    struct rng rng = {.fill = count_up};
    struct multiaddr addr = some_addr();
    struct autonat_probe p;
    struct autonat_result result;
    static uint8_t out[AUTONAT_OUT_MAX];
    nsec_t now = 0;
    size_t pulled = 0;
    bool over = false;
    autonat_probe_init(&p, &addr, 1, &rng, now);
    while (script.len > 0) {
        uint8_t op = fuzz_u8(&script);
        uint8_t n = fuzz_u8(&script);
        if (op % 5 == 0)
            autonat_probe_recv(&p, fuzz_take(&script, n), now);
        else if (op % 5 == 1)
            pulled += autonat_probe_pull(&p, out, now);
        else if (op % 5 == 2)
            autonat_probe_tick(&p, now += MSEC(n * 100));
        else if (op % 5 == 3)
            (void)autonat_probe_dial_back(&p, p.nonce + n / 200, &addr, now);
        else
            autonat_probe_failed(&p, -1 - n, now);
        assert(pulled <= AUTONAT_DATA_BYTES_MAX + 1024);
        while (autonat_probe_result(&p, &result)) {
            assert(!over);
            over = true;
            if (result.verdict == AUTONAT_REACHABLE)
                assert(p.has_nonce);
        }
        assert((autonat_probe_deadline(&p) == NSEC_NEVER) == over);
    }
}

static void run_server(struct bytes script) {
    struct rng rng = {.fill = count_up};
    struct autonat_limits limits = {.admitted = {{.is_open = false}}};
    struct autonat_server_config config = {
        .limits = &limits,
        .rng = &rng,
        .peer = {.len = 1},
        .observed = {.ip = {5, 6, 7, 8}, .family = NET_IP4},
        .kinds = 1 << MULTIADDR_KIND_QUIC | 1 << MULTIADDR_KIND_TCP,
    };
    struct autonat_server s;
    struct autonat_server_event event;
    nsec_t now = 0;
    size_t fed = 0;
    bool over = false;
    autonat_server_init(&s, &config, now);
    while (script.len > 0) {
        uint8_t op = fuzz_u8(&script);
        uint8_t n = fuzz_u8(&script);
        if (op % 4 == 0) {
            struct bytes body = fuzz_take(&script, n);
            fed += body.len;
            autonat_server_recv(&s, body, now);
        } else if (op % 4 == 1) { /* data that a script has no room for */
            static uint8_t out[AUTONAT_OUT_MAX];
            size_t len = autonat_encode_data(AUTONAT_DATA_FRAME, out);
            fed += len;
            autonat_server_recv(&s, bytes_of(out + 2, len - 2), now);
        } else if (op % 4 == 2) {
            autonat_server_tick(&s, now += MSEC(n * 20));
        } else {
            autonat_server_dialled(&s, AUTONAT_DIAL_OK, now);
        }
        while (autonat_server_next_event(&s, &event)) {
            struct net_addr ip;
            assert(!over);
            over = event.type == AUTONAT_SERVER_EV_END;
            if (event.type != AUTONAT_SERVER_EV_DIAL)
                continue;
            int e = multiaddr_to_net_addr(event.addr, &ip);
            assert(e == 0);
            assert(net_addr_is_public(&ip));
            assert(net_addr_ip_equal(&ip, &config.observed) || fed >= AUTONAT_DATA_BYTES_MIN);
        }
        assert((autonat_server_deadline(&s) == NSEC_NEVER) == over);
    }
    autonat_server_done(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes script = bytes_of(data, size);
    uint8_t kind = fuzz_u8(&script);
    if (kind % 3 == 0)
        run_raw(script);
    else if (kind % 3 == 1)
        run_probe(script);
    else
        run_server(script);
    return 0;
}
