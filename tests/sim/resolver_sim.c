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
    bool wanted = q->kind == RESOLVE_ADDRS || (q->kind == RESOLVE_IP4 && a->family == NET_IP4) ||
                  (q->kind == RESOLVE_IP6 && a->family == NET_IP6);
    if (wanted && q->count < RESOLVE_ADDRS_MAX)
        q->addrs[q->count++] = *a;
}

static void add_host(const struct sim_resolver *s, uint32_t host, struct resolve_request *q,
                     const char **texts) {
    const struct sim_host *h = &s->host->net->hosts[host];
    for (uint32_t k = 0; k < h->addrs_count; k++)
        add(q, &h->addrs[k]);
    if (q->kind == RESOLVE_TEXTS && s->zone != NULL)
        q->texts_count = s->zone->texts(s->zone, host, texts, RESOLVE_ADDRS_MAX);
}

static void look_up(const struct sim_resolver *s, const char *host, struct resolve_request *q,
                    const char **texts) {
    if (strcmp(host, "localhost.test") == 0)
        add(q, &(struct net_addr){.family = NET_IP4, .ip = {127, 0, 0, 1}});
    for (uint32_t i = 0; i < s->host->net->hosts_count; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "%shost%u.test",
                       q->kind == RESOLVE_TEXTS ? "_dnsaddr." : "", i);
        if (strcmp(host, name) == 0)
            add_host(s, i, q, texts);
    }
}

/* In a turn of the reactor's. */
static void deliver(struct mailbox_msg *m) {
    struct lookup *l = CONTAINER_OF(m, struct lookup, msg);
    struct sim_host *h = l->resolver->host;
    struct resolve_request *q = l->request;
    const char *texts[RESOLVE_ADDRS_MAX];
    int error = 0;
    if (q != NULL) {
        q->texts = texts;
        look_up(l->resolver, l->host, q, texts);
        if (sim_rand_chance(&h->rand, l->resolver->fails_ppm))
            error = -EAGAIN;
        else if (q->count == 0 && q->texts_count == 0)
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
