/* SPDX-License-Identifier: MIT */
#include "transport/proto/tls_cert.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/wr.h"
#include "core/crypto/cert_sign.h"
#include "core/crypto/sign.h"
#include "core/p2p/identity.h"
#include "transport/proto/der.h"

/* "libp2p-tls-handshake:", then the SubjectPublicKeyInfo, is what the host key signs. */
#define SIGNED_PREFIX "libp2p-tls-handshake:"

/* Content of the OBJECT IDENTIFIER 1.3.6.1.4.1.53594.1.1. */
#define LIBP2P_OID "\x2b\x06\x01\x04\x01\x83\xa2\x5a\x01\x01"

enum {
    SIGNED_PREFIX_BYTES = sizeof(SIGNED_PREFIX) - 1,
    /* RSA-8192: a modulus of 1,025 bytes and its frame, with room for any public exponent. */
    SPKI_BYTES_MAX = 1200,
};

/* Whole AlgorithmIdentifiers, so that comparing them is comparing their parameters too. */
#define ALG_P256 \
    "\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
#define ALG_P384         "\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22"
#define ALG_ED25519      "\x30\x05\x06\x03\x2b\x65\x70"
#define ALG_RSA          "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"
#define ALG_ECDSA_SHA256 "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"
#define ALG_ECDSA_SHA384 "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03"
#define ALG_ECDSA_SHA512 "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04"
#define ALG_RSA_SHA256   "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00"
#define ALG_RSA_SHA384   "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00"
#define ALG_RSA_SHA512   "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d\x05\x00"

/* --- ours ------------------------------------------------------------------------------------ */

/* The certificate has a fixed shape: each element's size is known, but for the last signature. */
enum {
    SERIAL_BYTES = 8,
    VERSION_SIZE = 5,
    NAME_SIZE = 14,
    VALIDITY_SIZE = 34,
    ALG_ECDSA_SHA256_SIZE = sizeof(ALG_ECDSA_SHA256) - 1,
    ALG_P256_SIZE = sizeof(ALG_P256) - 1,
    LIBP2P_OID_BYTES = sizeof(LIBP2P_OID) - 1,
    P256_SPKI_SIZE = 2 + ALG_P256_SIZE + 3 + P256_POINT_BYTES,
    HOST_KEY_BYTES = 36, /* the protobuf of an Ed25519 key */
    VALUE_CONTENT = 2 + HOST_KEY_BYTES + 2 + ED25519_SIGNATURE_BYTES,
    EXTENSION_CONTENT = 2 + LIBP2P_OID_BYTES + 2 + 2 + VALUE_CONTENT,
    EXTENSIONS_SIZE = 2 + 2 + 2 + EXTENSION_CONTENT,
    TBS_CONTENT = VERSION_SIZE + 2 + SERIAL_BYTES + ALG_ECDSA_SHA256_SIZE + 2 * NAME_SIZE +
                  VALIDITY_SIZE + P256_SPKI_SIZE + EXTENSIONS_SIZE,
    TBS_SIZE = 4 + TBS_CONTENT,
    OWN_SIZE_MAX = 4 + TBS_SIZE + ALG_ECDSA_SHA256_SIZE + 3 + P256_SIGNATURE_BYTES_MAX,
};

_Static_assert(P256_SPKI_SIZE == 91, "the size that every implementation of the spec sees");
_Static_assert(EXTENSIONS_SIZE == 126, "a37c 307a 3078 ... of the spec's skeleton");
_Static_assert(TBS_CONTENT > 0xff && TBS_CONTENT <= 0xffff, "its length is written in two bytes");
_Static_assert((size_t)OWN_SIZE_MAX <= TLS_CERT_OWN_DER_MAX, "the certificate fits");

static void put(struct wr *w, const char *literal, size_t size) {
    wr_bytes(w, bytes_of(literal, size));
}

#define PUT(w, literal) put(w, literal, sizeof(literal) - 1)

/* Tag and length; the form of the length is the minimal one. */
static void put_head(struct wr *w, enum der_tag tag, size_t len) {
    wr_u8(w, (uint8_t)tag);
    if (len <= 0x7f) {
        wr_u8(w, (uint8_t)len);
        return;
    }
    assert(len > 0xff); /* nothing of ours takes the form between */
    assert(len <= 0xffff);
    wr_u8(w, 0x82);
    wr_be16(w, (uint16_t)len);
}

