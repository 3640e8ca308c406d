/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "tests/support/hex.h"
#include "transport/proto/tls_record.h"

/* Goal: records as others make them, and each way in which one can be wrong.
 * Spec: RFC 8446 section 5; RFC 8448 section 3 is the known answer. */

static const char server_secret[] =
    "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";
static const char client_secret[] =
    "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";
static const char client_data[] =
    "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e"
    "2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4";

enum { ROOM = TLS_HEADER_BYTES + TLS_BODY_MAX + 1 };

static void flow_init(struct tls_flow *f, uint16_t suite, const char *secret_hex) {
    uint8_t secret[TLS_SECRET_BYTES_MAX] = {0};
    (void)hex_into(secret_hex, secret, sizeof(secret));
    cr_assert_eq(tls_flow_init(f, mem_system(), tls_suite_find(suite), secret), 0);
}

/* A record of any inner bytes. */
static size_t seal_inner(struct tls_flow *f, struct bytes inner, uint8_t *out) {
    uint8_t nonce[AEAD_NONCE_BYTES];
    size_t len = inner.len + AEAD_TAG_BYTES;
    memcpy(nonce, f->iv, sizeof(nonce));
    for (size_t i = 0; i < 8; i++)
        nonce[AEAD_NONCE_BYTES - 1 - i] ^= (uint8_t)(f->sequence >> 8 * i);
    f->sequence++;
    const uint8_t header[] = {TLS_CONTENT_DATA, 3, 3, (uint8_t)(len >> 8), (uint8_t)len};
    memcpy(out, header, sizeof(header));
    aead_seal(f->key, nonce, BYTES_OF(header), inner, out + sizeof(header));
    return sizeof(header) + len;
}

static int open_record(struct tls_flow *f, uint8_t *record, size_t len, uint8_t *ret_type,
                       struct bytes *ret_content) {
    return tls_flow_open(f, record, record + TLS_HEADER_BYTES, len - TLS_HEADER_BYTES, ret_type,
                         ret_content);
}

Test(tls_record, seals_and_opens_the_record_of_rfc_8448) {
    struct tls_flow f;
    uint8_t plain[50], wanted[128], out[128], type;
    struct bytes content;
    size_t len = hex_into(client_data, wanted, sizeof(wanted)).len;
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)i;

    flow_init(&f, 0x1301, client_secret);
    size_t n = tls_flow_seal(&f, TLS_CONTENT_DATA, BYTES_OF(plain), out);
    cr_assert(bytes_equal(bytes_of(out, n), bytes_of(wanted, len)));
    tls_flow_done(&f);

    flow_init(&f, 0x1301, client_secret);
    cr_assert_eq(open_record(&f, wanted, len, &type, &content), 0);
    cr_assert_eq(type, TLS_CONTENT_DATA);
    cr_assert(bytes_equal(content, BYTES_OF(plain)));
    tls_flow_done(&f);
}

Test(tls_record, each_suite_opens_what_it_seals_in_place_and_beside_across_key_updates) {
    static const uint16_t ids[] = {0x1301, 0x1302, 0x1303};
    static const size_t sizes[] = {0, 1, 15, 16, 1000, TLS_PLAIN_MAX};
    static uint8_t plain[TLS_PLAIN_MAX], out[ROOM];
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
        struct tls_flow tx, rx;
        uint8_t type;
        struct bytes content;
        flow_init(&tx, ids[i], server_secret);
        flow_init(&rx, ids[i], server_secret);
        for (size_t k = 0; k < 4 * ARRAY_COUNT(sizes); k++) {
            size_t size = sizes[k % ARRAY_COUNT(sizes)];
            struct bytes from = bytes_of(plain, size);
            if (k % 2 == 0) {
                memcpy(out + TLS_HEADER_BYTES, plain, size);
                from = bytes_of(out + TLS_HEADER_BYTES, size);
            }
            size_t n = tls_flow_seal(&tx, TLS_CONTENT_HANDSHAKE, from, out);
            cr_assert_eq(n, size + TLS_OVERHEAD);
            cr_assert_eq(open_record(&rx, out, n, &type, &content), 0, "%x, %zu", ids[i], size);
            cr_assert_eq(type, TLS_CONTENT_HANDSHAKE);
            cr_assert(bytes_equal(content, bytes_of(plain, size)), "%x, %zu", ids[i], size);
            if (k % 5 == 4) {
                tls_flow_update(&tx);
                tls_flow_update(&rx);
                cr_assert_eq(tx.sequence, 0);
            }
        }
        tls_flow_done(&tx);
        tls_flow_done(&rx);
    }
}

Test(tls_record, padding_is_removed_and_a_record_of_padding_alone_is_refused) {
    struct tls_flow tx, rx;
    static uint8_t inner[TLS_PLAIN_MAX + 2], out[ROOM + 1];
    uint8_t type;
    struct bytes content;
    flow_init(&tx, 0x1301, server_secret);
    flow_init(&rx, 0x1301, server_secret);

    memcpy(inner, "hi\x17\0\0\0", 6);
    size_t n = seal_inner(&tx, bytes_of(inner, 6), out);
    cr_assert_eq(open_record(&rx, out, n, &type, &content), 0);
    cr_assert(type == TLS_CONTENT_DATA && bytes_equal(content, BYTES_LIT("hi")));

    n = seal_inner(&tx, bytes_of(inner, TLS_PLAIN_MAX + 1), out);
    cr_assert_eq(open_record(&rx, out, n, &type, &content), 0, "padded to the limit");
    n = seal_inner(&tx, bytes_of(inner, TLS_PLAIN_MAX + 2), out);
    cr_assert_eq(open_record(&rx, out, n, &type, &content), -ERR_LIMIT, "padded beyond");

    n = seal_inner(&tx, bytes_of(inner + 3, 3), out);
    cr_assert_eq(open_record(&rx, out, n, &type, &content), -ERR_MALFORMED);
    n = seal_inner(&tx, BYTES_EMPTY, out);
    cr_assert_eq(open_record(&rx, out, n, &type, &content), -ERR_MALFORMED);
    tls_flow_done(&tx);
    tls_flow_done(&rx);
}

Test(tls_record, a_changed_bit_anywhere_does_not_verify) {
    struct tls_flow tx, rx;
    uint8_t out[64], type;
    struct bytes content;
    flow_init(&tx, 0x1303, server_secret);
    flow_init(&rx, 0x1303, server_secret);
    for (size_t at = 0; at < 5 + TLS_OVERHEAD; at++) {
        size_t n = tls_flow_seal(&tx, TLS_CONTENT_DATA, BYTES_LIT("hello"), out);
        cr_assert_eq(n, 5 + TLS_OVERHEAD);
        out[at] ^= 1;
        cr_assert_eq(open_record(&rx, out, n, &type, &content), -ERR_CRYPTO, "byte %zu", at);
    }
    cr_assert_eq(tls_flow_open(&rx, out, out, AEAD_TAG_BYTES - 1, &type, &content), -ERR_CRYPTO);
    tls_flow_done(&tx);
    tls_flow_done(&rx);
}

Test(tls_record, sequence_numbers_never_come_again) {
    struct tls_flow rx;
    uint8_t record[TLS_OVERHEAD] = {TLS_CONTENT_DATA}, type;
    struct bytes content;
    flow_init(&rx, 0x1301, server_secret);
    rx.sequence = UINT64_MAX;
    cr_assert_eq(open_record(&rx, record, sizeof(record), &type, &content), -ERR_LIMIT);
    tls_flow_done(&rx);
}
