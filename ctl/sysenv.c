/* SPDX-License-Identifier: MIT */
#include "ctl/sysenv.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static void fill_from_kernel(struct rng *g, void *out, size_t size) {
    uint8_t *p = out;
    (void)g;
    while (size > 0) {
        ssize_t n = getrandom(p, size, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            abort(); /* a key from anything else would be worse */
        p += n;
        size -= (size_t)n;
    }
}

struct rng *sysenv_rng(void) {
    static const struct rng kernel = {.fill = fill_from_kernel};
    return (struct rng *)(uintptr_t)&kernel; /* without state: nobody writes to it */
}

static struct timespec wall(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) < 0)
        abort(); /* only for a clock that does not exist */
    return now;
}

walltime_t sysenv_walltime(void) {
    return wall().tv_sec;
}

int64_t sysenv_wall_ms(void) {
    struct timespec now = wall();
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
