/* SPDX-License-Identifier: MIT */
#include "transport/proto/noise.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/crypto/aead.h"
#include "core/crypto/hash.h"
#include "core/crypto/x25519.h"
#include "core/p2p/protocol_id.h"
#include "transport/proto/noise_payload.h"

/* Also the first hash and the first chaining key: it is as long as they are. */
#define NAME "Noise_XX_25519_ChaChaPoly_SHA256"

_Static_assert(sizeof(NAME) - 1 == SHA256_BYTES, "a longer name would be hashed");

enum {
    HEADER_BYTES = 2,
    STATIC_BYTES = X25519_BYTES + CHACHA_TAG_BYTES, /* a static key, sealed */
    MESSAGE_1_BYTES = X25519_BYTES,
    MESSAGE_2_BYTES_MIN = X25519_BYTES + STATIC_BYTES + CHACHA_TAG_BYTES,
    MESSAGE_3_BYTES_MIN = STATIC_BYTES + CHACHA_TAG_BYTES,
    OUT_BYTES_MAX = HEADER_BYTES + MESSAGE_2_BYTES_MIN + NOISE_PAYLOAD_BYTES,
};

_Static_assert(4 * (HEADER_BYTES + NOISE_PLAIN_MAX + CHACHA_TAG_BYTES) <= 64 << 10, "four a slab");

struct keypair {
    uint8_t secret[X25519_BYTES];
    uint8_t point[X25519_BYTES];
};

/* Noise's CipherState. */
struct cipher {
    uint64_t nonce;
    uint8_t key[CHACHA_KEY_BYTES];
};

struct handshake {
    /* SymmetricState */
    struct cipher cipher;
    uint8_t chain[SHA256_BYTES];
    uint8_t hash[SHA256_BYTES];

    struct keypair static_pair;
    struct keypair ephemeral;
    uint8_t peer_static[X25519_BYTES];
    uint8_t peer_ephemeral[X25519_BYTES];

    /* The message that is being read, and the one that waits to be pulled. */
    uint8_t header[HEADER_BYTES];
    uint8_t header_got;
    uint8_t *message;
    size_t message_len;
    size_t message_got;
    size_t out_len;
    size_t out_sent;
    uint8_t out[OUT_BYTES_MAX];
};

struct noise {
    struct secure secure;
    struct mem *mem;
    const struct identity *identity;
    struct peer_id expected;
    bool initiator;
    bool has_ephemeral;          /* a responder that has read message 1 */
    struct handshake *handshake; /* until its last message is pulled */
    struct cipher seal;
    struct cipher open;
};

static struct noise *noise_of(struct secure *s) {
    return CONTAINER_OF(s, struct noise, secure);
}

static void forget_message(struct noise *n) {
    n->handshake->message = mem_free(n->mem, n->handshake->message);
    n->handshake->header_got = 0;
}

static void forget_handshake(struct noise *n) {
    if (n->handshake == NULL)
        return;
    forget_message(n);
    mem_wipe(n->handshake, sizeof(*n->handshake));
    n->handshake = mem_free(n->mem, n->handshake);
}

/* The problem's text, if any, is set already. */
static void fail(struct noise *n, int error) {
    assert(error < 0);
    assert(n->secure.state == SECURE_HANDSHAKE || n->secure.state == SECURE_OPEN);
    n->secure.state = SECURE_FAILED;
    n->secure.error = error;
    forget_handshake(n);
    mem_wipe(&n->seal, sizeof(n->seal));
    mem_wipe(&n->open, sizeof(n->open));
}

/* --- Noise's objects ------------------------------------------------------------------------- */

static void write_nonce(uint64_t counter, uint8_t out[CHACHA_NONCE_BYTES]) {
    memset(out, 0, CHACHA_NONCE_BYTES);
    for (size_t i = 0; i < sizeof(counter); i++)
        out[4 + i] = (uint8_t)(counter >> (8 * i));
}

