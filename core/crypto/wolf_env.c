/* SPDX-License-Identifier: MIT */
#include "core/crypto/wolf_env.h"

#include "core/base/rng.h"

static _Thread_local const struct wolf_env *current;

const struct wolf_env *wolf_env_set(const struct wolf_env *env) {
    const struct wolf_env *before = current;
    current = env;
    return before;
}

int peerup_wolf_random(unsigned char *out, unsigned size) {
    if (current == NULL || current->rng == NULL)
        return -1;
    rng_fill(current->rng, out, size);
    return 0;
}

time_t peerup_wolf_time(time_t *ret_time) {
    time_t now = 0;
    if (current != NULL && current->wall != NULL)
        now = (time_t)current->wall(current->context);
    if (ret_time != NULL)
        *ret_time = now;
    return now;
}
