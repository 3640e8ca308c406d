/* SPDX-License-Identifier: MIT */
#include "tests/sim/net.h"

#include <stdio.h>
#include <string.h>

#include "tests/sim/nat.h"
#include "tests/sim/tcp_model.h"
#include "tests/sim/udp_model.h"

#define LOOPBACK_DELAY USEC(8)

enum {
    EPHEMERAL_FIRST = 32768,
    EPHEMERAL_COUNT = 28232,
    LOOPBACK_MTU = 65536,
    MTU_DEFAULT = 1500,
    TCP_BUFFER_DEFAULT = 256 << 10,
    ECN_CE = 3,
};

void net_init(struct net *n, struct world *w) {
    memset(n, 0, sizeof(*n));
    n->world = w;
    list_init(&n->in_flight);
}

static void ports_init(struct port_table *t) {
    for (size_t i = 0; i < PORT_BUCKETS; i++)
        list_init(&t->buckets[i]);
}

static struct sim_host *add_place(struct net *n, uint32_t index) {
    struct sim_host *h = &n->hosts[index];
    h->net = n;
    h->index = index;
    h->loopback_buffer = TCP_BUFFER_DEFAULT;
    h->wire_buffer = TCP_BUFFER_DEFAULT;
    ports_init(&h->ports[PROTO_UDP]);
    ports_init(&h->ports[PROTO_TCP]);
    sim_rand_init(&h->rand, n->world->seed, "host", h->index);
    return h;
}

struct sim_host *net_add_host(struct net *n) {
    assert(n->hosts_count < HOSTS_MAX);
    return add_place(n, n->hosts_count++);
}

struct sim_host *net_add_box(struct net *n) {
    assert(n->boxes_count < BOXES_MAX);
    return add_place(n, HOSTS_MAX + n->boxes_count++);
}

void net_add_addr(struct sim_host *h, const struct net_addr *a) {
    assert(h->addrs_count < HOST_ADDRS_MAX);
    h->addrs[h->addrs_count++] = *a;
}

void net_readdress(struct sim_host *h, uint32_t index, const struct net_addr *to) {
    assert(index < h->addrs_count);
    assert(h->addrs[index].family == to->family);
    h->addrs[index] = *to;
}

/* Listeners go last: what they have not accepted refers to them. */
static void drop_socks(struct sim_host *h, bool listeners) {
    for (int proto = 0; proto < 2; proto++) {
        for (size_t i = 0; i < PORT_BUCKETS; i++) {
            list_for_each_safe (node, &h->ports[proto].buckets[i]) {
                struct sim_sock *s = LIST_ENTRY(node, struct sim_sock, bucket_node);
                if (s->kind == SOCK_UDP)
                    udp_close_sock(udp_of(s));
                else if (listeners == (s->kind == SOCK_LISTENER))
                    tcp_drop(s);
            }
        }
    }
}

static void host_done(struct sim_host *h) {
    drop_socks(h, false);
    drop_socks(h, true);
}

void net_power(struct sim_host *h, bool on) {
    h->is_down = !on;
    host_done(h);
    if (h->nat != NULL)
        sim_nat_reboot(h->nat);
}

void net_done(struct net *n) {
    for (uint32_t i = 0; i < PLACES_MAX; i++) {
        if (n->hosts[i].net == NULL)
            continue;
        host_done(&n->hosts[i]);
        sim_nat_free(n->hosts[i].nat);
    }
    struct list *node;
    while ((node = list_shift(&n->in_flight)) != NULL) {
        struct packet *p = LIST_ENTRY(node, struct packet, node);
        world_cancel(n->world, &p->event);
        packet_free(p);
    }
}

/* --- Addresses --- */

bool net_host_has(const struct sim_host *h, const struct net_addr *a) {
    if (net_addr_is_loopback(a))
        return true;
    for (uint32_t i = 0; i < h->addrs_count; i++)
        if (net_addr_ip_equal(&h->addrs[i], a))
            return true;
    return false;
}

