/* SPDX-License-Identifier: MIT */
#include "transport/proto/black_hole.h"

bool black_hole_admits(struct black_hole *b) {
    if (!black_hole_is_blocked(b))
        return true;
    return ++b->requests % BLACK_HOLE_WINDOW == 0;
}

void black_hole_record(struct black_hole *b, bool success) {
    if (success && black_hole_is_blocked(b)) {
        *b = (struct black_hole){.results_count = 0};
        return;
    }
    uint64_t bit = (uint64_t)1 << (b->next % 64);
    uint64_t *word = &b->results[b->next / 64];
    if (b->results_count == BLACK_HOLE_WINDOW && (*word & bit) != 0)
        b->successes--;
    *word = success ? *word | bit : *word & ~bit;
    b->successes += success;
    b->results_count = MIN(b->results_count + 1, (uint32_t)BLACK_HOLE_WINDOW);
    b->next = (b->next + 1) % BLACK_HOLE_WINDOW;
}
