/* SPDX-License-Identifier: MIT */
#include "uring/thread.h"

#include <signal.h>

static void *thread_main(void *context) {
    struct thread *t = context;
    t->run(t->context);
    return NULL;
}

int thread_start(struct thread *t, void (*run)(void *context), void *context) {
    sigset_t all;
    sigset_t before;
    t->run = run;
    t->context = context;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&t->handle, NULL, thread_main, t);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

void thread_join(struct thread *t) {
    (void)pthread_join(t->handle, NULL); /* fails only for what is no thread */
}
