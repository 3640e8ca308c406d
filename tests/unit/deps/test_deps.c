/* SPDX-License-Identifier: MIT */
/* Whether the libraries that are built from source have what peerup needs of them.  What is
 * missing shows here, before it shows as a failed handshake. */
#include <criterion/criterion.h>
#include <errno.h>
#include <liburing.h>
#include <ngtcp2/ngtcp2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <wolfssl/error-ssl.h>
#include <wolfssl/quic.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>
#include <wolfssl/wolfcrypt/curve25519.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/rsa.h>

static unsigned random_calls;

int peerup_wolf_random(unsigned char *out, unsigned int size) {
    random_calls++;
    return getrandom(out, size, 0) == (ssize_t)size ? 0 : -1;
}

/* 2026-01-01, also when the machine's clock says otherwise. */
time_t peerup_wolf_time(time_t *t) {
    if (t)
        *t = 1767225600;
    return 1767225600;
}

/* A self-signed P-256 certificate with libp2p's extension; returns its size. */
static int cert_make(byte *der, size_t der_size, bool critical, byte *key_der, int *key_der_size) {
    static const byte value[] = {0x30, 0x04, 0x04, 0x00, 0x04, 0x00};
    WC_RNG rng;
    ecc_key key;
    Cert *cert = calloc(1, sizeof *cert);

    cr_assert_eq(wc_InitRng(&rng), 0);
    cr_assert_eq(wc_ecc_init(&key), 0);
    cr_assert_eq(wc_ecc_make_key_ex(&rng, 32, &key, ECC_SECP256R1), 0);
    cr_assert_eq(wc_InitCert(cert), 0);
    memcpy(cert->subject.commonName, "test", 5);
    cert->sigType = CTC_SHA256wECDSA;
    cr_assert_eq(
        wc_SetCustomExtension(cert, critical, "1.3.6.1.4.1.53594.1.1", value, sizeof value), 0);
    int size = wc_MakeCert_ex(cert, der, (word32)der_size, ECC_TYPE, &key, &rng);
    cr_assert_gt(size, 0, "wc_MakeCert_ex: %d", size);
    size = wc_SignCert_ex(cert->bodySz, cert->sigType, der, (word32)der_size, ECC_TYPE, &key, &rng);
    cr_assert_gt(size, 0, "wc_SignCert_ex: %d", size);
    if (key_der) {
        *key_der_size = wc_EccKeyToDer(&key, key_der, (word32)*key_der_size);
        cr_assert_gt(*key_der_size, 0);
    }
    wc_ecc_free(&key);
    wc_FreeRng(&rng);
    free(cert);
    return size;
}

Test(deps, versions_are_the_pinned_ones) {
    cr_assert_str_eq(ngtcp2_version(0)->version_str, "1.25.0");
    cr_assert_str_eq(wolfSSL_lib_version(), "5.9.4");
    cr_assert_eq(io_uring_major_version(), 2);
    cr_assert_eq(io_uring_minor_version(), 15);
}

Test(deps, an_io_uring_ring_opens_and_completes_a_nop) {
    struct io_uring ring;
    int e = io_uring_queue_init(8, &ring, 0);
    if (e == -EPERM || e == -ENOSYS)
        cr_skip("io_uring is forbidden here (%s)", strerror(-e));
    cr_assert_eq(e, 0, "io_uring_queue_init: %d", e);
    struct io_uring_cqe *cqe;
    io_uring_prep_nop(io_uring_get_sqe(&ring));
    cr_assert_eq(io_uring_submit_and_wait(&ring, 1), 1);
    cr_assert_eq(io_uring_peek_cqe(&ring, &cqe), 0);
    cr_assert_eq(cqe->res, 0);
    io_uring_queue_exit(&ring);
}

/* NIST's GCM specification, test case 4 (AES-128). */
Test(deps, aes_gcm_gives_the_known_answer) {
    static const byte key[16] = {0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c,
                                 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08};
    static const byte iv[12] = {0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce,
                                0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88};
    static const byte aad[20] = {0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xfe, 0xed,
                                 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xab, 0xad, 0xda, 0xd2};
    static const byte plain[8] = {0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5};
    static const byte cipher[8] = {0x42, 0x83, 0x1e, 0xc2, 0x21, 0x77, 0x74, 0x24};
    byte out[8], back[8], tag[16];
    Aes aes;

    cr_assert_eq(wc_AesInit(&aes, NULL, INVALID_DEVID), 0);
    cr_assert_eq(wc_AesGcmSetKey(&aes, key, sizeof key), 0);
    cr_assert_eq(wc_AesGcmEncrypt(&aes, out, plain, 8, iv, 12, tag, 16, aad, 20), 0);
    cr_assert_arr_eq(out, cipher, 8);
    cr_assert_eq(wc_AesGcmDecrypt(&aes, back, out, 8, iv, 12, tag, 16, aad, 20), 0);
    cr_assert_arr_eq(back, plain, 8);
    tag[0] ^= 1;
    cr_assert_eq(wc_AesGcmDecrypt(&aes, back, out, 8, iv, 12, tag, 16, aad, 20), AES_GCM_AUTH_E);
    wc_AesFree(&aes);
}