static void put_spki(struct wr *w, const uint8_t point[P256_POINT_BYTES]) {
    put_head(w, DER_SEQUENCE, P256_SPKI_SIZE - 2);
    PUT(w, ALG_P256);
    put_head(w, DER_BIT_STRING, 1 + P256_POINT_BYTES);
    wr_u8(w, 0);
    wr_bytes(w, bytes_of(point, P256_POINT_BYTES));
}

/* The one extension, not critical: js- and go-libp2p take either, others may know it not. */
static int put_extensions(struct wr *w, const struct identity *id,
                          const uint8_t point[P256_POINT_BYTES]) {
    uint8_t message[SIGNED_PREFIX_BYTES + P256_SPKI_SIZE];
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    struct public_key host;

    struct wr m = wr_init(message, sizeof(message));
    PUT(&m, SIGNED_PREFIX);
    put_spki(&m, point);
    assert(wr_done(&m) == sizeof(message));
    int e = identity_sign(id, BYTES_OF(message), signature);
    if (e < 0)
        return e;
    identity_public_key(id, &host);
    assert(host.len == HOST_KEY_BYTES);

    put_head(w, DER_CONTEXT_3, EXTENSIONS_SIZE - 2);
    put_head(w, DER_SEQUENCE, 2 + EXTENSION_CONTENT);
    put_head(w, DER_SEQUENCE, EXTENSION_CONTENT);
    put_head(w, DER_OID, LIBP2P_OID_BYTES);
    PUT(w, LIBP2P_OID);
    put_head(w, DER_OCTET_STRING, 2 + VALUE_CONTENT);
    put_head(w, DER_SEQUENCE, VALUE_CONTENT);
    put_head(w, DER_OCTET_STRING, HOST_KEY_BYTES);
    wr_bytes(w, public_key_protobuf(&host));
    put_head(w, DER_OCTET_STRING, ED25519_SIGNATURE_BYTES);
    wr_bytes(w, BYTES_OF(signature));
    return 0;
}

static int put_tbs(struct wr *w, const struct identity *id, struct rng *rng,
                   const uint8_t point[P256_POINT_BYTES]) {
    uint8_t serial[SERIAL_BYTES];

    /* Positive and minimal: the top bits are 01. */
    rng_fill(rng, serial, sizeof(serial));
    serial[0] = (serial[0] & 0x3f) | 0x40;

    put_head(w, DER_SEQUENCE, TBS_CONTENT);
    PUT(w, "\xa0\x03\x02\x01\x02"); /* v3 */
    put_head(w, DER_INTEGER, SERIAL_BYTES);
    wr_bytes(w, BYTES_OF(serial));
    PUT(w, ALG_ECDSA_SHA256);
    PUT(w, "\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x05\x13\x01\x31"); /* serialNumber "1" */
    PUT(w, "\x30\x20\x17\x0d"
           "750101000000Z"
           "\x18\x0f"
           "40960101000000Z");
    PUT(w, "\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x05\x13\x01\x31");
    put_spki(w, point);
    return put_extensions(w, id, point);
}

static void put_key(struct wr *w, const uint8_t secret[P256_SECRET_BYTES],
                    const uint8_t point[P256_POINT_BYTES]) {
    put_head(w, DER_SEQUENCE, TLS_CERT_KEY_DER_BYTES - 2);
    PUT(w, "\x02\x01\x01"); /* ECPrivateKey version 1 */
    put_head(w, DER_OCTET_STRING, P256_SECRET_BYTES);
    wr_bytes(w, bytes_of(secret, P256_SECRET_BYTES));
    PUT(w, "\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"); /* [0] prime256v1 */
    PUT(w, "\xa1\x44");                                         /* [1] the public point */
    put_head(w, DER_BIT_STRING, 1 + P256_POINT_BYTES);
    wr_u8(w, 0);
    wr_bytes(w, bytes_of(point, P256_POINT_BYTES));
}

