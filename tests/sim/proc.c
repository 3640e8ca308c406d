/* SPDX-License-Identifier: MIT */
#include "tests/sim/proc.h"

#include <stdlib.h>
#include <time.h>

#include "tests/sim/backend_sim.h"

enum { DEAD_WAITS_MAX = 10000000 };

/* The least that a turn takes. */
#define TURN_TIME USEC(2)

static struct world *world_of(const struct sim_proc *p) {
    return p->host->net->world;
}

void proc_run(struct sim_proc *p) {
    world_cancel(world_of(p), &p->wake);
    fiber_resume(&p->fiber);
    if (p->fiber.has_ended)
        p->ended(p);
}

static void on_wake(struct sim_event *e) {
    struct sim_proc *p = CONTAINER_OF(e, struct sim_proc, wake);
    p->turns++;
    world_trace_fast(world_of(p), "turn", &p->host->index, sizeof(p->host->index));
    proc_run(p);
}

static void init(struct sim_proc *p, struct sim_host *h, uint64_t incarnation,
                 void (*wake)(struct sim_event *e)) {
    uint64_t number = incarnation * HOSTS_MAX + h->index;
    *p = (struct sim_proc){.host = h, .latency_max = USEC(50)};
    list_init(&p->handles);
    sim_event_init(&p->wake, wake);
    sim_rand_init(&p->rand, h->net->world->seed, "proc", number);
    if (h->net->world->sabotage == SABOTAGE_CHANCE)
        p->rand.state[0] += (uint64_t)clock();
    sim_rand_init(&p->latency, h->net->world->seed, "latency", number);
    p->clock_offset = sim_rand_below(&p->latency, SEC(1000000));
}

void proc_start(struct sim_proc *p, struct sim_host *h, uint64_t incarnation,
                void (*run)(void *user), void *user, void (*ended)(struct sim_proc *p)) {
    init(p, h, incarnation, on_wake);
    p->ended = ended;
    if (fiber_init(&p->fiber, run, user) < 0)
        abort();
    world_after(h->net->world, &p->wake, TURN_TIME);
}

static void on_wake_alone(struct sim_event *e) {
    world_stop(world_of(CONTAINER_OF(e, struct sim_proc, wake)));
}

void proc_start_alone(struct sim_proc *p, struct sim_host *h) {
    init(p, h, 0, on_wake_alone);
    p->is_alone = true;
}

void proc_done(struct sim_proc *p) {
    assert(p->is_alone || p->fiber.has_ended);
    assert(list_is_empty(&p->handles));
    world_cancel(world_of(p), &p->wake);
    fiber_done(&p->fiber);
}

nsec_t proc_now(const struct sim_proc *p) {
    return p->is_dead ? p->dead_time : world_of(p)->now + p->clock_offset;
}

static void wake_at(struct sim_proc *p, nsec_t at) {
    at = MAX(at, p->stalled_until);
    if (!heap_node_is_linked(&p->wake.node) || p->wake.node.at > at)
        world_at(world_of(p), &p->wake, at);
}

void proc_wake(struct sim_proc *p) {
    if (p->is_dead || p->fiber.has_ended)
        return;
    wake_at(p, world_of(p)->now + TURN_TIME + sim_rand_below(&p->latency, p->latency_max));
}

void proc_wait(struct sim_proc *p, nsec_t deadline) {
    if (p->is_dead) {
        if (deadline == NSEC_NEVER)
            world_fail(world_of(p), "the process on host %u waits for ever while it ends",
                       p->host->index);
        if (++p->dead_waits > DEAD_WAITS_MAX)
            abort(); /* it does not end */
        /* Whatever it is told then, it goes on until it has given up waiting. */
        p->dead_time = deadline == NSEC_NEVER ? p->dead_time + SEC(1) : MAX(p->dead_time, deadline);
        return;
    }
    if (deadline <= proc_now(p))
        proc_wake(p);
    else if (deadline != NSEC_NEVER)
        wake_at(p, MAX(deadline - p->clock_offset, world_of(p)->now + TURN_TIME));
    if (p->is_alone)
        world_run(world_of(p), NSEC_NEVER);
    else
        fiber_wait(&p->fiber);
}

void proc_kill(struct sim_proc *p, bool silently) {
    p->dead_time = proc_now(p);
    p->is_dead = true;
    sim_backend_kill(p, silently);
}
