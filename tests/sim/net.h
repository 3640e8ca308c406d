/* SPDX-License-Identifier: MIT */
#pragma once

/* The simulated network: hosts with addresses, boxes (NATs and firewalls, nat.h) with networks
 * behind them, a link for each direction between two that are next to each other, and the packets
 * on the way.
 *
 *   socket -> net_send() -> link -> [sim_nat_arrive() -> link ->]... -> udp_arrive(), tcp_arrive()
 *
 * Everybody is in the public network or in the one behind a box.  Who is in the same network is
 * reached directly, and all others by its box: it sees every packet with its addresses, ports and
 * TCP flags when that has come so far, and changes, drops or forwards it.
 *
 * A link has delay, jitter, loss, reordering, duplication, a rate with a bounded queue before it,
 * and an MTU (what is larger vanishes, as where ICMP is filtered).  It can be cut, or be cut for
 * UDP alone.  What a host sends to itself takes no link and is never lost.
 */

#include "core/base/list.h"
#include "core/base/net_addr.h"
#include "tests/sim/world.h"

struct sim_host;
struct sim_nat;
struct sim_sock;

enum {
    HOSTS_MAX = 8,
    BOXES_MAX = 16,
    PLACES_MAX = HOSTS_MAX + BOXES_MAX,
    HOST_ADDRS_MAX = 6,
    PORT_BUCKETS = 64,
    IP4_OVERHEAD = 20,
    IP6_OVERHEAD = 40,
    UDP_OVERHEAD = 8,
    SACKS_MAX = 4,
    TCP_OVERHEAD = 32, /* with timestamps, as Linux sends them */
};

enum net_proto { PROTO_UDP, PROTO_TCP };

enum { TCP_SYN = 1, TCP_ACK = 2, TCP_FIN = 4, TCP_RST = 8 };

struct packet {
    struct sim_event event;
    struct list node;
    struct sim_host *from; /* on this link */
    struct sim_host *to;
    struct net_addr src;
    struct net_addr dst;
    uint8_t proto;
    uint8_t ecn;
    uint8_t flags;    /* of TCP */
    bool is_leftover; /* the kernel's alone: no owner has this connection any more, or yet */
    uint64_t seq;     /* counted from 0, and never wrapping */
    uint64_t ack;
    uint64_t window;
    struct {
        uint64_t from;
        uint64_t to;
    } sacks[SACKS_MAX]; /* bytes behind holes, the lowest first */
    uint32_t sacks_count;
    uint32_t len;
    uint8_t data[];
};

struct link_quality {
    nsec_t delay;
    nsec_t jitter; /* added, uniform; order is kept */
    uint32_t loss_ppm;
    uint32_t dup_ppm;
    uint32_t reorder_ppm; /* these packets are held back by reorder_delay */
    nsec_t reorder_delay;
    uint64_t rate; /* bytes a second; 0: no limit */
    uint32_t queue_bytes;
    uint32_t mtu;
};

struct sim_link {
    struct link_quality quality;
    uint32_t cuts; /* reasons for which nothing passes */
    uint32_t udp_cuts;
    uint32_t lossy; /* reasons for which storm_loss_ppm counts */
    uint32_t storm_loss_ppm;
    nsec_t storm_delay; /* added */
    uint64_t packets;   /* that were given to it, leftovers apart */
    nsec_t free_at;     /* when the last byte queued has left */
    nsec_t arrives_at;  /* of the last packet that was not held back */
};

/* Ports of one protocol. */
struct port_table {
    struct list buckets[PORT_BUCKETS];
    uint32_t count;
};

/* A host, or a box. */
struct sim_host {
    struct net *net;
    uint32_t index;
    struct net_addr addrs[HOST_ADDRS_MAX]; /* port 0; of a box: outside */
    uint32_t addrs_count;
    struct sim_host *behind; /* the box of its network; NULL: in the public one */
    struct sim_nat *nat;     /* what a box does; NULL: a host */
    bool is_down;            /* power off: nothing leaves or arrives */
    struct port_table ports[2];
    struct sim_rand rand;
    uint64_t packets_sent; /* onto links */
    uint64_t bytes_sent;
    /* Bytes that a TCP socket buffers each way: to the host itself, and to others. */
    uint32_t loopback_buffer;
    uint32_t wire_buffer;
};

