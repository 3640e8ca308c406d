/* SPDX-License-Identifier: MIT */
/* Goal: a foreign descriptor is told of as long as something is left to read, and closed once
 * nothing is in flight on it; over the kernel's backends, tests/conformance does that with those of
 * signals. */
#include <fcntl.h>
#include <unistd.h>

#include "fake_backend.h"

struct subject {
    struct fd_watch watch; /* first */
    struct fake *fake;
    struct reactor *reactor;
    int write_end;
    int readable;
    int closed;
    bool closes; /* in readable() */
};

static struct subject *of(struct fd_watch *w) {
    return CONTAINER_OF(w, struct subject, watch);
}

static void on_readable(struct fd_watch *w) {
    of(w)->readable++;
    if (of(w)->closes)
        fd_watch_close(w);
}

static void on_closed(struct fd_watch *w) {
    of(w)->closed++;
}

static const struct fd_watch_events events = {.readable = on_readable, .closed = on_closed};

static void subject_open(struct subject *x) {
    int ends[2];
    *x = (struct subject){0};
    x->fake = fake_new(&x->reactor);
    cr_assert_eq(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    x->write_end = ends[1];
    fd_watch_open(&x->watch, x->reactor, ends[0], &events);
}

static void subject_end(struct subject *x) {
    for (int i = 0; i < 4; i++)
        fake_turn(x->reactor);
    cr_assert_eq(x->closed, 1);
    cr_assert_not(reactor_has_handles(x->reactor));
    cr_assert_eq(fcntl(x->watch.fd, F_GETFD), -1, "the descriptor is still open");
    (void)close(x->write_end);
    fake_free(x->reactor);
}

Test(fd_watch, is_asked_again_after_each_time) {
    static struct subject x;
    subject_open(&x);
    cr_assert(reactor_has_handles(x.reactor));
    for (int i = 1; i <= 3; i++) {
        fake_end(x.reactor, x.fake, OP_POLL, 1);
        cr_assert_eq(x.readable, i);
    }
    fd_watch_close(&x.watch);
    cr_assert_eq(x.closed, 0, "told inside the call");
    subject_end(&x);
    cr_assert_eq(x.readable, 3);
}

Test(fd_watch, may_be_closed_while_it_is_told) {
    static struct subject x;
    subject_open(&x);
    x.closes = true;
    fake_end(x.reactor, x.fake, OP_POLL, 1);
    subject_end(&x);
    cr_assert_eq(x.readable, 1);
}

Test(fd_watch, a_poll_that_a_cancellation_misses_is_cancelled_again) {
    static struct subject x;
    subject_open(&x);
    x.fake->cancel_misses = true;
    fd_watch_close(&x.watch);
    for (int i = 0; i < 5; i++)
        fake_turn(x.reactor);
    cr_assert_geq(x.fake->cancels, 4);
    cr_assert_eq(x.closed, 0);
    x.fake->cancel_misses = false;
    subject_end(&x);
    cr_assert_eq(x.readable, 0);
}

Test(fd_watch, a_poll_that_ends_before_its_cancellation_is_not_told) {
    static struct subject x;
    subject_open(&x);
    x.fake->cancel_misses = true;
    fd_watch_close(&x.watch);
    fake_end(x.reactor, x.fake, OP_POLL, 1);
    subject_end(&x);
    cr_assert_eq(x.readable, 0);
}
