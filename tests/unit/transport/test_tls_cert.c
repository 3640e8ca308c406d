/* SPDX-License-Identifier: MIT */
/* Goal: our certificate proves our ID to ourselves and has the shape of the spec; one that was
 * touched anywhere is refused, with its fault told apart.  Those of other implementations are in
 * tests/vectors/test_transport.c.
 * Spec: libp2p tls. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/crypto/cert_sign.h"
#include "core/p2p/identity.h"
#include "tests/support/fixed_rng.h"
#include "transport/proto/tls_cert.h"

/* 2027-01-15 */
#define NOW ((walltime_t)1800000000)

static const char *verdict(struct bytes der, walltime_t now, struct tls_peer *ret_peer) {
    enum tls_cert_fault fault;
    int e = tls_cert_verify(der, now, ret_peer, &fault);
    if (e == 0)
        return "accept";
    cr_assert_eq(e, -ERR_BAD_CERTIFICATE);
    return tls_cert_fault_text(fault);
}

/* Identity A of the specs. */
static struct identity identity_a(void) {
    struct identity id;
    uint8_t seed[ED25519_SEED_BYTES];
    for (size_t i = 0; i < sizeof(seed); i++)
        seed[i] = (uint8_t)i;
    cr_assert_eq(identity_from_seed(seed, &id), 0);
    return id;
}

static struct tls_cert make(uint64_t seed) {
    struct identity id = identity_a();
    struct tls_cert cert;
    struct fixed_rng rng;
    fixed_rng_init(&rng, seed);
    cr_assert_eq(tls_cert_make(&id, &rng.rng, &cert), 0);
    identity_done(&id);
    return cert;
}

static struct bytes der_of(const struct tls_cert *c) {
    return bytes_of(c->der, c->der_len);
}

/* Whatever is cut off, what is left is no certificate; and what is added is refused. */
Test(tls_cert, truncated_and_extended_certificates_are_malformed) {
    struct tls_cert cert = make(1);
    struct bytes der = der_of(&cert);
    const char *malformed = tls_cert_fault_text(TLS_CERT_MALFORMED);
    struct tls_peer peer;
    for (size_t n = 0; n < der.len; n++) {
        uint8_t *cut = malloc(n > 0 ? n : 1); /* of exactly its size, for ASan */
        memcpy(cut, der.data, n);
        cr_assert_str_eq(verdict(bytes_of(cut, n), NOW, &peer), malformed, "%zu bytes", n);
        free(cut);
    }
    uint8_t longer[1024] = {0};
    memcpy(longer, der.data, der.len);
    cr_assert_str_eq(verdict(bytes_of(longer, der.len + 1), NOW, &peer), malformed);
}

Test(tls_cert, a_certificate_beyond_the_limit_is_not_even_parsed) {
    static uint8_t der[TLS_CERT_PEER_DER_MAX + 1] = {0x30, 0x82, 0x1f, 0xfd};
    struct tls_peer peer;
    cr_assert_str_eq(verdict(BYTES_OF(der), NOW, &peer), tls_cert_fault_text(TLS_CERT_MALFORMED));
}

/* No byte of a certificate may be changed without notice.  Those that nothing signs are the outer
 * frames and the outer algorithm, which must parse and agree. */
Test(tls_cert, a_flipped_bit_in_any_byte_is_refused) {
    struct tls_cert cert = make(1);
    struct tls_peer peer;
    for (size_t i = 0; i < cert.der_len; i++) {
        uint8_t bit = (uint8_t)(1u << i % 8);
        cert.der[i] ^= bit;
        const char *got = verdict(der_of(&cert), NOW, &peer);
        cr_assert(strcmp(got, "accept") != 0, "bit %02x of byte %zu", bit, i);
        cert.der[i] ^= bit;
    }
    cr_assert_str_eq(verdict(der_of(&cert), NOW, &peer), "accept");
}

/* A certificate of ours with parts replaced, to reach what the vectors don't. */
static void replace(uint8_t *der, size_t len, struct bytes old, struct bytes new) {
    uint8_t *at = memmem(der, len, old.data, old.len);
    cr_assert_not_null(at);
    cr_assert_eq(old.len, new.len);
    memcpy(at, new.data, new.len);
}

Test(tls_cert, dates_that_are_none_are_malformed) {
    static const char *const dates[] = {
        "751301000000Z", "750001000000Z", "750132000000Z", "750100000000Z", "750229000000Z",
        "750101240000Z", "750101006000Z", "750101000060Z", "7501010000000", "75010100000AZ",
    };
    struct tls_cert cert = make(1);
    struct bytes der = der_of(&cert);
    for (size_t i = 0; i < ARRAY_COUNT(dates); i++) {
        uint8_t changed[512];
        struct tls_peer peer;
        memcpy(changed, der.data, der.len);
        replace(changed, der.len, BYTES_LIT("750101000000Z"), bytes_of_str(dates[i]));
        cr_assert_str_eq(verdict(bytes_of(changed, der.len), NOW, &peer),
                         tls_cert_fault_text(TLS_CERT_MALFORMED), "%s", dates[i]);
    }
}

