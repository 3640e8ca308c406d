/* SPDX-License-Identifier: MIT */
#pragma once

/* The circuit pump: joins two streams, a circuit's source and its destination, until both ways are
 * over.
 *
 *   each way   up to CIRCUIT_SLICES_MAX slices a call, as they were read; what the outgoing stream
 *              has no room for waits here, and nothing more is read.  The incoming stream gets its
 *              credit back for what the outgoing one took, so a slow reader holds back its own
 *              sender, through both windows, and no other circuit.
 *
 * Endings, each way on its own:
 *
 *   end of the incoming stream    -> end of the outgoing one, behind the last byte
 *   the outgoing one is stopped   -> the incoming one is stopped, with the same code.  go closes a
 *                                    stream so, together with its end: what it has sent arrives.
 *   the data limit                -> exactly so many bytes pass; end of the outgoing one, and the
 *                                    incoming one is stopped: the rest is discarded
 *
 * and of both: a reset of either stream, the death of its connection, the duration limit and
 * circuit_pump_abort() reset both streams.
 *
 * Payload moves by reference, and its charge with it: a slab that nobody else looks at is charged
 * to the outgoing stream once that has taken it, since the incoming one may be gone sooner.  Where
 * others look at the same slab (over yamux, frames for other streams; and what an earlier message
 * came in) its charge cannot move, and the slice is copied.
 *
 * Spec:    libp2p relay-v2, "Relaying rule".
 * Memory:  the struct; held are CIRCUIT_SLICES_MAX slices each way at most, besides what the two
 *          streams hold: the window of the incoming and the unsent bytes of the outgoing one.
 * Life:    circuit_pump_init() .. circuit_pump_start(), one closed() .. circuit_pump_done().
 * Thread:  the reactor's.
 */

#include "core/base/buf.h"
#include "uring/reactor.h"

struct stream;

enum { CIRCUIT_SLICES_MAX = 16 };

/* Bytes of all circuits, counted as the outgoing streams take them. */
struct circuit_totals {
    uint64_t to_destination;
    uint64_t to_source;
};

/* One direction. */
struct circuit_way {
    struct stream *from;
    struct stream *to;
    struct slice held[CIRCUIT_SLICES_MAX]; /* read, and not taken by `to` */
    uint32_t held_count;
    uint64_t left;   /* may still be read; without limit it never gets to 0 */
    uint64_t bytes;  /* that passed */
    uint64_t *total; /* of all circuits */
    bool is_ended;   /* the end of `from` was read */
    bool is_over;
};

enum circuit_direction { CIRCUIT_TO_DESTINATION, CIRCUIT_TO_SOURCE, CIRCUIT_DIRECTIONS };

struct circuit_pump {
    struct reactor *reactor;
    struct circuit_way ways[CIRCUIT_DIRECTIONS];
    bool is_stream_over[CIRCUIT_DIRECTIONS]; /* of the way's `from` */
    struct timer timer;                      /* the duration limit */
    struct deferred end;
    void (*closed)(struct circuit_pump *p, int error);
    int error;
    bool is_limited; /* some way met the data limit */
    bool is_closing;
};

struct circuit_pump_config {
    struct stream *source;
    struct stream *destination;
    /* What came behind the last message of each, uncredited; emptied. */
    struct slice *source_rest;
    struct slice *destination_rest;
    uint64_t data_max;             /* each way; 0: without limit */
    nsec_t duration_max;           /* 0: without limit */
    struct circuit_totals *totals; /* outlives the pump */
    /* Both streams are released and the memory is the owner's again.
     *   0           both ways came to their end
     *   -ERR_LIMIT  the same, but in one of them at the data limit
     *   -ETIME      the duration limit
     *   -ERR_STREAM_RESET, -ENOMEM, what a stream's closed() told, or circuit_pump_abort()'s */
    void (*closed)(struct circuit_pump *p, int error);
};

/* -ENOMEM */
NODISCARD int circuit_pump_init(struct circuit_pump *p, struct reactor *r);
/* Takes over both streams. */
void circuit_pump_start(struct circuit_pump *p, const struct circuit_pump_config *cfg);
/* Never started, or after closed(). */
void circuit_pump_done(struct circuit_pump *p);

/* Resets both streams with `code`, one of STREAM_CODE_...; closed() follows.  Harmless when the
 * pump is closing already. */
void circuit_pump_abort(struct circuit_pump *p, int error, uint64_t code);
