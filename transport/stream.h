/* SPDX-License-Identifier: MIT */
#pragma once

/* A stream: what protocols see.  Ordered bytes both ways to a peer whose ID is proved, with a
 * protocol chosen by multistream-select, over QUIC or yamux; users cannot tell.
 *
 *   reading   readable() tells that stream_read() has slices, or the end.  Bytes read are charged
 * to the stream's quota while their slices live; stream_credit() tells how many of them went where
 * they belong, and only that lets the peer send more: a slow reader pushes back all the way.
 *   writing   stream_write() takes references to slices as far as there is room; writable() follows
 *             when it took fewer than offered.  The bytes must not change until the stream is done
 *             with them (QUIC keeps them until they are acknowledged).
 *   ending    stream_shutdown_write() is FIN.  stream_stop_reading() asks the peer to stop.
 *             stream_reset() does both with a code, at once.  After stream_release() the owner
 * hears nothing more and what is unfinished is reset; FIN that was asked for before is kept.
 *
 * Codes: connection-lifecycle.md, "Stream" column (STREAM_CODE_...).
 * Life:  events come until closed() or until stream_release(); slices that came from stream_read()
 *        must be dropped before stream_release().  The owner must call it exactly once, also after
 *        closed().
 * Thread: the reactor's.  Events come from the end of a turn, never from inside a call.
 */

#include "core/base/buf.h"
#include "core/base/time.h"
#include "core/p2p/peer_id.h"
#include "transport/proto/codes.h"

struct conn;
struct stream;

struct stream_events {
    /* stream_read() has something: slices, or the end. */
    void (*readable)(struct stream *s);
    /* Room again after a short stream_write(). */
    void (*writable)(struct stream *s);
    /* The peer reads no more (STOP_SENDING): what was not sent is dropped, reading goes on.  With
     * code 0 it is how go closes a stream: no error. */
    void (*stopped)(struct stream *s, uint64_t code);
    /* The peer gave up its writing side: what was not read yet is dropped.  Writing goes on. */
    void (*reset)(struct stream *s, uint64_t code);
    /* Nothing follows.  0: both directions ended, by FIN or by a reset that reset() and stopped()
     * told the code of (a peer that does not let us use the protocol: STREAM_CODE_GATED);
     * -ERR_PROTOCOL_NOT_SUPPORTED: the peer does not speak the protocol; -ERR_CONN_CLOSED,
     * -ERR_GATED, -ETIMEDOUT: the connection died; -ETIMEDOUT also when it may live, and the peer
     * has not agreed to the protocol in time. */
    void (*closed)(struct stream *s, int error);
};

/* Events go to `events` with `user` from stream_user(); may be replaced at any time. */
void stream_set_events(struct stream *s, const struct stream_events *events, void *user);
void *stream_user(const struct stream *s);

/* Takes over the references of the first slices of v and returns how many slices those were, 0 to
 * count.  Fewer than count: writable() follows.
 *   -EPIPE          the writing side was shut down or stopped
 *   -ERR_CONN_CLOSED */
NODISCARD ssize_t stream_write(struct stream *s, const struct slice *v, size_t count);

/* Writes a few bytes by copying them; all or nothing.
 *   -EAGAIN  no room: writable() follows
 *   -ENOMEM  the pool is used up: nothing follows
 *   and the errors of stream_write() */
NODISCARD int stream_write_bytes(struct stream *s, struct bytes b);

/* Hands over up to `max` slices with their references.  Returns their number;
 *   0        nothing now: readable() follows
 *   -ENODATA the end: the peer's FIN was reached and all was read
 *   -ECONNRESET  the peer reset its side */
NODISCARD ssize_t stream_read(struct stream *s, struct slice *out, size_t max);

/* Bytes that were read before and are now off our hands. */
void stream_credit(struct stream *s, size_t bytes);

/* Drops a slice that was read and is not needed any more, and credits it. */
static inline void stream_consume(struct stream *s, struct slice *in) {
    size_t bytes = in->len;
    slice_unref(in);
    stream_credit(s, bytes);
}

void stream_shutdown_write(struct stream *s);
void stream_stop_reading(struct stream *s, uint64_t code);
void stream_reset(struct stream *s, uint64_t code);
/* Accepts NULL, returns NULL. */
struct stream *stream_release(struct stream *s);

const struct peer_id *stream_peer(const struct stream *s);
struct conn *stream_conn(const struct stream *s);
const char *stream_protocol(const struct stream *s);
/* Whether the protocol is agreed.  A stream of ours is lent to its owner before the peer has
 * answered; readable() follows the answer, also when no bytes do. */
bool stream_is_agreed(const struct stream *s);
/* Whether nothing of the peer was heard on the stream's connection for so long; false where the
 * transport does not tell. */
bool stream_is_silent(const struct stream *s, nsec_t silence);
/* Against which slices that will be written should be charged. */
struct quota *stream_quota(struct stream *s);
/* Bytes accepted for writing and not yet sent. */
size_t stream_unsent(const struct stream *s);
/* As link_batch() (transport/link.h), of a stream that is written to as if it were a link. */
size_t stream_batch(const struct stream *s);
