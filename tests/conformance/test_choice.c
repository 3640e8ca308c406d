/* SPDX-License-Identifier: MIT */

/* Which backend is taken, and what is said about it. */

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "support.h"

struct counting_log {
    struct log log;
    int warnings;
    char last[LOG_LINE_MAX];
};

static void count_line(struct log *l, enum log_level level, const char *line, size_t len) {
    struct counting_log *c = CONTAINER_OF(l, struct counting_log, log);
    if (level != LOG_WARN || strstr(line, "buffers") != NULL)
        return;
    c->warnings++;
    memcpy(c->last, line, MIN(len, sizeof(c->last) - 1));
}

static struct counting_log choice_log;

static int choose(enum reactor_io io, struct reactor **ret_reactor) {
    choice_log = (struct counting_log){.log = {.sink = count_line, .level_max = LOG_INFO}};
    struct reactor_config cfg = {.mem = mem_system(), .log = &choice_log.log, .io = io};
    return reactor_new(&cfg, ret_reactor);
}

Test(choice, environment_forces_epoll_without_a_warning) {
    struct reactor *r = NULL;
    setenv("PEERUP_IO", "epoll", 1);
    cr_assert_eq(choose(REACTOR_IO_AUTO, &r), 0);
    cr_assert_str_eq(reactor_features(r)->backend, "epoll");
    cr_assert_eq(choice_log.warnings, 0);
    reactor_free(r);
}

Test(choice, bad_value_in_the_environment_is_an_error) {
    struct reactor *r = NULL;
    setenv("PEERUP_IO", "kqueue", 1);
    cr_assert_eq(choose(REACTOR_IO_AUTO, &r), -EINVAL);
    cr_assert(r == NULL);
}

/* As a container's profile does it: the call answers `error`. */
static void refuse_call(unsigned number, int error) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((unsigned)error & SECCOMP_RET_DATA)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = ARRAY_COUNT(filter), .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        cr_skip("no seccomp filters here");
}

static void refused_with(unsigned number, int error) {
    struct reactor *r = NULL;
    unsetenv("PEERUP_IO");
    refuse_call(number, error);
    cr_assert_eq(choose(REACTOR_IO_AUTO, &r), 0);
    cr_assert_str_eq(reactor_features(r)->backend, "epoll");
    cr_assert_eq(choice_log.warnings, 1);
    cr_assert(strstr(choice_log.last, "epoll") != NULL);
    r = reactor_free(r);
    setenv("PEERUP_IO", "io_uring", 1);
    cr_assert_eq(choose(REACTOR_IO_AUTO, &r), -error);
}

Test(choice, refused_io_uring_means_epoll_and_one_warning) {
    refused_with(SYS_io_uring_setup, EPERM);
}

Test(choice, missing_io_uring_means_epoll_and_one_warning) {
    refused_with(SYS_io_uring_setup, ENOSYS);
}

/* Some profiles name one call and forget another. */
Test(choice, half_refused_io_uring_means_epoll_and_one_warning) {
    refused_with(SYS_io_uring_enter, EPERM);
}

Test(choice, refused_registration_means_epoll_and_one_warning) {
    refused_with(SYS_io_uring_register, ENOSYS);
}
