/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <pthread.h>

#include "core/crypto/wolf_env.h"
#include "tests/support/fixed_rng.h"

static walltime_t wall(void *context) {
    return *(walltime_t *)context;
}

Test(wolf_env, random_bytes_and_the_clock_are_those_of_the_environment) {
    struct fixed_rng rng;
    struct fixed_rng same;
    walltime_t now = 1767225600;
    struct wolf_env env = {.rng = &rng.rng, .wall = wall, .context = &now};
    unsigned char out[16];
    unsigned char expected[16];
    time_t t = 0;
    fixed_rng_init(&rng, 4);
    fixed_rng_init(&same, 4);
    cr_assert_null(wolf_env_set(&env));
    cr_assert_eq(peerup_wolf_random(out, sizeof(out)), 0);
    rng_fill(&same.rng, expected, sizeof(expected));
    cr_assert_arr_eq(out, expected, sizeof(out));
    cr_assert_eq(peerup_wolf_time(&t), 1767225600);
    cr_assert_eq(t, 1767225600);
    cr_assert_eq(wolf_env_set(NULL), &env);
}

Test(wolf_env, without_one_random_bytes_fail_and_it_is_1970) {
    unsigned char out[16];
    cr_assert_neq(peerup_wolf_random(out, sizeof(out)), 0);
    cr_assert_eq(peerup_wolf_time(NULL), 0);
    struct wolf_env empty = {.rng = NULL};
    (void)wolf_env_set(&empty);
    cr_assert_neq(peerup_wolf_random(out, sizeof(out)), 0);
    (void)wolf_env_set(NULL);
}

static void *fails_without_env(void *ret_failed) {
    unsigned char out[1];
    *(bool *)ret_failed = peerup_wolf_random(out, sizeof(out)) != 0;
    return NULL;
}

Test(wolf_env, another_thread_has_none) {
    struct fixed_rng rng;
    fixed_rng_init(&rng, 4);
    struct wolf_env env = {.rng = &rng.rng};
    bool failed = false;
    pthread_t thread;
    (void)wolf_env_set(&env);
    cr_assert_eq(pthread_create(&thread, NULL, fails_without_env, &failed), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert(failed);
    (void)wolf_env_set(NULL);
}
