/* SPDX-License-Identifier: MIT */
#pragma once

/* What quic_conn.c (life, packets, events), quic_stream.c (streams) and quic_send.c (filling
 * packets) share. */

#include <ngtcp2/ngtcp2.h>

#include "core/base/list.h"
#include "core/base/problem.h"
#include "transport/proto/quic_conn.h"
#include "transport/proto/quic_tls.h"

enum {
    QUIC_CIDS_MAX = 16, /* ngtcp2 keeps at most eight unretired, and some on the way out */
    QUIC_CLOSE_PACKET_MAX = 1200,        /* what a client must pad its Initial packets to */
    QUIC_SEND_TURN_PACKETS = 16,         /* of one stream before the next has its turn */
    QUIC_ACK_PACKETS = 2,                /* received: now the acknowledgement waits no longer */
    QUIC_CREDIT_URGENT_BYTES = 16 << 10, /* credit given: a window update may be due */
};

enum quic_state {
    QUIC_OPENING, /* handshake running */
    QUIC_OPEN,
    QUIC_CLOSING,  /* we closed: the close packet answers what still comes */
    QUIC_DRAINING, /* the peer closed, or nobody is there */
    QUIC_DEAD,
};

/* An ID in our table and what the driver has not heard of yet. */
struct quic_own_cid {
    struct quic_cid cid;
    bool used;
    bool tell_added;
    bool tell_removed;
};

struct quic_conn {
    struct mem *mem;
    struct rng *rng;
    struct buf_pool *pool;
    struct quota *quota;
    uint8_t reset_key[QUIC_RESET_KEY_BYTES];
    ngtcp2_mem ngtcp2_mem;
    ngtcp2_conn *ngtcp2;
    struct quic_tls_session tls;
    enum quic_state state;
    bool server;
    bool admitted;
    bool heard; /* a packet came in */
    bool wants_retry;
    bool probes;       /* a PING is to go out */
    nsec_t keep_alive; /* where it does not */
    nsec_t heard_at;
    nsec_t now;

    /* What the driver has not heard of yet. */
    bool tell_connected;
    bool tell_confirmed;
    bool tell_moved;
    bool tell_streams;
    bool tell_closed;
    bool told_closed;
    bool told_gone;
    bool confirmed;
    struct quic_own_cid cids[QUIC_CIDS_MAX];
    struct list events; /* of struct quic_stream.event_node */

    struct list streams;  /* all, by .node */
    struct list sendable; /* streams with something to send and leave to do so, by .send_node */
    struct list starved;  /* writers that found the connection's quota used up, by .starved_node */
    uint32_t streams_count;
    size_t buffered;        /* received for streams, not yet credited by their readers */
    size_t owed;            /* received, not yet given back to the connection's window */
    uint32_t send_turn;     /* packets that the first of `sendable` has had */
    bool send_failed;       /* out of memory while a packet was being filled */
    uint64_t unpaced_bytes; /* sent since ngtcp2 last set the pace */

    struct slice_queue datagrams_in;
    struct slice_queue datagrams_out;

    /* The path of the last packets, in both forms, so that it is converted only when it changes. */
    struct quic_path path;
    ngtcp2_path_storage path_storage;
    struct quic_path send_path;
    ngtcp2_path_storage send_storage;

    int error;
    struct problem problem;
    nsec_t unanswered_since; /* NSEC_NEVER: nothing outstanding */

    /* Acknowledgements that may wait for something to travel with: see only_ack_is_due(). */
    nsec_t ack_hold_until;     /* NSEC_NEVER: nothing was received since the last packet */
    uint32_t unacked_packets;  /* received since then */
    uint32_t uncredited_bytes; /* credit given since then */
    bool small_packets;        /* the path takes less than QUIC_PACKET_BYTES_MAX so far */
    bool urgent;               /* something else than an acknowledgement may be due */
    nsec_t gone_at;
    uint8_t close_packet[QUIC_CLOSE_PACKET_MAX];
    size_t close_packet_len;
    bool send_close;
    uint32_t close_packets_seen; /* since the close packet was sent last */
};