static void cipher_seal(struct cipher *c, struct bytes associated, struct bytes plain,
                        uint8_t *out) {
    uint8_t nonce[CHACHA_NONCE_BYTES];
    write_nonce(c->nonce++, nonce);
    chacha_seal(c->key, nonce, associated, plain, out);
}

static int cipher_open(struct cipher *c, struct bytes associated, struct bytes sealed,
                       uint8_t *out) {
    uint8_t nonce[CHACHA_NONCE_BYTES];
    write_nonce(c->nonce++, nonce);
    return chacha_open(c->key, nonce, associated, sealed, out);
}

static void mix_hash(struct handshake *h, struct bytes data) {
    sha256_joined(BYTES_OF(h->hash), data, h->hash);
}

/* The two keys that follow from the chaining key and `input`. */
static void derive(const struct handshake *h, struct bytes input, uint8_t out[2 * SHA256_BYTES]) {
    hkdf_sha256(BYTES_OF(h->chain), input, BYTES_EMPTY, out, 2 * (size_t)SHA256_BYTES);
}

/* MixKey() with what our secret and the peer's point share. */
static int mix_shared(struct handshake *h, const uint8_t secret[X25519_BYTES],
                      const uint8_t point[X25519_BYTES]) {
    uint8_t shared[X25519_BYTES];
    uint8_t keys[2 * SHA256_BYTES];
    int e = x25519_shared(secret, point, shared);
    if (e < 0)
        return e;
    derive(h, BYTES_OF(shared), keys);
    memcpy(h->chain, keys, SHA256_BYTES);
    memcpy(h->cipher.key, keys + SHA256_BYTES, CHACHA_KEY_BYTES);
    h->cipher.nonce = 0;
    mem_wipe(shared, sizeof(shared));
    mem_wipe(keys, sizeof(keys));
    return 0;
}

/* EncryptAndHash(), behind what is in `out` already. */
static void put_sealed(struct handshake *h, struct bytes plain) {
    uint8_t *at = h->out + h->out_len;
    assert(plain.len + CHACHA_TAG_BYTES <= sizeof(h->out) - h->out_len);
    cipher_seal(&h->cipher, BYTES_OF(h->hash), plain, at);
    mix_hash(h, bytes_of(at, plain.len + CHACHA_TAG_BYTES));
    h->out_len += plain.len + CHACHA_TAG_BYTES;
}

/* DecryptAndHash(), where the bytes lie. */
static int take_sealed(struct handshake *h, uint8_t *at, size_t len) {
    uint8_t before[SHA256_BYTES];
    memcpy(before, h->hash, sizeof(before));
    mix_hash(h, bytes_of(at, len)); /* of the ciphertext: opening overwrites it */
    return cipher_open(&h->cipher, BYTES_OF(before), bytes_of(at, len), at);
}

/* --- messages of ours ------------------------------------------------------------------------ */

static void begin_message(struct handshake *h) {
    assert(h->out_sent == h->out_len);
    h->out_len = HEADER_BYTES;
    h->out_sent = 0;
}

static void end_message(struct handshake *h) {
    size_t len = h->out_len - HEADER_BYTES;
    h->out[0] = (uint8_t)(len >> 8);
    h->out[1] = (uint8_t)len;
}

static void put_ephemeral(struct handshake *h) {
    memcpy(h->out + h->out_len, h->ephemeral.point, X25519_BYTES);
    h->out_len += X25519_BYTES;
    mix_hash(h, BYTES_OF(h->ephemeral.point));
}

static int put_payload(struct noise *n) {
    struct handshake *h = n->handshake;
    uint8_t payload[NOISE_PAYLOAD_BYTES];
    int e = noise_payload_seal(n->identity, h->static_pair.point, payload);
    if (e < 0)
        return problem_set(&n->secure.problem, e, "our static key cannot be signed");
    put_sealed(h, BYTES_OF(payload));
    end_message(h);
    return 0;
}

/* "e", and an empty payload in the clear. */
static void write_message_1(struct handshake *h) {
    begin_message(h);
    put_ephemeral(h);
    mix_hash(h, BYTES_EMPTY);
    end_message(h);
}

