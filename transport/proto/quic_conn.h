/* SPDX-License-Identifier: MIT */
#pragma once

/* One QUIC v1 connection with its streams.  Engine over ngtcp2: no sockets, no clock.
 *
 *   packets in  -> quic_conn_recv()     events out -> quic_conn_next_event()
 *   packets out <- quic_conn_pull()     time       -> quic_conn_tick() at quic_conn_deadline()
 *
 * Spec:   RFC 9000, 9001, 9002, 9221; libp2p quic.md.  TLS: transport/proto/tls_context.h.
 * Sending keeps references to the user's slices until they are acknowledged; nothing is copied on
 * our side.  Received bytes are copied once, out of ngtcp2's buffer, into slabs.
 * Memory: ngtcp2's own from cfg.mem; a stream's slabs are charged to its quota, bounded by what its
 *         windows allow; at most QUIC_PACKETS_IN_FLIGHT_MAX packets of a stream are unacknowledged,
 *         since ngtcp2 gives a connection up when some 8,000 frames are lost at once.
 * Thread: one at a time.  No callbacks, so re-entry is impossible.  `now` never goes back.
 */

#include "core/base/buf.h"
#include "core/base/net_addr.h"
#include "core/base/time.h"
#include "core/p2p/peer_id.h"
#include "transport/proto/codes.h"

struct mem;
struct problem;
struct quic_conn;
struct quic_stream;
struct tls_context;
struct rng;

enum {
    QUIC_CID_BYTES = 8,
    QUIC_CID_BYTES_MAX = 20,
    QUIC_RESET_KEY_BYTES = 32,
    QUIC_PACKET_BYTES_MAX = 1452, /* an Ethernet frame less IPv6 and UDP headers */
    QUIC_PACKETS_IN_FLIGHT_MAX = 6500,
    QUIC_STREAM_IN_FLIGHT_MAX = QUIC_PACKETS_IN_FLIGHT_MAX * QUIC_PACKET_BYTES_MAX,
    /* Accepted and not yet sent: enough for several GSO batches, little enough for the cache. */
    QUIC_STREAM_UNSENT_MAX = 512 << 10,
    QUIC_STREAM_WINDOW_FIRST = 512 << 10,
    QUIC_STREAM_WINDOW_MAX = 10 << 20, /* go-libp2p's limit */
    QUIC_CONN_WINDOW_FIRST = 768 << 10,
    QUIC_CONN_WINDOW_MAX = 15 << 20, /* go-libp2p's limit */
    QUIC_CONN_BUFFERED_MAX =
        32 << 20,             /* unread bytes, beyond which the connection's window waits */
    QUIC_STREAMS_FIRST = 256, /* incoming, until the peer is admitted */
    QUIC_STREAMS_MAX = 4096,
    QUIC_DATAGRAM_BYTES_MAX = 65535,
    QUIC_DATAGRAMS_QUEUED_MAX = 64,
};

#define QUIC_IDLE_TIMEOUT        SEC(30)
#define QUIC_SILENCE_MAX         SEC(15) /* with data outstanding */
#define QUIC_KEEP_ALIVE          SEC(10)
#define QUIC_HANDSHAKE_TIMEOUT   SEC(10)
/* How long a closed connection answers what is still under way, at most.  Three probe timeouts are
 * usual, but after a time of loss and delay those are many seconds, and whoever shuts down waits
 * for the last connection; without the connection the answer is a stateless reset. */
#define QUIC_CLOSING_PAUSE_MAX   SEC(2)
/* How long a failed handshake answers stray packets at most. */
#define QUIC_HANDSHAKE_PAUSE_MAX MSEC(300)

struct quic_cid {
    uint8_t len;
    uint8_t bytes[QUIC_CID_BYTES_MAX];
};

struct quic_path {
    struct net_addr local;
    struct net_addr remote;
};

