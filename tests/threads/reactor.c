/* SPDX-License-Identifier: MIT */

/* Mailboxes and the worker thread, for ThreadSanitizer: several threads post to two reactors, which
 * post to each other and hand jobs to their workers.  A plain program, since Criterion does not run
 * under TSan. */

#include "uring/reactor.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"

enum { POSTERS = 3, LETTERS = 2000, JOBS = 200 };

struct node {
    struct reactor *reactor;
    struct node *other;
    pthread_t thread;
    int expected;
    int delivered;
    int jobs_done;
};

/* Goes to one node, from there to the other, and every tenth takes a job's way. */
struct letter {
    struct mailbox_msg msg;
    struct offload_job job;
    struct node *to;
    int value; /* written by whoever has the letter */
    bool forwarded;
};

static void fail(const char *what) {
    printf("%s\n", what);
    exit(1);
}

static void check_end(struct node *n) {
    if (n->delivered == n->expected && n->jobs_done == JOBS)
        reactor_stop(n->reactor);
}

static void deliver(struct mailbox_msg *m) {
    struct letter *l = CONTAINER_OF(m, struct letter, msg);
    struct node *n = l->to;
    l->value++;
    n->delivered++;
    if (!l->forwarded) {
        l->forwarded = true;
        l->to = n->other;
        reactor_post(l->to->reactor, &l->msg);
    }
    check_end(n);
}

static void work(struct offload_job *j) {
    CONTAINER_OF(j, struct letter, job)->value++;
}

static void done(struct offload_job *j) {
    struct letter *l = CONTAINER_OF(j, struct letter, job);
    if (++l->value != 2)
        fail("a job ran more or less than once");
    l->to->jobs_done++;
    check_end(l->to);
}

static void *node_main(void *context) {
    struct node *n = context;
    struct letter *jobs = calloc(JOBS, sizeof(*jobs));
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct letter){.job = {.work = work, .done = done}, .to = n};
        if (reactor_offload(n->reactor, &jobs[i].job) < 0)
            fail("a job was refused");
    }
    if (reactor_run(n->reactor) < 0)
        fail("a reactor broke");
    free(jobs);
    return NULL;
}

struct poster {
    pthread_t thread;
    struct node *nodes;
    struct letter letters[LETTERS];
};

static void *poster_main(void *context) {
    struct poster *p = context;
    for (int i = 0; i < LETTERS; i++) {
        struct letter *l = &p->letters[i];
        *l = (struct letter){.msg.deliver = deliver, .to = &p->nodes[i % 2]};
        reactor_post(l->to->reactor, &l->msg);
    }
    return NULL;
}

static void run_over(enum reactor_io io) {
    static struct poster posters[POSTERS];
    struct node nodes[2] = {0};
    struct reactor_config cfg = {.mem = mem_system(), .io = io};
    for (int i = 0; i < 2; i++) {
        int error = reactor_new(&cfg, &nodes[i].reactor);
        if (error == -ENOSYS || error == -EPERM) {
            printf("io_uring is refused on this system\n");
            exit(77);
        }
        nodes[i].other = &nodes[1 - i];
        nodes[i].expected = POSTERS * LETTERS;
    }
    for (int i = 0; i < 2; i++)
        if (pthread_create(&nodes[i].thread, NULL, node_main, &nodes[i]) != 0)
            fail("no thread");
    for (int i = 0; i < POSTERS; i++) {
        posters[i].nodes = nodes;
        if (pthread_create(&posters[i].thread, NULL, poster_main, &posters[i]) != 0)
            fail("no thread");
    }
    for (int i = 0; i < POSTERS; i++)
        (void)pthread_join(posters[i].thread, NULL);
    for (int i = 0; i < 2; i++)
        (void)pthread_join(nodes[i].thread, NULL);
    for (int i = 0; i < POSTERS; i++)
        for (int j = 0; j < LETTERS; j++)
            if (posters[i].letters[j].value != 2)
                fail("a letter was lost or doubled");
    for (int i = 0; i < 2; i++)
        (void)reactor_free(nodes[i].reactor);
}

int main(void) {
    run_over(REACTOR_IO_EPOLL);
    run_over(REACTOR_IO_URING);
    printf("2 passed, 0 failed\n");
    return 0;
}
