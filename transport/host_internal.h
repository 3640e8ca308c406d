/* SPDX-License-Identifier: MIT */
#pragma once

/* What host.c (protocols, gate, connections), swarm.c (peers, dialling, requests) and the services
 * that every host runs share. */

#include "core/base/map.h"
#include "core/base/rate.h"
#include "transport/host.h"
#include "transport/proto/black_hole.h"
#include "transport/proto/dial_backoff.h"
#include "transport/proto/dial_pace.h"
#include "transport/proto/identify.h"
#include "transport/stream_internal.h"
#include "transport/transport.h"
#include "uring/reactor.h"

enum {
    HOST_AGENT_SIZE = 96,
    HOST_LISTEN_MAX = 16,
    HOST_TCP_DIALS_MAX = 160, /* in flight to all peers (go's limit, too) */
};

/* How long data may be unanswered on a connection before new streams look for another one; on slow
 * paths it is three round trips.  With a race over TCP behind it, streams that are opened five
 * seconds after UDP stopped passing find a way (decision 6). */
#define HOST_SUSPECT_AFTER SEC(2)

/* A connection that carries nothing for so long, and does not have to stand, is closed: see
 * swarm_spare_conn(). */
#define HOST_SPARE_AFTER SEC(10)

/* How long pushes of our own changes wait for more changes: go limits them to one in 5 s. */
#define HOST_PUSH_INTERVAL SEC(5)

struct addr_list {
    struct multiaddr *items;
    uint32_t count;
};

struct peer {
    struct map_node node;
    struct host *host;
    struct peer_id id;
    struct list conns; /* struct host_conn.node */
    uint32_t conns_count;
    uint16_t pings_count;    /* inbound ping streams */
    uint16_t pushes_count;   /* identify messages being pushed to us */
    struct addr_list given;  /* by host_add_addrs() */
    struct addr_list learnt; /* from the peer, by identify */
    struct list stream_requests;
    struct list connect_requests;
    struct list work_node; /* in host.busy */
    struct timer timer;    /* to look again whether a connection is sound */
    struct dial_round *round;
    struct dial_pace pace;
    nsec_t race_again_at;         /* not before, when connections are in doubt */
    enum dial_preference missing; /* a bulk stream had to do without a connection of this kind */
    nsec_t missing_again_at;      /* one is not dialled before */
    bool is_missed;               /* we closed its connection: it is dialled once */
};

/* A connection.  In its peer's list the oldest comes first. */
struct host_conn {
    struct conn *conn;
    struct peer *peer;
    struct list node;
    struct list host_node;
    bool full;  /* no stream can be opened now */
    bool tried; /* for the stream that is being opened */
    bool authorized;
    bool is_guest; /* denied by the gate, and expected */
    bool closing;  /* by us: it serves nobody */
    bool identified;
    bool wants_push;
    bool push_due;     /* we changed since the peer was told last */
    nsec_t doubted_at; /* suspect until the peer is heard later; 0: it is not */
    nsec_t silent_at;  /* if it is not heard until then, those who watch are told; 0: never */
    char agent[IDENTIFY_AGENT_SIZE];
};

struct host {
    struct reactor *reactor;
    struct identity identity;
    char agent[HOST_AGENT_SIZE];
    struct gate *gate;
    struct list transports; /* in the order in which they are asked for an address */
    struct transport *quic; /* among them */
    struct transport *tcp;
    uint32_t transports_open;
    struct stream_acceptor acceptor;
    struct log_limit refusal_log; /* what strangers can make us write */
    struct list handlers;
    struct map peers;
    struct list conns;
    struct list watches;
    struct addr_list announced;
    struct list sources;
    struct host_guests *guests; /* NULL: nobody expects any */
    struct rate guest_rate;
    struct timer guest_timer;
    uint32_t conns_count;
    struct host_limits limits;
    struct timer trim_timer;
    nsec_t trim_at;   /* not before */
    struct list busy; /* peers to look at, by .work_node */
    enum dial_preference prefer;
    enum dial_preference prefer_bulk; /* where prefer is DIAL_AUTO */
    struct resolver *resolver;        /* may be NULL */
    struct netwatch *netwatch;        /* may be NULL */
    struct dial_backoff backoff;
    struct black_hole udp_hole;
    struct black_hole ip6_hole;
    uint32_t tcp_dials;      /* in flight */
    struct list tcp_waiting; /* rounds with addresses beyond HOST_TCP_DIALS_MAX */
    struct list direct_dials;
    struct deferred work;
    struct timer push_timer;
    nsec_t pushed_at;
    uint64_t record_seq;
    struct protocol_handler identify_handler;
    struct protocol_handler push_handler;
    struct protocol_handler ping_handler;
    struct protocol_handler perf_handler;
    bool is_anonymous;
    bool closing;
    struct deferred close_work;
    void (*closed)(void *user);
    void *closed_user;
};

/* host.c */
extern const struct conn_events host_conn_events;
/* The transport that can dial an address, or NULL. */
struct transport *host_transport_for(const struct host *h, const struct multiaddr *to);

