/* SPDX-License-Identifier: MIT */
#include "core/p2p/envelope.h"

#include "core/base/err.h"
#include "core/p2p/identity.h"
#include "core/p2p/multiaddr.h"
#include "core/p2p/pb.h"

enum {
    FIELD_KEY = 1,
    FIELD_TYPE = 2,
    FIELD_PAYLOAD = 3,
    FIELD_SIGNATURE = 5, /* 4 is not used */

    RECORD_PEER = 1,
    RECORD_SEQ = 2,
    RECORD_ADDRESS = 3,
    RECORD_ADDRESS_BYTES = 1,

    /* Domain, type and payload with their lengths; type and payload come out of an envelope. */
    SIGNED_BYTES_MAX = ENVELOPE_DOMAIN_BYTES_MAX + ENVELOPE_BYTES_MAX + 3 * UVARINT_BYTES_MAX,
};

struct fields {
    struct bytes key;
    struct bytes type;
    struct bytes payload;
    struct bytes signature;
};

static int decode(struct bytes in, struct fields *ret_fields) {
    struct fields fields = {.key = BYTES_EMPTY};
    struct rd r = rd_init(in);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (pb_is_bytes(&f, FIELD_KEY))
            fields.key = f.bytes;
        else if (pb_is_bytes(&f, FIELD_TYPE))
            fields.type = f.bytes;
        else if (pb_is_bytes(&f, FIELD_PAYLOAD))
            fields.payload = f.bytes;
        else if (pb_is_bytes(&f, FIELD_SIGNATURE))
            fields.signature = f.bytes;
    }
    int e = rd_done(&r);
    if (e < 0)
        return e;
    *ret_fields = fields;
    return 0;
}

/* What is signed: never transmitted as such. */
static int signed_bytes(const char *domain, struct bytes type, struct bytes payload,
                        uint8_t memory[SIGNED_BYTES_MAX], struct bytes *ret_bytes) {
    struct bytes d = bytes_of_str(domain);
    assert(d.len <= ENVELOPE_DOMAIN_BYTES_MAX);
    struct wr w = wr_init(memory, SIGNED_BYTES_MAX);
    wr_uvarint_bytes(&w, d);
    wr_uvarint_bytes(&w, type);
    wr_uvarint_bytes(&w, payload);
    if (wr_done(&w) < 0)
        return -ERR_LIMIT;
    *ret_bytes = wr_written(&w);
    return 0;
}

int envelope_open(struct bytes in, const char *domain, struct bytes payload_type,
                  struct envelope *ret_envelope) {
    if (in.len > ENVELOPE_BYTES_MAX)
        return -ERR_LIMIT;
    struct fields fields;
    int e = decode(in, &fields);
    if (e < 0)
        return e;
    if (!bytes_equal(fields.type, payload_type))
        return -ERR_UNSUPPORTED;
    struct public_key key;
    e = public_key_decode(fields.key, &key);
    if (e < 0)
        return e;
    uint8_t memory[SIGNED_BYTES_MAX];
    struct bytes message;
    e = signed_bytes(domain, fields.type, fields.payload, memory, &message);
    if (e < 0)
        return e;
    e = key_verify(&key, message, fields.signature);
    if (e < 0)
        return e;
    *ret_envelope = (struct envelope){.key = key, .payload = fields.payload};
    return 0;
}

ssize_t envelope_seal(const struct identity *signer, const char *domain, struct bytes payload_type,
                      struct bytes payload, void *out, size_t size) {
    uint8_t memory[SIGNED_BYTES_MAX];
    struct bytes message;
    int e = signed_bytes(domain, payload_type, payload, memory, &message);
    if (e < 0)
        return e;
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    e = identity_sign(signer, message, signature);
    if (e < 0)
        return e;
    struct public_key key;
    identity_public_key(signer, &key);
    struct wr w = wr_init(out, MIN(size, (size_t)ENVELOPE_BYTES_MAX));
    pb_wr_bytes(&w, FIELD_KEY, public_key_protobuf(&key));
    pb_wr_bytes(&w, FIELD_TYPE, payload_type);
    pb_wr_bytes(&w, FIELD_PAYLOAD, payload);
    pb_wr_bytes(&w, FIELD_SIGNATURE, BYTES_OF(signature));
    return wr_done(&w);
}

int peer_record_open(struct bytes envelope, struct peer_record *ret_record) {
    struct envelope opened;
    int e =
        envelope_open(envelope, ENVELOPE_DOMAIN_PEER_RECORD, ENVELOPE_TYPE_PEER_RECORD, &opened);
    if (e < 0)
        return e;
    struct peer_record record = {.payload = opened.payload};
    struct bytes peer = BYTES_EMPTY;
    struct rd r = rd_init(opened.payload);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (pb_is_bytes(&f, RECORD_PEER))
            peer = f.bytes;
        else if (pb_is_uint(&f, RECORD_SEQ))
            record.seq = f.uint;
    }
    e = rd_done(&r);
    if (e < 0)
        return e;
    peer_id_from_key(&opened.key, &record.peer);
    if (!bytes_equal(peer, peer_id_bytes(&record.peer)))
        return -ERR_PEER_ID_MISMATCH;
    *ret_record = record;
    return 0;
}

/* The address in one AddressInfo message. */
static int address_decode(struct bytes in, struct multiaddr *ret_addr) {
    struct bytes address = BYTES_EMPTY;
    struct rd r = rd_init(in);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (pb_is_bytes(&f, RECORD_ADDRESS_BYTES))
            address = f.bytes;
    }
    int e = rd_done(&r);
    return e < 0 ? e : multiaddr_decode(address, ret_addr);
}

bool peer_record_next(struct bytes *left, struct multiaddr *ret_addr) {
    struct rd r = rd_init(*left);
    struct pb_field f;
    bool found = false;
    while (!found && pb_next(&r, &f))
        found = pb_is_bytes(&f, RECORD_ADDRESS) && address_decode(f.bytes, ret_addr) == 0;
    *left = r.left;
    return found;
}

ssize_t peer_record_seal(const struct identity *signer, uint64_t seq, const struct multiaddr *addrs,
                         size_t addrs_count, void *out, size_t size) {
    uint8_t payload[ENVELOPE_BYTES_MAX];
    struct wr w = wr_init(payload, sizeof(payload));
    pb_wr_bytes(&w, RECORD_PEER, peer_id_bytes(&signer->id));
    if (seq != 0) /* proto3 leaves zero out */
        pb_wr_uint(&w, RECORD_SEQ, seq);
    for (size_t i = 0; i < addrs_count; i++) {
        struct bytes address = multiaddr_bytes(&addrs[i]);
        pb_wr_head(&w, RECORD_ADDRESS, pb_bytes_size(RECORD_ADDRESS_BYTES, address.len));
        pb_wr_bytes(&w, RECORD_ADDRESS_BYTES, address);
    }
    ssize_t len = wr_done(&w);
    if (len < 0)
        return len;
    return envelope_seal(signer, ENVELOPE_DOMAIN_PEER_RECORD, ENVELOPE_TYPE_PEER_RECORD,
                         wr_written(&w), out, size);
}
