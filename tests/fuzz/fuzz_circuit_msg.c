/* SPDX-License-Identifier: MIT */
/* Hop and stop messages, raw.  Oracles: what is decoded lies within the input and keeps its bounds,
 * and what is written of it reads back as the same and is written as the same again. */
#include "core/base/err.h"
#include "core/base/frame.h"
#include "core/p2p/multiaddr.h"
#include "relay/proto/circuit_msg.h"
#include "tests/fuzz/fuzz.h"

static void check_error(int e) {
    assert(e == 0 || e == -ERR_TRUNCATED || e == -ERR_MALFORMED || e == -ERR_BAD_PEER_ID);
}

static bool lies_within(struct bytes inner, struct bytes outer) {
    return inner.len == 0 ||
           (inner.data >= outer.data && inner.data + inner.len <= outer.data + outer.len);
}

/* The body of the message that was written. */
static struct bytes unframed(struct bytes written, uint8_t memory[CIRCUIT_MSG_MAX]) {
    struct frame f;
    frame_init(&f, memory, CIRCUIT_MSG_MAX);
    ssize_t taken = frame_recv(&f, written);
    assert(taken == (ssize_t)written.len);
    assert(frame_is_whole(&f));
    return frame_body(&f);
}

static void check_same_parts(bool a_has_peer, const struct peer_id *a_peer, bool b_has_peer,
                             const struct peer_id *b_peer) {
    assert(a_has_peer == b_has_peer);
    if (a_has_peer) {
        assert(a_peer->len > 0);
        assert(peer_id_equal(a_peer, b_peer));
    }
}

static void check_same_addrs(struct bytes a, struct bytes b) {
    struct multiaddr from_a, from_b;
    while (circuit_next_addr(&a, &from_a)) {
        bool more = circuit_next_addr(&b, &from_b);
        assert(more);
        assert(multiaddr_equal(&from_a, &from_b));
    }
    assert(!circuit_next_addr(&b, &from_b));
}

static void check_hop(struct bytes in) {
    uint8_t memory[CIRCUIT_MSG_MAX];
    uint8_t out[2][CIRCUIT_OUT_MAX];
    struct hop_msg m, again;
    int e = hop_msg_decode(in, &m);
    check_error(e);
    if (e < 0)
        return;
    assert(m.type <= HOP_OTHER);
    if (m.has_reservation) {
        assert(m.reservation.expire >= 0);
        assert(lies_within(m.reservation.addrs, in));
        assert(lies_within(m.reservation.voucher, in));
    }
    if (m.type == HOP_OTHER)
        m.type = HOP_STATUS;
    ssize_t n = hop_msg_encode(&m, out[0]);
    if (n == -ERR_LIMIT) { /* Only an input of nearly that size, whose defaults were left out. */
        assert(in.len > CIRCUIT_MSG_MAX - 32);
        return;
    }
    assert(n > 0);
    e = hop_msg_decode(unframed(bytes_of(out[0], (size_t)n), memory), &again);
    assert(e == 0);
    assert(m.type == again.type);
    check_same_parts(m.has_peer, &m.peer, again.has_peer, &again.peer);
    assert(m.has_limit == again.has_limit);
    assert(m.limit.duration_s == again.limit.duration_s);
    assert(m.limit.data_bytes == again.limit.data_bytes);
    assert(m.has_status == again.has_status);
    assert(m.status == again.status);
    assert(m.has_reservation == again.has_reservation);
    assert(m.reservation.expire == again.reservation.expire);
    assert(bytes_equal(m.reservation.voucher, again.reservation.voucher));
    check_same_addrs(m.reservation.addrs, again.reservation.addrs);
    assert(hop_msg_encode(&again, out[1]) == n);
    assert(memcmp(out[0], out[1], (size_t)n) == 0);
}

static void check_stop(struct bytes in) {
    uint8_t memory[CIRCUIT_MSG_MAX];
    uint8_t out[2][CIRCUIT_OUT_MAX];
    struct stop_msg m, again;
    int e = stop_msg_decode(in, &m);
    check_error(e);
    if (e < 0)
        return;
    assert(m.type <= STOP_OTHER);
    if (m.type == STOP_OTHER)
        m.type = STOP_STATUS;
    size_t n = stop_msg_encode(&m, out[0]);
    e = stop_msg_decode(unframed(bytes_of(out[0], n), memory), &again);
    assert(e == 0);
    assert(m.type == again.type);
    check_same_parts(m.has_peer, &m.peer, again.has_peer, &again.peer);
    assert(m.has_limit == again.has_limit);
    assert(m.limit.duration_s == again.limit.duration_s);
    assert(m.limit.data_bytes == again.limit.data_bytes);
    assert(m.has_status == again.has_status);
    assert(m.status == again.status);
    assert(stop_msg_encode(&again, out[1]) == n);
    assert(memcmp(out[0], out[1], n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes in = bytes_of(data, size);
    uint8_t *copy = fuzz_copy(in);
    check_hop(bytes_of(copy, size));
    check_stop(bytes_of(copy, size));
    free(copy);
    return 0;
}