Test(deps, random_bytes_and_dates_come_from_our_two_functions) {
    WC_RNG rng;
    byte bytes[32];

    random_calls = 0;
    cr_assert_eq(wc_InitRng(&rng), 0);
    cr_assert_eq(wc_RNG_GenerateBlock(&rng, bytes, sizeof bytes), 0);
    cr_assert_gt(random_calls, 0);
    wc_FreeRng(&rng);
    cr_assert_eq(wc_Time(NULL), 1767225600);
}

Test(deps, every_kind_of_libp2p_key_is_known) {
    WC_RNG rng;
    ed25519_key ed;
    curve25519_key x;
    ecc_key ec;
    RsaKey rsa;
    static const int curves[][2] = {
        {32, ECC_SECP256R1}, {48, ECC_SECP384R1}, {66, ECC_SECP521R1}, {32, ECC_SECP256K1}};

    cr_assert_eq(wc_InitRng(&rng), 0);
    cr_assert_eq(wc_ed25519_init(&ed), 0);
    cr_assert_eq(wc_ed25519_make_key(&rng, 32, &ed), 0);
    wc_ed25519_free(&ed);
    cr_assert_eq(wc_curve25519_init(&x), 0);
    cr_assert_eq(wc_curve25519_make_key(&rng, 32, &x), 0);
    wc_curve25519_free(&x);
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++) {
        byte point[80];
        word32 point_size = sizeof point;
        cr_assert_eq(wc_ecc_init(&ec), 0);
        cr_assert_eq(wc_ecc_make_key_ex(&rng, curves[i][0], &ec, curves[i][1]), 0, "curve %zu", i);
        cr_assert_eq(wc_ecc_export_x963_ex(&ec, point, &point_size, 1), 0, "curve %zu", i);
        wc_ecc_free(&ec);
        cr_assert_eq(wc_ecc_init(&ec), 0);
        cr_assert_eq(wc_ecc_import_x963_ex(point, point_size, &ec, curves[i][1]), 0,
                     "compressed point of curve %zu", i);
        wc_ecc_free(&ec);
    }
    cr_assert_eq(wc_InitRsaKey(&rsa, NULL), 0);
    cr_assert_eq(wc_MakeRsaKey(&rsa, 2048, WC_RSA_EXPONENT, &rng), 0);
    byte signature[256];
    cr_assert_eq(wc_RsaSSL_Sign((const byte *)"x", 1, signature, sizeof signature, &rsa, &rng),
                 256);
    wc_FreeRsaKey(&rsa);
    wc_FreeRng(&rng);
}

/* wolfSSL_X509_verify is how the self-signature is checked: the handshake does not do it. */
Test(deps, a_broken_self_signature_is_found) {
    byte der[1024];
    int size = cert_make(der, sizeof der, false, NULL, NULL);

    WOLFSSL_X509 *x509 = wolfSSL_X509_d2i(NULL, der, size);
    cr_assert_not_null(x509);
    WOLFSSL_EVP_PKEY *key = wolfSSL_X509_get_pubkey(x509);
    cr_assert_eq(wolfSSL_X509_verify(x509, key), 1);
    wolfSSL_EVP_PKEY_free(key);
    wolfSSL_X509_free(x509);

    der[size - 1] ^= 1;
    x509 = wolfSSL_X509_d2i(NULL, der, size);
    key = wolfSSL_X509_get_pubkey(x509);
    cr_assert_neq(wolfSSL_X509_verify(x509, key), 1);
    wolfSSL_EVP_PKEY_free(key);
    wolfSSL_X509_free(x509);
}

/* --- a TLS 1.3 handshake in memory, with QUIC's way of carrying it ------------------------- */

struct end {
    WOLFSSL_CTX *ctx;
    WOLFSSL *ssl;
    struct end *peer;
    unsigned secrets;
};

static int on_secrets(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL level, const uint8_t *rx,
                      const uint8_t *tx, size_t size) {
    (void)level, (void)rx, (void)tx, (void)size;
    ((struct end *)wolfSSL_get_app_data(ssl))->secrets++;
    return 1;
}

static int on_handshake_data(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL level, const uint8_t *data,
                             size_t size) {
    struct end *end = wolfSSL_get_app_data(ssl);
    return wolfSSL_provide_quic_data(end->peer->ssl, level, data, size) == WOLFSSL_SUCCESS;
}

