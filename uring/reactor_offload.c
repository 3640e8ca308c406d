/* SPDX-License-Identifier: MIT */

/* The worker thread: a bounded queue under a mutex, results by the mailbox.  One thread, since what
 * comes here (file writes with fsync, port mapping, name look-ups) is rare and none of it is on the
 * data path. */

#include <pthread.h>

#include "core/base/mem.h"
#include "uring/reactor_internal.h"
#include "uring/thread.h"

struct offload {
    struct reactor *reactor;
    struct mem *mem;
    struct thread thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct offload_job *jobs[OFFLOAD_JOBS_MAX]; /* a ring */
    uint32_t first;
    uint32_t count;
    bool ending;
};

static void job_deliver(struct mailbox_msg *m) {
    struct offload_job *j = CONTAINER_OF(m, struct offload_job, msg);
    j->done(j);
}

static void job_run(void *context) {
    struct offload_job *j = context;
    j->work(j);
    reactor_post(j->reactor, &j->msg);
}

/* NULL when the thread is to end: after the last job. */
static struct offload_job *job_take(struct offload *o) {
    struct offload_job *j = NULL;
    (void)pthread_mutex_lock(&o->lock);
    while (o->count == 0 && !o->ending)
        (void)pthread_cond_wait(&o->changed, &o->lock);
    if (o->count > 0) {
        j = o->jobs[o->first];
        o->first = (o->first + 1) % OFFLOAD_JOBS_MAX;
        o->count--;
    }
    (void)pthread_mutex_unlock(&o->lock);
    return j;
}

static void worker_main(void *context) {
    struct offload *o = context;
    struct offload_job *j;
    while ((j = job_take(o)) != NULL)
        job_run(j);
}

static int offload_new(struct reactor *r, struct offload **ret_offload) {
    struct offload *o = mem_alloc(r->mem, sizeof(*o));
    if (o == NULL)
        return -ENOMEM;
    o->reactor = r;
    o->mem = r->mem;
    (void)pthread_mutex_init(&o->lock, NULL);
    (void)pthread_cond_init(&o->changed, NULL);
    int error = thread_start(&o->thread, worker_main, o);
    if (error < 0) {
        (void)pthread_cond_destroy(&o->changed);
        (void)pthread_mutex_destroy(&o->lock);
        (void)mem_free(r->mem, o);
        return -EAGAIN;
    }
    *ret_offload = o;
    return 0;
}

void offload_free(struct offload *o) {
    if (o == NULL)
        return;
    (void)pthread_mutex_lock(&o->lock);
    o->ending = true;
    (void)pthread_cond_signal(&o->changed);
    (void)pthread_mutex_unlock(&o->lock);
    thread_join(&o->thread);
    assert(o->count == 0);
    (void)pthread_cond_destroy(&o->changed);
    (void)pthread_mutex_destroy(&o->lock);
    (void)mem_free(o->mem, o);
}

int reactor_offload(struct reactor *r, struct offload_job *j) {
    j->reactor = r;
    j->msg.deliver = job_deliver;
    if (r->backend->type->offload != NULL)
        return r->backend->type->offload(r->backend, job_run, j);

    if (r->offload == NULL) {
        int error = offload_new(r, &r->offload);
        if (error < 0)
            return error;
    }
    struct offload *o = r->offload;
    int error = -EAGAIN;
    (void)pthread_mutex_lock(&o->lock);
    if (o->count < OFFLOAD_JOBS_MAX) {
        o->jobs[(o->first + o->count++) % OFFLOAD_JOBS_MAX] = j;
        (void)pthread_cond_signal(&o->changed);
        error = 0;
    }
    (void)pthread_mutex_unlock(&o->lock);
    return error;
}