struct quic_conn_config {
    struct mem *mem;
    struct rng *rng;
    struct buf_pool *pool;
    struct quota *quota; /* parent of the streams' quotas; outlives the connection */
    struct tls_context *tls;
    const uint8_t *reset_key;       /* QUIC_RESET_KEY_BYTES, for stateless reset tokens */
    const struct peer_id *expected; /* dialler: the peer that must answer; NULL: anybody */
    walltime_t walltime;
};

/* Who is on the other side of a first packet, as the endpoint has parsed it. */
struct quic_initial {
    struct quic_cid dcid; /* chosen by the client */
    struct quic_cid scid;
    struct quic_cid original_dcid; /* of the first attempt, when the client came back after Retry */
    bool after_retry;
    struct bytes token; /* borrowed */
};

/* Starts a handshake; the first packet comes from quic_conn_pull().  -ENOMEM, -ERR_CRYPTO */
NODISCARD int quic_conn_connect(const struct quic_conn_config *cfg, const struct quic_path *path,
                                nsec_t now, struct quic_conn **ret_conn);
/* Answers a first packet, which must be fed to quic_conn_recv() next.  -ENOMEM, -ERR_CRYPTO */
NODISCARD int quic_conn_accept(const struct quic_conn_config *cfg,
                               const struct quic_initial *initial, const struct quic_path *path,
                               nsec_t now, struct quic_conn **ret_conn);
/* All streams must have been released.  Accepts NULL, returns NULL. */
struct quic_conn *quic_conn_free(struct quic_conn *c);

/* The first packet held a later part of the ClientHello only (they were reordered): the client is
 * to come back with a token, by quic_packet_retry().  This connection is dead. */
bool quic_conn_wants_retry(const struct quic_conn *c);

/* One packet of `path`; ECN bits as received.  Errors of the peer end the connection, which an
 * event tells; nothing is returned. */
void quic_conn_recv(struct quic_conn *c, const struct quic_path *path, uint8_t ecn,
                    struct bytes packet, nsec_t now);

/* A short packet from the peer's address whose ID is none of ours: perhaps the stateless reset of a
 * peer that was restarted.  Anything else disturbs nothing, and is no sign of life. */
void quic_conn_recv_stray(struct quic_conn *c, struct bytes packet, nsec_t now);

/* Packets for one GSO batch: all of segment_len but the last, which may be shorter. */
struct quic_batch {
    size_t len;
    size_t segment_len;
    struct quic_path path;
    uint8_t ecn;
};

/* Fills `out` with what may be sent now.  false: nothing. */
bool quic_conn_pull(struct quic_conn *c, void *out, size_t out_size, struct quic_batch *ret_batch,
                    nsec_t now);

/* After quic_conn_pull() said that there is nothing more, or the socket is full. */
nsec_t quic_conn_deadline(const struct quic_conn *c);
void quic_conn_tick(struct quic_conn *c, nsec_t now);

enum quic_event_type {
    QUIC_EV_CONNECTED, /* the handshake is complete, the peer's ID is proved */
    QUIC_EV_CONFIRMED, /* a dialler knows now that it was let in */
    QUIC_EV_CID_ADDED, /* packets to this ID are ours */
    QUIC_EV_CID_REMOVED,
    QUIC_EV_MOVED, /* the peer is at another address, as it has proved: quic_conn_path() */
    QUIC_EV_STREAMS_AVAILABLE, /* quic_stream_open() may succeed again */
    QUIC_EV_STREAM_OPENED,     /* by the peer */
    QUIC_EV_STREAM_READABLE,
    QUIC_EV_STREAM_WRITABLE,
    QUIC_EV_STREAM_STOPPED,
    QUIC_EV_STREAM_RESET,
    QUIC_EV_STREAM_CLOSED,
    QUIC_EV_DATAGRAM,
    QUIC_EV_CLOSED, /* last but for CID events: no stream lives, what is left answers stray packets
                     */
    QUIC_EV_GONE,   /* quic_conn_free() may follow */
};

struct quic_event {
    enum quic_event_type type;
    struct quic_stream *stream;
    uint64_t code;         /* STOPPED, RESET */
    struct quic_cid cid;   /* CID_... */
    struct slice datagram; /* with its reference */
};