/* "e, ee, s, es" */
static int write_message_2(struct noise *n) {
    struct handshake *h = n->handshake;
    begin_message(h);
    put_ephemeral(h);
    int e = mix_shared(h, h->ephemeral.secret, h->peer_ephemeral);
    if (e < 0)
        return e;
    put_sealed(h, BYTES_OF(h->static_pair.point));
    e = mix_shared(h, h->static_pair.secret, h->peer_ephemeral);
    return e < 0 ? e : put_payload(n);
}

/* "s, se" */
static int write_message_3(struct noise *n) {
    struct handshake *h = n->handshake;
    begin_message(h);
    put_sealed(h, BYTES_OF(h->static_pair.point));
    int e = mix_shared(h, h->static_pair.secret, h->peer_ephemeral);
    return e < 0 ? e : put_payload(n);
}

/* --- messages of the peer -------------------------------------------------------------------- */

static void take_ephemeral(struct handshake *h) {
    memcpy(h->peer_ephemeral, h->message, X25519_BYTES);
    mix_hash(h, BYTES_OF(h->peer_ephemeral));
}

static int take_static(struct handshake *h, uint8_t *at) {
    int e = take_sealed(h, at, STATIC_BYTES);
    if (e == 0)
        memcpy(h->peer_static, at, X25519_BYTES);
    return e;
}

/* Who it is counts even when it is not who was expected: the signature is checked first. */
static int check_peer(struct noise *n, const struct peer_id *met) {
    char expected[PEER_ID_TEXT_MAX];
    char text[PEER_ID_TEXT_MAX];
    n->secure.peer = *met;
    if (peer_id_is_none(&n->expected) || peer_id_equal(&n->expected, met))
        return 0;
    return problem_set(&n->secure.problem, -ERR_PEER_ID_MISMATCH, "expected %s, met %s",
                       peer_id_format(&n->expected, expected), peer_id_format(met, text));
}

/* From `at` to the end of the message. */
static int take_payload(struct noise *n, uint8_t *at) {
    struct handshake *h = n->handshake;
    struct noise_peer peer;
    size_t len = (size_t)(h->message + h->message_len - at);
    int e = take_sealed(h, at, len);
    if (e < 0)
        return e;
    e = noise_payload_open(bytes_of(at, len - CHACHA_TAG_BYTES), h->peer_static, &peer,
                           &n->secure.problem);
    if (e < 0)
        return e;
    n->secure.muxer = peer.has_yamux ? PROTOCOL_YAMUX : NULL;
    return check_peer(n, &peer.id);
}

/* Split(): the first key is the initiator's. */
static void open_channel(struct noise *n) {
    uint8_t keys[2 * SHA256_BYTES];
    derive(n->handshake, BYTES_EMPTY, keys);
    memcpy(n->initiator ? n->seal.key : n->open.key, keys, CHACHA_KEY_BYTES);
    memcpy(n->initiator ? n->open.key : n->seal.key, keys + SHA256_BYTES, CHACHA_KEY_BYTES);
    mem_wipe(keys, sizeof(keys));
    n->secure.state = SECURE_OPEN;
}

static int read_message_1(struct noise *n) {
    struct handshake *h = n->handshake;
    take_ephemeral(h);
    mix_hash(h, BYTES_EMPTY);
    n->has_ephemeral = true;
    return write_message_2(n);
}

static int read_message_2(struct noise *n) {
    struct handshake *h = n->handshake;
    take_ephemeral(h);
    int e = mix_shared(h, h->ephemeral.secret, h->peer_ephemeral);
    if (e == 0)
        e = take_static(h, h->message + X25519_BYTES);
    if (e == 0)
        e = mix_shared(h, h->ephemeral.secret, h->peer_static);
    if (e == 0)
        e = take_payload(n, h->message + X25519_BYTES + STATIC_BYTES);
    if (e == 0)
        e = write_message_3(n);
    if (e == 0)
        open_channel(n);
    return e;
}

