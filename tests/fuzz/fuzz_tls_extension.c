/* SPDX-License-Identifier: MIT */
/* libp2p's certificate, script: the input becomes the extension of a certificate that is otherwise
 * good and signs itself, since no input would guess a signature.  fuzz_tls_cert.c is the raw kind.
 */

#include "core/base/err.h"
#include "core/base/wr.h"
#include "core/p2p/identity.h"
#include "tests/fuzz/fuzz.h"
#include "transport/proto/tls_cert.h"

#define OID_LIBP2P  BYTES_LIT("\x06\x0a\x2b\x06\x01\x04\x01\x83\xa2\x5a\x01\x01")
#define ALG_ED25519 BYTES_LIT("\x30\x05\x06\x03\x2b\x65\x70")
#define VERSION_3   BYTES_LIT("\xa0\x03\x02\x01\x02")
#define SERIAL      BYTES_LIT("\x02\x01\x01")
#define EMPTY_NAME  BYTES_LIT("\x30\x00")
#define VALIDITY                      \
    BYTES_LIT("\x30\x1e\x17\x0d"      \
              "750101000000Z\x17\x0d" \
              "490101000000Z")
#define SIGNED_PREFIX BYTES_LIT("libp2p-tls-handshake:")

enum {
    SEQUENCE = 0x30,
    OCTET_STRING = 0x04,
    BIT_STRING = 0x03,
    CONTEXT_3 = 0xa3,
    NOW = 1700000000, /* within the validity above */
    PIECE_MAX = TLS_CERT_PEER_DER_MAX,
};

/* What the extension part of the certificate is made from. */
enum script_kind {
    SCRIPT_EXTENSIONS, /* the input is the list of extensions */
    SCRIPT_VALUE,      /* the input is the value of the libp2p extension */
    SCRIPT_HOST_KEY,   /* the input is the host key in the value */
    SCRIPT_GOOD,       /* a good value, in which the input may change one byte */
    SCRIPT_COUNT,
};

struct piece {
    size_t len;
    uint8_t bytes[PIECE_MAX];
};

static struct bytes piece_bytes(const struct piece *p) {
    return bytes_of(p->bytes, p->len);
}

static void append(struct piece *p, struct bytes b) {
    assert(b.len <= sizeof p->bytes - p->len);
    if (b.len > 0)
        memcpy(p->bytes + p->len, b.data, b.len);
    p->len += b.len;
}

/* Appends one element of DER. */
static void append_der(struct piece *p, uint8_t tag, struct bytes content) {
    uint8_t head[4];
    struct wr w = wr_init(head, sizeof head);
    wr_u8(&w, tag);
    if (content.len > 0xff) {
        wr_u8(&w, 0x82);
        wr_be16(&w, (uint16_t)content.len);
    } else {
        if (content.len > 0x7f)
            wr_u8(&w, 0x81);
        wr_u8(&w, (uint8_t)content.len);
    }
    append(p, wr_written(&w));
    append(p, content);
}

static void append_bits(struct piece *p, const uint8_t *data, size_t size) {
    struct piece content = {.len = 1, .bytes = {0}};
    append(&content, bytes_of(data, size));
    append_der(p, BIT_STRING, piece_bytes(&content));
}

static struct piece spki_of(const struct identity *key) {
    struct piece inner = {.len = 0}, spki = {.len = 0};
    append(&inner, ALG_ED25519);
    append_bits(&inner, key->public_bytes, sizeof key->public_bytes);
    append_der(&spki, SEQUENCE, piece_bytes(&inner));
    return spki;
}

static struct piece good_value(const struct identity *host, struct bytes host_key,
                               const struct piece *spki) {
    struct piece message = {.len = 0}, inner = {.len = 0}, value = {.len = 0};
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    append(&message, SIGNED_PREFIX);
    append(&message, piece_bytes(spki));
    assert(identity_sign(host, piece_bytes(&message), signature) == 0);
    append_der(&inner, OCTET_STRING, host_key);
    append_der(&inner, OCTET_STRING, BYTES_OF(signature));
    append_der(&value, SEQUENCE, piece_bytes(&inner));
    return value;
}