enum quic_stream_event_bit {
    STREAM_EV_OPENED = 1,
    STREAM_EV_READABLE = 2,
    STREAM_EV_WRITABLE = 4,
    STREAM_EV_STOPPED = 8,
    STREAM_EV_RESET = 16,
    STREAM_EV_CLOSED = 32,
};

struct quic_stream {
    struct quic_conn *conn;
    void *user;
    int64_t id;
    struct list node;
    struct list event_node;
    struct list send_node;
    struct list starved_node;
    uint8_t events; /* enum quic_stream_event_bit, not told yet */
    bool released;  /* the owner forgot it */
    bool closed;    /* ngtcp2 forgot it */
    bool closed_told;
    bool announced; /* the owner knows of it: an own stream, or OPENED was told */

    struct slice_queue unsent;
    struct slice_queue in_flight; /* sent, not acknowledged */
    bool fin_wanted;
    bool fin_sent;
    bool write_stopped; /* by the peer or by us */
    bool want_writable;
    bool blocked; /* by the peer's window for this stream */

    struct slice_queue received;
    struct slice_writer receiver;
    size_t uncredited; /* read, not credited */
    bool fin_received;
    bool fin_told;     /* stream_read() gave -ENODATA */
    bool read_stopped; /* by us */
    bool read_reset;   /* by the peer */

    uint64_t stop_code;
    uint64_t reset_code;
    struct quota quota;
};

/* Ends the connection because of `e`, a code of ngtcp2: an error of ours, its own or the peer's. */
void quic_conn_fail(struct quic_conn *c, int e);

/* ngtcp2 acknowledges after an eighth of the round trip, which on a local path is before the
 * application has had a chance to answer: each message of a dialogue would cost two packets.  A
 * lone packet's acknowledgement waits this long for an answer that it can travel with; far less
 * than the 25 ms of max_ack_delay that we announce. */
#define QUIC_ACK_HOLD MSEC(1)

/* Whether an acknowledgement is all that a packet could carry now. */
static inline bool quic_conn_only_ack_is_due(const struct quic_conn *c) {
    return c->state == QUIC_OPEN && c->confirmed && !c->urgent && c->unacked_packets > 0 &&
           c->unacked_packets < QUIC_ACK_PACKETS &&
           c->uncredited_bytes < QUIC_CREDIT_URGENT_BYTES && list_is_empty(&c->sendable) &&
           c->datagrams_out.count == 0;
}

/* A frame other than stream data is waiting: the next packet goes at once. */
static inline void quic_conn_hurry(struct quic_conn *c) {
    c->urgent = true;
}

/* quic_stream.c */
NODISCARD int quic_stream_new(struct quic_conn *c, int64_t id, struct quic_stream **ret_stream);
void quic_stream_tell(struct quic_stream *s, unsigned event_bits);
void quic_stream_update_sendable(struct quic_stream *s);
void quic_stream_on_closed(struct quic_stream *s);
void quic_stream_tell_closed_if_over(struct quic_stream *s);
void quic_stream_free_if_done(struct quic_stream *s);
NODISCARD int quic_stream_on_data(struct quic_stream *s, struct bytes data, bool fin);
void quic_stream_on_acked(struct quic_stream *s, uint64_t len);
void quic_stream_on_sent(struct quic_stream *s, size_t len, bool fin);
void quic_stream_on_stopped(struct quic_stream *s, uint64_t code);
void quic_stream_on_reset(struct quic_stream *s, uint64_t code);

/* quic_conn.c */
void quic_path_to_ngtcp2(const struct quic_path *p, ngtcp2_path_storage *out);
void quic_path_from_ngtcp2(const ngtcp2_path *p, struct quic_path *out);
