/* SPDX-License-Identifier: MIT */

/* What breaks during the storm, and is mended. */

#include <string.h>

#include "tests/sim/scenario_internal.h"

enum { NAMES_FAIL_PPM = 500000 };

static const char *const fault_names[FAULT_COUNT] = {
    [FAULT_CUT] = "link is cut",           [FAULT_CUT_ONE_WAY] = "link is cut one way",
    [FAULT_CUT_UDP] = "UDP is blocked",    [FAULT_LOSS] = "link loses much",
    [FAULT_DELAY] = "link is slow",        [FAULT_KILL] = "process is killed",
    [FAULT_CRASH] = "host loses power",    [FAULT_RESTART] = "process restarts",
    [FAULT_STALL] = "process is stopped",  [FAULT_SERVICE] = "service is gone",
    [FAULT_NAMES] = "names are not found", [FAULT_BOX] = "box loses power",
};

static struct world *world_of(const struct fault *f) {
    return &f->scenario->world;
}

/* --- Links --- */

static void link_fault(const struct fault *f, struct sim_link *l, bool begins) {
    struct sim_rand *r = &f->scenario->fate;
    uint32_t change = begins ? 1 : UINT32_MAX;
    if (l == NULL)
        return;
    if (f->kind == FAULT_LOSS) {
        l->lossy += change;
        l->storm_loss_ppm = (uint32_t)sim_rand_range(r, 100000, 900000);
    } else if (f->kind == FAULT_DELAY) {
        l->storm_delay = begins ? sim_rand_scale(r, MSEC(20), SEC(3)) : 0;
    } else if (f->kind == FAULT_CUT_UDP) {
        l->udp_cuts += change;
    } else {
        l->cuts += change;
    }
}

static void pick_link(struct fault *f) {
    struct scenario *s = f->scenario;
    uint32_t a = (uint32_t)sim_rand_below(&s->fate, s->nodes_count);
    uint32_t b = (a + 1 + (uint32_t)sim_rand_below(&s->fate, s->nodes_count - 1)) % s->nodes_count;
    f->link = link_of(s, a, b);
    f->back = f->kind == FAULT_CUT_ONE_WAY ? NULL : link_of(s, b, a);
    world_trace(&s->world, "between hosts %u and %u:", a, b);
}

/* --- Processes --- */

void host_down(struct scenario *s, struct sim_node *n) {
    sim_node_kill(n, true);
    transfers_drop_host(&s->transfers, n->host);
    net_power(n->host, false);
}

void host_up(struct scenario *s, struct sim_node *n) {
    net_power(n->host, true);
    for (uint32_t i = 0; i < s->transfers.ports_count; i++)
        if (s->transfers.ports[i].host == n->host)
            service_port_open(&s->transfers.ports[i]);
}

static void node_fault(struct fault *f, bool begins) {
    struct sim_node *n = f->node;
    if (f->kind == FAULT_STALL) {
        n->proc.stalled_until = begins ? f->undo.node.at : 0;
        return;
    }
    if (f->kind == FAULT_NAMES) {
        n->resolver.fails_ppm = begins ? NAMES_FAIL_PPM : 0;
        return;
    }
    if (!begins) {
        if (f->kind == FAULT_CRASH)
            host_up(f->scenario, n);
        sim_node_start(n);
    } else if (f->kind == FAULT_KILL) {
        sim_node_kill(n, false);
    } else if (f->kind == FAULT_CRASH) {
        host_down(f->scenario, n);
    } else {
        sim_node_stop(n);
    }
}

/* Each node has one trouble at a time. */
static bool pick_node(struct fault *f) {
    struct scenario *s = f->scenario;
    f->node = &s->nodes[sim_rand_below(&s->fate, s->nodes_count)];
    for (size_t i = 0; i < FAULTS_MAX; i++)
        if (&s->faults[i] != f && s->faults[i].active && s->faults[i].node == f->node)
            return false;
    return f->node->is_up;
}

static bool pick_box(struct fault *f) {
    struct net *n = &f->scenario->net;
    if (n->boxes_count == 0)
        return false;
    f->box = &n->hosts[HOSTS_MAX + sim_rand_below(&f->scenario->fate, n->boxes_count)];
    return !f->box->is_down;
}

static bool pick_port(struct fault *f) {
    struct scenario *s = f->scenario;
    f->port = &s->transfers.ports[sim_rand_below(&s->fate, s->transfers.ports_count)];
    return f->port->listener != NULL;
}

/* --- Beginning and ending --- */

static void fault_end(struct fault *f) {
    world_trace(world_of(f), "mended: %s", fault_names[f->kind]);
    f->active = false;
    world_cancel(world_of(f), &f->undo);
    if (f->port != NULL && !f->port->host->is_down)
        service_port_open(f->port);
    if (f->node != NULL)
        node_fault(f, false);
    if (f->box != NULL)
        net_power(f->box, true);
    link_fault(f, f->link, false);
    link_fault(f, f->back, false);
}

