/* SPDX-License-Identifier: MIT */
/* multistream-select, script: an initiator and a responder talk over a link that cuts and delays,
 * and agree on the first candidate that the responder speaks. */

#include "core/base/err.h"
#include "tests/fuzz/fuzz.h"
#include "transport/proto/multistream.h"

enum { OUT_MAX = 1 << 14, NAMES_COUNT = 4, SPOKEN_COUNT = 2, STEPS_MAX = 4096 };

static const char *const NAMES[NAMES_COUNT] = {
    "/ipfs/ping/1.0.0",
    "/ipfs/id/1.0.0",
    "/tls/1.0.0",
    "/noise",
};

/* The driver's choice depends on nothing but the name. */
static bool is_spoken(struct bytes name) {
    for (size_t i = 0; i < SPOKEN_COUNT; i++)
        if (bytes_equal(name, bytes_of_str(NAMES[i])))
            return true;
    return false;
}

/* One end of the link: what was pulled from it and not yet taken by the other. */
struct end {
    struct multistream m;
    bool is_over;
    bool is_dead;
    struct bytes chosen;
    size_t sent_len;
    size_t read_len;
    uint8_t sent[OUT_MAX];
};

static void step(struct end *from, struct end *to, size_t n, nsec_t now) {
    if (!from->is_dead) {
        size_t pulled = multistream_pull(&from->m, from->sent + from->sent_len,
                                         MIN(n, OUT_MAX - from->sent_len), now);
        from->sent_len += pulled;
    }
    if (to->is_over)
        return;
    size_t offered = MIN(n, from->sent_len - from->read_len);
    from->read_len += multistream_recv(&to->m, bytes_of(from->sent + from->read_len, offered), now);
    struct multistream_event ev;
    while (multistream_next_event(&to->m, &ev)) {
        bool spoken = ev.type == MULTISTREAM_EV_PROPOSAL && is_spoken(ev.name);
        if (spoken)
            multistream_accept(&to->m, now);
        else if (ev.type == MULTISTREAM_EV_PROPOSAL)
            multistream_refuse(&to->m, now);
        assert(ev.type != MULTISTREAM_EV_FAILED);
        to->is_dead = ev.type == MULTISTREAM_EV_REFUSED;
        to->is_over = spoken || ev.type == MULTISTREAM_EV_AGREED || to->is_dead;
        if (spoken || ev.type == MULTISTREAM_EV_AGREED)
            for (size_t i = 0; i < NAMES_COUNT; i++)
                if (bytes_equal(ev.name, bytes_of_str(NAMES[i])))
                    to->chosen = bytes_of_str(NAMES[i]);
    }
}

static const char *expected_choice(const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (is_spoken(bytes_of_str(names[i])))
            return names[i];
    return NULL;
}

static void check_script(struct bytes script) {
    struct end *ends = calloc(2, sizeof *ends);
    assert(ends != NULL);
    const char *names[MULTISTREAM_CANDIDATES_MAX];
    size_t count = 1 + fuzz_u8(&script) % MULTISTREAM_CANDIDATES_MAX;
    for (size_t i = 0; i < count; i++)
        names[i] = NAMES[fuzz_u8(&script) % NAMES_COUNT];
    struct end *initiator = &ends[0], *responder = &ends[1];
    multistream_init(&initiator->m, &(struct multistream_config){names, count}, 0);
    multistream_init(&responder->m, &(struct multistream_config){NULL, 0}, 0);

    nsec_t now = 0;
    script.len = MIN(script.len, (size_t)STEPS_MAX / 2); /* then both ends take turns */
    for (int i = 0; i < STEPS_MAX && !initiator->is_over; i++) {
        uint8_t op = script.len > 0 ? fuzz_u8(&script) : (uint8_t)(0xf8 | (i & 1));
        struct end *from = &ends[op & 1];
        step(from, &ends[!(op & 1)], 1 + op / 2 % 64, now);
        now += op == 0x80 ? MSEC(1) : 0;
        multistream_tick(&initiator->m, now);
        multistream_tick(&responder->m, now);
        assert(now < multistream_deadline(&initiator->m));
    }
    const char *expected = expected_choice(names, count);
    assert(initiator->is_over);
    assert(initiator->is_dead == (expected == NULL));
    if (expected != NULL) {
        assert(bytes_equal(initiator->chosen, bytes_of_str(expected)));
        assert(bytes_equal(responder->chosen, bytes_of_str(expected)));
    }
    free(ends);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_script(bytes_of(data, size));
    return 0;
}