int net_source_for(const struct sim_host *h, const struct net_addr *to,
                   struct net_addr *ret_source) {
    struct net_addr source = {.family = NET_NONE};
    if (net_addr_is_loopback(to) || net_host_has(h, to)) {
        source = *to;
    } else {
        for (uint32_t i = 0; i < h->addrs_count && source.family == NET_NONE; i++)
            if (h->addrs[i].family == to->family)
                source = h->addrs[i];
    }
    if (source.family == NET_NONE)
        return -ENETUNREACH;
    source.port = 0;
    *ret_source = source;
    return 0;
}

/* --- Ways --- */

/* Who in a network (that behind a box; NULL: the public one) leads to `h`: itself, or a box that
 * it is behind.  NULL: addresses of this family are not seen there. */
static struct sim_host *seen_at(struct sim_host *h, const struct sim_host *network,
                                uint8_t family) {
    while (h->behind != network) {
        if (h->behind == NULL || sim_nat_translates(h->behind->nat, family))
            return NULL;
        h = h->behind;
    }
    return h;
}

static struct sim_host *find(struct net *n, const struct sim_host *network,
                             const struct net_addr *to) {
    for (uint32_t i = 0; i < PLACES_MAX; i++) {
        struct sim_host *h = &n->hosts[i];
        struct sim_host *hop = net_host_has(h, to) ? seen_at(h, network, to->family) : NULL;
        if (hop != NULL)
            return hop;
    }
    return NULL;
}

struct sim_host *net_hop_out(struct sim_host *from, const struct net_addr *to) {
    struct sim_host *hop = find(from->net, from->behind, to);
    return hop == NULL ? from->behind : hop;
}

struct sim_host *net_hop_in(struct sim_host *box, const struct net_addr *to) {
    return find(box->net, box, to);
}

struct sim_link *net_link_between(struct net *n, const struct sim_host *from,
                                  const struct sim_host *to) {
    for (const struct sim_host *a = from;; a = a->behind) /* the last of each is in public */
        for (const struct sim_host *b = to; b != NULL; b = b->behind)
            if (a->behind == b->behind)
                return net_link(n, a, b);
}

static uint32_t overhead(const struct net_addr *a, enum net_proto proto) {
    uint32_t ip = a->family == NET_IP4 ? IP4_OVERHEAD : IP6_OVERHEAD;
    return ip + (proto == PROTO_UDP ? (uint32_t)UDP_OVERHEAD : (uint32_t)TCP_OVERHEAD);
}

/* TCP's own discovery is taken as done, on the way out and to the next host or box. */
static uint32_t tcp_mtu(struct net *n, struct sim_host *from, const struct net_addr *to) {
    uint32_t mtu = MTU_DEFAULT;
    struct sim_host *at = from;
    struct sim_host *hop;
    while (!net_host_has(at, to) && (hop = net_hop_out(at, to)) != NULL) {
        mtu = MIN(mtu, net_link(n, at, hop)->quality.mtu);
        if (hop != at->behind)
            break;
        at = hop;
    }
    return mtu;
}

uint32_t net_payload_max(struct net *n, struct sim_host *from, const struct net_addr *to,
                         enum net_proto proto) {
    uint32_t mtu = MTU_DEFAULT;
    if (net_host_has(from, to))
        mtu = LOOPBACK_MTU;
    else if (proto == PROTO_TCP)
        mtu = tcp_mtu(n, from, to);
    return mtu - overhead(to, proto);
}

/* --- Packets --- */

struct packet *packet_new(enum net_proto proto, const struct net_addr *src,
                          const struct net_addr *dst, size_t len) {
    struct packet *p = sim_resize(NULL, sizeof(*p) + len);
    memset(p, 0, sizeof(*p));
    list_init(&p->node);
    p->proto = (uint8_t)proto;
    p->src = *src;
    p->dst = *dst;
    p->len = (uint32_t)len;
    return p;
}

void packet_free(struct packet *p) {
    list_remove(&p->node);
    sim_free(p);
}

