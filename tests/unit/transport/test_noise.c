/* SPDX-License-Identifier: MIT */
/* Goal: both ends of Noise agree wherever the bytes are cut, and nothing but the whole, unchanged
 * handshake with the right peer opens a channel.
 * Spec: libp2p noise.md. */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/base/wr.h"
#include "core/crypto/x25519.h"
#include "tests/support/fail_mem.h"
#include "tests/support/noise_pair.h"

enum { MESSAGE_MAX = 512, RECORD_MAX = 2 + 65535, FOREVER = 64 };

/* What one end has to say. */
struct message {
    size_t len;
    uint8_t bytes[MESSAGE_MAX];
};

static struct message pull(struct secure *s) {
    struct message m;
    m.len = secure_pull(s, m.bytes, sizeof(m.bytes));
    return m;
}

/* Hands a message over in pieces; returns what was taken. */
static size_t feed(struct secure *s, struct bytes in, size_t piece) {
    size_t taken = 0;
    while (taken < in.len) {
        size_t n = secure_recv(s, bytes_of(in.data + taken, MIN(piece, in.len - taken)));
        if (n == 0)
            break;
        taken += n;
    }
    return taken;
}

/* Runs the handshake to its end with messages cut into pieces. */
static void shake(struct noise_pair *p, size_t piece) {
    for (int i = 0; i < 3; i++) {
        struct message m = pull(p->ends[i % 2]);
        cr_assert_gt(m.len, 0);
        cr_assert_eq(feed(p->ends[!(i % 2)], bytes_of(m.bytes, m.len), piece), m.len);
    }
}

/* The state before message `index` (0, 1, 2) arrives, and that message. */
static struct message before(struct noise_pair *p, int index) {
    noise_pair_init(p, mem_system(), 1, NULL);
    for (int i = 0; i < index; i++) {
        struct message m = pull(p->ends[i % 2]);
        cr_assert_eq(feed(p->ends[!(i % 2)], bytes_of(m.bytes, m.len), SIZE_MAX), m.len);
    }
    return pull(p->ends[index % 2]);
}

static struct secure *reader_of(struct noise_pair *p, int index) {
    return p->ends[!(index % 2)];
}

static void expect_open(const struct noise_pair *p) {
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(p->ends[i]->state, SECURE_OPEN, "%s", p->ends[i]->problem.text);
        cr_assert(peer_id_equal(&p->ends[i]->peer, &p->identities[!i].id));
        cr_assert_str_eq(p->ends[i]->muxer, "/yamux/1.0.0");
    }
}

/* One record from one end to the other. */
static void expect_carried(struct secure *from, struct secure *to, struct bytes plain) {
    static uint8_t record[RECORD_MAX];
    struct bytes got;
    size_t len = secure_seal(from, plain, record);
    cr_assert_eq(len, plain.len + from->ops->overhead_max);
    cr_assert_eq(secure_body_size(to, record), (ssize_t)(len - to->ops->header_bytes));
    cr_assert_eq(secure_open(to, record, record + 2, len - 2, &got), 0, "%s", to->problem.text);
    cr_assert(bytes_equal(got, plain));
}

static void expect_both_ways(struct noise_pair *p) {
    for (int i = 0; i < 4; i++) {
        expect_carried(p->ends[0], p->ends[1], BYTES_LIT("ping"));
        expect_carried(p->ends[1], p->ends[0], BYTES_LIT("pong, and more"));
    }
}

static void expect_failed(struct secure *s, int error) {
    uint8_t out[16];
    cr_assert_eq(s->state, SECURE_FAILED);
    cr_assert_eq(s->error, error, "%s: %s", err_name(s->error), s->problem.text);
    cr_assert_eq(secure_pull(s, out, sizeof(out)), 0, "Noise says nothing more");
    cr_assert_eq(secure_recv(s, BYTES_LIT("x")), 0);
    cr_assert_lt(secure_body_size(s, out), 0);
    cr_assert_eq(secure_seal(s, BYTES_LIT("x"), out), 0);
}

