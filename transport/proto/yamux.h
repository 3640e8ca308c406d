/* SPDX-License-Identifier: MIT */
#pragma once

/* yamux: many streams in one ordered, secured byte stream.  Engine: no I/O, no clock.
 *
 *   bytes in  -> yamux_recv()      events out -> yamux_next_event()
 *   bytes out <- yamux_pull()      time       -> yamux_tick() at yamux_deadline()
 *
 * Spec:   yamux.md.  go's forms are sent, everybody's are taken.
 *   windows   a stream's receive window begins at 256 KiB and doubles when half of it was used up
 *             within 4 round trips, to YAMUX_WINDOW_MAX, unless its reader has a queue
 *             (yamux_window.h); the sum of what was granted beyond 256 KiB each is bounded by
 *             YAMUX_SESSION_WINDOW_MAX.  Credit goes back for bytes that were credited by the
 *             reader only.
 *   sending   round robin over streams that have data and window, cut to YAMUX_BODY_MAX; control
 *             frames first.
 *   closing   FIN and RST never ride on a body.  There is no word for "stop sending": a stream that
 *             only stops reading drains, what comes is dropped and credited.  A peer that keeps a
 *             stream open which its owner has released gets a reset after YAMUX_LINGER.
 *   life      silence ends the session YAMUX_SILENCE_MAX after data or a ping that it should have
 *             answered; pings are sent when that is in question.  Silence is that of the link,
 *             where it can tell: yamux_link_acked().
 *
 * Memory: nothing is copied that is large: received bodies are views into the slabs that they came
 * in, sent ones the user's own slices behind a header of 12 bytes.  What that costs is bounded:
 *   received  every frame is taken off the link at once, so that a stream whose reader does not
 *             read never holds up others; its window bounds what it has.  A body (a piece of one,
 *             where slabs end) that fills less than 1/YAMUX_VIEW_PARTS of its slab is copied into
 *             slabs that are filled to the end; others are kept as views, so that a stream holds at
 *             most YAMUX_VIEW_PARTS times its window, and mostly just its window.  Such slabs are
 *             charged to the session instead of the link, which then reads on.  Several streams may
 *             share a slab, so there is no charge by stream.  All streams together hold
 *             YAMUX_RECEIVED_MAX, and leave the pool its reserve: beyond, the one with most bytes
 *             unread is reset with STREAM_CODE_RESOURCE_LIMIT.
 *   sent      what waits is charged to the stream's quota (YAMUX_STREAM_UNSENT_MAX, or what left
 *             lately in a while where that is less, and YAMUX_SENDING_MAX for all streams); what
 *             was pulled to the session's alone, since the link may hold it longer than the stream
 *             lives.
 *   answers   at most YAMUX_ANSWERS_MAX pings and refused streams wait for an answer: with so many
 *             a peer that does not read them is not read either (yamux_wants_input()).
 * Thread: one at a time.  No callbacks.  `now` never goes back. */

#include "core/base/buf.h"
#include "core/base/time.h"
#include "transport/proto/codes.h"
#include "transport/proto/yamux_window.h"

struct mem;
struct problem;
struct rng;
struct yamux;
struct yamux_stream;

enum {
    YAMUX_HEADER_BYTES = 12,
    YAMUX_SESSION_WINDOW_MAX = 32 << 20,
    YAMUX_BODY_MAX = 64 << 10, /* of a frame that we send */
    YAMUX_STREAM_UNSENT_MAX = 512 << 10,
    YAMUX_VIEW_PARTS = 8,
    /* Together what a QUIC connection may hold. */
    YAMUX_RECEIVED_MAX = 64 << 20,
    YAMUX_SENDING_MAX = 32 << 20,
    /* That we open.  rust dies of 513 in all; go and rust stop opening at 256 that are not
     * acknowledged, and take no more. */
    YAMUX_STREAMS_OPEN_MAX = 200,
    YAMUX_STREAMS_FIRST = 256, /* inbound, until the peer is admitted */
    YAMUX_STREAMS_MAX = 1024,  /* inbound (decision 7); more are reset */
    YAMUX_ANSWERS_MAX = 64,
    /* Streams that the peer opens and resets before they ended, in a burst and for ever; more end
     * the session.  (Those that nobody has heard of yet cost nothing and are not counted.) */
    YAMUX_RESETS_BURST = 2048,
    YAMUX_RESETS_PER_SECOND = 512,
};

#define YAMUX_PING_INTERVAL SEC(10) /* of silence, when nothing is outstanding */
#define YAMUX_PING_DELAY    SEC(5)  /* of silence after data */
#define YAMUX_RTT_INTERVAL  SEC(30) /* the round trip is measured anew */
#define YAMUX_SILENCE_MAX   SEC(15) /* after data or a ping */
#define YAMUX_LINGER        SEC(60)

/* Go-away codes of the protocol; libp2p's are enum conn_code. */
enum yamux_go_away {
    YAMUX_GO_AWAY_NORMAL = 0,
    YAMUX_GO_AWAY_PROTOCOL_ERROR = 1,
    YAMUX_GO_AWAY_INTERNAL_ERROR = 2,
};

struct yamux_config {
    struct mem *mem;
    struct rng *rng;
    struct buf_pool *pool;
    struct quota *quota; /* parent of the session's quotas; outlives it, and may be NULL */
    bool client;         /* the initiator of the security handshake: odd stream IDs */
    void *user;
};

