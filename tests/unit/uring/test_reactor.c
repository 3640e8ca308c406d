/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <signal.h>

#include "fake_backend.h"

/* The n-th request for memory fails, once or from then on. */
struct failing_mem {
    struct mem mem;
    int countdown;
    bool for_good;
    bool has_failed;
    int live;
};

static void *failing_resize(struct mem *m, void *p, size_t size) {
    struct failing_mem *f = CONTAINER_OF(m, struct failing_mem, mem);
    if (size > 0 && (f->countdown-- == 0 || (f->for_good && f->has_failed))) {
        f->has_failed = true;
        return NULL;
    }
    if (p == NULL && size > 0)
        f->live++;
    if (p != NULL && size == 0)
        f->live--;
    return mem_system()->resize(mem_system(), p, size);
}

static void nothing_received(struct udp_socket *u, const struct udp_batch *b) {
    (void)u;
    (void)b;
}

static void nothing_failed(struct udp_socket *u, int error) {
    (void)u;
    (void)error;
}

static int udp_closed_count;

static void count_closed(struct udp_socket *u) {
    (void)u;
    udp_closed_count++;
}

static const struct udp_events udp_nothing = {nothing_received, nothing_failed, count_closed};

static void nothing_accepted(struct tcp_listener *l, int fd, const struct sock_addr *remote) {
    (void)remote;
    tcp_handle_close(l->reactor, fd, true);
}

static int listener_closed_count;

static void count_listener_closed(struct tcp_listener *l) {
    (void)l;
    listener_closed_count++;
}

static const struct tcp_listener_events listener_nothing = {nothing_accepted,
                                                            count_listener_closed};

static void nothing_raised(struct signal_watch *w, int signo) {
    (void)w;
    (void)signo;
}

/* Makes a reactor and one of each handle, and takes all down again.  Errors are the point. */
static void build_and_take_down(struct mem *mem, enum reactor_io io) {
    struct reactor_config cfg = {.mem = mem, .io = io};
    struct reactor *r = NULL;
    int error = reactor_new(&cfg, &r);
    if (error < 0) {
        cr_assert(error == -ENOMEM || error == -ENOSYS || error == -EPERM, "error %d", error);
        return;
    }
    struct udp_socket u;
    struct tcp_listener l;
    struct signal_watch w = {.raised = nothing_raised};
    struct udp_config loopback = {.local = {.family = NET_IP4, .ip = {127, 0, 0, 1}}};
    struct sock_addr at = {.ip = loopback.local};
    udp_closed_count = 0;
    listener_closed_count = 0;
    int u_error = udp_open(&u, r, &loopback, &udp_nothing);
    int l_error = tcp_listen(&l, r, &at, &listener_nothing);
    int w_error = signal_watch_open(r, &w, SIGUSR1);
    cr_assert_eq(reactor_turn(r, 0), 0);
    if (u_error == 0)
        udp_close(&u);
    if (l_error == 0)
        tcp_listener_close(&l);
    if (w_error == 0)
        signal_watch_close(r, &w);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(reactor_turn(r, 0), 0);
    cr_assert_eq(udp_closed_count, u_error == 0);
    cr_assert_eq(listener_closed_count, l_error == 0);
    reactor_free(r);
}

static int fds_count(void) {
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static void fail_each_request(enum reactor_io io, bool for_good) {
    bool failed = true;
    int fds_before = fds_count();
    for (int n = 0; failed; n++) {
        struct failing_mem mem = {
            .mem.resize = failing_resize, .countdown = n, .for_good = for_good};
        build_and_take_down(&mem.mem, io);
        cr_assert_eq(mem.live, 0, "the %d-th request", n);
        cr_assert_eq(fds_count(), fds_before, "the %d-th request", n);
        failed = mem.has_failed;
        cr_assert(n < 1000);
    }
}

/* Goal: without memory each step says so and leaves nothing behind. */
Test(reactor, every_failed_allocation_is_survived_on_io_uring) {
    fail_each_request(REACTOR_IO_URING, false);
    fail_each_request(REACTOR_IO_URING, true);
}

Test(reactor, every_failed_allocation_is_survived_on_epoll) {
    fail_each_request(REACTOR_IO_EPOLL, false);
    fail_each_request(REACTOR_IO_EPOLL, true);
}

/* --- Time --- */

static void on_fire(struct timer *t) {
    (void)t;
}

/* Goal: an idle reactor has no deadline of its own, and a busy one tidies up once. */
Test(reactor, trims_once_after_traffic_and_then_sleeps) {
    struct reactor *r = NULL;
    struct fake *f = fake_new(&r);
    cr_assert_eq(reactor_next_deadline(r), NSEC_NEVER);
    struct udp_socket u;
    struct udp_config cfg = {.local = {.family = NET_IP4}};
    udp_closed_count = 0;
    cr_assert_eq(udp_open(&u, r, &cfg, &udp_nothing), 0);
    fake_end(r, f, OP_UDP_RECV, -ECONNREFUSED);
    nsec_t at = reactor_next_deadline(r);
    cr_assert(at != NSEC_NEVER);
    cr_assert(at != 0);
    struct buf *b = buf_new(reactor_pool(r), BUF_64K, NULL);
    (void)buf_unref(b);
    struct buf_pool_stats stats;
    buf_pool_stats(reactor_pool(r), &stats);
    cr_assert(stats.bytes_mapped > 0);
    f->now = at;
    fake_turn(r);
    buf_pool_stats(reactor_pool(r), &stats);
    cr_assert_eq(stats.bytes_mapped, 0u);
    cr_assert_eq(reactor_next_deadline(r), NSEC_NEVER);
    udp_close(&u);
    fake_free(r);
    cr_assert_eq(udp_closed_count, 1);
}

/* Goal: the heap's room follows the timers, so that starting one cannot fail. */
Test(reactor, a_thousand_timers) {
    enum { COUNT = 1000 };
    static struct timer timers[COUNT];
    struct reactor *r = NULL;
    struct fake *f = fake_new(&r);
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(timer_init(&timers[i], r, on_fire), 0);
        timer_start(&timers[i], f->now + MSEC(COUNT - i));
    }
    cr_assert_eq(reactor_next_deadline(r), f->now + MSEC(1));
    for (int i = 0; i < COUNT; i++)
        timer_done(&timers[i]);
    cr_assert_eq(reactor_next_deadline(r), NSEC_NEVER);
    fake_free(r);
}
