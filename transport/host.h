/* SPDX-License-Identifier: MIT */
#pragma once

/* The host: our identity, our connections by peer, and the protocols that we speak.  One place
 * where dialling, gating, classes and limits are decided.
 *
 *   serving   host_handle() registers a protocol with the class of peers that may use it and an
 *             accept function.
 *   using     host_open_stream() dials if need be, and calls back with a stream.
 *
 * Identify, identify/push, ping and perf are handlers like all others, registered by host_new().
 * Thread: the reactor's.  Callbacks come from the end of a turn, never from inside a call.
 */

#include "core/base/problem.h"
#include "core/base/time.h"
#include "core/p2p/identity.h"
#include "core/p2p/multiaddr.h"
#include "core/p2p/peer_id.h"
#include "transport/handler.h"
#include "transport/proto/dial_rank.h"
#include "transport/stream.h"
#include "uring/reactor.h"

struct conn;
struct conn_limit;
struct host;
struct identify_message;
struct netwatch;
struct netwatch_change;
struct resolver;
struct tcp_preface;
struct transport;

/* What the host asks about a peer; kept by the node (authorized_keys). */
struct gate {
    /* Whether gating is on and the peer is not in the list, or expired. */
    bool (*denies)(struct gate *g, const struct peer_id *peer, walltime_t now);
    /* An inbound connection or a stream was decided; for the audit log and metrics. */
    void (*decided)(struct gate *g, const struct peer_id *peer, bool inbound, bool allowed);
};

/* How many connections there may be.  From `conns_high` on idle ones are closed down to
 * `conns_low`, none that is younger than `grace`, and none in use by us or by a peer that the gate
 * lists. */
struct host_limits {
    uint32_t conns_max; /* with peers that the gate lists; others stop at conns_high */
    uint32_t conns_high;
    uint32_t conns_low;
    nsec_t grace;
};

/* go-libp2p's marks; the limit is what a daemon with 64 KiB of state a connection can afford. */
enum { HOST_CONNS_MAX = 1024, HOST_CONNS_HIGH = 192, HOST_CONNS_LOW = 160 };
#define HOST_CONNS_GRACE SEC(60)

struct host_config {
    struct reactor *reactor;
    const struct identity *identity; /* copied */
    struct resolver *resolver;       /* outlives the host; NULL: names are not dialled */
    struct netwatch *netwatch;      /* outlives the host; NULL: the system is asked for addresses */
    const char *agent;              /* "peerup/1.2.3"; copied */
    struct gate *gate;              /* NULL: everybody is authorized */
    const struct multiaddr *listen; /* which one of the transports must know */
    size_t listen_count;
    enum dial_preference prefer; /* of dials, and of connections for new streams */
    unsigned securities;         /* UPGRADE_... bits (transport/upgrade.h) for TCP; 0: all */
    struct host_limits limits;   /* zeros: the defaults above */
    bool serve_perf;
    bool is_anonymous; /* asks no peer who it is: for short errands */
};

/* -EADDRINUSE and other errors of binding, -ERR_UNSUPPORTED for an address that no transport can
 * listen on, -ENOMEM, -ERR_CRYPTO; `problem` names the address.  Sockets that were open already
 * close by themselves in the reactor's next turns. */
NODISCARD int host_new(const struct host_config *cfg, struct problem *problem,
                       struct host **ret_host);

/* Closes all connections with `code` 0x1006 (shutdown) and all sockets; ends in `closed`, after
 * which host_free() may be called. */
void host_close(struct host *h, void (*closed)(void *user), void *user);
/* Accepts NULL, returns NULL. */
struct host *host_free(struct host *h);

/* Adds a transport to the host's own, which it may overrule: it is asked first from now on.  The
 * host takes it over, sets its events, and closes and frees it with itself. */
void host_add_transport(struct host *h, struct transport *t);

/* For the functions of transport/quic_transport.h: its sockets also carry STUN and punch holes. */
struct transport *host_quic(struct host *h);
/* Connections to its ports for TCP that begin so are no peers' (transport/tcp_leg.h); NULL: all
 * are. */
void host_set_preface(struct host *h, struct tcp_preface *p);

const struct identity *host_identity(const struct host *h);

/* Our addresses as bound (ports known, unspecified IPs as they are).  Returns the count, at most
 * `max` are written. */
size_t host_listen_addrs(const struct host *h, struct multiaddr *out, size_t max);

/* What identify tells the peer of a connection about where we are, best first: what is bound, and
 * the interfaces' addresses where that is unspecified; loopback for those alone who came that way;
 * and what is announced.  Without a connection (NULL) as to somebody elsewhere.  Returns the count.
 */
enum { HOST_ADVERTISED_MAX = 32 };
size_t host_advertised_addrs(const struct host *h, const struct conn *c,
                             struct multiaddr ret_addrs[HOST_ADVERTISED_MAX]);

/* What a transport listens on has changed: peers will hear of it. */
void host_addrs_changed(struct host *h);

