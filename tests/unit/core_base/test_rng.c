/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/rng.h"
#include "tests/support/fixed_rng.h"

struct script_rng {
    struct rng rng;
    const uint64_t *values;
    size_t next;
};

static void script_fill(struct rng *g, void *out, size_t size) {
    struct script_rng *s = CONTAINER_OF(g, struct script_rng, rng);
    cr_assert_eq(size, sizeof(uint64_t));
    memcpy(out, &s->values[s->next++], size);
}

/* 2^64 mod 6 is 4: the values 0 to 3 would favour their remainders. */
Test(rng, values_that_would_be_unfair_are_drawn_again) {
    static const uint64_t values[] = {0, 3, 4, UINT64_MAX};
    struct script_rng s = {.rng = {.fill = script_fill}, .values = values};
    cr_assert_eq(rng_below(&s.rng, 6), 4);
    cr_assert_eq(s.next, 3);
    cr_assert_eq(rng_below(&s.rng, 6), UINT64_MAX % 6);
    cr_assert_eq(s.next, 4);
}

Test(rng, all_values_below_the_bound_come) {
    struct fixed_rng r;
    unsigned seen[7] = {0};
    fixed_rng_init(&r, 1);
    for (int i = 0; i < 7000; i++)
        seen[rng_below(&r.rng, 7)]++;
    for (int i = 0; i < 7; i++)
        cr_assert(seen[i] > 800 && seen[i] < 1200, "%d: %u times", i, seen[i]);
    cr_assert_eq(rng_below(&r.rng, 1), 0);
}
