/* SPDX-License-Identifier: MIT */
#include "uring/reactor.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "uring/reactor_internal.h"

enum {
    TIMERS_AT_START = 64,
    /* Slabs that a daemon may hold; a relay's configuration raises it. */
    POOL_BYTES_DEFAULT = 256 << 20,
    /* What is lent to the kernel at most (BUFRING_ENTRIES slabs), and small copies. */
    POOL_RESERVE_BYTES_DEFAULT = 8 << 20,
};

/* How long after a turn with something to do memory goes back to the system: long enough for the
 * cost not to be seen under load, and an idle process does not wake up for it. */
#define TRIM_AFTER SEC(10)

static void rng_fill_from_backend(struct rng *g, void *out, size_t size) {
    reactor_random(CONTAINER_OF(g, struct reactor, rng), out, size);
}

static walltime_t wall_from_backend(void *context) {
    return reactor_walltime(context);
}

/* --- Choosing a backend --- */

static int io_from_environment(enum reactor_io *ret_io) {
    const char *value = getenv("PEERUP_IO");
    if (value == NULL || value[0] == '\0')
        *ret_io = REACTOR_IO_AUTO;
    else if (strcmp(value, "io_uring") == 0)
        *ret_io = REACTOR_IO_URING;
    else if (strcmp(value, "epoll") == 0)
        *ret_io = REACTOR_IO_EPOLL;
    else
        return -EINVAL;
    return 0;
}

static int backend_open_kernel(struct reactor *r, enum reactor_io io,
                               const struct backend_config *cfg) {
    if (io == REACTOR_IO_AUTO) {
        int error = io_from_environment(&io);
        if (error < 0)
            return error;
    }
    if (io == REACTOR_IO_EPOLL)
        return backend_epoll.open(cfg, &r->backend);

    int error = backend_uring.open(cfg, &r->backend);
    if (error == 0 || io == REACTOR_IO_URING)
        return error;
    log_warn(r->log, L_REACTOR, "io_uring is not available here, using epoll", kv_err(error));
    return backend_epoll.open(cfg, &r->backend);
}

static void on_trim(struct timer *t) {
    struct reactor *r = t->reactor;
    buf_pool_trim(r->pool);
    if (r->backend->type->trim != NULL)
        r->backend->type->trim(r->backend);
}

static void log_features(const struct reactor *r) {
    const struct reactor_features *f = &r->backend->features;
    log_debug(r->log, L_REACTOR, "reactor started", kv_str("backend", f->backend),
              kv_bool("recv_bundle", f->recv_bundle), kv_bool("udp_gso", f->udp_gso),
              kv_bool("udp_gro", f->udp_gro));
}

static int reactor_init(struct reactor *r, const struct reactor_config *cfg) {
    int error = heap_reserve(&r->timers, TIMERS_AT_START);
    if (error < 0)
        return error;

    struct buf_pool_config pool = cfg->pool;
    if (pool.bytes_max == 0)
        pool = (struct buf_pool_config){POOL_BYTES_DEFAULT, POOL_RESERVE_BYTES_DEFAULT};
    error = buf_pool_new(r->mem, &pool, &r->pool);
    if (error < 0)
        return error;

    struct backend_config backend = {
        .mem = r->mem, .log = r->log, .pool = r->pool, .context = cfg->backend_context};
    if (cfg->backend != NULL)
        error = cfg->backend->open(&backend, &r->backend);
    else
        error = backend_open_kernel(r, cfg->io, &backend);
    if (error < 0)
        return error;
    log_features(r);
    r->now = r->backend->type->now(r->backend);
    r->wolf_env = (struct wolf_env){.rng = &r->rng, .wall = wall_from_backend, .context = r};
    return timer_init(&r->trim_timer, r, on_trim);
}

int reactor_new(const struct reactor_config *cfg, struct reactor **ret_reactor) {
    struct reactor *r = mem_alloc(cfg->mem, sizeof(*r));
    if (r == NULL)
        return -ENOMEM;
    r->mem = cfg->mem;
    r->log = cfg->log;
    r->rng.fill = rng_fill_from_backend;
    heap_init(&r->timers, r->mem);
    list_init(&r->deferred);
    atomic_init(&r->mailbox, NULL);

    int error = reactor_init(r, cfg);
    if (error < 0) {
        (void)reactor_free(r);
        return error;
    }
    *ret_reactor = r;
    return 0;
}

bool reactor_has_handles(const struct reactor *r) {
    return r->handles_count > 0;
}

struct reactor *reactor_free(struct reactor *r) {
    if (r == NULL)
        return NULL;
    do { /* what is delivered may start further jobs */
        offload_free(TAKE(r->offload));
    } while (reactor_deliver_mail(r));
    if (r->trim_timer.reactor != NULL)
        timer_done(&r->trim_timer);
    assert(r->handles_count == 0);
    assert(r->timers_count == 0);
    assert(list_is_empty(&r->deferred));
    assert(r->signals == NULL);
    const struct wolf_env *env = wolf_env_set(NULL);
    if (env != &r->wolf_env)
        (void)wolf_env_set(env); /* another reactor's, or the caller's own */
    if (r->backend != NULL)
        r->backend->type->free(r->backend);
    (void)buf_pool_free(r->pool);
    heap_done(&r->timers);
    return mem_free(r->mem, r);
}

/* --- Turns --- */

static void timers_run(struct reactor *r) {
    for (;;) {
        struct heap_node *first = heap_first(&r->timers);
        if (first == NULL || first->at > r->now)
            return;
        heap_remove(&r->timers, first);
        struct timer *t = CONTAINER_OF(first, struct timer, node);
        t->fire(t);
    }
}

