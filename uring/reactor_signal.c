/* SPDX-License-Identifier: MIT */

/* Signals as events: one signalfd a reactor, polled through the backend while somebody watches. */

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "uring/reactor_internal.h"

struct signals {
    struct reactor *reactor;
    struct op poll_op;
    struct op cancel_op;
    struct op close_op;
    struct list watches;
    sigset_t watched;
    sigset_t blocked_before; /* of `watched`: were blocked already, and stay so */
    int fd;
    bool ending; /* closed when both operations have ended */
};

static void on_closed(struct op *op) {
    struct signals *s = CONTAINER_OF(op, struct signals, close_op);
    s->reactor->handles_count--;
    (void)mem_free(s->reactor->mem, s);
}

/* Through the backend, which may remember the descriptor. */
static void signals_close(struct signals *s) {
    s->close_op.fd = s->fd;
    reactor_start_op(s->reactor, &s->close_op);
}

static void signals_poll(struct signals *s) {
    s->poll_op.fd = s->fd;
    reactor_start_op(s->reactor, &s->poll_op);
}

static void raise_watches(struct signals *s, int signo) {
    list_for_each_safe (node, &s->watches) {
        struct signal_watch *w = LIST_ENTRY(node, struct signal_watch, node);
        if (w->signo == signo) {
            w->raised(w, signo);
            return; /* the callback may have closed any watch; one signal has one watch */
        }
    }
}

static void on_poll(struct op *op) {
    struct signals *s = CONTAINER_OF(op, struct signals, poll_op);
    struct signalfd_siginfo info;
    while (!s->ending && read(s->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        raise_watches(s, (int)info.ssi_signo);
    if (!s->ending)
        signals_poll(s);
    else if (!s->cancel_op.flying)
        signals_close(s);
}

static void on_cancelled(struct op *op) {
    struct signals *s = CONTAINER_OF(op, struct signals, cancel_op);
    if (s->poll_op.flying)
        reactor_start_op(s->reactor, op);
    else
        signals_close(s);
}

static int signals_new(struct reactor *r, struct signals **ret_signals) {
    struct signals *s = mem_alloc(r->mem, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->reactor = r;
    op_init(&s->poll_op, OP_POLL, on_poll);
    op_init(&s->cancel_op, OP_CANCEL, on_cancelled);
    op_init(&s->close_op, OP_CLOSE, on_closed);
    list_init(&s->watches);
    (void)sigemptyset(&s->watched);
    (void)sigemptyset(&s->blocked_before);
    s->fd = signalfd(-1, &s->watched, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->fd < 0) {
        int error = -errno;
        (void)mem_free(r->mem, s);
        return error;
    }
    r->handles_count++;
    *ret_signals = s;
    return 0;
}

static void signals_end(struct signals *s) {
    s->ending = true;
    s->reactor->signals = NULL;
    s->cancel_op.fd = s->fd;
    reactor_start_op(s->reactor, &s->cancel_op);
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
    (void)signalfd(s->fd, &s->watched, 0); /* cannot fail on a valid descriptor */
}

static void signal_unblock(struct signals *s, int signo) {
    sigset_t one;
    (void)sigemptyset(&one);
    (void)sigaddset(&one, signo);
    (void)sigdelset(&s->watched, signo);
    (void)signalfd(s->fd, &s->watched, 0);
    if (!sigismember(&s->blocked_before, signo))
        (void)pthread_sigmask(SIG_UNBLOCK, &one, NULL);
    (void)sigdelset(&s->blocked_before, signo);
}

int signal_watch_open(struct reactor *r, struct signal_watch *w, int signo) {
    if (signo <= 0 || signo >= NSIG || signo == SIGKILL || signo == SIGSTOP)
        return -EINVAL;
    bool first = r->signals == NULL;
    if (first) {
        int error = signals_new(r, &r->signals);
        if (error < 0)
            return error;
    }
    assert(!sigismember(&r->signals->watched, signo));
    w->signo = signo;
    list_init(&w->node);
    list_push(&r->signals->watches, &w->node);
    signal_block(r->signals, signo);
    if (first)
        signals_poll(r->signals);
    return 0;
}

void signal_watch_close(struct reactor *r, struct signal_watch *w) {
    list_remove(&w->node);
    signal_unblock(r->signals, w->signo);
    if (list_is_empty(&r->signals->watches))
        signals_end(r->signals);
}
