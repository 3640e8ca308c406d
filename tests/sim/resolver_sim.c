/* SPDX-License-Identifier: MIT */
#include "tests/sim/resolver_sim.h"

#include <stdio.h>
#include <string.h>

#include "core/base/err.h"
#include "uring/reactor.h"

#define ANSWER_MIN MSEC(1)
#define ANSWER_MAX MSEC(500)

struct lookup {
    struct list node;
    struct sim_event event;
    struct mailbox_msg msg;
    struct sim_resolver *resolver;
    struct resolve_request *request; /* NULL: cancelled */
    char host[RESOLVE_HOST_MAX];
};

static struct sim_resolver *of(struct resolver *v) {
    return CONTAINER_OF(v, struct sim_resolver, resolver);
}

static void free_lookup(struct lookup *l) {
    world_cancel(l->resolver->host->net->world, &l->event);
    list_remove(&l->node);
    sim_free(l);
}

static void add(struct resolve_request *q, const struct net_addr *a) {
    if (q->count < RESOLVE_ADDRS_MAX)
        q->addrs[q->count++] = *a;
}

static void look_up(struct net *n, const char *host, struct resolve_request *q) {
    if (strcmp(host, "localhost.test") == 0)
        add(q, &(struct net_addr){.family = NET_IP4, .ip = {127, 0, 0, 1}});
    for (uint32_t i = 0; i < n->hosts_count; i++) {
        char name[24];
        (void)snprintf(name, sizeof(name), "host%u.test", i);
        for (uint32_t k = 0; k < n->hosts[i].addrs_count && strcmp(host, name) == 0; k++)
            add(q, &n->hosts[i].addrs[k]);
    }
}

/* In a turn of the reactor's. */
static void deliver(struct mailbox_msg *m) {
    struct lookup *l = CONTAINER_OF(m, struct lookup, msg);
    struct sim_host *h = l->resolver->host;
    struct resolve_request *q = l->request;
    int error = 0;
    if (q != NULL) {
        look_up(h->net, l->host, q);
        if (sim_rand_chance(&h->rand, l->resolver->fails_ppm))
            error = -EAGAIN;
        else if (q->count == 0)
            error = -ERR_NAME_NOT_FOUND;
        q->lookup = NULL;
    }
    free_lookup(l);
    if (q != NULL)
        q->done(q, error);
}

static void on_answer(struct sim_event *e) {
    struct lookup *l = CONTAINER_OF(e, struct lookup, event);
    reactor_post(l->resolver->reactor, &l->msg);
}

static int sim_start(struct resolver *v, struct resolve_request *r, const char *host) {
    struct sim_resolver *s = of(v);
    if (strlen(host) >= RESOLVE_HOST_MAX)
        return -EINVAL;
    struct lookup *l = sim_alloc(sizeof(*l));
    list_init(&l->node);
    list_push(&s->lookups, &l->node);
    sim_event_init(&l->event, on_answer);
    l->msg.deliver = deliver;
    l->resolver = s;
    l->request = r;
    memcpy(l->host, host, strlen(host) + 1);
    r->lookup = l;
    world_after(s->host->net->world, &l->event,
                sim_rand_range(&s->host->rand, ANSWER_MIN, ANSWER_MAX));
    return 0;
}

static void sim_cancel(struct resolver *v, struct resolve_request *r) {
    struct lookup *l = r->lookup;
    (void)v;
    l->request = NULL;
    r->lookup = NULL;
}

void sim_resolver_init(struct sim_resolver *r, struct sim_host *h) {
    *r = (struct sim_resolver){.resolver = {.start = sim_start, .cancel = sim_cancel}, .host = h};
    list_init(&r->lookups);
}

void sim_resolver_done(struct sim_resolver *r) {
    list_for_each_safe (node, &r->lookups) {
        free_lookup(LIST_ENTRY(node, struct lookup, node));
    }
}