static int read_message_3(struct noise *n) {
    struct handshake *h = n->handshake;
    int e = take_static(h, h->message);
    if (e == 0)
        e = mix_shared(h, h->ephemeral.secret, h->peer_static);
    if (e == 0)
        e = take_payload(n, h->message + STATIC_BYTES);
    if (e == 0)
        open_channel(n);
    return e;
}

static void read_message(struct noise *n) {
    int e;
    if (n->initiator)
        e = read_message_2(n);
    else
        e = n->has_ephemeral ? read_message_3(n) : read_message_1(n);
    /* What the primitives refuse is the peer's doing; the others have said what is wrong. */
    if (e < 0 && n->secure.problem.text[0] == '\0')
        e = problem_set(&n->secure.problem, -ERR_HANDSHAKE, "the peer's message %s",
                        e == -ERR_BAD_KEY ? "has a key of low order" : "is not authentic");
    if (e < 0)
        fail(n, e);
    else if (n->secure.state == SECURE_OPEN && !n->initiator)
        forget_handshake(n);
    else
        forget_message(n);
}

/* --- bytes ----------------------------------------------------------------------------------- */

/* The length of the next message is known: is it possible? */
static int begin_reading(struct noise *n) {
    struct handshake *h = n->handshake;
    size_t len = (size_t)h->header[0] << 8 | h->header[1];
    size_t min = MESSAGE_2_BYTES_MIN;
    size_t max = NOISE_HANDSHAKE_MAX;
    if (!n->initiator) {
        min = n->has_ephemeral ? MESSAGE_3_BYTES_MIN : MESSAGE_1_BYTES;
        max = n->has_ephemeral ? NOISE_HANDSHAKE_MAX : MESSAGE_1_BYTES;
    }
    if (len < min || len > max)
        return problem_set(&n->secure.problem, -ERR_HANDSHAKE,
                           "the peer's message cannot have %zu bytes", len);
    h->message = mem_alloc(n->mem, len);
    h->message_len = len;
    h->message_got = 0;
    return h->message == NULL ? -ENOMEM : 0;
}

static size_t take(struct noise *n, struct bytes in) {
    struct handshake *h = n->handshake;
    if (h->header_got < HEADER_BYTES) {
        h->header[h->header_got++] = in.data[0];
        int e = h->header_got == HEADER_BYTES ? begin_reading(n) : 0;
        if (e < 0)
            fail(n, e);
        return 1;
    }
    size_t taken = MIN(in.len, h->message_len - h->message_got);
    memcpy(h->message + h->message_got, in.data, taken);
    h->message_got += taken;
    if (h->message_got == h->message_len)
        read_message(n);
    return taken;
}

static size_t recv_handshake(struct secure *s, struct bytes in) {
    struct noise *n = noise_of(s);
    size_t taken = 0;
    while (taken < in.len && s->state == SECURE_HANDSHAKE &&
           n->handshake->out_sent == n->handshake->out_len)
        taken += take(n, bytes_skip(in, taken));
    return taken;
}

static size_t pull(struct secure *s, void *out, size_t size) {
    struct noise *n = noise_of(s);
    struct handshake *h = n->handshake;
    if (h == NULL)
        return 0;
    size_t len = MIN(size, h->out_len - h->out_sent);
    if (len > 0)
        memcpy(out, h->out + h->out_sent, len);
    h->out_sent += len;
    if (s->state == SECURE_OPEN && h->out_sent == h->out_len)
        forget_handshake(n);
    return len;
}

static ssize_t body_size(struct secure *s, const uint8_t *header) {
    struct noise *n = noise_of(s);
    assert(s->state != SECURE_HANDSHAKE);
    if (s->state == SECURE_FAILED)
        return s->error;
    size_t len = (size_t)header[0] << 8 | header[1];
    if (len >= CHACHA_TAG_BYTES)
        return (ssize_t)len;
    fail(n, problem_set(&s->problem, -ERR_PROTOCOL_VIOLATION, "a record of %zu bytes", len));
    return s->error;
}

