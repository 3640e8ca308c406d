/* SPDX-License-Identifier: MIT */
#include "tests/sim/udp_model.h"

#include <string.h>

#include "uring/udp.h"

enum { QUEUE_BYTES_DEFAULT = UDP_RCVBUF_BYTES };

int udp_open_sock(struct sim_host *h, const struct net_addr *local, struct sim_udp **ret_udp) {
    struct sim_udp *u = sim_alloc(sizeof(*u));
    sock_init(&u->sock, h, SOCK_UDP);
    list_init(&u->queue);
    u->queue_bytes_max = QUEUE_BYTES_DEFAULT;
    int e = sock_bind(&u->sock, local);
    if (e < 0) {
        sim_free(u);
        return e;
    }
    *ret_udp = u;
    return 0;
}

void udp_close_sock(struct sim_udp *u) {
    struct list *node;
    while ((node = list_shift(&u->queue)) != NULL)
        packet_free(LIST_ENTRY(node, struct packet, node));
    sock_unbind(&u->sock);
    sim_free(u);
}

int udp_send_one(struct sim_udp *u, const struct net_addr *from, const struct net_addr *to,
                 uint8_t ecn, const uint8_t *data, size_t len) {
    struct sim_host *h = u->sock.host;
    struct net_addr src = u->sock.local;
    if (from->family != NET_NONE && !net_addr_is_unspecified(from)) {
        if (!net_host_has(h, from))
            return -EINVAL;
        src = *from;
    } else if (net_addr_is_unspecified(&src)) {
        int e = net_source_for(h, to, &src);
        if (e < 0)
            return e;
    }
    src.port = u->sock.local.port;
    if (len > net_payload_max(h->net, h, to, PROTO_UDP))
        return -EMSGSIZE;
    struct packet *p = packet_new(PROTO_UDP, &src, to, len);
    p->ecn = ecn;
    memcpy(p->data, data, len);
    net_send(h, p);
    return 0;
}

static struct sim_udp *find(struct sim_host *h, const struct net_addr *to) {
    struct sim_udp *found = NULL;
    list_for_each (node, net_bucket(h, PROTO_UDP, to->port)) {
        struct sim_sock *s = LIST_ENTRY(node, struct sim_sock, bucket_node);
        if (s->local.port != to->port || s->local.family != to->family)
            continue;
        if (net_addr_ip_equal(&s->local, to))
            return udp_of(s);
        if (net_addr_is_unspecified(&s->local))
            found = udp_of(s);
    }
    return found;
}

void udp_arrive(struct sim_host *h, struct packet *p) {
    struct sim_udp *u = find(h, &p->dst);
    if (u == NULL || u->queued_bytes + p->len + UDP_PACKET_COST > u->queue_bytes_max) {
        packet_free(p);
        return;
    }
    u->queued_bytes += p->len + UDP_PACKET_COST;
    list_push(&u->queue, &p->node);
    sock_changed(&u->sock);
}