static int make_with_key(const struct identity *id, struct rng *rng,
                         const uint8_t secret[P256_SECRET_BYTES],
                         const uint8_t point[P256_POINT_BYTES], struct tls_cert *ret_cert) {
    uint8_t tbs[TBS_SIZE];
    uint8_t signature[P256_SIGNATURE_BYTES_MAX];

    struct wr t = wr_init(tbs, sizeof(tbs));
    int e = put_tbs(&t, id, rng, point);
    if (e < 0)
        return e;
    assert(wr_done(&t) == sizeof(tbs));
    ssize_t signature_len = p256_sign(secret, point, rng, BYTES_OF(tbs), signature);
    if (signature_len < 0)
        return (int)signature_len;

    size_t bits_content = 1 + (size_t)signature_len;
    struct wr w = wr_init(ret_cert->der, sizeof(ret_cert->der));
    put_head(&w, DER_SEQUENCE, TBS_SIZE + ALG_ECDSA_SHA256_SIZE + 2 + bits_content);
    wr_bytes(&w, BYTES_OF(tbs));
    PUT(&w, ALG_ECDSA_SHA256);
    put_head(&w, DER_BIT_STRING, bits_content);
    wr_u8(&w, 0);
    wr_bytes(&w, bytes_of(signature, (size_t)signature_len));
    assert(w.error == 0);
    ret_cert->der_len = w.len;

    struct wr k = wr_init(ret_cert->key_der, sizeof(ret_cert->key_der));
    put_key(&k, secret, point);
    assert(wr_done(&k) == TLS_CERT_KEY_DER_BYTES);
    return 0;
}

int tls_cert_make(const struct identity *id, struct rng *rng, struct tls_cert *ret_cert) {
    uint8_t secret[P256_SECRET_BYTES];
    uint8_t point[P256_POINT_BYTES];

    int e = p256_generate(rng, secret, point);
    if (e == 0)
        e = make_with_key(id, rng, secret, point, ret_cert);
    mem_wipe(secret, sizeof(secret));
    return e;
}

void tls_cert_done(struct tls_cert *c) {
    if (c != NULL)
        mem_wipe(c->key_der, sizeof(c->key_der));
}

/* --- faults ---------------------------------------------------------------------------------- */

static const struct {
    uint8_t alert;
    const char *text;
} faults[TLS_CERT_FAULT_COUNT] = {
#define FAULT_ROW(name, alert, text) [TLS_CERT_##name] = {alert, text},
    TLS_CERT_FAULT_TABLE(FAULT_ROW)
#undef FAULT_ROW
};

uint8_t tls_cert_fault_alert(enum tls_cert_fault f) {
    assert(f < TLS_CERT_FAULT_COUNT);
    return faults[f].alert;
}

const char *tls_cert_fault_text(enum tls_cert_fault f) {
    assert(f < TLS_CERT_FAULT_COUNT);
    return faults[f].text;
}

/* --- the peer's ------------------------------------------------------------------------------ */

/* What the walk found; everything borrows from the certificate. */
struct parsed {
    struct bytes tbs;       /* whole */
    struct bytes spki;      /* whole */
    struct bytes key_alg;   /* whole */
    struct bytes key_bits;  /* content of its BIT STRING */
    struct bytes sign_alg;  /* whole */
    struct bytes signature; /* content of its BIT STRING */
    struct bytes value;     /* of the libp2p extension */
    walltime_t not_before;
    walltime_t not_after;
    size_t libp2p_count; /* extensions with our OID */
    bool unknown_critical;
};

static int64_t two_digits(struct rd *r) {
    uint8_t tens = rd_u8(r);
    uint8_t ones = rd_u8(r);
    if (tens < '0' || tens > '9' || ones < '0' || ones > '9') {
        rd_fail(r, -ERR_MALFORMED);
        return 0;
    }
    return (tens - '0') * 10 + (ones - '0');
}

