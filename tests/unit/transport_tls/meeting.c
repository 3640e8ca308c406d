/* SPDX-License-Identifier: MIT */
#include "meeting.h"

#include <criterion/criterion.h>

struct stranger_config meeting_prepare(struct meeting *m, bool stranger_is_server) {
    struct identity identity;
    world_init(&m->world);
    end_init(&m->end, &m->world, 1);
    cr_assert_eq(identity_from_seed((uint8_t[ED25519_SEED_BYTES]){9}, &identity), 0);
    cr_assert_eq(tls_cert_make(&identity, &m->world.rng.rng, &m->cert), 0);
    m->id = identity.id;
    return (struct stranger_config){.server = stranger_is_server,
                                    .alpn = "/yamux/1.0.0,libp2p",
                                    .chain = {bytes_of(m->cert.der, m->cert.der_len)},
                                    .chain_count = 1,
                                    .key = BYTES_OF(m->cert.key_der)};
}

void meeting_hold(struct meeting *m, const struct stranger_config *cfg) {
    end_open(&m->end, cfg->server, NULL);
    stranger_init(&m->stranger, cfg);
    meeting_go_on(m);
}

void meeting_go_on(struct meeting *m) {
    uint8_t out[SECURE_PULL_MAX];
    bool moved = true;
    while (moved) {
        size_t n = end_pull(&m->end, out, sizeof(out));
        stranger_receive(&m->stranger, bytes_of(out, n));
        moved = n > 0;
        n = stranger_pull(&m->stranger, out, sizeof(out));
        end_receive(&m->end, bytes_of(out, n));
        moved |= n > 0;
    }
}

void meeting_end(struct meeting *m) {
    stranger_done(&m->stranger);
    end_done(&m->end);
    tls_cert_done(&m->cert);
    world_done(&m->world);
}

int meeting_told_alert(struct meeting *m) {
    uint8_t plain[1];
    if (m->stranger.is_done)
        (void)stranger_read(&m->stranger, plain, sizeof(plain));
    return m->stranger.alert;
}

void meeting_send_inner(struct meeting *m, struct bytes inner) {
    static uint8_t record[TLS_HEADER_BYTES + TLS_BODY_MAX + 64];
    uint8_t nonce[AEAD_NONCE_BYTES];
    struct tls_flow *f = &m->stranger.tx;
    size_t len = inner.len + AEAD_TAG_BYTES;
    cr_assert_leq(TLS_HEADER_BYTES + len, sizeof(record));
    memcpy(nonce, f->iv, sizeof(nonce));
    for (size_t i = 0; i < 8; i++)
        nonce[AEAD_NONCE_BYTES - 1 - i] ^= (uint8_t)(f->sequence >> 8 * i);
    f->sequence++;
    const uint8_t header[] = {TLS_CONTENT_DATA, 3, 3, (uint8_t)(len >> 8), (uint8_t)len};
    memcpy(record, header, sizeof(header));
    aead_seal(f->key, nonce, BYTES_OF(header), inner, record + sizeof(header));
    end_receive(&m->end, bytes_of(record, sizeof(header) + len));
}

void meeting_send(struct meeting *m, enum tls_content type, struct bytes content) {
    static uint8_t inner[TLS_BODY_MAX + 64];
    cr_assert_lt(content.len, sizeof(inner));
    if (content.len > 0)
        memcpy(inner, content.data, content.len);
    inner[content.len] = (uint8_t)type;
    meeting_send_inner(m, bytes_of(inner, content.len + 1));
}

uint8_t meeting_hear(struct meeting *m, uint8_t *out, size_t size, size_t *ret_len) {
    uint8_t record[1024], type;
    struct bytes content;
    size_t n = end_pull(&m->end, record, sizeof(record));
    if (n == 0)
        return 0;
    cr_assert_geq(n, TLS_OVERHEAD);
    cr_assert_eq(n, TLS_HEADER_BYTES + ((size_t)record[3] << 8 | record[4]), "one record");
    cr_assert_eq(tls_flow_open(&m->stranger.rx, record, record + TLS_HEADER_BYTES,
                               n - TLS_HEADER_BYTES, &type, &content),
                 0);
    cr_assert_leq(content.len, size);
    memcpy(out, content.data, content.len);
    *ret_len = content.len;
    return type;
}