static void on_undo(struct sim_event *e) {
    struct fault *f = CONTAINER_OF(e, struct fault, undo);
    bool restarts = f->node != NULL && f->kind != FAULT_STALL && f->kind != FAULT_NAMES;
    if (restarts && f->node->is_running)
        world_after(world_of(f), &f->undo, MSEC(50)); /* it is still ending */
    else
        fault_end(f);
}

static bool fault_pick(struct fault *f) {
    switch (f->kind) {
    case FAULT_CUT:
    case FAULT_CUT_ONE_WAY:
    case FAULT_CUT_UDP:
    case FAULT_LOSS:
    case FAULT_DELAY:
        pick_link(f);
        return true;
    case FAULT_KILL:
    case FAULT_CRASH:
    case FAULT_RESTART:
    case FAULT_STALL:
    case FAULT_NAMES:
        return pick_node(f);
    case FAULT_SERVICE:
        return pick_port(f);
    case FAULT_BOX:
        return pick_box(f);
    case FAULT_COUNT:
        break;
    }
    return false;
}

static void fault_begin(struct scenario *s, struct fault *f, enum fault_kind kind) {
    *f = (struct fault){.scenario = s, .kind = kind};
    sim_event_init(&f->undo, on_undo);
    if (!fault_pick(f))
        return;
    nsec_t lasts = sim_rand_scale(&s->fate, MSEC(20), kind == FAULT_STALL ? SEC(3) : SEC(40));
    world_trace(&s->world, "%s for %llu ms%s", fault_names[kind],
                (unsigned long long)(lasts / MSEC(1)), f->node == NULL ? "" : ", node:");
    f->active = true;
    world_after(&s->world, &f->undo, lasts);
    link_fault(f, f->link, true);
    link_fault(f, f->back, true);
    if (f->port != NULL)
        service_port_close(f->port);
    if (f->node != NULL)
        node_fault(f, true);
    if (f->box != NULL)
        net_power(f->box, false);
}

/* The last needs boxes. */
static uint32_t kinds_count(const struct scenario *s) {
    return s->has_boxes ? FAULT_COUNT : FAULT_BOX;
}

static void on_next(struct sim_event *e) {
    struct scenario *s = CONTAINER_OF(e, struct scenario, next_fault);
    enum fault_kind kind = (enum fault_kind)sim_rand_below(&s->fate, kinds_count(s));
    for (size_t i = 0; i < FAULTS_MAX && s->fault_is_on[kind]; i++) {
        if (!s->faults[i].active) {
            fault_begin(s, &s->faults[i], kind);
            break;
        }
    }
    world_after(&s->world, e, sim_rand_scale(&s->fate, MSEC(50), SEC(4)));
}

static void cut_off(struct scenario *s, const struct sim_host *h, bool is_cut) {
    for (uint32_t i = 0; i < PLACES_MAX; i++) {
        struct sim_link *to = net_link(&s->net, h, &s->net.hosts[i]);
        struct sim_link *from = net_link(&s->net, &s->net.hosts[i], h);
        to->cuts += is_cut ? 1 : UINT32_MAX;
        if (from != to)
            from->cuts += is_cut ? 1 : UINT32_MAX;
    }
}

void host_sleep(struct scenario *s, struct sim_node *n, nsec_t time) {
    world_trace(&s->world, "the machine of node %u sleeps", n->index);
    n->proc.stalled_until = s->world.now + time + MSEC(1);
    if (heap_node_is_linked(&n->proc.wake.node))
        world_at(&s->world, &n->proc.wake, n->proc.stalled_until);
    cut_off(s, n->host, true);
    world_run(&s->world, s->world.now + time);
    cut_off(s, n->host, false);
    n->proc.clock_offset -= time;
    world_trace(&s->world, "the machine of node %u wakes up", n->index);
    sim_netwatch_wake_up(&n->netwatch);
    proc_wake(&n->proc);
}

void faults_start(struct scenario *s) {
    sim_event_init(&s->next_fault, on_next);
    for (uint32_t i = 0; i < kinds_count(s); i++) {
        s->fault_is_on[i] = sim_rand_bool(&s->fate);
        world_trace(&s->world, "fault \"%s\": %s", fault_names[i],
                    s->fault_is_on[i] ? "on" : "off");
    }
    world_after(&s->world, &s->next_fault, sim_rand_scale(&s->fate, MSEC(1), SEC(5)));
}

void faults_heal(struct scenario *s) {
    world_trace(&s->world, "the storm is over");
    world_cancel(&s->world, &s->next_fault);
    for (size_t i = 0; i < FAULTS_MAX; i++)
        if (s->faults[i].active)
            on_undo(&s->faults[i].undo);
    for (uint32_t a = 0; a < s->nodes_count; a++) {
        for (uint32_t b = 0; b < s->nodes_count; b++) {
            struct link_quality *q = &link_of(s, a, b)->quality;
            q->loss_ppm = 0;
            q->dup_ppm = 0;
            q->reorder_ppm = 0;
        }
    }
}
