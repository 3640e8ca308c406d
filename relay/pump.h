/* SPDX-License-Identifier: MIT */
#pragma once

/* The pump: joins one TCP connection and one stream until both are over.
 *
 *   TCP -> stream   slices as the kernel filled them; a stream without room stops the reading, so
 *                   that what follows waits in the kernel and then in the TCP peer
 *   stream -> TCP   up to TCP_WRITE_SLICES_MAX slices a write, one write in flight; the stream gets
 *                   its credit back when the kernel has taken the bytes, so a slow TCP reader holds
 *                   back the far end and nothing between grows
 *
 * Endings, each way on its own:
 *
 *   TCP end of file             -> end of the stream's writing side, behind the last byte
 *   end of the stream           -> TCP end of file, behind the last byte
 *   TCP reset or failure        -> stream reset
 *   stream reset, dead          -> TCP reset
 *   stream stopped by the peer  -> what TCP still sends is read and dropped; the other way goes on.
 *                                  go closes its streams so: it is no error.
 *
 * Payload is never copied, and no timer runs.  Slices read from TCP are charged to the stream's
 * quota.
 *
 * A peer at its limits resets a stream that it has not looked at.  An owner that can open another
 * one starts the pump with pump_start_refusable(): the head of what TCP sends, up to PUMP_HEAD_MAX
 * and a slice, or PUMP_HEAD_SLICES_MAX slices, is kept until the peer sends something, or until it
 * has agreed to the protocol and the head is full.  Before the peer has agreed, reading stops at a
 * full head.  A reset meanwhile is a refusal when its code is
 *
 *   STREAM_CODE_RESOURCE_LIMIT  agreed or not: go-libp2p finds out about some of its limits only
 *                               after it has echoed the protocol
 *   STREAM_CODE_RATE_LIMITED    before the peer has agreed
 *
 * (No code at all is not one: so ends a service that cannot be reached, at once.)  It
 * is told with refused(): the stream is gone, TCP lives and is not being read, and the head and
 * TCP's end wait in the pump for pump_restart() or pump_forget().  They are then charged to nobody
 * (the reactor's share of the pool), since a stream that was given up may still hold them when any
 * other quota is gone.
 *
 * A connection that has been silent may be dead without our knowing.  With pump_wait_for_peer()
 * nothing of the head goes out before the peer has agreed, and when the connection ends before, the
 * peer has seen no byte of TCP's: lost() tells, and all is as after refused().  A peer that is
 * heard and does not agree in time is no loss: the pump closes with -ETIMEDOUT.
 *
 * Life:   the owner connects or adopts `tcp` with events of its own, and hands both over with
 *         pump_start().  One closed() follows, when no operation is in flight and the stream is
 *         released; then the memory is the owner's again.
 * Thread: the reactor's.
 */

#include "core/base/buf.h"
#include "core/base/time.h"
#include "uring/tcp.h"

struct stream;

enum { PUMP_HEAD_MAX = 64 << 10, PUMP_HEAD_SLICES_MAX = 16 };

/* Bytes of all pumps of one kind, counted as they move. */
struct pump_totals {
    uint64_t rx_bytes; /* from the network: TCP has taken them */
    uint64_t tx_bytes; /* to the network: the stream has taken them */
};

struct pump {
    struct tcp_conn tcp;
    struct stream *stream;
    struct pump_totals *totals;
    /* 0 when both directions came to their end, else the first error: -ECONNRESET and others of the
     * TCP side, -ERR_STREAM_RESET, what the stream's closed() told, or pump_abort()'s. */
    void (*closed)(struct pump *p, int error);
    /* Told before TCP sees anything of an error; may be NULL, and is set after pump_start(). */
    void (*aborting)(struct pump *p, int error);
    /* Of a refusable pump; both may be NULL. */
    void (*refused)(struct pump *p);
    void (*agreed)(struct pump *p);
    void (*lost)(struct pump *p, int error);
    nsec_t silence; /* after which a connection that times out counts as lost */
    /* Read from TCP: the first `sent` were taken by the stream and are kept, the others wait. */
    struct slice head[PUMP_HEAD_SLICES_MAX];
    uint32_t head_count;
    uint32_t head_sent;
    uint32_t head_counted; /* in the totals, by this stream or one before */
    size_t writing_bytes;  /* of the tcp_write() in flight */
    int error;
    bool tcp_ended; /* TCP's end of file was read */
    bool up_over;   /* nothing more goes from TCP to the stream */
    bool down_over; /* nothing more goes from the stream to TCP */
    bool stream_over;
    bool keeps; /* the head is all that TCP has sent */
    bool is_agreed;
    bool waits; /* the head goes out when the peer has agreed, and not before */
    bool closing;
};

/* Takes over a connected p->tcp and the stream. `totals` must outlive the pump. */
void pump_start(struct pump *p, struct stream *s, struct pump_totals *totals,
                void (*closed)(struct pump *p, int error));
/* The same for a stream of ours that the peer may refuse.  refused(): TCP is the owner's again, who
 * sets events of its own and then restarts the pump, or resets TCP and forgets the head.
 * agreed(): the peer speaks the protocol; it must neither abort nor free. */
void pump_start_refusable(struct pump *p, struct stream *s, struct pump_totals *totals,
                          void (*closed)(struct pump *p, int error),
                          void (*refused)(struct pump *p), void (*agreed)(struct pump *p));
/* Right after pump_start_refusable(), or before pump_restart().  -ETIMEDOUT is a loss when nothing
 * was heard on the connection for `silence`. */
void pump_wait_for_peer(struct pump *p, nsec_t silence, void (*lost)(struct pump *p, int error));
/* While it waits: the same as if the connection had ended, but lost() is not told. */
void pump_take_back(struct pump *p);
static inline bool pump_is_waiting(const struct pump *p) {
    return p->waits && !p->closing;
}
/* After refused() or lost(): goes on with another stream, with every byte that TCP has sent. */
void pump_restart(struct pump *p, struct stream *s);
/* After refused() or lost(): drops what was kept. */
void pump_forget(struct pump *p);

/* Resets both ends: the stream with `code`, one of STREAM_CODE_..., TCP with RST.  Harmless when
 * the pump is closing already. */
void pump_abort(struct pump *p, int error, uint64_t code);
