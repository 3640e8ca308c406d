/* SPDX-License-Identifier: MIT */
#include "transport/proto/quic_packet.h"

#include <ngtcp2/ngtcp2_crypto.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/crypto/hash.h"
#include "core/p2p/identity.h"
#include "transport/proto/quic_conn_internal.h"

/* As long as a client may take to come back: its first retransmission is after a second. */
#define RETRY_TOKEN_LIFE SEC(10)

enum { LONG_HEADER = 0x80, FIXED_BIT = 0x40, LONG_TYPE = 0x30, DCID_BYTES_MIN = 8 };

void quic_packet_reset_key(const struct identity *i, uint8_t ret_key[QUIC_RESET_KEY_BYTES]) {
    static const char info[] = "libp2p quic stateless reset key";
    uint8_t raw[ED25519_SEED_BYTES + ED25519_PUBLIC_BYTES];

    memcpy(raw, i->seed, ED25519_SEED_BYTES);
    memcpy(raw + ED25519_SEED_BYTES, i->public_bytes, ED25519_PUBLIC_BYTES);
    hkdf_sha256(BYTES_EMPTY, bytes_of(raw, sizeof(raw)), bytes_of(info, sizeof(info) - 1), ret_key,
                QUIC_RESET_KEY_BYTES);
    mem_wipe(raw, sizeof(raw));
}

void quic_packet_parse(struct bytes packet, struct quic_packet *ret_packet) {
    *ret_packet = (struct quic_packet){.kind = QUIC_PACKET_FOREIGN};
    /* go routes packets by these two bits: with both clear they are another protocol's. */
    if (packet.len == 0 || (packet.data[0] & (LONG_HEADER | FIXED_BIT)) == 0)
        return;
    ngtcp2_version_cid ids;
    int e = ngtcp2_pkt_decode_version_cid(&ids, packet.data, packet.len, QUIC_CID_BYTES);
    if (e != 0 && e != NGTCP2_ERR_VERSION_NEGOTIATION)
        return;
    ret_packet->dcid = bytes_of(ids.dcid, ids.dcidlen);
    ret_packet->scid = bytes_of(ids.scid, ids.scidlen);
    if (e == NGTCP2_ERR_VERSION_NEGOTIATION) {
        ret_packet->kind =
            packet.len >= QUIC_INITIAL_BYTES_MIN ? QUIC_PACKET_VERSION : QUIC_PACKET_FOREIGN;
        return;
    }
    if ((packet.data[0] & LONG_HEADER) == 0) {
        ret_packet->kind = QUIC_PACKET_SHORT;
        return;
    }
    ret_packet->kind = QUIC_PACKET_LONG;
    ngtcp2_pkt_hd hd;
    if ((packet.data[0] & LONG_TYPE) == 0 && packet.len >= QUIC_INITIAL_BYTES_MIN &&
        ngtcp2_accept(&hd, packet.data, packet.len) == 0) {
        ret_packet->kind = QUIC_PACKET_INITIAL;
        ret_packet->token = bytes_of(hd.token, hd.tokenlen);
    }
}

static size_t length_or_zero(ngtcp2_ssize n) {
    return n > 0 ? (size_t)n : 0;
}

size_t quic_packet_version_negotiation(const struct quic_packet *in, struct rng *rng, void *out) {
    uint8_t unused;
    rng_fill(rng, &unused, sizeof(unused));
    /* A reserved version keeps clients from relying on the list (RFC 9000, 6.3). */
    uint32_t versions[] = {NGTCP2_PROTO_VER_V1, NGTCP2_RESERVED_VERSION_MASK};
    return length_or_zero(ngtcp2_pkt_write_version_negotiation(
        out, QUIC_PACKET_OUT_MAX, unused, in->scid.data, in->scid.len, in->dcid.data, in->dcid.len,
        versions, ARRAY_COUNT(versions)));
}

size_t quic_packet_stateless_reset(const struct quic_packet *in, size_t in_len,
                                   const uint8_t reset_key[QUIC_RESET_KEY_BYTES], struct rng *rng,
                                   void *out) {
    /* A reset is shorter than what caused it, so that two endpoints cannot answer each other
     * without end. */
    if (in->kind != QUIC_PACKET_SHORT || in_len <= QUIC_RESET_BYTES)
        return 0;
    ngtcp2_cid cid;
    ngtcp2_cid_init(&cid, in->dcid.data, in->dcid.len);
    ngtcp2_stateless_reset_token token;
    if (ngtcp2_crypto_generate_stateless_reset_token(token.data, reset_key, QUIC_RESET_KEY_BYTES,
                                                     &cid) != 0)
        return 0;
    uint8_t noise[QUIC_RESET_BYTES - NGTCP2_STATELESS_RESET_TOKENLEN];
    rng_fill(rng, noise, sizeof(noise));
    return length_or_zero(
        ngtcp2_pkt_write_stateless_reset2(out, QUIC_PACKET_OUT_MAX, &token, noise, sizeof(noise)));
}

