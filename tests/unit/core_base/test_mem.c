/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/mem.h"
#include "tests/support/fail_mem.h"

Test(mem, fresh_memory_is_zero) {
    uint8_t *p = mem_alloc_array(mem_system(), 100, 10);
    cr_assert_not_null(p);
    for (size_t i = 0; i < 1000; i++)
        cr_assert_eq(p[i], 0, "byte %zu", i);
    p[999] = 7;
    p = mem_resize(mem_system(), p, 2000);
    cr_assert_eq(p[999], 7);
    cr_assert_null(mem_free(mem_system(), p));
    cr_assert_null(mem_free(mem_system(), NULL));
}

Test(mem, an_array_beyond_the_address_space_is_refused) {
    cr_assert_null(mem_alloc_array(mem_system(), SIZE_MAX / 2, 3));
}

Test(mem, a_failing_allocator_is_passed_on) {
    struct fail_mem f;
    fail_mem_start(&f);
    f.for_good = true;
    cr_assert_null(mem_alloc(&f.mem, 1));
    cr_assert_null(mem_alloc_array(&f.mem, 1, 1));
    cr_assert_null(mem_strdup(&f.mem, "x"));
    f.fail_at = 0;
    char *copy = mem_strdup(&f.mem, "text");
    cr_assert_str_eq(copy, "text");
    cr_assert_eq(f.blocks, 1);
    (void)mem_free(&f.mem, copy);
    cr_assert_eq(f.blocks, 0);
}

Test(mem, wiping_clears_all_bytes) {
    uint8_t secret[5] = {1, 2, 3, 4, 5};
    static const uint8_t expected[5] = {0, 0, 0, 0, 5};
    mem_wipe(secret, 4);
    cr_assert_arr_eq(secret, expected, 5);
    mem_wipe(NULL, 0);
}

Test(mem, secrets_are_equal_when_every_byte_is) {
    uint8_t a[32], b[32];
    memset(a, 7, sizeof(a));
    memcpy(b, a, sizeof(b));
    cr_assert(mem_equal_secret(a, b, sizeof(a)));
    for (size_t i = 0; i < sizeof(a); i++) {
        b[i] ^= 0x80;
        cr_assert_not(mem_equal_secret(a, b, sizeof(a)), "byte %zu", i);
        cr_assert(mem_equal_secret(a, b, i), "byte %zu is beyond the size", i);
        b[i] ^= 0x80;
    }
    cr_assert(mem_equal_secret(NULL, NULL, 0));
}
