/* SPDX-License-Identifier: MIT */
#include "relay/proto/voucher.h"

#include "core/base/err.h"
#include "core/p2p/envelope.h"
#include "core/p2p/identity.h"
#include "core/p2p/pb.h"

enum {
    FIELD_RELAY = 1,
    FIELD_PEER = 2,
    FIELD_EXPIRATION = 3,

    /* Two IDs and a number with their tags and lengths. */
    PAYLOAD_BYTES_MAX = 2 * (PEER_ID_BYTES_MAX + 2) + 1 + UVARINT_BYTES_MAX,
};

ssize_t voucher_seal(const struct identity *relay, const struct peer_id *peer, walltime_t expire,
                     uint8_t ret_out[VOUCHER_BYTES_MAX]) {
    assert(expire >= 0);
    uint8_t memory[PAYLOAD_BYTES_MAX];
    struct wr w = wr_init(memory, sizeof(memory));
    pb_wr_bytes(&w, FIELD_RELAY, peer_id_bytes(&relay->id));
    pb_wr_bytes(&w, FIELD_PEER, peer_id_bytes(peer));
    pb_wr_uint(&w, FIELD_EXPIRATION, (uint64_t)expire);
    assert(w.error == 0);
    ssize_t len = envelope_seal(relay, ENVELOPE_DOMAIN_VOUCHER, ENVELOPE_TYPE_VOUCHER,
                                wr_written(&w), ret_out, VOUCHER_BYTES_MAX);
    assert(len != -ERR_LIMIT);
    return len;
}

int voucher_open(struct bytes in, const struct peer_id *relay, const struct peer_id *peer,
                 walltime_t *ret_expire) {
    struct envelope envelope;
    int e = envelope_open(in, ENVELOPE_DOMAIN_VOUCHER, ENVELOPE_TYPE_VOUCHER, &envelope);
    if (e < 0)
        return e;
    struct bytes said_relay = BYTES_EMPTY;
    struct bytes said_peer = BYTES_EMPTY;
    uint64_t expiration = 0;
    struct rd r = rd_init(envelope.payload);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (pb_is_bytes(&f, FIELD_RELAY))
            said_relay = f.bytes;
        else if (pb_is_bytes(&f, FIELD_PEER))
            said_peer = f.bytes;
        else if (pb_is_uint(&f, FIELD_EXPIRATION))
            expiration = f.uint;
    }
    e = rd_done(&r);
    if (e < 0)
        return e;
    if (!peer_id_matches_key(relay, &envelope.key) ||
        !bytes_equal(said_relay, peer_id_bytes(relay)) ||
        !bytes_equal(said_peer, peer_id_bytes(peer)))
        return -ERR_PEER_ID_MISMATCH;
    *ret_expire = (walltime_t)MIN(expiration, (uint64_t)INT64_MAX);
    return 0;
}
