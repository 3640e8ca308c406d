/* SPDX-License-Identifier: MIT */
/* Noise, script: two ends over a link that cuts, delays and, once in a while, changes bytes.
 * Oracles: an unharmed link opens both ends and carries everything; a harmed one never gives a
 * reader anything but the beginning of what was sent, nor makes it believe in another peer. */
#include "core/base/err.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_mem.h"
#include "tests/support/noise_pair.h"

enum { LINK_MAX = 1 << 16, PLAIN_ONCE_MAX = 600, MEM_MAX = 32 << 10 };

/* One direction. */
struct link {
    bool harmed;
    size_t len;    /* bytes in flight */
    uint64_t sent; /* plaintext bytes, whose values are their positions' */
    uint64_t delivered;
    size_t record_len; /* of a record that has come in part */
    uint8_t bytes[LINK_MAX];
    uint8_t record[2 + SECURE_BODY_MAX];
};

struct bed {
    struct noise_pair pair;
    struct link links[2]; /* by sender */
};

static uint8_t value_at(uint64_t position) {
    return (uint8_t)(position * 0x9e3779b97f4a7c15 >> 56);
}

static void pull(struct bed *b, int from, size_t max) {
    struct link *l = &b->links[from];
    l->len += secure_pull(b->pair.ends[from], l->bytes + l->len, MIN(max, LINK_MAX - l->len));
}

static void seal(struct bed *b, int from, size_t len) {
    struct link *l = &b->links[from];
    struct secure *s = b->pair.ends[from];
    uint8_t plain[PLAIN_ONCE_MAX];
    pull(b, from, SIZE_MAX); /* the end of the handshake goes first */
    if (s->state != SECURE_OPEN || LINK_MAX - l->len < len + s->ops->overhead_max)
        return;
    for (size_t i = 0; i < len; i++)
        plain[i] = value_at(l->sent + i);
    l->len += secure_seal(s, bytes_of(plain, len), l->bytes + l->len);
    l->sent += len;
}

static void drop(struct link *l, size_t n) {
    memmove(l->bytes, l->bytes + n, l->len - n);
    l->len -= n;
}

static void open_record(struct bed *b, int from) {
    struct link *l = &b->links[from];
    struct bytes plain;
    int e = secure_open(b->pair.ends[!from], l->record, l->record + 2, l->record_len - 2, &plain);
    l->record_len = 0;
    assert(e == 0 || l->harmed);
    if (e < 0)
        return;
    for (size_t i = 0; i < plain.len; i++)
        assert(plain.data[i] == value_at(l->delivered + i));
    l->delivered += plain.len;
    assert(l->delivered <= l->sent);
}

/* Up to `max` bytes of the link reach the other end. */
static void deliver(struct bed *b, int from, size_t max) {
    struct link *l = &b->links[from];
    struct secure *s = b->pair.ends[!from];
    size_t offered = MIN(max, l->len);
    if (s->state == SECURE_HANDSHAKE) {
        drop(l, secure_recv(s, bytes_of(l->bytes, offered)));
        return;
    }
    for (; offered > 0 && s->state == SECURE_OPEN; offered--) {
        l->record[l->record_len++] = l->bytes[0];
        drop(l, 1);
        if (l->record_len < 2)
            continue;
        ssize_t body_len = secure_body_size(s, l->record);
        assert(body_len >= 0 || l->harmed);
        if (body_len >= 0 && l->record_len == 2 + (size_t)body_len)
            open_record(b, from);
    }
}

static void harm(struct link *l, uint8_t how) {
    size_t at = how % 64;
    if (l->len <= at)
        return;
    l->harmed = true;
    l->bytes[at] ^= (uint8_t)(1u << (how >> 6));
}

static void step(struct bed *b, uint8_t op, uint8_t operand) {
    int from = op & 1;
    switch (op / 2 % 8) {
    case 0:
    case 1:
        pull(b, from, (size_t)operand + 1);
        break;
    case 2:
    case 3:
    case 4:
        deliver(b, from, (size_t)operand * 4 + 1);
        break;
    case 5:
    case 6:
        seal(b, from, (size_t)operand * 2 + 1);
        break;
    default:
        harm(&b->links[from], operand);
        break;
    }
}

static void check_end(struct bed *b) {
    bool harmed = b->links[0].harmed || b->links[1].harmed;
    for (int i = 0; i < 2; i++) {
        struct secure *s = b->pair.ends[i];
        if (s->state == SECURE_OPEN)
            assert(peer_id_equal(&s->peer, &b->pair.identities[!i].id));
        if (!harmed) {
            assert(s->state == SECURE_OPEN);
            assert(strcmp(s->muxer, "/yamux/1.0.0") == 0);
            assert(b->links[i].delivered == b->links[i].sent);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes script = bytes_of(data, size);
    struct fuzz_mem mem = fuzz_mem_make(MEM_MAX, 0);
    struct bed *b = calloc(1, sizeof(*b));
    assert(b != NULL);
    noise_pair_init(&b->pair, &mem.mem, fuzz_u8(&script), NULL);
    while (script.len > 0) {
        uint8_t op = fuzz_u8(&script);
        step(b, op, fuzz_u8(&script));
    }
    for (int i = 0; i < 4; i++) /* what is still to be said, and read */
        for (int from = 0; from < 2; from++) {
            pull(b, from, SIZE_MAX);
            deliver(b, from, SIZE_MAX);
            deliver(b, from, SIZE_MAX);
        }
    check_end(b);
    noise_pair_done(&b->pair);
    assert(mem.used == 0);
    free(b);
    return 0;
}
