/* SPDX-License-Identifier: MIT */

/* A wall clock of its own for one program: LD_PRELOAD it, with CLOCK_SHIM the path of a file that
 * holds how many seconds the clock is ahead, 8 bytes as the machine stores them.  Whoever writes
 * the file makes the clock jump.  Only CLOCK_REALTIME does; the rest is the kernel's. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead;

__attribute__((constructor)) static void look_up(void) {
    const char *path = getenv("CLOCK_SHIM");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    void *p = mmap(NULL, sizeof(*ahead), PROT_READ, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (p != MAP_FAILED)
        ahead = p;
}

static time_t jump_of(clockid_t clock) {
    return ahead != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
               ? (time_t)*ahead
               : 0;
}

int clock_gettime(clockid_t clock, struct timespec *ret) {
    int e = (int)syscall(SYS_clock_gettime, clock, ret);
    if (e == 0)
        ret->tv_sec += jump_of(clock);
    return e;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) < 0)
        return -1;
    ret->tv_sec = now.tv_sec;
    ret->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *ret) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) < 0)
        return -1;
    if (ret != NULL)
        *ret = now.tv_sec;
    return now.tv_sec;
}