Test(noise, both_ends_agree_whatever_the_pieces) {
    for (size_t piece = 1; piece < 260; piece += piece < 40 ? 1 : 13) {
        struct noise_pair p;
        noise_pair_init(&p, mem_system(), piece, NULL);
        shake(&p, piece);
        expect_open(&p);
        expect_both_ways(&p);
        noise_pair_done(&p);
    }
}

Test(noise, messages_come_out_in_pieces_too) {
    struct noise_pair p;
    noise_pair_init(&p, mem_system(), 3, NULL);
    uint8_t byte;
    for (int turn = 0; turn < 3; turn++)
        while (secure_pull(p.ends[turn % 2], &byte, 1) == 1)
            cr_assert_eq(secure_recv(p.ends[!(turn % 2)], bytes_of(&byte, 1)), 1);
    expect_open(&p);
    expect_both_ways(&p);
    noise_pair_done(&p);
}

/* Records stand right behind message 3, and are not the handshake's to take. */
Test(noise, what_follows_the_handshake_is_left) {
    struct noise_pair p;
    struct message m = before(&p, 2);
    cr_assert_eq(p.ends[0]->state, SECURE_OPEN);
    size_t message_3 = m.len;
    m.len += secure_seal(p.ends[0], BYTES_LIT("early"), m.bytes + m.len);
    cr_assert_eq(secure_recv(p.ends[1], bytes_of(m.bytes, m.len)), message_3);
    cr_assert_eq(secure_recv(p.ends[1], bytes_skip(bytes_of(m.bytes, m.len), message_3)), 0);
    expect_open(&p);
    struct bytes got;
    uint8_t *record = m.bytes + message_3;
    cr_assert_eq(secure_open(p.ends[1], record, record + 2, m.len - message_3 - 2, &got), 0);
    cr_assert(bytes_equal(got, BYTES_LIT("early")));
    expect_both_ways(&p);
    noise_pair_done(&p);
}

/* The responder may send as soon as it has read message 3. */
Test(noise, the_responder_may_speak_first) {
    struct noise_pair p;
    noise_pair_init(&p, mem_system(), 4, NULL);
    shake(&p, SIZE_MAX);
    expect_carried(p.ends[1], p.ends[0], BYTES_LIT("me first"));
    expect_both_ways(&p);
    noise_pair_done(&p);
}

Test(noise, nothing_is_read_before_the_answer_is_pulled) {
    struct noise_pair p;
    struct message m = before(&p, 0);
    m.bytes[m.len] = 0;
    cr_assert_eq(secure_recv(p.ends[1], bytes_of(m.bytes, m.len + 1)), m.len);
    cr_assert_eq(secure_recv(p.ends[1], BYTES_LIT("x")), 0);
    struct message answer = pull(p.ends[1]);
    cr_assert_gt(answer.len, 0);
    cr_assert_eq(secure_recv(p.ends[1], BYTES_LIT("\0")), 1);
    noise_pair_done(&p);
}

Test(noise, a_message_that_ends_early_opens_nothing) {
    for (int index = 0; index < 3; index++) {
        struct noise_pair p;
        size_t whole = before(&p, index).len;
        noise_pair_done(&p);
        for (size_t len = 0; len < whole; len++) {
            struct message m = before(&p, index);
            cr_assert_eq(feed(reader_of(&p, index), bytes_of(m.bytes, len), 7), len);
            cr_assert_eq(reader_of(&p, index)->state, SECURE_HANDSHAKE);
            noise_pair_done(&p);
        }
    }
}

/* A shorter message whose length says so. */
Test(noise, a_message_cut_short_fails) {
    for (int index = 0; index < 3; index++) {
        struct noise_pair p;
        size_t whole = before(&p, index).len;
        noise_pair_done(&p);
        for (size_t len = 0; len < whole - 2; len++) {
            struct message m = before(&p, index);
            m.bytes[0] = (uint8_t)(len >> 8);
            m.bytes[1] = (uint8_t)len;
            (void)feed(reader_of(&p, index), bytes_of(m.bytes, 2 + len), SIZE_MAX);
            expect_failed(reader_of(&p, index), -ERR_HANDSHAKE);
            noise_pair_done(&p);
        }
    }
}

