/* SPDX-License-Identifier: MIT */
/* A TLS channel in either role, raw: what a peer says, in the handshake or after it.
 *
 * The first byte chooses: bit 0 our role; bits 1 and 2 whether the rest is bytes of the handshake,
 * bytes of records after it, or records that verify, each a length of two bytes and its inner
 * bytes.  The rest is fed twice, whole and in pieces: both end alike. */

#include "tests/fuzz/fuzz.h"
#include "tests/unit/transport_tls/channel.h"
#include "tests/unit/transport_tls/stranger.h"

enum { KINDS = 3, KIND_HANDSHAKE = 0, KIND_RECORDS = 1, ANSWER_MAX = 1 << 17, PIECE = 7 };

struct outcome {
    enum secure_state state;
    int error;
    size_t got_len;
    size_t answer_len;
};

struct play {
    struct world world;
    struct end end;
    struct stranger stranger;
    struct identity identity;
    struct tls_cert cert;
    uint8_t answer[SECURE_PULL_MAX];
    size_t answer_len;
};

static void take_answer(struct play *p) {
    size_t n = end_pull(&p->end, p->answer, sizeof(p->answer));
    p->answer_len += n;
    assert(p->answer_len <= ANSWER_MAX);
}

static void feed(struct play *p, struct bytes in, size_t piece) {
    while (in.len > 0 && p->end.secure->state <= SECURE_OPEN) {
        size_t n = MIN(piece, in.len);
        end_receive(&p->end, bytes_of(in.data, n));
        take_answer(p);
        in = bytes_skip(in, n);
    }
}

static void shake_hands(struct play *p, bool initiator) {
    struct stranger_config cfg = {.server = initiator,
                                  .alpn = "/yamux/1.0.0,libp2p",
                                  .chain = {bytes_of(p->cert.der, p->cert.der_len)},
                                  .chain_count = 1,
                                  .key = BYTES_OF(p->cert.key_der)};
    stranger_init(&p->stranger, &cfg);
    for (int i = 0; i < 4; i++) {
        size_t n = end_pull(&p->end, p->answer, sizeof(p->answer));
        stranger_receive(&p->stranger, bytes_of(p->answer, n));
        n = stranger_pull(&p->stranger, p->answer, sizeof(p->answer));
        end_receive(&p->end, bytes_of(p->answer, n));
    }
    assert(p->end.secure->state == SECURE_OPEN);
    assert(p->stranger.is_done);
}

/* Seals what the input says: the last of the inner bytes is given as the type. */
static void feed_sealed(struct play *p, struct bytes in, size_t piece) {
    static uint8_t record[TLS_HEADER_BYTES + TLS_BODY_MAX];
    while (in.len > 0) {
        size_t len = (size_t)fuzz_u8(&in) << 8;
        len |= fuzz_u8(&in);
        struct bytes inner = fuzz_take(&in, MIN(len, (size_t)TLS_PLAIN_MAX));
        if (inner.len == 0)
            continue;
        size_t n = tls_flow_seal(&p->stranger.tx, inner.data[inner.len - 1],
                                 bytes_of(inner.data, inner.len - 1), record);
        feed(p, bytes_of(record, n), piece);
    }
}

static struct outcome play(struct bytes in, bool initiator, unsigned kind, size_t piece) {
    struct play p = {.answer_len = 0};
    world_init(&p.world);
    end_init(&p.end, &p.world, 1);
    assert(identity_from_seed((uint8_t[ED25519_SEED_BYTES]){9}, &p.identity) == 0);
    assert(tls_cert_make(&p.identity, &p.world.rng.rng, &p.cert) == 0);
    end_open(&p.end, initiator, NULL);
    if (kind != KIND_HANDSHAKE)
        shake_hands(&p, initiator);
    take_answer(&p);
    if (kind <= KIND_RECORDS)
        feed(&p, in, piece);
    else
        feed_sealed(&p, in, piece);
    const struct secure *s = p.end.secure;
    struct outcome o = {s->state, s->error, p.end.got_len, p.answer_len};
    assert((s->state == SECURE_FAILED) == (s->error != 0));
    assert(s->state != SECURE_FAILED || s->problem.text[0] != '\0');
    assert(kind != KIND_RECORDS || p.end.got_len == 0); /* nobody guesses a tag */
    if (kind != KIND_HANDSHAKE)
        stranger_done(&p.stranger);
    tls_cert_done(&p.cert);
    end_done(&p.end);
    world_done(&p.world);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes in = bytes_of(data, size);
    uint8_t choice = fuzz_u8(&in);
    bool initiator = choice & 1;
    unsigned kind = (choice >> 1) % KINDS;
    struct outcome whole = play(in, initiator, kind, SIZE_MAX);
    struct outcome cut = play(in, initiator, kind, PIECE);
    assert(whole.state == cut.state);
    assert(whole.error == cut.error);
    assert(whole.got_len == cut.got_len);
    return 0;
}
