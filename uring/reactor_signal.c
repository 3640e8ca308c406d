/* SPDX-License-Identifier: MIT */

/* Signals as events: one signalfd a reactor, polled through the backend while somebody watches. */

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "uring/reactor_internal.h"

struct signals {
    struct fd_watch watch;
    struct list watches;
    sigset_t watched;
    sigset_t blocked_before; /* of `watched`: were blocked already, and stay so */
};

static void raise_watches(struct signals *s, int signo) {
    list_for_each_safe (node, &s->watches) {
        struct signal_watch *w = LIST_ENTRY(node, struct signal_watch, node);
        if (w->signo == signo) {
            w->raised(w, signo);
            return; /* the callback may have closed any watch; one signal has one watch */
        }
    }
}

static void on_readable(struct fd_watch *watch) {
    struct signals *s = CONTAINER_OF(watch, struct signals, watch);
    struct signalfd_siginfo info;
    while (!watch->closing && read(watch->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        raise_watches(s, (int)info.ssi_signo);
}

static void on_closed(struct fd_watch *watch) {
    struct signals *s = CONTAINER_OF(watch, struct signals, watch);
    (void)mem_free(watch->reactor->mem, s);
}

static const struct fd_watch_events watch_events = {.readable = on_readable, .closed = on_closed};

static int signals_new(struct reactor *r, struct signals **ret_signals) {
    struct signals *s = mem_alloc(r->mem, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    list_init(&s->watches);
    (void)sigemptyset(&s->watched);
    (void)sigemptyset(&s->blocked_before);
    int fd = signalfd(-1, &s->watched, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        int error = -errno;
        (void)mem_free(r->mem, s);
        return error;
    }
    fd_watch_open(&s->watch, r, fd, &watch_events);
    *ret_signals = s;
    return 0;
}

static void signal_block(struct signals *s, int signo) {
    sigset_t one;
    sigset_t before;
    (void)sigemptyset(&one);
    (void)sigaddset(&one, signo);
    (void)pthread_sigmask(SIG_BLOCK, &one, &before);
    (void)sigaddset(&s->watched, signo);
    if (sigismember(&before, signo))
        (void)sigaddset(&s->blocked_before, signo);
    (void)signalfd(s->watch.fd, &s->watched, 0); /* cannot fail on a valid descriptor */
}

static void signal_unblock(struct signals *s, int signo) {
    sigset_t one;
    (void)sigemptyset(&one);
    (void)sigaddset(&one, signo);
    (void)sigdelset(&s->watched, signo);
    (void)signalfd(s->watch.fd, &s->watched, 0);
    if (!sigismember(&s->blocked_before, signo))
        (void)pthread_sigmask(SIG_UNBLOCK, &one, NULL);
    (void)sigdelset(&s->blocked_before, signo);
}

int signal_watch_open(struct reactor *r, struct signal_watch *w, int signo) {
    if (signo <= 0 || signo >= NSIG || signo == SIGKILL || signo == SIGSTOP)
        return -EINVAL;
    if (r->signals == NULL) {
        int error = signals_new(r, &r->signals);
        if (error < 0)
            return error;
    }
    assert(r->signals != NULL);
    assert(!sigismember(&r->signals->watched, signo));
    w->signo = signo;
    list_init(&w->node);
    list_push(&r->signals->watches, &w->node);
    signal_block(r->signals, signo);
    return 0;
}

void signal_watch_close(struct reactor *r, struct signal_watch *w) {
    list_remove(&w->node);
    signal_unblock(r->signals, w->signo);
    if (list_is_empty(&r->signals->watches)) {
        fd_watch_close(&r->signals->watch);
        r->signals = NULL;
    }
}
