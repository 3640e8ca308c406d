/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/base/siphash.h"
#include "tests/support/fail_mem.h"
#include "tests/support/fixed_rng.h"

/* 2-4: the paper's example and the reference implementation's table.  1-3: the tables of Rust's
 * library (key 00..0f) and of OCaml's tests (key of zeros). */
Test(siphash, known_answers) {
    static const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    static const uint64_t zero[2] = {0, 0};
    uint8_t in[63];
    for (uint8_t i = 0; i < sizeof(in); i++)
        in[i] = i;
    cr_assert_eq(siphash(key, bytes_of(in, 15), 2, 4), 0xa129ca6149be45e5);
    cr_assert_eq(siphash(key, bytes_of(in, 0), 2, 4), 0x726fdb47dd0e0e31);
    cr_assert_eq(siphash(key, bytes_of(in, 8), 2, 4), 0x93f5f5799a932462);
    cr_assert_eq(siphash(key, bytes_of(in, 63), 2, 4), 0x958a324ceb064572);
    cr_assert_eq(siphash(key, bytes_of(in, 0), 1, 3), 0xabac0158050fc4dc);
    cr_assert_eq(siphash(zero, bytes_of(in, 0), 1, 3), 0xd1fba762150c532c);
    cr_assert_eq(siphash(zero, bytes_of(in, 1), 1, 3), 0x68a914128e01e473);
}

struct item {
    struct map_node node;
    char key[16];
};

enum { ITEMS = 1000 };

static void items_insert(struct map *m, struct item *items) {
    for (int i = 0; i < ITEMS; i++) {
        map_node_init(&items[i].node);
        (void)snprintf(items[i].key, sizeof(items[i].key), "k%d", i);
        map_insert(m, &items[i].node, bytes_of_str(items[i].key));
    }
}

static void items_check_and_remove(struct map *m, struct item *items) {
    cr_assert_eq(m->count, ITEMS);
    for (int i = 0; i < ITEMS; i++)
        cr_assert_eq(map_find(m, bytes_of_str(items[i].key)), &items[i].node, "%s", items[i].key);
    cr_assert_null(map_find(m, BYTES_LIT("k")));
    cr_assert_null(map_find(m, BYTES_EMPTY));
    for (int i = 0; i < ITEMS; i++) {
        map_remove(m, &items[i].node);
        map_remove(m, &items[i].node);
        cr_assert_not(map_node_is_linked(&items[i].node));
        cr_assert_null(map_find(m, bytes_of_str(items[i].key)));
    }
    cr_assert_eq(m->count, 0);
}

Test(map, finds_what_was_put_in_until_it_is_removed) {
    static struct item items[ITEMS];
    struct fixed_rng rng;
    struct map m;
    fixed_rng_init(&rng, 3);
    cr_assert_eq(map_init(&m, mem_system(), &rng.rng), 0);
    items_insert(&m, items);
    cr_assert_geq(m.bucket_count, ITEMS);
    items_check_and_remove(&m, items);
    map_done(&m);
}

Test(map, without_memory_chains_grow_and_nothing_is_lost) {
    static struct item items[ITEMS];
    struct fixed_rng rng;
    struct fail_mem f;
    struct map m;
    fixed_rng_init(&rng, 3);
    fail_mem_start(&f);
    cr_assert_eq(map_init(&m, &f.mem, &rng.rng), -ENOMEM);
    f.fail_at = 3; /* after the second growth attempt */
    f.for_good = true;
    cr_assert_eq(map_init(&m, &f.mem, &rng.rng), 0);
    items_insert(&m, items);
    cr_assert_lt(m.bucket_count, ITEMS);
    items_check_and_remove(&m, items);
    map_done(&m);
    cr_assert_eq(f.blocks, 0);
}

Test(map, a_walk_meets_each_element_once_and_survives_removal) {
    static struct item items[ITEMS];
    struct fixed_rng rng;
    struct map m;
    int met = 0;
    fixed_rng_init(&rng, 9);
    cr_assert_eq(map_init(&m, mem_system(), &rng.rng), 0);
    cr_assert_null(map_next(&m, NULL));
    items_insert(&m, items);
    map_for_each (n, &m)
        met++;
    cr_assert_eq(met, ITEMS);
    for (struct map_node *n = map_next(&m, NULL); n != NULL;) {
        struct map_node *next = map_next(&m, n);
        map_remove(&m, n);
        met--;
        n = next;
    }
    cr_assert_eq(met, 0);
    map_done(&m);
}

Test(map, keys_may_hold_any_bytes) {
    struct fixed_rng rng;
    struct map m;
    struct map_node a;
    struct map_node b;
    fixed_rng_init(&rng, 9);
    cr_assert_eq(map_init(&m, mem_system(), &rng.rng), 0);
    map_node_init(&a);
    map_node_init(&b);
    map_insert(&m, &a, BYTES_LIT("x\0y"));
    map_insert(&m, &b, BYTES_LIT("x\0z"));
    cr_assert_eq(map_find(&m, BYTES_LIT("x\0z")), &b);
    cr_assert_null(map_find(&m, BYTES_LIT("x")));
    map_remove(&m, &a);
    map_remove(&m, &b);
    map_done(&m);
}
