/* SPDX-License-Identifier: MIT */
#include "core/base/err.h"
#include "core/p2p/envelope.h"
#include "core/p2p/identity.h"
#include "core/p2p/multiaddr.h"
#include "tests/support/vectors.h"

enum { FIELD_MAX = 1024 };

static struct bytes payload_type_of(const json_t *row) {
    return strncmp(row_str(row, "domain"), ENVELOPE_DOMAIN_VOUCHER,
                   sizeof(ENVELOPE_DOMAIN_VOUCHER) - 1) == 0
               ? ENVELOPE_TYPE_VOUCHER
               : ENVELOPE_TYPE_PEER_RECORD;
}

/* The signer makes the same bytes: Ed25519 is deterministic. */
static void check_seal(const json_t *row, struct bytes envelope) {
    uint8_t key_memory[FIELD_MAX];
    uint8_t payload_memory[FIELD_MAX];
    uint8_t type_memory[FIELD_MAX];
    uint8_t out[FIELD_MAX];
    struct identity signer;
    struct bytes key = row_hex(row, "signer_private_key_protobuf", key_memory, FIELD_MAX);
    cr_assert_eq(identity_decode(key, &signer), 0);
    struct bytes payload = row_hex(row, "payload", payload_memory, FIELD_MAX);
    struct bytes type = row_hex(row, "payload_type", type_memory, FIELD_MAX);
    cr_assert(bytes_equal(type, payload_type_of(row)), "%s", row_str(row, "name"));
    ssize_t len = envelope_seal(&signer, row_str(row, "domain"), type, payload, out, sizeof(out));
    cr_assert_eq(len, (ssize_t)envelope.len, "%s", row_str(row, "name"));
    cr_assert(bytes_equal(bytes_of(out, (size_t)len), envelope), "%s", row_str(row, "name"));
    cr_assert_eq(
        envelope_seal(&signer, row_str(row, "domain"), type, payload, out, envelope.len - 1),
        -ERR_LIMIT);
}

Test(envelopes, every_row_of_the_reference) {
    struct vectors v = vectors_open("envelopes");
    int rows = 0;
    vectors_for_each(row, &v) {
        const char *name = row_str(row, "name");
        uint8_t memory[FIELD_MAX];
        uint8_t payload_memory[FIELD_MAX];
        struct envelope opened;
        struct bytes in = row_hex(row, "envelope", memory, FIELD_MAX);
        int e = envelope_open(in, row_str(row, "domain"), payload_type_of(row), &opened);
        rows++;
        if (row_is(row, "expect", "reject")) {
            cr_assert_eq(e, -ERR_BAD_SIGNATURE, "%s: %s", name, err_name(e));
            continue;
        }
        cr_assert_eq(e, 0, "%s: %s", name, err_name(e));
        struct bytes payload = row_hex(row, "payload", payload_memory, FIELD_MAX);
        cr_assert(bytes_equal(opened.payload, payload), "%s", name);
        check_seal(row, in);
    }
    cr_assert_eq(rows, 6);
    vectors_close(&v);
}

/* The peer record of A that peer-ids-and-keys, section 4, takes apart. */
Test(envelopes, the_peer_record_of_the_reference_both_ways) {
    static const char *const texts[] = {"/ip4/192.0.2.1/tcp/4001",
                                        "/ip4/192.0.2.1/udp/4001/quic-v1"};
    struct vectors v = vectors_open("envelopes");
    const json_t *row = json_array_get(v.rows, 0);
    uint8_t memory[FIELD_MAX];
    uint8_t key_memory[FIELD_MAX];
    uint8_t out[FIELD_MAX];
    struct peer_record record;
    struct multiaddr addrs[2];
    struct multiaddr more;
    struct identity signer;
    char text[MULTIADDR_TEXT_MAX];
    struct bytes in = row_hex(row, "envelope", memory, FIELD_MAX);
    cr_assert_eq(peer_record_open(in, &record), 0);
    cr_assert_eq(record.seq, 1700000000000000000);
    cr_assert_str_eq(peer_id_format(&record.peer, text),
                     "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB");
    struct bytes left = record.payload;
    for (size_t i = 0; i < 2; i++) {
        cr_assert(peer_record_next(&left, &addrs[i]));
        cr_assert_str_eq(multiaddr_format(&addrs[i], text), texts[i]);
    }
    cr_assert_not(peer_record_next(&left, &more));
    cr_assert_eq(identity_decode(row_hex(row, "signer_private_key_protobuf", key_memory, FIELD_MAX),
                                 &signer),
                 0);
    ssize_t len = peer_record_seal(&signer, record.seq, addrs, 2, out, sizeof(out));
    cr_assert_eq(len, (ssize_t)in.len);
    cr_assert(bytes_equal(bytes_of(out, (size_t)len), in));
    vectors_close(&v);
}