Test(tls_cert, leap_days_are_dates) {
    /* 1976 and 2000 are leap years: the certificate is wrong only in its signature then. */
    static const char *const dates[] = {"760229000000Z", "000229000000Z", "751231235959Z"};
    struct tls_cert cert = make(1);
    struct bytes der = der_of(&cert);
    for (size_t i = 0; i < ARRAY_COUNT(dates); i++) {
        uint8_t changed[512];
        struct tls_peer peer;
        memcpy(changed, der.data, der.len);
        replace(changed, der.len, BYTES_LIT("750101000000Z"), bytes_of_str(dates[i]));
        cr_assert_str_eq(verdict(bytes_of(changed, der.len), NOW, &peer),
                         tls_cert_fault_text(TLS_CERT_SELF_SIGNATURE), "%s", dates[i]);
    }
}

Test(tls_cert, keys_and_algorithms_that_are_not_handled_are_told_apart) {
    struct tls_cert cert = make(1);
    struct bytes der = der_of(&cert);
    uint8_t changed[512];
    struct tls_peer peer;
    const char *unsupported = tls_cert_fault_text(TLS_CERT_KEY_UNSUPPORTED);

    /* prime256v1 becomes another curve */
    memcpy(changed, der.data, der.len);
    replace(changed, der.len, BYTES_LIT("\x2a\x86\x48\xce\x3d\x03\x01\x07"),
            BYTES_LIT("\x2a\x86\x48\xce\x3d\x03\x01\x01"));
    cr_assert_str_eq(verdict(bytes_of(changed, der.len), NOW, &peer), unsupported);

    /* ecdsa-with-SHA256 becomes ecdsa-with-SHA224, at both places */
    memcpy(changed, der.data, der.len);
    for (int i = 0; i < 2; i++)
        replace(changed, der.len, BYTES_LIT("\x2a\x86\x48\xce\x3d\x04\x03\x02"),
                BYTES_LIT("\x2a\x86\x48\xce\x3d\x04\x03\x01"));
    cr_assert_str_eq(verdict(bytes_of(changed, der.len), NOW, &peer), unsupported);

    /* only outside: not the algorithm that was signed */
    memcpy(changed, der.data, der.len);
    uint8_t *last = NULL;
    for (size_t i = 0; i + 8 <= der.len; i++)
        if (memcmp(changed + i, "\x2a\x86\x48\xce\x3d\x04\x03\x02", 8) == 0)
            last = changed + i;
    cr_assert_not_null(last);
    last[7] = 3;
    cr_assert_str_eq(verdict(bytes_of(changed, der.len), NOW, &peer),
                     tls_cert_fault_text(TLS_CERT_MALFORMED));
}

/* Signs a certificate of ours again, after a part of what is signed was changed. */
static void sign_again(struct tls_cert *c) {
    struct fixed_rng rng;
    uint8_t signature[P256_SIGNATURE_BYTES_MAX];
    const uint8_t *secret = c->key_der + 7;
    const uint8_t *point = c->key_der + TLS_CERT_KEY_DER_BYTES - P256_POINT_BYTES;
    struct bytes tbs = bytes_of(c->der + 4, 4 + (size_t)(c->der[6] << 8 | c->der[7]));
    size_t bits_at = 4 + tbs.len + 12;
    fixed_rng_init(&rng, 99);
    ssize_t n = p256_sign(secret, point, &rng.rng, tbs, signature);
    cr_assert_gt(n, 0);
    cr_assert_eq(c->der[bits_at], 3);
    c->der[bits_at + 1] = (uint8_t)(n + 1);
    memcpy(c->der + bits_at + 3, signature, (size_t)n);
    c->der_len = bits_at + 3 + (size_t)n;
    size_t content = c->der_len - 4;
    c->der[2] = (uint8_t)(content >> 8);
    c->der[3] = (uint8_t)content;
}