static bool is_leap(int64_t year) {
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from 1970-01-01 to the first of a month, in the Gregorian calendar. */
static int64_t days_before(int64_t year, int64_t month) {
    static const uint16_t days_before_month[12] = {0,   31,  59,  90,  120, 151,
                                                   181, 212, 243, 273, 304, 334};
    int64_t y = year - 1; /* whole years before this one, from year 1 */
    int64_t days = y * 365 + y / 4 - y / 100 + y / 400 + days_before_month[month - 1];
    if (month > 2 && is_leap(year))
        days++;
    return days - 719162; /* days from 0001-01-01 to 1970-01-01 */
}

static int64_t days_in_month(int64_t year, int64_t month) {
    return month == 12 ? 31 : days_before(year, month + 1) - days_before(year, month);
}

/* UTCTime YYMMDDHHMMSSZ (1950 to 2049) or GeneralizedTime YYYYMMDDHHMMSSZ: the only forms that
 * RFC 5280 allows. */
static walltime_t take_time(struct rd *r) {
    bool is_short = der_is_next(r, DER_UTC_TIME);
    struct rd t = rd_init(der_take(r, is_short ? DER_UTC_TIME : DER_GENERALIZED_TIME));

    int64_t century = is_short ? 0 : two_digits(&t);
    int64_t year = two_digits(&t);
    year += is_short ? (year < 50 ? 2000 : 1900) : century * 100;
    int64_t month = two_digits(&t);
    int64_t day = two_digits(&t);
    int64_t hour = two_digits(&t);
    int64_t minute = two_digits(&t);
    int64_t second = two_digits(&t);
    if (rd_u8(&t) != 'Z')
        rd_fail(&t, -ERR_MALFORMED);

    bool in_range = year >= 1 && month >= 1 && month <= 12 && day >= 1 && hour <= 23 &&
                    minute <= 59 && second <= 59;
    if (rd_done(&t) < 0 || !in_range || day > days_in_month(year, month)) {
        rd_fail(r, -ERR_MALFORMED);
        return 0;
    }
    return ((days_before(year, month) + day - 1) * 24 + hour) * 3600 + minute * 60 + second;
}

static void take_validity(struct rd *r, struct parsed *p) {
    struct rd v = rd_init(der_take(r, DER_SEQUENCE));
    p->not_before = take_time(&v);
    p->not_after = take_time(&v);
    if (rd_done(&v) < 0)
        rd_fail(r, -ERR_MALFORMED);
}

static void take_spki(struct rd *r, struct parsed *p) {
    p->spki = der_take_whole(r, DER_SEQUENCE);
    struct rd outer = rd_init(p->spki);
    struct rd s = rd_init(der_take(&outer, DER_SEQUENCE));
    p->key_alg = der_take_whole(&s, DER_SEQUENCE);
    p->key_bits = der_take_bits(&s);
    if (rd_done(&s) < 0)
        rd_fail(r, -ERR_MALFORMED);
}

/* BOOLEAN DEFAULT FALSE.  DER would leave false out; some encoders write it. */
static bool take_critical(struct rd *r) {
    if (!der_is_next(r, DER_BOOLEAN))
        return false;
    struct bytes b = der_take(r, DER_BOOLEAN);
    if (b.len != 1 || (b.data[0] != 0 && b.data[0] != 0xff)) {
        rd_fail(r, -ERR_MALFORMED);
        return false;
    }
    return b.data[0] != 0;
}

static void take_extension(struct rd *r, struct parsed *p) {
    struct rd x = rd_init(der_take(r, DER_SEQUENCE));
    struct bytes oid = der_take(&x, DER_OID);
    bool critical = take_critical(&x);
    struct bytes value = der_take(&x, DER_OCTET_STRING);
    if (rd_done(&x) < 0) {
        rd_fail(r, -ERR_MALFORMED);
        return;
    }
    if (bytes_equal(oid, BYTES_LIT(LIBP2P_OID))) {
        p->libp2p_count++;
        p->value = value;
    } else if (critical) {
        p->unknown_critical = true;
    }
}

static void take_extensions(struct rd *r, struct parsed *p) {
    /* X.509 has unique identifiers before it, which nobody writes: they are malformed here. */
    if (!der_is_next(r, DER_CONTEXT_3))
        return;

    struct rd outer = rd_init(der_take(r, DER_CONTEXT_3));
    struct rd list = rd_init(der_take(&outer, DER_SEQUENCE));
    if (rd_done(&outer) < 0)
        rd_fail(r, -ERR_MALFORMED);
    while (rd_more(&list))
        take_extension(&list, p);
    if (rd_done(&list) < 0)
        rd_fail(r, -ERR_MALFORMED);
}

static int parse_tbs(struct bytes tbs, struct parsed *p) {
    struct rd outer = rd_init(tbs);
    struct rd r = rd_init(der_take(&outer, DER_SEQUENCE));

    /* Only version 3 has extensions. */
    if (!bytes_equal(der_take(&r, DER_CONTEXT_0), BYTES_LIT("\x02\x01\x02")))
        rd_fail(&r, -ERR_MALFORMED);
    if (der_take(&r, DER_INTEGER).len == 0) /* serial number */
        rd_fail(&r, -ERR_MALFORMED);
    /* The algorithm stands inside what is signed, too, so that it can't be exchanged. */
    if (!bytes_equal(der_take_whole(&r, DER_SEQUENCE), p->sign_alg))
        rd_fail(&r, -ERR_MALFORMED);
    (void)der_take(&r, DER_SEQUENCE); /* issuer: ignored, nobody is trusted by name */
    take_validity(&r, p);
    (void)der_take(&r, DER_SEQUENCE); /* subject: ignored */
    take_spki(&r, p);
    take_extensions(&r, p);
    return rd_done(&r);
}

static int parse(struct bytes der, struct parsed *ret_parsed) {
    struct parsed p = {.libp2p_count = 0};
    struct rd outer = rd_init(der);
    struct rd r = rd_init(der_take(&outer, DER_SEQUENCE));

    int e = rd_done(&outer);
    if (e < 0)
        return e;
    p.tbs = der_take_whole(&r, DER_SEQUENCE);
    p.sign_alg = der_take_whole(&r, DER_SEQUENCE);
    p.signature = der_take_bits(&r);
    e = rd_done(&r);
    if (e == 0)
        e = parse_tbs(p.tbs, &p);
    if (e < 0)
        return e;
    *ret_parsed = p;
    return 0;
}

enum key_kind { KIND_P256, KIND_P384, KIND_ED25519, KIND_RSA };

static const struct {
    struct bytes key_alg;
    enum key_kind kind;
} key_kinds[] = {
    {BYTES_LIT(ALG_P256), KIND_P256},
    {BYTES_LIT(ALG_P384), KIND_P384},
    {BYTES_LIT(ALG_ED25519), KIND_ED25519},
    {BYTES_LIT(ALG_RSA), KIND_RSA},
};

enum sign_family { FAMILY_ECDSA, FAMILY_ED25519, FAMILY_RSA };

static const struct {
    struct bytes sign_alg;
    enum sign_family family;
    enum cert_digest digest;
} sign_kinds[] = {
    {BYTES_LIT(ALG_ECDSA_SHA256), FAMILY_ECDSA, CERT_SHA256},
    {BYTES_LIT(ALG_ECDSA_SHA384), FAMILY_ECDSA, CERT_SHA384},
    {BYTES_LIT(ALG_ECDSA_SHA512), FAMILY_ECDSA, CERT_SHA512},
    {BYTES_LIT(ALG_ED25519), FAMILY_ED25519, CERT_SHA512},
    {BYTES_LIT(ALG_RSA_SHA256), FAMILY_RSA, CERT_SHA256},
    {BYTES_LIT(ALG_RSA_SHA384), FAMILY_RSA, CERT_SHA384},
    {BYTES_LIT(ALG_RSA_SHA512), FAMILY_RSA, CERT_SHA512},
};

/* The rows' indexes of the certificate's key and signature, -ERR_UNSUPPORTED for others or for two
 * that don't go together. */
static int find_kinds(const struct parsed *p, size_t *ret_key, size_t *ret_sign) {
    static const enum sign_family family_of[] = {
        [KIND_P256] = FAMILY_ECDSA,
        [KIND_P384] = FAMILY_ECDSA,
        [KIND_ED25519] = FAMILY_ED25519,
        [KIND_RSA] = FAMILY_RSA,
    };
    size_t key = 0;
    size_t sign = 0;

    while (key < ARRAY_COUNT(key_kinds) && !bytes_equal(p->key_alg, key_kinds[key].key_alg))
        key++;
    while (sign < ARRAY_COUNT(sign_kinds) && !bytes_equal(p->sign_alg, sign_kinds[sign].sign_alg))
        sign++;
    if (key == ARRAY_COUNT(key_kinds) || sign == ARRAY_COUNT(sign_kinds) ||
        family_of[key_kinds[key].kind] != sign_kinds[sign].family)
        return -ERR_UNSUPPORTED;
    *ret_key = key;
    *ret_sign = sign;
    return 0;
}

static int verify_self(const struct parsed *p, size_t key, size_t sign) {
    enum cert_digest digest = sign_kinds[sign].digest;
    switch (key_kinds[key].kind) {
    case KIND_P256:
        return cert_ecdsa_verify(CERT_P256, digest, p->key_bits, p->tbs, p->signature);
    case KIND_P384:
        return cert_ecdsa_verify(CERT_P384, digest, p->key_bits, p->tbs, p->signature);
    case KIND_ED25519:
        return ed25519_verify(p->key_bits, p->tbs, p->signature);
    case KIND_RSA:
        return cert_rsa_verify(digest, p->spki, p->tbs, p->signature);
    }
    assert(false);
    return -ERR_UNSUPPORTED;
}

/* Step 5 of the spec: go-libp2p leaves it out, rust-libp2p does not. */
static int check_self_signature(const struct parsed *p, enum tls_cert_fault *ret_fault) {
    size_t key;
    size_t sign;
    if (find_kinds(p, &key, &sign) < 0 || p->spki.len > SPKI_BYTES_MAX ||
        (key_kinds[key].kind == KIND_RSA && rsa_check_key(p->spki) < 0)) {
        *ret_fault = TLS_CERT_KEY_UNSUPPORTED;
        return -ERR_BAD_CERTIFICATE;
    }
    int e = verify_self(p, key, sign);
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    e = 0; /* No fuzzer finds a signature, and what follows it is to be reached. */
#endif
    if (e < 0) {
        *ret_fault = TLS_CERT_SELF_SIGNATURE;
        return -ERR_BAD_CERTIFICATE;
    }
    return 0;
}

/* Steps 7 and 8: the extension's value, and the host key's signature over the certificate's. */
static int check_host(const struct parsed *p, struct tls_peer *ret_peer,
                      enum tls_cert_fault *ret_fault) {
    uint8_t message[SIGNED_PREFIX_BYTES + SPKI_BYTES_MAX];
    struct tls_peer peer;

    struct rd outer = rd_init(p->value);
    struct rd r = rd_init(der_take(&outer, DER_SEQUENCE));
    struct bytes host_key = der_take(&r, DER_OCTET_STRING);
    struct bytes signature = der_take(&r, DER_OCTET_STRING);
    if (rd_done(&r) < 0 || rd_done(&outer) < 0) {
        *ret_fault = TLS_CERT_EXTENSION_MALFORMED;
        return -ERR_BAD_CERTIFICATE;
    }
    if (public_key_decode(host_key, &peer.key) < 0) {
        *ret_fault = TLS_CERT_HOST_KEY;
        return -ERR_BAD_CERTIFICATE;
    }

    struct wr w = wr_init(message, sizeof(message));
    PUT(&w, SIGNED_PREFIX);
    wr_bytes(&w, p->spki);
    assert(w.error == 0);
    if (key_verify(&peer.key, wr_written(&w), signature) < 0) {
        *ret_fault = TLS_CERT_HOST_SIGNATURE;
        return -ERR_BAD_CERTIFICATE;
    }
    peer_id_from_key(&peer.key, &peer.id);
    *ret_peer = peer;
    return 0;
}

int tls_cert_verify(struct bytes der, walltime_t now, struct tls_peer *ret_peer,
                    enum tls_cert_fault *ret_fault) {
    struct parsed p;
    if (der.len > TLS_CERT_PEER_DER_MAX || parse(der, &p) < 0) {
        *ret_fault = TLS_CERT_MALFORMED;
        return -ERR_BAD_CERTIFICATE;
    }
    if (p.libp2p_count != 1) {
        *ret_fault = p.libp2p_count == 0 ? TLS_CERT_NO_EXTENSION : TLS_CERT_DUPLICATE_EXTENSION;
        return -ERR_BAD_CERTIFICATE;
    }
    if (p.unknown_critical) {
        *ret_fault = TLS_CERT_UNKNOWN_CRITICAL;
        return -ERR_BAD_CERTIFICATE;
    }
    if (now < p.not_before || now > p.not_after) {
        *ret_fault = now < p.not_before ? TLS_CERT_NOT_YET_VALID : TLS_CERT_EXPIRED;
        return -ERR_BAD_CERTIFICATE;
    }
    int e = check_self_signature(&p, ret_fault);
    return e < 0 ? e : check_host(&p, ret_peer, ret_fault);
}
