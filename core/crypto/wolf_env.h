/* SPDX-License-Identifier: MIT */
#pragma once

/* What wolfSSL asks the world for: random bytes and the wall clock.
 *
 * Its interface for both has no argument, so the answer comes from the one thread-local of the
 * project: the reactor sets it at the start of each turn, tests and the command line for the time
 * they need it.  third_party/wolfssl/user_settings.h names the two functions at the end.
 *
 * Thread: each has its own environment; none is set at first, and a library call that asks
 * nevertheless fails (random) or sees 1970 (time).
 */

#include <time.h>

#include "core/base/base.h"
#include "core/base/time.h"

struct rng;

struct wolf_env {
    struct rng *rng;
    walltime_t (*wall)(void *context);
    void *context;
};

/* Makes `env` the current thread's, NULL for none, and returns the one before.  `env` must stay in
 * place until it is replaced. */
const struct wolf_env *wolf_env_set(const struct wolf_env *env);

/* Called by wolfSSL.  0, or -1 when no environment is set. */
int peerup_wolf_random(unsigned char *out, unsigned size);

/* As time(2). */
time_t peerup_wolf_time(time_t *ret_time);
