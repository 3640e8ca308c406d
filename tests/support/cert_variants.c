/* SPDX-License-Identifier: MIT */
#include "tests/support/cert_variants.h"

#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/base/wr.h"
#include "core/crypto/cert_sign.h"
#include "transport/proto/der.h"

#define LIBP2P_OID       "\x06\x0a\x2b\x06\x01\x04\x01\x83\xa2\x5a\x01\x01"
#define CRITICAL         "\x01\x01\xff"
/* 1.3.6.1.4.1.99999.1.1, which nobody knows */
#define OTHER_OID        "\x06\x0b\x2b\x06\x01\x04\x01\x86\x8d\x1f\x01\x01\x01"
#define OTHER_VALUE      "\x04\x02\x05\x00"
#define ALG_ECDSA_SHA256 "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"

enum { VALUE_BYTES = 108, ALERT_BAD = 42, ALERT_UNSUPPORTED = 43, ALERT_EXPIRED = 45 };

const struct cert_variant cert_variants[CERT_VARIANTS] = {
    {.what = "ours"},
    {.what = "critical, as rust-libp2p and js-libp2p make it", .is_critical = true},
    {.what = "another extension, not critical", .other = BYTES_LIT(OTHER_OID OTHER_VALUE)},
    {.what = "both", .is_critical = true, .other = BYTES_LIT(OTHER_OID OTHER_VALUE)},
    {.what = "another extension, critical",
     .other = BYTES_LIT(OTHER_OID CRITICAL OTHER_VALUE),
     .error = -ERR_BAD_CERTIFICATE,
     .alert = ALERT_UNSUPPORTED},
    {.what = "no libp2p extension",
     .has_none = true,
     .other = BYTES_LIT(OTHER_OID OTHER_VALUE),
     .error = -ERR_BAD_CERTIFICATE,
     .alert = ALERT_BAD},
    {.what = "expired", .is_expired = true, .error = -ERR_BAD_CERTIFICATE, .alert = ALERT_EXPIRED},
};

static void put(struct wr *w, enum der_tag tag, struct bytes content) {
    wr_u8(w, (uint8_t)tag);
    if (content.len >= 0x100) {
        wr_u8(w, 0x82);
        wr_u8(w, (uint8_t)(content.len >> 8));
    } else if (content.len >= 0x80) {
        wr_u8(w, 0x81);
    }
    wr_u8(w, (uint8_t)content.len);
    wr_bytes(w, content);
}

static void put_extensions(struct wr *w, const struct cert_variant *v, struct bytes value) {
    uint8_t one_room[256];
    uint8_t list_room[256];
    uint8_t wrapped_room[256];
    struct wr one = wr_init(one_room, sizeof(one_room));
    struct wr list = wr_init(list_room, sizeof(list_room));
    struct wr wrapped = wr_init(wrapped_room, sizeof(wrapped_room));
    wr_bytes(&one, BYTES_LIT(LIBP2P_OID));
    if (v->is_critical)
        wr_bytes(&one, BYTES_LIT(CRITICAL));
    wr_bytes(&one, value);
    if (!v->has_none)
        put(&list, DER_SEQUENCE, wr_written(&one));
    if (v->other.len > 0)
        put(&list, DER_SEQUENCE, v->other);
    put(&wrapped, DER_SEQUENCE, wr_written(&list));
    put(w, DER_CONTEXT_3, wr_written(&wrapped));
    cr_assert(one.error == 0 && list.error == 0 && wrapped.error == 0);
}

/* Takes a certificate of ours apart and puts it together as the variant says, signed again. */
static void change(struct tls_cert *c, const struct cert_variant *v, struct rng *rng) {
    uint8_t inner_room[TLS_CERT_OWN_DER_MAX];
    uint8_t tbs_room[TLS_CERT_OWN_DER_MAX];
    uint8_t all_room[TLS_CERT_OWN_DER_MAX];
    uint8_t bits[1 + P256_SIGNATURE_BYTES_MAX] = {0};
    struct rd outer = rd_init(bytes_of(c->der, c->der_len));
    struct rd whole = rd_init(der_take(&outer, DER_SEQUENCE));
    struct bytes tbs = der_take(&whole, DER_SEQUENCE);
    const uint8_t *oid = memmem(tbs.data, tbs.len, LIBP2P_OID, sizeof(LIBP2P_OID) - 1);
    cr_assert_not_null(oid);

    /* Before the OID stand a3 7c 30 7a 30 78. */
    struct wr inner = wr_init(inner_room, sizeof(inner_room));
    wr_bytes(&inner, bytes_of(tbs.data, (size_t)(oid - tbs.data) - 6));
    if (v->is_expired) {
        uint8_t *year = memmem(inner_room, inner.len, "4096", 4);
        cr_assert_not_null(year);
        memcpy(year, "2020", 4);
    }
    put_extensions(&inner, v, bytes_of(oid + sizeof(LIBP2P_OID) - 1, VALUE_BYTES));
    struct wr signed_part = wr_init(tbs_room, sizeof(tbs_room));
    put(&signed_part, DER_SEQUENCE, wr_written(&inner));

    const uint8_t *secret = c->key_der + 7;
    const uint8_t *point = c->key_der + TLS_CERT_KEY_DER_BYTES - P256_POINT_BYTES;
    ssize_t n = p256_sign(secret, point, rng, wr_written(&signed_part), bits + 1);
    cr_assert_gt(n, 0);
    struct wr all = wr_init(all_room, sizeof(all_room));
    wr_bytes(&all, wr_written(&signed_part));
    wr_bytes(&all, BYTES_LIT(ALG_ECDSA_SHA256));
    put(&all, DER_BIT_STRING, bytes_of(bits, 1 + (size_t)n));
    struct wr der = wr_init(c->der, sizeof(c->der));
    put(&der, DER_SEQUENCE, wr_written(&all));
    cr_assert(inner.error == 0 && signed_part.error == 0 && all.error == 0 && der.error == 0);
    c->der_len = der.len;
}

void cert_variant_make(const struct cert_variant *v, const struct identity *id, struct rng *rng,
                       struct tls_cert *ret_cert) {
    cr_assert_eq(tls_cert_make(id, rng, ret_cert), 0);
    change(ret_cert, v, rng);
}
