/* SPDX-License-Identifier: MIT */
#include "transport/proto/noise_payload.h"

#include "core/base/err.h"
#include "core/base/problem.h"
#include "core/p2p/identity.h"
#include "core/p2p/pb.h"
#include "core/p2p/protocol_id.h"

enum { FIELD_KEY = 1, FIELD_SIGNATURE = 2, FIELD_EXTENSIONS = 4 };
enum { EXTENSION_MUXER = 2 };

#define SIGNED_PREFIX BYTES_LIT("noise-libp2p-static-key:")
#define YAMUX         BYTES_LIT(PROTOCOL_YAMUX)

enum { SIGNED_BYTES = sizeof("noise-libp2p-static-key:") - 1 + X25519_BYTES };

static struct bytes write_signed(const uint8_t static_point[X25519_BYTES],
                                 uint8_t out[SIGNED_BYTES]) {
    struct wr w = wr_init(out, SIGNED_BYTES);
    wr_bytes(&w, SIGNED_PREFIX);
    wr_bytes(&w, bytes_of(static_point, X25519_BYTES));
    assert(wr_done(&w) == SIGNED_BYTES);
    return wr_written(&w);
}

int noise_payload_seal(const struct identity *identity, const uint8_t static_point[X25519_BYTES],
                       uint8_t ret_payload[NOISE_PAYLOAD_BYTES]) {
    uint8_t message[SIGNED_BYTES];
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    struct public_key key;

    int e = identity_sign(identity, write_signed(static_point, message), signature);
    if (e < 0)
        return e;
    identity_public_key(identity, &key);
    struct wr w = wr_init(ret_payload, NOISE_PAYLOAD_BYTES);
    pb_wr_bytes(&w, FIELD_KEY, public_key_protobuf(&key));
    pb_wr_bytes(&w, FIELD_SIGNATURE, BYTES_OF(signature));
    pb_wr_head(&w, FIELD_EXTENSIONS, pb_bytes_size(EXTENSION_MUXER, YAMUX.len));
    pb_wr_bytes(&w, EXTENSION_MUXER, YAMUX);
    assert(wr_done(&w) == NOISE_PAYLOAD_BYTES);
    return 0;
}

struct fields {
    struct bytes key;
    struct bytes signature;
    size_t muxers_count;
    bool has_yamux;
};

/* One of perhaps several: as protobuf has it, their lists are joined. */
static int read_extensions(struct bytes in, struct fields *f) {
    struct rd r = rd_init(in);
    struct pb_field field;
    while (pb_next(&r, &field)) {
        if (!pb_is_bytes(&field, EXTENSION_MUXER))
            continue;
        f->muxers_count++;
        f->has_yamux = f->has_yamux || bytes_equal(field.bytes, YAMUX);
    }
    return rd_done(&r);
}

static int read_fields(struct bytes payload, struct fields *f) {
    struct rd r = rd_init(payload);
    struct pb_field field;
    while (pb_next(&r, &field)) {
        if (pb_is_bytes(&field, FIELD_KEY))
            f->key = field.bytes;
        else if (pb_is_bytes(&field, FIELD_SIGNATURE))
            f->signature = field.bytes;
        else if (pb_is_bytes(&field, FIELD_EXTENSIONS) && read_extensions(field.bytes, f) < 0)
            rd_fail(&r, -ERR_MALFORMED);
    }
    return rd_done(&r);
}

int noise_payload_open(struct bytes payload, const uint8_t static_point[X25519_BYTES],
                       struct noise_peer *ret_peer, struct problem *problem) {
    struct fields f = {.has_yamux = false};
    struct public_key key;
    uint8_t message[SIGNED_BYTES];

    if (read_fields(payload, &f) < 0)
        return problem_set(problem, -ERR_HANDSHAKE, "the peer's payload is malformed");
    int e = public_key_decode(f.key, &key);
    if (e < 0)
        return problem_set(problem, -ERR_HANDSHAKE, "the peer's identity key: %s", err_text(e));
    e = key_verify(&key, write_signed(static_point, message), f.signature);
    if (e < 0)
        return problem_set(problem, e, "the signature of the peer's static key: %s", err_text(e));
    peer_id_from_key(&key, &ret_peer->id);
    /* Both sides' rule is the first name of the initiator's list that is in the responder's.  Ours
     * has one name, so the order of the peer's does not matter. */
    ret_peer->has_yamux = f.has_yamux && f.muxers_count <= NOISE_PAYLOAD_NAMES_MAX;
    return 0;
}