/* Drained until false. */
bool quic_conn_next_event(struct quic_conn *c, struct quic_event *ret_event);

/* The system cannot send to the peer (`error`, an errno): a handshake that has heard nothing yet
 * ends with it at once.  Harmless otherwise: what was answered before may be again. */
void quic_conn_unreachable(struct quic_conn *c, int error, nsec_t now);

/* Asks the peer for a sign of life at once, from wherever packets leave now: a server follows a
 * client whose address has changed.  Harmless when it is not open. */
void quic_conn_probe(struct quic_conn *c);

/* Ends the connection with an application code; CLOSED follows.  On a dead one it only ends streams
 * that were received whole and are still being read. */
void quic_conn_close(struct quic_conn *c, uint64_t code, nsec_t now);

/* Why it ended: 0 for an own close with CONN_CODE_NONE, -ERR_CONN_CLOSED, -ERR_GATED, -ETIMEDOUT,
 * -ERR_HANDSHAKE, -ERR_BAD_CERTIFICATE, -ERR_PEER_ID_MISMATCH, -ECONNREFUSED,
 * -ERR_RESOURCE_LIMIT ...; the sentence says more. */
int quic_conn_error(const struct quic_conn *c, struct problem *ret_problem);

/* The proved peer; none before QUIC_EV_CONNECTED (after a mismatch: who it was). */
const struct peer_id *quic_conn_peer(const struct quic_conn *c);
bool quic_conn_is_server(const struct quic_conn *c);
bool quic_conn_is_open(const struct quic_conn *c); /* connected and not closed */
bool quic_conn_is_confirmed(const struct quic_conn *c);
const struct quic_path *quic_conn_path(const struct quic_conn *c);
nsec_t quic_conn_rtt(const struct quic_conn *c);      /* smoothed; 0 once closed */
nsec_t quic_conn_heard_at(const struct quic_conn *c); /* the last packet */
/* Since when something is outstanding and the peer silent; NSEC_NEVER: it is not. */
nsec_t quic_conn_unanswered_since(const struct quic_conn *c);

/* Raises the number of streams that the peer may have open, once it is admitted. */
void quic_conn_admit(struct quic_conn *c);

/* Sends an unreliable datagram, taking over the slice's reference in every case.
 *   -ENOTSUP   the peer takes none
 *   -EMSGSIZE  larger than fits one packet of this path
 *   -EAGAIN    QUIC_DATAGRAMS_QUEUED_MAX are waiting: it was dropped */
NODISCARD int quic_conn_send_datagram(struct quic_conn *c, struct slice datagram);
/* Largest datagram that fits a packet now; 0 when the peer takes none. */
size_t quic_conn_datagram_max(const struct quic_conn *c);

/* --- Streams: the rules of transport/stream.h; this layer knows no protocols. --- */

/* -EAGAIN at the peer's limit (STREAMS_AVAILABLE follows), -ERR_CONN_CLOSED, -ENOMEM */
NODISCARD int quic_stream_open(struct quic_conn *c, struct quic_stream **ret_stream);
void quic_stream_set_user(struct quic_stream *s, void *user);
void *quic_stream_user(const struct quic_stream *s);
struct quic_conn *quic_stream_conn(const struct quic_stream *s);
int64_t quic_stream_id(const struct quic_stream *s);
struct quota *quic_stream_quota(struct quic_stream *s);
size_t quic_stream_unsent(const struct quic_stream *s);
NODISCARD ssize_t quic_stream_write(struct quic_stream *s, const struct slice *v, size_t count);
NODISCARD ssize_t quic_stream_read(struct quic_stream *s, struct slice *out, size_t max);
void quic_stream_credit(struct quic_stream *s, size_t bytes);
void quic_stream_shutdown_write(struct quic_stream *s);
void quic_stream_stop_reading(struct quic_stream *s, uint64_t code);
void quic_stream_reset(struct quic_stream *s, uint64_t code);
/* The owner forgets it; freed as soon as the connection is done with it, too. */
void quic_stream_release(struct quic_stream *s);