static void deferred_run(struct reactor *r) {
    struct list due;
    list_init(&due);
    list_splice(&due, &r->deferred);
    struct list *node;
    while ((node = list_shift(&due)) != NULL) {
        struct deferred *d = LIST_ENTRY(node, struct deferred, node);
        d->run(d);
    }
}

static bool has_work(const struct reactor *r) {
    return !list_is_empty(&r->deferred) || r->backend->type->has_work(r->backend);
}

static nsec_t next_deadline(const struct reactor *r) {
    if (has_work(r))
        return 0;
    const struct heap_node *first = heap_first(&r->timers);
    return first == NULL ? NSEC_NEVER : first->at;
}

void reactor_make_current(struct reactor *r) {
    (void)wolf_env_set(&r->wolf_env);
}

int reactor_turn(struct reactor *r, nsec_t deadline) {
    const struct reactor_backend *type = r->backend->type;
    deadline = MIN(deadline, next_deadline(r));
    int error = type->wait(r->backend, deadline);
    if (error < 0)
        return error;

    nsec_t now = type->now(r->backend);
    assert(now >= r->now);
    r->now = now;
    reactor_make_current(r);
    if (type->dispatch(r->backend) && !heap_node_is_linked(&r->trim_timer.node))
        timer_start(&r->trim_timer, now + TRIM_AFTER);
    (void)reactor_deliver_mail(r);
    timers_run(r);
    deferred_run(r);
    return 0;
}

int reactor_run(struct reactor *r) {
    r->stopping = false;
    while (!r->stopping) {
        int error = reactor_turn(r, NSEC_NEVER);
        if (error < 0)
            return error;
    }
    return 0;
}

void reactor_stop(struct reactor *r) {
    r->stopping = true;
}

int reactor_poll_fd(const struct reactor *r) {
    return r->backend->type->poll_fd(r->backend);
}

nsec_t reactor_next_deadline(const struct reactor *r) {
    r->backend->type->submit(r->backend);
    return next_deadline(r);
}

/* --- The world --- */

nsec_t reactor_now(const struct reactor *r) {
    return r->now;
}

walltime_t reactor_walltime(const struct reactor *r) {
    return r->backend->type->walltime(r->backend);
}

int64_t reactor_suspended(const struct reactor *r) {
    return r->backend->type->suspended(r->backend);
}

void reactor_random(struct reactor *r, void *out, size_t size) {
    r->backend->type->random(r->backend, out, size);
}

struct rng *reactor_rng(struct reactor *r) {
    return &r->rng;
}

struct mem *reactor_mem(const struct reactor *r) {
    return r->mem;
}

struct log *reactor_log(const struct reactor *r) {
    return r->log;
}

struct buf_pool *reactor_pool(const struct reactor *r) {
    return r->pool;
}

const struct reactor_features *reactor_features(const struct reactor *r) {
    return &r->backend->features;
}

/* --- Timers --- */

int timer_init(struct timer *t, struct reactor *r, void (*fire)(struct timer *t)) {
    if (r->timers_count == r->timers.size) {
        int error = heap_reserve(&r->timers, r->timers_count * 2);
        if (error < 0)
            return error;
    }
    r->timers_count++;
    heap_node_init(&t->node);
    t->fire = fire;
    t->reactor = r;
    return 0;
}

void timer_start(struct timer *t, nsec_t at) {
    if (at == NSEC_NEVER) {
        timer_stop(t);
        return;
    }
    /* A time already past becomes the next nanosecond: a timer that starts itself again inside its
     * callback would otherwise hold the turn for ever. */
    int error = heap_set(&t->reactor->timers, &t->node, MAX(at, t->reactor->now + 1));
    assert(error == 0);
}

void timer_stop(struct timer *t) {
    if (heap_node_is_linked(&t->node))
        heap_remove(&t->reactor->timers, &t->node);
}

void timer_done(struct timer *t) {
    timer_stop(t);
    assert(t->reactor->timers_count > 0);
    t->reactor->timers_count--;
    t->reactor = NULL;
}

/* --- Deferred calls --- */

void deferred_init(struct deferred *d, void (*run)(struct deferred *d)) {
    list_init(&d->node);
    d->run = run;
}

void reactor_defer(struct reactor *r, struct deferred *d) {
    if (!list_is_linked(&d->node))
        list_push(&r->deferred, &d->node);
}

void deferred_cancel(struct deferred *d) {
    list_remove(&d->node);
}

/* --- Messages --- */

void reactor_post(struct reactor *r, struct mailbox_msg *m) {
    struct mailbox_msg *first = atomic_load_explicit(&r->mailbox, memory_order_relaxed);
    do {
        m->next = first;
    } while (!atomic_compare_exchange_weak_explicit(&r->mailbox, &first, m, memory_order_release,
                                                    memory_order_relaxed));
    if (first == NULL)
        r->backend->type->wake(r->backend);
}

bool reactor_deliver_mail(struct reactor *r) {
    struct mailbox_msg *newest = atomic_exchange_explicit(&r->mailbox, NULL, memory_order_acquire);
    struct mailbox_msg *oldest = NULL;
    while (newest != NULL) {
        struct mailbox_msg *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    bool any = oldest != NULL;
    while (oldest != NULL) {
        struct mailbox_msg *m = oldest;
        oldest = m->next;
        m->deliver(m);
    }
    return any;
}