Test(noise, a_message_that_is_too_long_fails_at_its_length) {
    for (int index = 0; index < 3; index++) {
        struct noise_pair p;
        size_t max = index == 0 ? 32 : NOISE_HANDSHAKE_MAX;
        (void)before(&p, index);
        const uint8_t header[2] = {(uint8_t)((max + 1) >> 8), (uint8_t)(max + 1)};
        cr_assert_eq(feed(reader_of(&p, index), BYTES_OF(header), 1), 2);
        expect_failed(reader_of(&p, index), -ERR_HANDSHAKE);
        noise_pair_done(&p);
    }
}

/* A changed bit of message 1 shows at the initiator, as the hash differs; of the others at once.
 * The highest bit of an ephemeral key counts too: it is hashed. */
Test(noise, a_changed_bit_opens_nothing) {
    for (int index = 0; index < 3; index++) {
        struct noise_pair p;
        size_t whole = before(&p, index).len;
        noise_pair_done(&p);
        for (size_t bit = 16; bit < 8 * whole; bit += bit < 8 * 100 ? 1 : 11) {
            struct message m = before(&p, index);
            m.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            struct secure *reader = reader_of(&p, index);
            cr_assert_eq(feed(reader, bytes_of(m.bytes, m.len), SIZE_MAX), m.len);
            if (index == 0) {
                m = pull(reader);
                cr_assert_gt(m.len, 0);
                reader = p.ends[0];
                cr_assert_eq(feed(reader, bytes_of(m.bytes, m.len), SIZE_MAX), m.len);
            }
            expect_failed(reader, -ERR_HANDSHAKE);
            noise_pair_done(&p);
        }
    }
}

Test(noise, an_ephemeral_key_of_low_order_fails) {
    for (int index = 0; index < 2; index++) {
        struct noise_pair p;
        struct message m = before(&p, index);
        memset(m.bytes + 2, 0, X25519_BYTES);
        cr_assert_eq(feed(reader_of(&p, index), bytes_of(m.bytes, m.len), SIZE_MAX), m.len);
        expect_failed(reader_of(&p, index), -ERR_HANDSHAKE);
        cr_assert_not_null(strstr(reader_of(&p, index)->problem.text, "low order"));
        noise_pair_done(&p);
    }
}

Test(noise, who_is_not_expected_is_named) {
    struct noise_pair p;
    char text[PEER_ID_TEXT_MAX];
    struct identity other;
    const uint8_t seed[ED25519_SEED_BYTES] = {0xff};
    cr_assert_eq(identity_from_seed(seed, &other), 0);
    noise_pair_init(&p, mem_system(), 5, &other.id);
    for (int i = 0; i < 2; i++) {
        struct message m = pull(p.ends[i]);
        cr_assert_eq(feed(p.ends[!i], bytes_of(m.bytes, m.len), SIZE_MAX), m.len);
    }
    expect_failed(p.ends[0], -ERR_PEER_ID_MISMATCH);
    cr_assert(peer_id_equal(&p.ends[0]->peer, &p.identities[1].id), "whom we met");
    cr_assert_not_null(strstr(p.ends[0]->problem.text, peer_id_format(&other.id, text)));
    cr_assert_not_null(strstr(p.ends[0]->problem.text, peer_id_format(&p.identities[1].id, text)));
    noise_pair_done(&p);
}

Test(noise, records_of_all_sizes_are_sealed_in_place_or_from_elsewhere) {
    static uint8_t plain[NOISE_PLAIN_MAX], apart[NOISE_PLAIN_MAX + 18],
        placed[NOISE_PLAIN_MAX + 18];
    struct noise_pair p;
    struct fixed_rng rng;
    struct bytes got;
    noise_pair_init(&p, mem_system(), 6, NULL);
    shake(&p, SIZE_MAX);
    fixed_rng_init(&rng, 1);
    rng_fill(&rng.rng, plain, sizeof(plain));
    for (size_t len = 1; len <= NOISE_PLAIN_MAX;
         len = len == NOISE_PLAIN_MAX ? len + 1 : MIN(len * 3, (size_t)NOISE_PLAIN_MAX)) {
        memcpy(placed + 2, plain, len);
        cr_assert_eq(secure_seal(p.ends[0], bytes_of(plain, len), apart), len + 18);
        cr_assert_eq(secure_seal(p.ends[0], bytes_of(placed + 2, len), placed), len + 18);
        cr_assert_eq(secure_body_size(p.ends[1], apart), (ssize_t)len + 16);
        cr_assert_eq(secure_open(p.ends[1], apart, apart + 2, len + 16, &got), 0);
        cr_assert(bytes_equal(got, bytes_of(plain, len)), "%zu", len);
        cr_assert_eq(secure_open(p.ends[1], placed, placed + 2, len + 16, &got), 0);
        cr_assert(bytes_equal(got, bytes_of(plain, len)), "%zu", len);
        cr_assert_eq(got.data, placed + 2, "opened where it lies");
    }
    noise_pair_done(&p);
}