/* The counter's last value is never used: Noise, section 5.1. */
static bool is_used_up(const struct cipher *c) {
    return c->nonce == UINT64_MAX;
}

static int open_record(struct secure *s, const uint8_t *header, uint8_t *body, size_t body_len,
                       struct bytes *ret_plain) {
    struct noise *n = noise_of(s);
    (void)header; /* not authenticated */
    assert(s->state != SECURE_HANDSHAKE);
    if (s->state == SECURE_FAILED)
        return s->error;
    assert(body_len >= CHACHA_TAG_BYTES);
    unsigned long long number = n->open.nonce;
    if (is_used_up(&n->open) ||
        cipher_open(&n->open, BYTES_EMPTY, bytes_of(body, body_len), body) < 0) {
        fail(n, problem_set(&s->problem, -ERR_PROTOCOL_VIOLATION, "record %llu is not authentic",
                            number));
        return s->error;
    }
    *ret_plain = bytes_of(body, body_len - CHACHA_TAG_BYTES);
    return 0;
}

static size_t seal_record(struct secure *s, struct bytes plain, uint8_t *out) {
    struct noise *n = noise_of(s);
    assert(s->state != SECURE_HANDSHAKE);
    assert(plain.len > 0);
    assert(plain.len <= NOISE_PLAIN_MAX);
    if (s->state == SECURE_FAILED)
        return 0;
    if (is_used_up(&n->seal)) {
        fail(n, problem_set(&s->problem, -ERR_LIMIT, "the channel's keys are used up"));
        return 0;
    }
    size_t len = plain.len + CHACHA_TAG_BYTES;
    out[0] = (uint8_t)(len >> 8);
    out[1] = (uint8_t)len;
    cipher_seal(&n->seal, BYTES_EMPTY, plain, out + HEADER_BYTES);
    return HEADER_BYTES + len;
}

static void close_nothing(struct secure *s) {
    (void)s; /* Noise has no word for it */
}

static void noise_free(struct secure *s) {
    struct noise *n = noise_of(s);
    struct mem *mem = n->mem;
    forget_handshake(n);
    mem_wipe(n, sizeof(*n));
    (void)mem_free(mem, n);
}

static const struct secure_ops ops = {
    .protocol = PROTOCOL_NOISE,
    .header_bytes = HEADER_BYTES,
    .overhead_max = HEADER_BYTES + CHACHA_TAG_BYTES,
    .plain_max = NOISE_PLAIN_MAX,
    .recv = recv_handshake,
    .pull = pull,
    .body_size = body_size,
    .open = open_record,
    .seal = seal_record,
    .close = close_nothing,
    .free = noise_free,
};

static void keypair_generate(struct rng *rng, struct keypair *ret_pair) {
    rng_fill(rng, ret_pair->secret, sizeof(ret_pair->secret));
    x25519_public(ret_pair->secret, ret_pair->point);
}

int noise_new(const struct noise_config *cfg, struct secure **ret_secure) {
    struct noise *n = mem_alloc(cfg->mem, sizeof(*n));
    struct handshake *h = mem_alloc(cfg->mem, sizeof(*h));
    if (n == NULL || h == NULL) {
        (void)mem_free(cfg->mem, n);
        (void)mem_free(cfg->mem, h);
        return -ENOMEM;
    }
    *n = (struct noise){
        .secure = {.ops = &ops, .state = SECURE_HANDSHAKE},
        .mem = cfg->mem,
        .identity = cfg->identity,
        .expected = cfg->expected == NULL ? PEER_ID_NONE : *cfg->expected,
        .initiator = cfg->initiator,
        .handshake = h,
    };
    keypair_generate(cfg->rng, &h->static_pair);
    keypair_generate(cfg->rng, &h->ephemeral);
    memcpy(h->hash, NAME, sizeof(h->hash));
    memcpy(h->chain, NAME, sizeof(h->chain));
    mix_hash(h, BYTES_EMPTY); /* the prologue */
    if (cfg->initiator)
        write_message_1(h);
    *ret_secure = &n->secure;
    return 0;
}
