/* SPDX-License-Identifier: MIT */
/* Observed addresses, script: connections say what they see, from some networks, and end.  Oracles:
 * the lists keep their bounds and order, each address is public, nothing is left at the end. */
#include "relay/proto/observed.h"
#include "tests/fuzz/fuzz.h"

static void check(const struct observed *o, unsigned observers_min) {
    struct observed_addr out[OBSERVED_REPORTS_MAX];
    size_t count = observed_addrs(o, observers_min, out, ARRAY_COUNT(out));
    assert(count <= o->entries_count);
    for (size_t i = 0; i < count; i++) {
        size_t of_socket = 0;
        assert(net_addr_is_public(&out[i].external));
        assert(out[i].observers_count >= observers_min || out[i].is_trusted);
        if (i > 0 && out[i].is_trusted)
            assert(out[i - 1].is_trusted);
        if (i > 0 && out[i].is_trusted == out[i - 1].is_trusted)
            assert(out[i].observers_count <= out[i - 1].observers_count);
        for (size_t j = 0; j < count; j++)
            of_socket +=
                out[j].is_tcp == out[i].is_tcp && net_addr_equal(&out[j].local, &out[i].local);
        assert(of_socket <= OBSERVED_PER_LOCAL_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const enum multiaddr_kind kinds[] = {MULTIADDR_KIND_QUIC, MULTIADDR_KIND_TCP,
                                                MULTIADDR_KIND_WS};
    struct bytes script = bytes_of(data, size);
    struct observed o;
    observed_init(&o, false);
    while (script.len > 0) {
        uint8_t conn = fuzz_u8(&script);
        uint8_t place = fuzz_u8(&script);
        uint8_t len = fuzz_u8(&script);
        struct observed_report r = {
            .conn = conn,
            .peer = {.len = conn / 16, .bytes = {conn / 4}}, /* four connections each; some: none */
            .kind = kinds[place % 3],
            .local = {.ip = {10}, .port = 1 + place / 128, .family = NET_IP4},
            .observer = {.ip = {5, place / 4}, .port = 1, .family = NET_IP4},
            .addr = fuzz_take(&script, len),
            .is_trusted = conn % 16 == 15,
        };
        if (len == 0)
            observed_conn_closed(&o, conn);
        else
            (void)observed_add(&o, &r); /* either is fine */
        check(&o, 1 + conn % 4);
        enum nat_type type = observed_nat_type(&o, &r.local, place % 3 != 0);
        assert(type == NAT_UNKNOWN || o.entries_count > 1);
    }
    for (unsigned conn = 0; conn < 256; conn++)
        observed_conn_closed(&o, conn);
    assert(o.entries_count == 0);
    return 0;
}