Test(noise, a_record_shorter_than_its_tag_fails) {
    for (uint8_t len = 0; len < 16; len++) {
        struct noise_pair p;
        noise_pair_init(&p, mem_system(), 7, NULL);
        shake(&p, SIZE_MAX);
        const uint8_t header[2] = {0, len};
        cr_assert_eq(secure_body_size(p.ends[1], header), -ERR_PROTOCOL_VIOLATION);
        expect_failed(p.ends[1], -ERR_PROTOCOL_VIOLATION);
        noise_pair_done(&p);
    }
}

Test(noise, a_record_changed_repeated_or_out_of_order_fails) {
    for (int what = 0; what < 3; what++) {
        struct noise_pair p;
        uint8_t records[3][32];
        struct bytes got;
        noise_pair_init(&p, mem_system(), 8, NULL);
        shake(&p, SIZE_MAX);
        for (int i = 0; i < 2; i++)
            cr_assert_eq(secure_seal(p.ends[0], BYTES_LIT("0123456789"), records[i]), 28);
        if (what == 0)
            records[0][20] ^= 1;
        memcpy(records[2], records[0], sizeof(records[2]));
        uint8_t *first = records[what == 1 ? 1 : 0];
        int e = secure_open(p.ends[1], first, first + 2, 26, &got);
        if (what == 2) {
            cr_assert_eq(e, 0);
            e = secure_open(p.ends[1], records[2], records[2] + 2, 26, &got);
        }
        cr_assert_eq(e, -ERR_PROTOCOL_VIOLATION);
        expect_failed(p.ends[1], -ERR_PROTOCOL_VIOLATION);
        noise_pair_done(&p);
    }
}

Test(noise, out_of_memory_fails_cleanly) {
    struct fail_mem f;
    for (fail_mem_start(&f);; fail_mem_again(&f)) {
        struct noise_pair p = {.ends = {NULL, NULL}};
        noise_pair_init(&p, mem_system(), 9, NULL);
        struct secure *s = NULL;
        struct noise_config cfg = {.mem = &f.mem, .rng = &p.rng.rng, .identity = &p.identities[1]};
        int e = noise_new(&cfg, &s);
        if (e == 0) {
            struct message m = pull(p.ends[0]);
            (void)feed(s, bytes_of(m.bytes, m.len), SIZE_MAX);
            m = pull(s);
            (void)feed(p.ends[0], bytes_of(m.bytes, m.len), SIZE_MAX);
            m = pull(p.ends[0]);
            (void)feed(s, bytes_of(m.bytes, m.len), SIZE_MAX);
            if (f.failed)
                expect_failed(s, -ENOMEM);
            else
                cr_assert_eq(s->state, SECURE_OPEN);
        } else {
            cr_assert_eq(e, -ENOMEM);
        }
        s = secure_free(s);
        noise_pair_done(&p);
        cr_assert_eq(f.blocks, 0);
        if (!f.failed)
            break;
    }
}

/* What an open channel keeps: the handshake's state is wiped and gone. */
Test(noise, an_open_channel_holds_one_block) {
    struct fail_mem f = {.mem = {.resize = fail_mem_resize}};
    struct noise_pair p;
    noise_pair_init(&p, &f.mem, 10, NULL);
    shake(&p, SIZE_MAX);
    expect_open(&p);
    cr_assert_eq(f.blocks, 2);
    noise_pair_done(&p);
    cr_assert_eq(f.blocks, 0);
}