/* -ENOMEM */
NODISCARD int yamux_new(const struct yamux_config *cfg, nsec_t now, struct yamux **ret_yamux);
/* All streams must have been released, and all slices from yamux_pull() dropped.  Accepts NULL,
 * returns NULL. */
struct yamux *yamux_free(struct yamux *y);
void *yamux_user(const struct yamux *y);

/* Bytes of the link, cut anywhere.  The slice's reference is taken over; for the link they are
 * off its hands.  Errors of the peer end the session, which an event tells; nothing is returned.
 * Only while yamux_wants_input() (asserted). */
void yamux_recv(struct yamux *y, struct slice in, nsec_t now);
/* false: too many answers wait for yamux_pull(), or the session is over. */
bool yamux_wants_input(const struct yamux *y);
/* The link is over: 0 for an end, or its error.  Nothing when the session is over already. */
void yamux_recv_end(struct yamux *y, int error, nsec_t now);

/* Hands over up to `max` (at least 2) slices that are to be sent, in order, and no more of them
 * when `bytes_max` (at least 1) bytes of streams are among them, or 16 KiB where that is less.  A
 * frame's header may share its slab with others, so slabs are not to be written to.  0: nothing
 * now. */
NODISCARD size_t yamux_pull(struct yamux *y, struct slice *out, size_t max, size_t bytes_max,
                            nsec_t now);
/* After yamux_pull() said that there is nothing more, or the link is full. */
nsec_t yamux_deadline(const struct yamux *y);
void yamux_tick(struct yamux *y, nsec_t now);

/* What link_acked() (transport/link.h) tells, before a tick.  A peer behind a slow link has all
 * that waits there to take before it comes to a ping: as long as it acknowledges more of that, its
 * silence begins anew. */
void yamux_link_acked(struct yamux *y, uint64_t bytes, nsec_t at);

enum yamux_event_type {
    YAMUX_EV_STREAMS_AVAILABLE, /* yamux_stream_open() may succeed again */
    YAMUX_EV_STREAM_OPENED,     /* by the peer; it is told that we take it */
    YAMUX_EV_STREAM_READABLE,
    YAMUX_EV_STREAM_WRITABLE,
    YAMUX_EV_STREAM_STOPPED, /* by the peer's reset: what was not sent is dropped */
    YAMUX_EV_STREAM_RESET,   /* the same reset, or one of ours for want of memory: what was not
                                read is dropped */
    YAMUX_EV_STREAM_CLOSED,
    /* Every stream has had its end, but for those that were received whole and are still read.
     * What yamux_pull() still gives is the reason. */
    YAMUX_EV_CLOSED,
};

struct yamux_event {
    enum yamux_event_type type;
    struct yamux_stream *stream;
    uint32_t code; /* STOPPED, RESET */
    int error;     /* STREAM_CLOSED: 0, or why the session died under it */
};

/* Drained until false. */
bool yamux_next_event(struct yamux *y, struct yamux_event *ret_event);

/* Ends the session with a code of enum conn_code; CLOSED follows.  On a dead one it only ends
 * streams that were received whole and are still being read. */
void yamux_close(struct yamux *y, uint64_t code, nsec_t now);

/* Why it ended: 0 for an own close, -ERR_CONN_CLOSED, -ERR_GATED, -ERR_RESOURCE_LIMIT,
 * -ERR_PROTOCOL_VIOLATION, -ETIMEDOUT, -ENOMEM, or the link's error; the sentence says more. */
int yamux_error(const struct yamux *y, struct problem *ret_problem);
bool yamux_is_open(const struct yamux *y);
/* Streams that are not released, or not yet over. */
uint32_t yamux_streams_count(const struct yamux *y);
nsec_t yamux_rtt(const struct yamux *y); /* smoothed; 0: not known */
/* A ping is sent at once, if none is out. */
void yamux_probe(struct yamux *y);
nsec_t yamux_heard_at(const struct yamux *y);

/* Raises the number of streams that the peer may have open, once it is admitted. */
void yamux_admit(struct yamux *y);

/* --- Streams: the rules of transport/stream.h; this layer knows no protocols. --- */

/* -EAGAIN at YAMUX_STREAMS_OPEN_MAX (STREAMS_AVAILABLE follows), -ERR_CONN_CLOSED, -ENOMEM */
NODISCARD int yamux_stream_open(struct yamux *y, struct yamux_stream **ret_stream);
void yamux_stream_set_user(struct yamux_stream *s, void *user);
void *yamux_stream_user(const struct yamux_stream *s);
struct yamux *yamux_stream_session(const struct yamux_stream *s);
uint32_t yamux_stream_id(const struct yamux_stream *s);
struct quota *yamux_stream_quota(struct yamux_stream *s);
size_t yamux_stream_unsent(const struct yamux_stream *s);
/* As link_batch() (transport/link.h): what left lately in a while, and the most that waits. */
size_t yamux_stream_batch(const struct yamux_stream *s);
NODISCARD ssize_t yamux_stream_write(struct yamux_stream *s, const struct slice *v, size_t count);
NODISCARD ssize_t yamux_stream_read(struct yamux_stream *s, struct slice *out, size_t max);
void yamux_stream_credit(struct yamux_stream *s, size_t bytes);
void yamux_stream_shutdown_write(struct yamux_stream *s);
/* Nothing to tell the peer: the code is not sent. */
void yamux_stream_stop_reading(struct yamux_stream *s);
void yamux_stream_reset(struct yamux_stream *s, uint64_t code);
/* The owner forgets it; freed as soon as the session is done with it, too. */
void yamux_stream_release(struct yamux_stream *s);