/* swarm.c */
/* -ENOMEM */
NODISCARD int swarm_init(struct host *h, const struct host_limits *limits);
NODISCARD int swarm_peer(struct host *h, const struct peer_id *id, struct peer **ret_peer);
struct peer *swarm_find(const struct host *h, const struct peer_id *id);
/* Has the peer's requests looked at at the end of the turn. */
void swarm_wake(struct peer *p);
void swarm_work(struct deferred *d);
/* Takes a connection in: it belongs to its peer from now on.  -ENOMEM */
NODISCARD int swarm_add_conn(struct host *h, struct conn *c, struct host_conn **ret_conn);
/* Forgets it; what waited for it fails with `error`. */
void swarm_remove_conn(struct host_conn *hc, int error, const struct problem *why);
/* The peer says that it listens there. */
void swarm_learn_addrs(struct host_conn *hc, struct identify_walk *addrs);
/* The peer has said who it is: what it says, then, the first time, that it did. */
void swarm_told(struct host_conn *hc, const struct identify_message *m);
void swarm_identified(struct host_conn *hc);
/* The peer has said where it sees us. */
void swarm_observed(struct host_conn *hc, struct bytes addr);
/* The host is closing: ends all dials, and has all requests fail at the end of the turn. */
void swarm_fail_all(struct host *h);
void swarm_done(struct host *h);

/* swarm_conns.c */
/* What a request may use. */
struct conn_choice {
    enum dial_preference prefer;
    bool takes_suspects; /* nothing better came of a race */
    bool takes_limited;
};
bool swarm_is_preferred(const struct conn *c, enum dial_preference prefer);
/* Data on it, or on another beside it, is unanswered for so long that it is probably dead, of which
 * it will learn later. */
bool swarm_is_suspect(const struct host_conn *hc);
/* There is reason to think that the connection leads nowhere: asks the peer for a sign of life. */
void swarm_doubt(struct host_conn *hc);
/* It was asked, and none has come yet. */
bool swarm_is_doubted(const struct host_conn *hc);
/* Asks one over QUIC whose peer dials us anew, unless it is asked already: if no sign comes, that is
 * told. */
void swarm_doubt_replaced(struct host_conn *hc);
/* Whether it has not answered that in time, and another connection is sound; it is forgotten then.
 * Else *ret_again is the time to look again, if there is one and it is sooner. */
bool swarm_take_silent(struct host_conn *hc, nsec_t *ret_again);
/* When one with streams comes under suspicion, if what it waits for does not come; NSEC_NEVER: none
 * waits. */
nsec_t swarm_suspicion_due(const struct peer *p);
bool swarm_has_sound_conn(const struct peer *p);
bool swarm_has_sound_direct_conn(const struct peer *p);
/* One that no relay limits. */
bool swarm_has_unlimited_conn(const struct peer *p);
/* Streams that stand, and those to come, may need another way soon. */
bool swarm_is_in_doubt(const struct peer *p);
/* The oldest one on which the peer has let us in, or NULL. */
const struct host_conn *swarm_confirmed_conn(const struct peer *p, bool takes_suspects);
/* The best for a new stream of those that were not tried yet for it, or NULL. */
struct host_conn *swarm_best_conn(const struct peer *p, const struct conn_choice *choice);
/* A peer lets us open more streams when it has admitted us, which is what confirms a connection. */
bool swarm_room_may_come(const struct peer *p);

/* An idle connection that we dialled and that another one to the peer stands in for, to be closed;
 * or NULL, and the time to look again (NSEC_NEVER: not before something else happens). */
struct host_conn *swarm_spare_conn(const struct peer *p, nsec_t *ret_again);

/* swarm_network.c */
/* The peer has dialled us from elsewhere, or past QUIC: older connections are in doubt. */
void swarm_doubt_others(const struct host_conn *newcomer);
/* The peer says where it is now, and was at `before` then: so are those to where it is no more. */
void swarm_doubt_left(const struct peer *p, const struct addr_list *before,
                      const struct identify_walk *now);

/* swarm_guests.c */
/* -ENOMEM */
NODISCARD int swarm_guests_init(struct host *h);
void swarm_guests_done(struct host *h);
/* Whether a denied connection comes in as a guest's; counts it then. */
bool swarm_expects(struct host *h, const struct conn *c);
void swarm_welcome(struct host_conn *hc);
bool swarm_may_guest_use(const struct host *h, const struct protocol_handler *ph);

/* swarm_limits.c */
/* -ENOMEM */
NODISCARD int swarm_limits_init(struct host *h, const struct host_limits *limits);
void swarm_limits_done(struct host *h);
/* Whether an inbound connection of an admitted peer may stay. */
bool swarm_has_room(struct host *h, const struct conn *c);
/* There is one more. */
void swarm_check_limits(struct host *h);

/* direct_dial.c */
/* The host is closing: ends them all at the end of the turn. */
void direct_dial_fail_all(struct host *h);

/* identify_service.c */
/* Also sets up what identify_changed() needs.  -ENOMEM */
NODISCARD int identify_service_init(struct host *h);
/* Asks the peer of a new connection.  Ends with the connection's streams. */
void identify_start(struct host *h, struct host_conn *hc);
/* Our protocols or addresses changed: peers that take pushes will hear of it. */
void identify_changed(struct host *h);
/* The same, without waiting for further changes. */
void identify_moved(struct host *h);

/* ping_service.c, perf_service.c */
void ping_service_init(struct host *h);
void perf_service_init(struct host *h);

static inline struct host_conn *host_conn_of(const struct conn *c) {
    return c->user;
}