/* The machine's network changed, as the host's netwatch (asserted: it has one) tells:
 *   - what failed before may work now: back-offs and black holes are forgotten, rounds of dials
 *     begin anew
 *   - connections from an address of ours that is gone: those over QUIC that we dialled go on from
 *     another one; others are closed, and their peers dialled, if the gate lists them
 *   - those that may lead nowhere (the address changed, another default route, a sleep) take no new
 *     streams before their peer was heard again, if there is another way
 *   - peers are told where we are now, at once */
void host_network_changed(struct host *h, const struct netwatch_change *change);

/* Where we can be reached beside what we listen on, as others see us; replaces what was announced
 * before.  At most HOST_ANNOUNCED_MAX are kept; peers will hear of a change. */
enum { HOST_ANNOUNCED_MAX = 16 };
void host_announce(struct host *h, const struct multiaddr *addrs, size_t count);

/* --- Serving --- */

/* -EEXIST when the protocol is registered already. */
NODISCARD int host_handle(struct host *h, struct protocol_handler *ph);
/* Streams that it accepted live on. */
void host_unhandle(struct host *h, struct protocol_handler *ph);

/* Strangers whom the gate denies and who come in all the same, for one protocol and no longer than
 * HOST_GUEST_TIME; not even identify answers them.  AutoNAT dials back from identities that nobody
 * has listed. */
struct host_guests {
    const char *protocol;
    bool (*expects)(struct host_guests *g, const struct conn *c); /* an inbound connection */
};
enum { HOST_GUESTS_MAX = 4 };
#define HOST_GUEST_TIME SEC(10)
/* NULL: nobody is let in so any more. */
void host_expect_guests(struct host *h, struct host_guests *g);

/* What is served, in no order that means anything.  Returns the count, at most `max` are written.
 */
size_t host_protocols(const struct host *h, const char **out, size_t max);

/* Whether gating is on and does not let the peer in now. */
bool host_denies(const struct host *h, const struct peer_id *peer);
/* The gate's answers changed: connections of inbound peers, and streams of peers, that lost their
 * right are closed at once. */
void host_gate_changed(struct host *h);

/* --- Dialling and streams --- */

/* Addresses where a peer may be found, without or with a trailing /p2p of that peer; kept until
 * replaced.  At most HOST_ADDRS_PER_PEER_MAX are kept.  Those that the peer itself tells by
 * identify are dialled, too, as long as it is connected or has addresses here. */
enum { HOST_ADDRS_PER_PEER_MAX = 16 };
NODISCARD int host_add_addrs(struct host *h, const struct peer_id *peer,
                             const struct multiaddr *addrs, size_t count);

/* One more address where a peer may be found, with the others; the oldest makes room.  Nothing
 * happens when it is known already. */
NODISCARD int host_add_addr(struct host *h, const struct peer_id *peer,
                            const struct multiaddr *addr);

/* Where a peer may be found as far as it is known here: what was given, and what it told.  Returns
 * how many are written, at most `max`. */
size_t host_peer_addrs(const struct host *h, const struct peer_id *peer, struct multiaddr *out,
                       size_t max);

/* Somebody who may know where peers are, and is asked before each round of dials; embedded by its
 * owner.  Writes at most `max` addresses, without /p2p of the peer, and returns how many. */
struct addr_source {
    struct list node;
    size_t (*find)(struct addr_source *s, const struct peer_id *peer, struct multiaddr *out,
                   size_t max);
};
enum { HOST_SOURCE_ADDRS_MAX = 16 }; /* `max` */
void host_add_source(struct host *h, struct addr_source *s);
void host_remove_source(struct addr_source *s);

/* What waits for a connection to a peer: the part that all requests share. */
struct host_request {
    struct list node;
    struct host *host;
    struct peer_id peer;
    struct timer timer;
    struct problem problem; /* the sentence of an error, written before done() */
    unsigned flags;
    bool pending;
};

enum host_request_flags {
    HOST_REQUEST_BACKGROUND =
        1 << 0,                 /* nobody waits: addresses that failed lately are left alone */
    HOST_REQUEST_BULK = 1 << 1, /* a stream for much data: see HOST_BULK_PREFERENCE */
    /* A connection that its relay limits will do, too.  Without this, one that is not is dialled
     * and waited for, and -ERR_LIMITED_CONN is the end of it. */
    HOST_REQUEST_LIMITED = 1 << 2,
    /* Over a connection that stands, or -ERR_NOT_CONNECTED at the end of the turn. */
    HOST_REQUEST_NO_DIAL = 1 << 3,
};

/* What bulk streams prefer where the user prefers nothing: they take such a connection when there
 * is one, and have one dialled behind their back when there is not.  TCP moves bulk best
 * (docs/adr/0012). */
#define HOST_BULK_PREFERENCE DIAL_TCP