/* As world_trace(), but formatted only for who reads it: packets are most of a run. */
static void trace_packet(struct world *w, const char *what, const struct packet *p) {
    const struct {
        uint64_t seq, ack, window;
        uint32_t len;
        uint16_t from_port, to_port;
        uint8_t proto, ecn, flags, from, to, zero[3];
    } fields = {
        .seq = p->seq,
        .ack = p->ack,
        .window = p->window,
        .len = p->len,
        .from_port = p->src.port,
        .to_port = p->dst.port,
        .proto = p->proto,
        .ecn = p->ecn,
        .flags = p->flags,
        .from = (uint8_t)p->from->index,
        .to = p->to == NULL ? UINT8_MAX : (uint8_t)p->to->index,
    };
    world_trace_fast(w, what, &fields, sizeof(fields));
    world_trace_bytes(w, p->data, p->len);
    if (!w->prints_trace)
        return;
    char src[NET_ADDR_TEXT_MAX];
    char dst[NET_ADDR_TEXT_MAX];
    char tcp[96] = "";
    if (p->proto == PROTO_TCP)
        (void)snprintf(tcp, sizeof(tcp), " %s%s%s%s seq %llu ack %llu window %llu",
                       p->flags & TCP_SYN ? "S" : "", p->flags & TCP_FIN ? "F" : "",
                       p->flags & TCP_RST ? "R" : "", p->flags & TCP_ACK ? "." : "",
                       (unsigned long long)p->seq, (unsigned long long)p->ack,
                       (unsigned long long)p->window);
    world_print(w, "%s %s %s > %s len %u%s", what, p->proto == PROTO_UDP ? "udp" : "tcp",
                net_addr_format(&p->src, src), net_addr_format(&p->dst, dst), p->len, tcp);
}

void net_arrive(struct sim_host *h, struct packet *p) {
    h->net->stats.delivered++;
    if (p->proto == PROTO_UDP)
        udp_arrive(h, p);
    else
        tcp_arrive(h, p);
}

void net_drop(struct net *n, struct packet *p, const char *why) {
    trace_packet(n->world, why, p);
    packet_free(p);
}

static void on_arrival(struct sim_event *e) {
    struct packet *p = CONTAINER_OF(e, struct packet, event);
    list_remove(&p->node);
    trace_packet(p->to->net->world, "arrive", p);
    if (p->to->is_down)
        packet_free(p);
    else if (p->to->nat != NULL)
        sim_nat_arrive(p->to->nat, p);
    else
        net_arrive(p->to, p);
}

static void set_out(struct net *n, struct packet *p, nsec_t at) {
    sim_event_init(&p->event, on_arrival);
    list_push(&n->in_flight, &p->node);
    world_at(n->world, &p->event, at);
}

static void copy_later(struct net *n, const struct packet *p, nsec_t at) {
    struct packet *copy = packet_new(p->proto, &p->src, &p->dst, p->len);
    memcpy(copy, p, sizeof(*p) + p->len);
    list_init(&copy->node);
    set_out(n, copy, at);
}

/* When it leaves the queue before the link; false: there is no room. */
static bool queue(struct net *n, struct sim_link *l, struct packet *p, uint32_t bytes,
                  nsec_t *ret_at) {
    const struct link_quality *q = &l->quality;
    nsec_t now = n->world->now;
    if (q->rate == 0) {
        *ret_at = now;
        return true;
    }
    nsec_t begins = MAX(now, l->free_at);
    uint64_t queued = (begins - now) * q->rate / SEC(1);
    if (queued + bytes > q->queue_bytes)
        return false;
    if (p->ecn != 0 && queued > q->queue_bytes / 2)
        p->ecn = ECN_CE;
    l->free_at = begins + bytes * SEC(1) / q->rate;
    *ret_at = l->free_at;
    return true;
}

static void over_link(struct net *n, struct packet *p) {
    struct sim_link *l = net_link(n, p->from, p->to);
    const struct link_quality *q = &l->quality;
    struct sim_rand *r = &n->world->net;
    l->packets += !p->is_leftover;
    uint32_t bytes = p->len + overhead(&p->dst, p->proto);
    nsec_t at = 0;
    const char *why = NULL;
    if (bytes > q->mtu) {
        why = "too-big";
        n->stats.too_big++;
    } else if (!queue(n, l, p, bytes, &at)) {
        why = "queue-full";
        n->stats.queue_full++;
    } else if (l->cuts > 0 || (l->udp_cuts > 0 && p->proto == PROTO_UDP) || p->to->is_down) {
        why = "cut";
        n->stats.lost++;
    } else if (sim_rand_chance(r, q->loss_ppm + (l->lossy > 0 ? l->storm_loss_ppm : 0))) {
        why = "lost";
        n->stats.lost++;
    }
    if (why != NULL) {
        net_drop(n, p, why);
        return;
    }
    at += q->delay + l->storm_delay + (q->jitter > 0 ? sim_rand_below(r, q->jitter) : 0);
    if (sim_rand_chance(r, q->dup_ppm))
        copy_later(n, p, at + sim_rand_below(r, q->delay + 1));
    if (sim_rand_chance(r, q->reorder_ppm)) {
        at += sim_rand_below(r, q->reorder_delay + 1);
    } else {
        at = MAX(at, l->arrives_at);
        l->arrives_at = at;
    }
    set_out(n, p, at);
}