struct net_stats {
    uint64_t sent;
    uint64_t delivered; /* to whom they are for */
    uint64_t lost;
    uint64_t queue_full;
    uint64_t too_big;
};

struct net {
    struct world *world;
    struct sim_host hosts[PLACES_MAX]; /* boxes from HOSTS_MAX on */
    uint32_t hosts_count;
    uint32_t boxes_count;
    struct sim_link links[PLACES_MAX][PLACES_MAX]; /* [from][to] */
    struct list in_flight;                         /* packets */
    struct net_stats stats;
};

void net_init(struct net *n, struct world *w);
/* Frees what is still on the way, and all sockets. */
void net_done(struct net *n);

/* The power failed, or it is back: all sockets are gone, and what a box remembers. */
void net_power(struct sim_host *h, bool on);
struct sim_host *net_add_host(struct net *n);
/* For nat.c, which makes a box of it. */
struct sim_host *net_add_box(struct net *n);
void net_add_addr(struct sim_host *h, const struct net_addr *a);
/* An address becomes another.  Sockets stay as they are, and what they send from the old one does
 * not leave. */
void net_readdress(struct sim_host *h, uint32_t index, const struct net_addr *to);
static inline struct sim_link *net_link(struct net *n, const struct sim_host *from,
                                        const struct sim_host *to) {
    return &n->links[from->index][to->index];
}
/* What joins two hosts: the link between themselves where they are in one network, otherwise
 * between those boxes before them that are. */
struct sim_link *net_link_between(struct net *n, const struct sim_host *from,
                                  const struct sim_host *to);

/* Which of a host's addresses it sends from, to reach `to`.  -ENETUNREACH */
NODISCARD int net_source_for(const struct sim_host *h, const struct net_addr *to,
                             struct net_addr *ret_source);
bool net_host_has(const struct sim_host *h, const struct net_addr *a);
/* Bytes of payload that a TCP segment or datagram between the two may have.  Of links behind the
 * box of another network it knows nothing. */
uint32_t net_payload_max(struct net *n, struct sim_host *from, const struct net_addr *to,
                         enum net_proto proto);

/* With room for len bytes of data; the caller fills in the rest. */
struct packet *packet_new(enum net_proto proto, const struct net_addr *src,
                          const struct net_addr *dst, size_t len);
void packet_free(struct packet *p);
/* These take the packet over. */
void net_send(struct sim_host *from, struct packet *p);

/* --- For boxes, which take part in the way of a packet --- */

/* Who is next on the way out to an address, and on the way into the network behind a box.
 * NULL: there is none. */
struct sim_host *net_hop_out(struct sim_host *from, const struct net_addr *to);
struct sim_host *net_hop_in(struct sim_host *box, const struct net_addr *to);
/* These take the packet over.  Onto the link from `from` to `to`; there is no such place if that is
 * NULL. */
void net_forward(struct sim_host *from, struct sim_host *to, struct packet *p);
/* To its own sockets. */
void net_arrive(struct sim_host *h, struct packet *p);
void net_drop(struct net *n, struct packet *p, const char *why);

/* --- Sockets, as far as UDP and TCP have them in common --- */

enum sock_kind { SOCK_UDP, SOCK_TCP, SOCK_LISTENER };

struct sim_sock {
    struct list bucket_node;
    struct sim_host *host;
    enum sock_kind kind;
    struct net_addr local;
    bool bound;
    /* Something that its owner may wait for has happened: it looks.  NULL once it was closed. */
    void (*changed)(struct sim_sock *s, void *user);
    void *user;
};

void sock_init(struct sim_sock *s, struct sim_host *h, enum sock_kind kind);
/* -EADDRINUSE, -EADDRNOTAVAIL; port 0 picks one. */
NODISCARD int sock_bind(struct sim_sock *s, const struct net_addr *local);
void sock_unbind(struct sim_sock *s);
static inline void sock_changed(struct sim_sock *s) {
    if (s->changed != NULL)
        s->changed(s, s->user);
}
struct list *net_bucket(struct sim_host *h, enum net_proto proto, uint16_t port);