/* A request in flight, embedded in its owner.  Exactly one done(), unless cancelled before. */
struct stream_request {
    struct host_request base;
    const char *protocol; /* must outlive the stream */
    /* 0 with a stream that the callee owns now (it may still turn out that the peer does not speak
     * the protocol: closed() then says so), or an error:
     *   -ERR_NO_ADDRESSES, -ETIMEDOUT, -ECONNREFUSED, -ERR_PEER_ID_MISMATCH, -ERR_GATED,
     *   -ERR_HANDSHAKE, -ERR_RESOURCE_LIMIT (every connection to the peer is at its limit),
     *   -ERR_DIAL_BACKOFF (in the background only), -ERR_LIMITED_CONN, -ERR_NOT_CONNECTED */
    void (*done)(struct stream_request *r, struct stream *s, int error);
};

/* Opens a stream on the best connection to the peer, dialling its addresses when there is none, or
 * none that is sound: one on which data is unanswered for seconds waits for a race between all
 * addresses, and is used only when nothing better comes of it. */
void host_open_stream_with(struct host *h, struct stream_request *r, const struct peer_id *peer,
                           const char *protocol, unsigned flags, nsec_t deadline,
                           void (*done)(struct stream_request *r, struct stream *s, int error));
static inline void
host_open_stream(struct host *h, struct stream_request *r, const struct peer_id *peer,
                 const char *protocol, nsec_t deadline,
                 void (*done)(struct stream_request *r, struct stream *s, int error)) {
    host_open_stream_with(h, r, peer, protocol, 0, deadline, done);
}
/* Harmless when it is not pending. */
void stream_request_cancel(struct stream_request *r);

/* Opens a stream on this connection and no other, limited or not; its protocol is still under
 * negotiation.
 *   -EAGAIN  it has no room for one
 *   -ERR_CONN_CLOSED, -ENOMEM */
NODISCARD int host_open_stream_on(struct host *h, struct conn *c, const char *protocol,
                                  struct stream **ret_stream);

/* Dials without opening a stream; the same rules.  done() comes when the peer is known to have
 * accepted us (handshake confirmed). */
struct connect_request {
    struct host_request base;
    void (*done)(struct connect_request *r, const struct multiaddr *remote, int error);
};
void host_connect_with(struct host *h, struct connect_request *r, const struct peer_id *peer,
                       unsigned flags, nsec_t deadline,
                       void (*done)(struct connect_request *r, const struct multiaddr *remote,
                                    int error));
static inline void
host_connect(struct host *h, struct connect_request *r, const struct peer_id *peer, nsec_t deadline,
             void (*done)(struct connect_request *r, const struct multiaddr *remote, int error)) {
    host_connect_with(h, r, peer, 0, deadline, done);
}
void connect_request_cancel(struct connect_request *r);

/* A connection that we made otherwise than by a dial of the swarm's: it is the host's like any
 * other.
 *   -ERR_RESOURCE_LIMIT  with this peer there are as many as there may be
 *   -ERR_SHUTDOWN, -ENOMEM
 * After a failure it closes. */
NODISCARD int host_add_conn(struct host *h, struct conn *c);

/* --- Looking at connections --- */

/* Told of connections as they come and go; embedded by its owner.  Any of these may be NULL.
 * Callbacks come from the reactor, never from inside a call; what they start happens later. */
struct host_watch {
    struct list node;
    /* Its peer is proved, and admitted by us; whether the peer admits us is not known yet. */
    void (*opened)(struct host_watch *w, struct conn *c);
    /* The peer told from which address it sees us; undecoded, borrowed.  With each message of
     * identify that says so, and before identified(). */
    void (*observed)(struct host_watch *w, struct conn *c, struct bytes addr);
    /* The peer told who it is, or anew what it is now: what it no longer tells is gone.  Borrowed.
     * Before identified(). */
    void (*told)(struct host_watch *w, struct conn *c, const struct identify_message *m);
    /* The peer told who it is (identify, the first time). */
    void (*identified)(struct host_watch *w, struct conn *c);
    /* All streams are over; `c` is good during this call. */
    void (*closed)(struct host_watch *w, struct conn *c);
    /* Connections that lost their right are closing; from inside host_gate_changed(). */
    void (*gate_changed)(struct host_watch *w);
};
void host_watch(struct host *h, struct host_watch *w);
/* Not from inside a callback of another watch. */
void host_unwatch(struct host_watch *w);

/* How many connections to a peer stand that are not being closed. */
uint32_t host_conns_count(const struct host *h, const struct peer_id *peer);

/* Those connections, the oldest first.  Returns how many are written, at most `max`; they are good
 * until they close. */
enum { HOST_CONNS_PER_PEER_MAX = 8 }; /* with one peer, whoever opened them (go's limit, too) */
size_t host_conns(const struct host *h, const struct peer_id *peer, struct conn **out, size_t max);

struct conn_info {
    struct peer_id peer;
    struct multiaddr remote;
    const char *agent; /* from identify, "" before; valid during the call */
    nsec_t rtt;
    nsec_t opened_at;
    bool inbound;
    bool relayed;
    bool spliced;
    const struct conn_limit *limit; /* NULL: not limited; valid during the call */
};
void host_each_conn(struct host *h, void (*each)(void *user, const struct conn_info *info),
                    void *user);