static int on_flush(WOLFSSL *ssl) {
    (void)ssl;
    return 1;
}

static int on_alert(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL level, uint8_t alert) {
    (void)ssl, (void)level, (void)alert;
    return 1;
}

static const WOLFSSL_QUIC_METHOD quic_method = {on_secrets, on_handshake_data, on_flush, on_alert};

static int on_verify(int preverify, WOLFSSL_X509_STORE_CTX *store) {
    (void)preverify;
    return store->totalCerts == 1 && store->certs[0].length > 0;
}

static int accept_libp2p_extension(const word16 *oid, word32 oid_size, int critical,
                                   const unsigned char *der, word32 der_size) {
    static const word16 ours[] = {1, 3, 6, 1, 4, 1, 53594, 1, 1};
    (void)critical, (void)der, (void)der_size;
    return oid_size == 9 && memcmp(oid, ours, sizeof ours) == 0 ? 0 : ASN_CRIT_EXT_E;
}

static void end_open(struct end *end, bool server, bool critical, bool accept_extension) {
    static const uint8_t params[] = {0x04, 0x04, 0x80, 0x00, 0xff, 0xff};
    byte der[1024], key[256];
    int key_size = sizeof key;
    int size = cert_make(der, sizeof der, critical, key, &key_size);

    end->ctx = wolfSSL_CTX_new(server ? wolfTLSv1_3_server_method() : wolfTLSv1_3_client_method());
    cr_assert_not_null(end->ctx);
    cr_assert_eq(wolfSSL_CTX_set_quic_method(end->ctx, &quic_method), WOLFSSL_SUCCESS);
    cr_assert_eq(wolfSSL_CTX_use_certificate_buffer(end->ctx, der, size, WOLFSSL_FILETYPE_ASN1),
                 WOLFSSL_SUCCESS);
    cr_assert_eq(wolfSSL_CTX_use_PrivateKey_buffer(end->ctx, key, key_size, WOLFSSL_FILETYPE_ASN1),
                 WOLFSSL_SUCCESS);
    wolfSSL_CTX_set_verify(end->ctx, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                           on_verify);
    if (accept_extension)
        wolfSSL_CertManagerSetUnknownExtCallback(wolfSSL_CTX_GetCertManager(end->ctx),
                                                 accept_libp2p_extension);
    end->ssl = wolfSSL_new(end->ctx);
    cr_assert_not_null(end->ssl);
    cr_assert_eq(wolfSSL_set_app_data(end->ssl, end), WOLFSSL_SUCCESS);
    cr_assert_eq(wolfSSL_UseALPN(end->ssl, (char[]){"libp2p"}, 6, WOLFSSL_ALPN_FAILED_ON_MISMATCH),
                 WOLFSSL_SUCCESS);
    wolfSSL_set_quic_transport_version(end->ssl, 0x39);
    cr_assert_eq(wolfSSL_set_quic_transport_params(end->ssl, params, sizeof params),
                 WOLFSSL_SUCCESS);
}

static void end_close(struct end *end) {
    wolfSSL_free(end->ssl);
    wolfSSL_CTX_free(end->ctx);
}

/* Runs a handshake to its end; returns 0, or the first end's error. */
static int handshake(bool critical, bool accept_extension) {
    struct end client = {0}, server = {0};
    int error = 0;

    end_open(&client, false, critical, accept_extension);
    end_open(&server, true, critical, accept_extension);
    client.peer = &server;
    server.peer = &client;
    for (int turn = 0; turn < 10 && error == 0; turn++) {
        struct end *end = turn % 2 ? &server : &client;
        int e = wolfSSL_quic_do_handshake(end->ssl);
        if (e != WOLFSSL_SUCCESS) {
            int code = wolfSSL_get_error(end->ssl, e);
            if (code != WOLFSSL_ERROR_WANT_READ && code != WOLFSSL_ERROR_WANT_WRITE)
                error = code;
        }
    }
    if (error == 0) {
        cr_assert_eq(wolfSSL_is_init_finished(client.ssl), 1);
        cr_assert_eq(wolfSSL_is_init_finished(server.ssl), 1);
        cr_assert_gt(client.secrets, 1);
        cr_assert_gt(server.secrets, 1);
    }
    end_close(&client);
    end_close(&server);
    return error;
}

Test(deps, a_quic_handshake_with_certificates_on_both_sides_completes) {
    cr_assert_eq(handshake(false, false), 0);
}

Test(deps, a_critical_extension_is_accepted_when_our_callback_knows_it) {
    int e = handshake(true, true);
    cr_assert_eq(e, 0, "%d: %s", e, wolfSSL_ERR_reason_error_string((unsigned long)-e));
}

Test(deps, a_critical_extension_is_refused_without_the_callback) {
    cr_assert_eq(handshake(true, false), ASN_CRIT_EXT_E);
}