/* Everything behind the self-signature can only be reached by who signs for itself. */
Test(tls_cert, faults_in_what_the_peer_signed_itself_are_told_apart) {
#define VALUE "\x30\x68\x04\x24\x08\x01\x12\x20"
    static const struct {
        struct bytes old;
        struct bytes new;
        enum tls_cert_fault fault;
    } rows[] = {
        /* not a SEQUENCE; lengths that don't add up; not OCTET STRINGs */
        {BYTES_LIT(VALUE), BYTES_LIT("\x31\x68\x04\x24\x08\x01\x12\x20"),
         TLS_CERT_EXTENSION_MALFORMED},
        {BYTES_LIT(VALUE), BYTES_LIT("\x30\x67\x04\x24\x08\x01\x12\x20"),
         TLS_CERT_EXTENSION_MALFORMED},
        {BYTES_LIT(VALUE), BYTES_LIT("\x30\x68\x04\x23\x08\x01\x12\x20"),
         TLS_CERT_EXTENSION_MALFORMED},
        {BYTES_LIT(VALUE), BYTES_LIT("\x30\x68\x03\x24\x08\x01\x12\x20"),
         TLS_CERT_EXTENSION_MALFORMED},
        /* a key of no known type; one whose length is another */
        {BYTES_LIT(VALUE), BYTES_LIT("\x30\x68\x04\x24\x08\x04\x12\x20"), TLS_CERT_HOST_KEY},
        {BYTES_LIT(VALUE), BYTES_LIT("\x30\x68\x04\x24\x08\x01\x12\x1f"), TLS_CERT_HOST_KEY},
        /* another's key: that of identity A begins 03a107bf */
        {BYTES_LIT("\x03\xa1\x07\xbf"), BYTES_LIT("\x03\xa1\x07\xbe"), TLS_CERT_HOST_SIGNATURE},
        /* another OID; version 2 */
        {BYTES_LIT("\x83\xa2\x5a\x01\x01"), BYTES_LIT("\x83\xa2\x5a\x01\x02"),
         TLS_CERT_NO_EXTENSION},
        {BYTES_LIT("\xa0\x03\x02\x01\x02"), BYTES_LIT("\xa0\x03\x02\x01\x01"), TLS_CERT_MALFORMED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct tls_cert cert = make(1);
        struct tls_peer peer;
        replace(cert.der, cert.der_len, rows[i].old, rows[i].new);
        sign_again(&cert);
        cr_assert_str_eq(verdict(der_of(&cert), NOW, &peer), tls_cert_fault_text(rows[i].fault),
                         "row %zu", i);
    }
}

Test(tls_cert, alerts_are_those_of_the_spec) {
    static const struct {
        enum tls_cert_fault fault;
        uint8_t alert;
    } rows[] = {
        {TLS_CERT_MALFORMED, 42},      {TLS_CERT_NO_EXTENSION, 42}, {TLS_CERT_UNKNOWN_CRITICAL, 43},
        {TLS_CERT_NOT_YET_VALID, 45},  {TLS_CERT_EXPIRED, 45},      {TLS_CERT_SELF_SIGNATURE, 42},
        {TLS_CERT_HOST_SIGNATURE, 42},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        cr_assert_eq(tls_cert_fault_alert(rows[i].fault), rows[i].alert, "row %zu", i);
}

Test(tls_cert, a_refused_certificate_leaves_the_result_untouched) {
    struct tls_cert cert = make(1);
    struct tls_peer peer = {.id = {.len = 7}};
    enum tls_cert_fault fault;
    cr_assert_eq(tls_cert_verify(der_of(&cert), 0, &peer, &fault), -ERR_BAD_CERTIFICATE);
    cr_assert_eq(fault, TLS_CERT_NOT_YET_VALID);
    cr_assert_eq(peer.id.len, 7);
}

/* Many seeds, since signatures and points vary in what their first bytes are. */
Test(tls_cert, what_we_make_we_accept) {
    struct identity id = identity_a();
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct tls_peer peer;
        struct tls_cert cert = make(seed * 1000003);
        cr_assert_str_eq(verdict(der_of(&cert), NOW, &peer), "accept");
        cr_assert(peer_id_equal(&peer.id, &id.id), "seed %lu", (unsigned long)seed);
        tls_cert_done(&cert);
    }
}

/* The skeleton of the spec, byte for byte where nothing varies. */
Test(tls_cert, our_certificate_has_the_shape_of_the_spec) {
    struct tls_cert cert = make(1);
    const uint8_t *d = cert.der;
    cr_assert_eq(memcmp(d + 4, "\x30\x82\x01\x32\xa0\x03\x02\x01\x02\x02\x08", 11), 0);
    cr_assert_eq(d[15] & 0xc0, 0x40, "a serial number that is positive and minimal");
    cr_assert_not_null(memmem(d, cert.der_len,
                              "\x30\x20\x17\x0d"
                              "750101000000Z"
                              "\x18\x0f"
                              "40960101000000Z",
                              34));
    cr_assert_not_null(
        memmem(d, cert.der_len,
               "\xa3\x7c\x30\x7a\x30\x78\x06\x0a\x2b\x06\x01\x04\x01\x83\xa2\x5a\x01\x01\x04\x6a"
               "\x30\x68\x04\x24\x08\x01\x12\x20",
               28),
        "one extension, not critical");
    cr_assert_eq(memcmp(cert.key_der, "\x30\x77\x02\x01\x01\x04\x20", 7), 0);
    /* The key's public half is the certificate's. */
    cr_assert_not_null(memmem(d, cert.der_len, cert.key_der + TLS_CERT_KEY_DER_BYTES - 65, 65));
}

Test(tls_cert, each_certificate_has_its_own_key) {
    struct tls_cert a = make(1);
    struct tls_cert b = make(2);
    cr_assert(memcmp(a.key_der + 7, b.key_der + 7, 32) != 0);
}

Test(tls_cert, done_wipes_the_private_key) {
    static const uint8_t zeros[TLS_CERT_KEY_DER_BYTES];
    struct tls_cert cert = make(1);
    tls_cert_done(&cert);
    cr_assert(memcmp(cert.key_der, zeros, sizeof(zeros)) == 0);
    tls_cert_done(NULL);
}