static bool cid_fits(struct bytes b) {
    return b.len <= QUIC_CID_BYTES_MAX;
}

static ngtcp2_cid to_cid(struct bytes b) {
    ngtcp2_cid cid;
    assert(cid_fits(b));
    ngtcp2_cid_init(&cid, b.data, b.len);
    return cid;
}

size_t quic_packet_refusal(const struct quic_packet *in, void *out) {
    if (!cid_fits(in->dcid) || !cid_fits(in->scid))
        return 0;
    ngtcp2_cid dcid = to_cid(in->scid);
    ngtcp2_cid scid = to_cid(in->dcid);
    return length_or_zero(ngtcp2_crypto_write_connection_close(out, QUIC_PACKET_OUT_MAX,
                                                               NGTCP2_PROTO_VER_V1, &dcid, &scid,
                                                               NGTCP2_CONNECTION_REFUSED, NULL, 0));
}

size_t quic_packet_retry(const struct quic_packet *in, const struct net_addr *remote,
                         const uint8_t token_key[QUIC_RESET_KEY_BYTES], struct rng *rng, nsec_t now,
                         void *out) {
    if (!cid_fits(in->dcid) || !cid_fits(in->scid))
        return 0;
    ngtcp2_cid original = to_cid(in->dcid);
    ngtcp2_cid client = to_cid(in->scid);
    ngtcp2_cid scid = {.datalen = QUIC_CID_BYTES};
    rng_fill(rng, scid.data, scid.datalen);
    ngtcp2_path_storage path;
    quic_path_to_ngtcp2(&(struct quic_path){.local = *remote, .remote = *remote}, &path);
    uint8_t token[NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN2];
    ngtcp2_ssize token_len = ngtcp2_crypto_generate_retry_token2(
        token, token_key, QUIC_RESET_KEY_BYTES, NGTCP2_PROTO_VER_V1, path.path.remote.addr,
        path.path.remote.addrlen, &scid, &original, now);
    if (token_len < 0)
        return 0;
    return length_or_zero(ngtcp2_crypto_write_retry(out, QUIC_PACKET_OUT_MAX, NGTCP2_PROTO_VER_V1,
                                                    &client, &scid, &original, token,
                                                    (size_t)token_len));
}

static void set_cid(struct quic_cid *out, const uint8_t *bytes, size_t len) {
    out->len = (uint8_t)len;
    memcpy(out->bytes, bytes, len);
}

int quic_packet_initial(const struct quic_packet *in, const struct net_addr *remote,
                        const uint8_t token_key[QUIC_RESET_KEY_BYTES], nsec_t now,
                        struct quic_initial *ret_initial) {
    assert(in->kind == QUIC_PACKET_INITIAL);
    if (!cid_fits(in->dcid) || !cid_fits(in->scid) || in->dcid.len < DCID_BYTES_MIN)
        return -ERR_MALFORMED;
    struct quic_initial initial = {.token = in->token};
    set_cid(&initial.dcid, in->dcid.data, in->dcid.len);
    set_cid(&initial.scid, in->scid.data, in->scid.len);
    initial.original_dcid = initial.dcid;
    bool retry = in->token.len > 0 && in->token.data[0] == NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY2;
    if (retry) {
        ngtcp2_cid original;
        ngtcp2_cid dcid = to_cid(in->dcid);
        ngtcp2_path_storage path;
        quic_path_to_ngtcp2(&(struct quic_path){.local = *remote, .remote = *remote}, &path);
        if (ngtcp2_crypto_verify_retry_token2(&original, in->token.data, in->token.len, token_key,
                                              QUIC_RESET_KEY_BYTES, NGTCP2_PROTO_VER_V1,
                                              path.path.remote.addr, path.path.remote.addrlen,
                                              &dcid, RETRY_TOKEN_LIFE, now) != 0)
            return -ERR_BAD_SIGNATURE;
        set_cid(&initial.original_dcid, original.data, original.datalen);
        initial.after_retry = true;
    }
    *ret_initial = initial;
    return 0;
}
