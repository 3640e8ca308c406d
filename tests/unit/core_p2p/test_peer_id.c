/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/base/wr.h"
#include "core/p2p/key.h"
#include "core/p2p/peer_id.h"
#include "tests/support/hex.h"

#define TEXT_A "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"

Test(peer_id, short_form_is_for_people) {
    struct peer_id id;
    char text[PEER_ID_SHORT_MAX];
    cr_assert_eq(peer_id_parse(TEXT_A, &id), 0);
    cr_assert_str_eq(peer_id_format_short(&id, text), "12D3KooWA4Xop1Ja...");
}

Test(peer_id, none_is_no_id) {
    struct peer_id none = PEER_ID_NONE;
    struct peer_id id;
    char text[PEER_ID_TEXT_MAX];
    cr_assert(peer_id_is_none(&none));
    cr_assert_str_eq(peer_id_format(&none, text), "");
    cr_assert_eq(peer_id_parse(TEXT_A, &id), 0);
    cr_assert_not(peer_id_is_none(&id));
    cr_assert_not(peer_id_equal(&id, &none));
}

/* As strict as rust-libp2p, where go takes any multihash. */
Test(peer_id, only_multihashes_of_keys_are_taken) {
    static const struct {
        const char *name;
        const char *hex;
        bool accept;
    } rows[] = {
        {"identity of one byte", "000161", true},
        {"identity of 42 bytes",
         "002a"
         "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
         "0000",
         true},
        {"identity of 43 bytes",
         "002b"
         "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
         "000000",
         false},
        {"identity of nothing", "0000", false},
        {"empty", "", false},
        {"code alone", "12", false},
        {"sha2-256", "12200000000000000000000000000000000000000000000000000000000000000000", true},
        {"sha2-256 cut", "122000000000000000000000000000000000000000000000000000000000000000",
         false},
        {"sha2-256 with a byte too many",
         "1220000000000000000000000000000000000000000000000000000000000000000000", false},
        {"sha2-256 of 31 bytes",
         "121f00000000000000000000000000000000000000000000000000000000000000", false},
        {"sha1", "11140000000000000000000000000000000000000000", false},
        {"padded code",
         "8000"
         "0161",
         false},
        {"padded length",
         "0081"
         "0061",
         false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t memory[64];
        struct peer_id id;
        int e = peer_id_decode(hex_into(rows[i].hex, memory, sizeof(memory)), &id);
        cr_assert_eq(e, rows[i].accept ? 0 : -ERR_BAD_PEER_ID, "%s", rows[i].name);
    }
}

Test(peer_id, the_longest_id_prints_and_parses) {
    uint8_t in[PEER_ID_BYTES_MAX];
    char text[PEER_ID_CID_MAX];
    struct peer_id id;
    struct peer_id again;
    memset(in, 0xff, sizeof(in));
    in[0] = 0;
    in[1] = 42;
    cr_assert_eq(peer_id_decode(BYTES_OF(in), &id), 0);
    cr_assert_eq(peer_id_parse(peer_id_format(&id, text), &again), 0);
    cr_assert(peer_id_equal(&id, &again));
    cr_assert_eq(peer_id_parse(peer_id_format_cid(&id, text), &again), 0);
    cr_assert(peer_id_equal(&id, &again));
}

Test(peer_id, every_multibase_of_the_same_cid_is_the_same_id) {
    static const char *const texts[] = {
        TEXT_A,
        "bafzaajaiaejcaa5ba677htqqxyoxbxiy45f4bglh4tldbg5fbvpr3xegmqjfkmny",
        "BAFZAAJAIAEJCAA5BA677HTQQXYOXBXIY45F4BGLH4TLDBG5FBVPR3XEGMQJFKMNY",
        "k51qzi5uqu5dg9ufswxt229ntzdy7p4125xzv5rtyjso89ajdujg6csfxcj260",
        "f017200240801122003a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
    };
    struct peer_id first;
    cr_assert_eq(peer_id_parse(texts[0], &first), 0);
    for (size_t i = 1; i < ARRAY_COUNT(texts); i++) {
        struct peer_id id;
        cr_assert_eq(peer_id_parse(texts[i], &id), 0, "%s", texts[i]);
        cr_assert(peer_id_equal(&id, &first), "%s", texts[i]);
    }
}

Test(peer_id, other_text_is_refused) {
    char endless[4000];
    memset(endless, '1', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    const char *const rows[] = {
        "1",
        "Qm",
        " " TEXT_A,
        TEXT_A " ",
        TEXT_A "1",
        "b",
        "f0172",                                         /* no hash */
        "f027200240801122003a107bff3ce10be1d70dd18e74b", /* CID version 2 */
        "f00240801122003a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        "x" TEXT_A,
        endless,
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct peer_id id;
        cr_assert_eq(peer_id_parse(rows[i], &id), -ERR_BAD_PEER_ID, "row %zu", i);
    }
    struct peer_id id;
    cr_assert_eq(peer_id_parse_bytes(BYTES_LIT(TEXT_A "\0"), &id), -ERR_BAD_PEER_ID);
    cr_assert_eq(peer_id_parse_bytes(bytes_of(TEXT_A "junk", sizeof(TEXT_A) - 1), &id), 0);
}

Test(peer_id, an_identity_hash_of_no_key_has_no_key) {
    struct peer_id id;
    struct public_key key;
    cr_assert_eq(peer_id_decode(HEX("000161"), &id), 0);
    cr_assert_eq(peer_id_to_key(&id, &key), -ERR_BAD_KEY);
}
