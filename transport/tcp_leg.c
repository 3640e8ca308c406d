/* SPDX-License-Identifier: MIT */
#include "transport/tcp_leg.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "transport/tcp_link.h"
#include "uring/reactor.h"

/* READING -> ordinary, freed
 *         -> TAKEN -> CLOSING -> freed
 *         -> CLOSING -> freed */
enum leg_state { LEG_READING, LEG_TAKEN, LEG_CLOSING };

struct tcp_leg {
    struct tcp_leg_config cfg;
    struct list node;
    struct half_open half_open;
    struct net_addr remote;
    struct link *link;
    struct timer timer;
    enum leg_state state;
    const struct tcp_leg_events *events; /* NULL: nobody has taken it */
    void *user;
    size_t got;
    uint8_t bytes[TCP_PREFACE_MAX];
};

static void leg_free(struct tcp_leg *leg) {
    list_remove(&leg->node);
    half_open_leave(leg->cfg.half_open, &leg->half_open);
    timer_done(&leg->timer);
    (void)mem_free(reactor_mem(leg->cfg.reactor), leg);
}

void tcp_leg_close(struct tcp_leg *leg, bool reset) {
    if (leg->state == LEG_CLOSING)
        return;
    leg->state = LEG_CLOSING;
    timer_stop(&leg->timer);
    half_open_leave(leg->cfg.half_open, &leg->half_open);
    if (reset)
        link_reset(leg->link);
    else
        link_close(leg->link);
}

static void lose(struct tcp_leg *leg, int error) {
    if (leg->state == LEG_TAKEN)
        leg->events->lost(leg, error);
    else
        tcp_leg_close(leg, false);
    assert(leg->state == LEG_CLOSING);
}

static void on_evict(struct half_open *h) {
    lose(CONTAINER_OF(h, struct tcp_leg, half_open), -ERR_RESOURCE_LIMIT);
}

static void on_timer(struct timer *t) {
    lose(CONTAINER_OF(t, struct tcp_leg, timer), -ETIMEDOUT);
}

/* --- Reading --- */

static void be_ordinary(struct tcp_leg *leg) {
    const struct tcp_leg_config cfg = leg->cfg;
    struct link *link = leg->link;
    struct net_addr remote = leg->remote;
    leg_free(leg);
    cfg.gone(cfg.user);
    tcp_link_read_on(link);
    cfg.ordinary(cfg.user, link, &remote, cfg.deadline);
}

static void arrive(struct tcp_leg *leg) {
    struct tcp_preface *p = leg->cfg.preface;
    timer_stop(&leg->timer);
    p->arrived(p, leg, leg->bytes);
    if (leg->state == LEG_READING)
        tcp_leg_close(leg, false);
}

static bool is_right_so_far(const struct tcp_leg *leg) {
    const struct tcp_preface *p = leg->cfg.preface;
    return memcmp(leg->bytes, p->magic, MIN(leg->got, p->magic_len)) == 0;
}

/* Takes what is there; the link gives no more than the preface. */
static void read_preface(struct tcp_leg *leg) {
    struct slice s;
    ssize_t n;
    while ((n = link_read(leg->link, &s, 1)) == 1) {
        assert(leg->got + s.len <= leg->cfg.preface->len);
        memcpy(leg->bytes + leg->got, s.data, s.len);
        leg->got += s.len;
        link_consume(leg->link, &s);
    }
    if (leg->got == leg->cfg.preface->len && is_right_so_far(leg))
        arrive(leg);
    else if (n < 0 || !is_right_so_far(leg))
        tcp_leg_close(leg, false);
}

static void on_readable(struct link *l) {
    struct tcp_leg *leg = l->user;
    struct slice nothing;
    if (leg->state == LEG_TAKEN) {
        ssize_t n = link_read(l, &nothing, 1);
        assert(n <= 0); /* it is at its limit */
        if (n < 0)
            lose(leg, (int)n);
        return;
    }
    struct bytes next = tcp_link_peek(l);
    if (leg->got == 0 && next.len > 0 && next.data[0] != leg->cfg.preface->magic[0])
        be_ordinary(leg);
    else
        read_preface(leg);
}

static void on_writable(struct link *l) {
    (void)l; /* nothing is written */
}

static void on_closed(struct link *l, int error) {
    struct tcp_leg *leg = l->user;
    const struct tcp_leg_config cfg = leg->cfg;
    (void)error;
    if (leg->events != NULL)
        leg->events->closed(leg);
    leg_free(leg);
    cfg.gone(cfg.user);
}

static const struct link_events link_events = {
    .readable = on_readable,
    .writable = on_writable,
    .closed = on_closed,
};

/* --- For its owner --- */

void tcp_leg_take(struct tcp_leg *leg, const struct tcp_leg_events *events, void *user) {
    assert(leg->state == LEG_READING);
    leg->state = LEG_TAKEN;
    leg->events = events;
    leg->user = user;
}

void *tcp_leg_user(const struct tcp_leg *leg) {
    return leg->user;
}

struct tcp_conn *tcp_leg_conn(struct tcp_leg *leg) {
    return tcp_link_conn(leg->link);
}

void tcp_leg_joined(struct tcp_leg *leg) {
    half_open_leave(leg->cfg.half_open, &leg->half_open);
}

/* --- For the transport --- */

int tcp_leg_new(const struct tcp_leg_config *cfg, struct list *legs) {
    struct mem *mem = reactor_mem(cfg->reactor);
    assert(cfg->preface->magic_len > 0);
    assert(cfg->preface->magic_len <= cfg->preface->len);
    assert(cfg->preface->len <= TCP_PREFACE_MAX);
    struct tcp_leg *leg = mem_alloc(mem, sizeof(*leg));
    if (leg == NULL)
        return -ENOMEM;
    if (timer_init(&leg->timer, cfg->reactor, on_timer) < 0) {
        (void)mem_free(mem, leg);
        return -ENOMEM;
    }
    int e = tcp_link_adopt(cfg->reactor, cfg->handle, cfg->preface->len, &leg->link);
    if (e < 0) {
        timer_done(&leg->timer);
        (void)mem_free(mem, leg);
        return e;
    }
    leg->cfg = *cfg;
    leg->remote = *cfg->remote;
    list_init(&leg->node);
    list_push(legs, &leg->node);
    half_open_init(&leg->half_open, on_evict);
    half_open_add(cfg->half_open, &leg->half_open, cfg->remote);
    link_set_events(leg->link, &link_events, leg);
    timer_start(&leg->timer, cfg->deadline);
    return 0;
}

void tcp_legs_close(struct list *legs) {
    list_for_each_safe (node, legs) {
        struct tcp_leg *leg = LIST_ENTRY(node, struct tcp_leg, node);
        if (leg->state != LEG_CLOSING)
            lose(leg, -ERR_SHUTDOWN);
    }
}

void tcp_legs_forget_preface(struct list *legs) {
    list_for_each_safe (node, legs) {
        struct tcp_leg *leg = LIST_ENTRY(node, struct tcp_leg, node);
        if (leg->state == LEG_READING)
            tcp_leg_close(leg, false);
    }
}
