/* SPDX-License-Identifier: MIT */
/* The messages of spliced paths, raw, and the relay's book of tokens as a script.  Oracles: what is
 * written of a message that was read, reads back as the same; a model of the book says the same of
 * each token, and its limits hold. */
#include "core/base/err.h"
#include "core/base/frame.h"
#include "relay/proto/splice_book.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/fixed_rng.h"

static void check_message(struct bytes in) {
    uint8_t memory[SPLICE_MSG_MAX];
    uint8_t out[2][SPLICE_OUT_MAX];
    struct splice_msg m, again;
    struct frame f;
    int e = splice_msg_decode(in, &m);
    assert(e == 0 || e == -ERR_TRUNCATED || e == -ERR_MALFORMED || e == -ERR_BAD_PEER_ID);
    if (e < 0)
        return;
    if (m.type == SPLICE_OTHER)
        m.type = SPLICE_STATUS;
    size_t n = splice_msg_encode(&m, out[0]);
    frame_init(&f, memory, sizeof(memory));
    ssize_t taken = frame_recv(&f, bytes_of(out[0], n));
    assert(taken == (ssize_t)n);
    assert(frame_is_whole(&f));
    e = splice_msg_decode(frame_body(&f), &again);
    assert(e == 0);
    assert(splice_msg_encode(&again, out[1]) == n);
    assert(memcmp(out[0], out[1], n) == 0);
}

enum { TICKETS = SPLICE_TICKETS_MAX + 8, PEERS = 40 };

struct model {
    struct splice_book book;
    struct fixed_rng rng;
    struct splice_ticket tickets[TICKETS];
    uint8_t tokens[TICKETS][SPLICE_SIDES][SPLICE_TOKEN_BYTES]; /* also of those that are gone */
    bool is_in[TICKETS];
    bool is_used[TICKETS][SPLICE_SIDES];
    nsec_t now;
};

static struct peer_id peer(uint8_t n) {
    return (struct peer_id){.len = 3, .bytes = {0, 1, (uint8_t)(n % PEERS)}};
}

/* `destination` NULL: whichever. */
static uint32_t count_of(const struct model *m, const struct peer_id *source,
                         const struct peer_id *destination) {
    uint32_t count = 0;
    for (int i = 0; i < TICKETS; i++)
        count += m->is_in[i] && peer_id_equal(&m->tickets[i].peers[0], source) &&
                 (destination == NULL || peer_id_equal(&m->tickets[i].peers[1], destination));
    return count;
}

static uint32_t count_pair(const struct model *m, const struct peer_id *a,
                           const struct peer_id *b) {
    bool is_self = peer_id_equal(a, b);
    return count_of(m, a, b) + (is_self ? 0 : count_of(m, b, a));
}

static uint32_t count_all(const struct model *m) {
    uint32_t count = 0;
    for (int i = 0; i < TICKETS; i++)
        count += m->is_in[i];
    return count;
}

static void issue(struct model *m, int i, struct bytes *script) {
    struct peer_id source = peer(fuzz_u8(script));
    struct peer_id destination = peer(fuzz_u8(script));
    if (m->is_in[i])
        return;
    bool has_room = count_all(m) < SPLICE_TICKETS_MAX &&
                    count_of(m, &source, NULL) < SPLICE_TICKETS_PER_SOURCE_MAX &&
                    count_pair(m, &source, &destination) < SPLICE_TICKETS_PER_PAIR_MAX;
    int e = splice_book_issue(&m->book, &m->tickets[i], &source, &destination, m->now);
    assert(e == (has_room ? 0 : -ERR_LIMIT));
    if (e < 0)
        return;
    m->is_in[i] = true;
    memset(m->is_used[i], 0, sizeof(m->is_used[i]));
    memcpy(m->tokens[i], m->tickets[i].tokens, sizeof(m->tokens[i]));
}

static void redeem(struct model *m, int i, struct bytes *script) {
    enum splice_side side = (enum splice_side)(fuzz_u8(script) % SPLICE_SIDES);
    enum splice_side got = SPLICE_SIDES;
    uint8_t flip = fuzz_u8(script);
    uint8_t token[SPLICE_TOKEN_BYTES];
    memcpy(token, m->tokens[i][side], sizeof(token));
    token[flip % SPLICE_TOKEN_BYTES] ^= flip >> 5;
    bool is_good =
        m->is_in[i] && !m->is_used[i][side] && flip >> 5 == 0 && m->now < m->tickets[i].deadline;
    struct splice_ticket *t = splice_book_redeem(&m->book, token, m->now, &got);
    assert(t == (is_good ? &m->tickets[i] : NULL));
    assert(got == (is_good ? side : SPLICE_SIDES));
    m->is_used[i][side] |= is_good;
    if (is_good)
        assert(splice_ticket_is_complete(t) == (m->is_used[i][0] && m->is_used[i][1]));
}

static void drop(struct model *m, int i) {
    splice_book_drop(&m->book, &m->tickets[i]);
    m->is_in[i] = false;
}

static void advance(struct model *m, struct bytes *script) {
    struct splice_ticket *t;
    m->now += fuzz_u8(script) * MSEC(100);
    while ((t = splice_book_expired(&m->book, m->now)) != NULL) {
        int i = (int)(t - m->tickets);
        assert(m->is_in[i]);
        assert(t->deadline <= m->now);
        drop(m, i);
    }
    assert(splice_book_deadline(&m->book) > m->now);
}

static void run_script(struct bytes script) {
    static struct model m;
    m = (struct model){.now = SEC(1)};
    fixed_rng_init(&m.rng, 1);
    splice_book_init(&m.book, &m.rng.rng, m.now);
    while (script.len > 0) {
        uint8_t what = fuzz_u8(&script);
        int i = fuzz_u8(&script) % TICKETS;
        if (what % 4 == 0)
            issue(&m, i, &script);
        else if (what % 4 == 1)
            redeem(&m, i, &script);
        else if (what % 4 == 2)
            drop(&m, i);
        else
            advance(&m, &script);
        assert(m.book.count == count_all(&m));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes in = bytes_of(data, size);
    uint8_t *copy = fuzz_copy(in);
    check_message(bytes_of(copy, size));
    run_script(bytes_of(copy, size));
    free(copy);
    return 0;
}