void net_forward(struct sim_host *from, struct sim_host *to, struct packet *p) {
    p->from = from;
    p->to = to;
    if (from->is_down || to == NULL) {
        net_drop(from->net, p, "no-route");
        return;
    }
    from->packets_sent++;
    from->bytes_sent += p->len;
    over_link(from->net, p);
}

void net_send(struct sim_host *from, struct packet *p) {
    struct net *n = from->net;
    n->stats.sent++;
    if (!net_host_has(from, &p->src)) {
        p->from = from;
        net_drop(n, p, "no-source");
        return;
    }
    if (from->is_down || !net_host_has(from, &p->dst)) {
        net_forward(from, net_hop_out(from, &p->dst), p);
        return;
    }
    p->from = from;
    p->to = from;
    set_out(n, p, n->world->now + LOOPBACK_DELAY);
}

/* --- Ports --- */

struct list *net_bucket(struct sim_host *h, enum net_proto proto, uint16_t port) {
    return &h->ports[proto].buckets[port % PORT_BUCKETS];
}

static enum net_proto proto_of(const struct sim_sock *s) {
    return s->kind == SOCK_UDP ? PROTO_UDP : PROTO_TCP;
}

void sock_init(struct sim_sock *s, struct sim_host *h, enum sock_kind kind) {
    list_init(&s->bucket_node);
    s->host = h;
    s->kind = kind;
}

/* As with the options that uring/sock.c sets: one UDP socket or listener to an address and port;
 * connections hinder nobody. */
static bool conflicts(const struct sim_sock *s, const struct net_addr *local,
                      const struct sim_sock *other) {
    if (other == s || other->local.port != local->port || other->local.family != local->family)
        return false;
    if (other->kind == SOCK_TCP || s->kind == SOCK_TCP)
        return false;
    return net_addr_is_unspecified(&other->local) || net_addr_is_unspecified(local) ||
           net_addr_ip_equal(&other->local, local);
}

static bool is_free(const struct sim_sock *s, const struct net_addr *local) {
    list_for_each (node, net_bucket(s->host, proto_of(s), local->port)) {
        if (conflicts(s, local, LIST_ENTRY(node, struct sim_sock, bucket_node)))
            return false;
    }
    return true;
}

/* A port that nothing at all uses. */
static bool is_unused(const struct sim_sock *s, uint16_t port) {
    list_for_each (node, net_bucket(s->host, proto_of(s), port)) {
        if (LIST_ENTRY(node, struct sim_sock, bucket_node)->local.port == port)
            return false;
    }
    return true;
}

int sock_bind(struct sim_sock *s, const struct net_addr *local) {
    struct net_addr at = *local;
    assert(!s->bound);
    if (!net_addr_is_unspecified(&at) && !net_host_has(s->host, &at))
        return -EADDRNOTAVAIL;
    if (at.port == 0) {
        uint64_t first = sim_rand_below(&s->host->rand, EPHEMERAL_COUNT);
        for (uint32_t i = 0; i < EPHEMERAL_COUNT && at.port == 0; i++) {
            uint16_t port = (uint16_t)(EPHEMERAL_FIRST + (first + i) % EPHEMERAL_COUNT);
            if (is_unused(s, port))
                at.port = port;
        }
    } else if (!is_free(s, &at)) {
        return -EADDRINUSE;
    }
    if (at.port == 0)
        return -EADDRINUSE;
    s->local = at;
    s->bound = true;
    list_push(net_bucket(s->host, proto_of(s), at.port), &s->bucket_node);
    return 0;
}

void sock_unbind(struct sim_sock *s) {
    list_remove(&s->bucket_node);
    s->bound = false;
}