static struct piece extensions_of(struct bytes value) {
    struct piece inner = {.len = 0}, extensions = {.len = 0};
    append(&inner, OID_LIBP2P);
    append_der(&inner, OCTET_STRING, value);
    append_der(&extensions, SEQUENCE, piece_bytes(&inner));
    return extensions;
}

static struct piece certificate_of(const struct identity *key, const struct piece *spki,
                                   struct bytes extensions) {
    struct piece list = {.len = 0}, content = {.len = 0}, tbs = {.len = 0}, whole = {.len = 0};
    append_der(&list, SEQUENCE, extensions);
    append(&content, VERSION_3);
    append(&content, SERIAL);
    append(&content, ALG_ED25519);
    append(&content, EMPTY_NAME);
    append(&content, VALIDITY);
    append(&content, EMPTY_NAME);
    append(&content, piece_bytes(spki));
    append_der(&content, CONTEXT_3, piece_bytes(&list));
    append_der(&tbs, SEQUENCE, piece_bytes(&content));

    uint8_t signature[ED25519_SIGNATURE_BYTES];
    assert(identity_sign(key, piece_bytes(&tbs), signature) == 0);
    append(&tbs, ALG_ED25519);
    append_bits(&tbs, signature, sizeof signature);
    append_der(&whole, SEQUENCE, piece_bytes(&tbs));
    return whole;
}

/* Returns whether the certificate was accepted. */
static bool verify(struct bytes der, struct tls_peer *ret_peer, enum tls_cert_fault *ret_fault) {
    enum tls_cert_fault fault = TLS_CERT_FAULT_COUNT;
    struct tls_peer peer = {.id = PEER_ID_NONE};
    uint8_t *copy = fuzz_copy(der);
    int e = tls_cert_verify(bytes_of(copy, der.len), NOW, &peer, &fault);
    free(copy);
    if (e == 0) {
        assert(fault == TLS_CERT_FAULT_COUNT);
        assert(peer_id_matches_key(&peer.id, &peer.key));
        *ret_peer = peer;
        return true;
    }
    assert(e == -ERR_BAD_CERTIFICATE);
    assert(fault < TLS_CERT_FAULT_COUNT);
    assert(peer_id_is_none(&peer.id));
    assert(tls_cert_fault_alert(fault) >= 42 && tls_cert_fault_alert(fault) <= 45);
    *ret_fault = fault;
    return false;
}

static void check_script(struct bytes script) {
    static const uint8_t key_seed[ED25519_SEED_BYTES] = {1}, host_seed[ED25519_SEED_BYTES] = {2};
    struct identity key, host;
    struct public_key host_key;
    struct piece value, extensions = {.len = 0};
    bool is_good = false;

    assert(identity_from_seed(key_seed, &key) == 0);
    assert(identity_from_seed(host_seed, &host) == 0);
    identity_public_key(&host, &host_key);
    struct piece spki = spki_of(&key);

    switch ((enum script_kind)(fuzz_u8(&script) % SCRIPT_COUNT)) {
    case SCRIPT_EXTENSIONS:
        append(&extensions, script);
        break;
    case SCRIPT_VALUE:
        extensions = extensions_of(script);
        break;
    case SCRIPT_HOST_KEY:
        value = good_value(&host, script, &spki);
        extensions = extensions_of(piece_bytes(&value));
        break;
    case SCRIPT_GOOD:
        value = good_value(&host, public_key_protobuf(&host_key), &spki);
        size_t at = fuzz_u8(&script) % value.len;
        uint8_t change = fuzz_u8(&script);
        value.bytes[at] ^= change;
        is_good = change == 0;
        extensions = extensions_of(piece_bytes(&value));
        break;
    case SCRIPT_COUNT:
        assert(!"a remainder is smaller");
    }

    struct piece der = certificate_of(&key, &spki, piece_bytes(&extensions));
    struct tls_peer peer;
    enum tls_cert_fault fault;
    if (verify(piece_bytes(&der), &peer, &fault)) {
        assert(peer_id_equal(&peer.id, &host.id));
    } else {
        assert(!is_good);
        assert(fault != TLS_CERT_SELF_SIGNATURE && fault != TLS_CERT_KEY_UNSUPPORTED);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < PIECE_MAX / 2)
        check_script(bytes_of(data, size));
    return 0;
}
