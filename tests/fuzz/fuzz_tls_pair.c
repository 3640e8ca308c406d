/* SPDX-License-Identifier: MIT */
/* Two TLS channels, script: both sides write records of any size, change keys, say goodbye, while
 * what is under way is delivered in pieces, or changed.
 *
 * What arrives is what was sent, in order, and all of it while nobody changed a bit; after a change
 * the side that gets it fails and has got nothing wrong. */

#include "tests/fuzz/fuzz.h"
#include "tests/unit/transport_tls/channel.h"

enum { STEPS_MAX = 300, WIRE_MAX = 1 << 18, WRITTEN_MAX = 1 << 17 };

struct side {
    struct end end;
    uint8_t *wire; /* from this side, not delivered */
    size_t wire_len;
    uint64_t written;
    uint64_t got;
    bool closed;
    bool changed; /* what came to this side */
};

static uint8_t pattern_at(unsigned side, uint64_t at) {
    return (uint8_t)((at * 7 + side) * 2654435761u >> 11);
}

static void say(struct side *s) {
    s->wire_len += end_pull(&s->end, s->wire + s->wire_len, WIRE_MAX - s->wire_len);
}

static bool can_write(const struct side *s) {
    enum secure_state state = s->end.secure->state;
    return (state == SECURE_OPEN || state == SECURE_ENDED) && !s->closed;
}

static void write_bytes(struct side *s, unsigned side, size_t len, size_t piece) {
    static uint8_t plain[WRITTEN_MAX];
    if (!can_write(s) || len == 0 || s->written + len > WRITTEN_MAX)
        return;
    size_t records = len / piece + 1;
    if (WIRE_MAX - s->wire_len < len + records * s->end.secure->ops->overhead_max)
        return;
    for (size_t i = 0; i < len; i++)
        plain[i] = pattern_at(side, s->written + i);
    s->wire_len += end_write(&s->end, bytes_of(plain, len), piece, s->wire + s->wire_len,
                             WIRE_MAX - s->wire_len);
    s->written += len;
}

static void check_got(struct side *to, unsigned from) {
    for (size_t i = 0; i < to->end.got_len; i++)
        assert(to->end.got[i] == pattern_at(from, to->got + i));
    to->got += to->end.got_len;
    to->end.got_len = 0;
}

static void deliver(struct side *from, struct side *to, unsigned from_side, size_t n) {
    n = MIN(n, from->wire_len);
    if (to->end.secure->state <= SECURE_OPEN) {
        end_receive(&to->end, bytes_of(from->wire, n));
        say(to);
        check_got(to, from_side);
    }
    memmove(from->wire, from->wire + n, from->wire_len - n);
    from->wire_len -= n;
    assert(to->got <= from->written);
}

static void step(struct side sides[2], struct bytes *script) {
    uint8_t op = fuzz_u8(script), operand = fuzz_u8(script);
    unsigned side = op >> 7;
    struct side *s = &sides[side];
    struct side *other = &sides[!side];
    say(s);
    switch (op & 7) {
    case 0:
        write_bytes(s, side, 1 + operand * 257u, 16384);
        break;
    case 1:
        write_bytes(s, side, 1 + operand, 1 + (op >> 3 & 15));
        break;
    case 2:
        deliver(s, other, side, operand);
        break;
    case 3:
        deliver(s, other, side, operand * 1024u);
        break;
    case 4:
        if (can_write(s)) {
            secure_close(s->end.secure);
            s->closed = true;
            say(s);
        }
        break;
    case 5:
        if (s->wire_len > 0) {
            s->wire[(size_t)operand * s->wire_len / 256] ^= (uint8_t)(1 << (op >> 3 & 7));
            other->changed = true;
        }
        break;
    default:
        deliver(s, other, side, WIRE_MAX);
        break;
    }
}

static void settle(struct side sides[2]) {
    for (int i = 0; i < 8; i++) {
        for (unsigned side = 0; side < 2; side++) {
            say(&sides[side]);
            deliver(&sides[side], &sides[!side], side, WIRE_MAX);
        }
    }
    if (sides[0].changed || sides[1].changed)
        return;
    for (unsigned side = 0; side < 2; side++) {
        assert(sides[side].end.secure->state == (sides[!side].closed ? SECURE_ENDED : SECURE_OPEN));
        assert(sides[side].got == sides[!side].written);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes script = bytes_of(data, size);
    struct world world;
    struct side sides[2] = {{.written = 0}, {.written = 0}};
    world_init(&world);
    uint8_t keys = fuzz_u8(&script);
    for (unsigned side = 0; side < 2; side++) {
        struct side *s = &sides[side];
        end_init(&s->end, &world, (uint8_t)(1 + side));
        s->end.records_per_key_max = keys >> 4 * side & 15;
        s->wire = malloc(WIRE_MAX);
        assert(s->wire != NULL);
        end_open(&s->end, side == 0, NULL);
    }
    for (int i = 0; i < STEPS_MAX && script.len > 0; i++)
        step(sides, &script);
    settle(sides);
    for (unsigned side = 0; side < 2; side++) {
        end_done(&sides[side].end);
        free(sides[side].wire);
    }
    world_done(&world);
    return 0;
}
