/* SPDX-License-Identifier: MIT */
#pragma once

/* /perf/1.0.0: the opener uploads as much as it likes, half-closes, and gets as many bytes back as
 * it asked for.  Two engines, no I/O, no clock.
 *
 * Content is free, so payload goes past the engines by count only: perf_..._recv() counts, and
 * perf_..._fill() tells how many bytes of filler the driver may send from a buffer that it sends
 * again and again.
 *
 * Spec:    libp2p perf; the cap and the time limit are ours, the protocol has none.
 * Memory:  the structs, under 150 bytes.
 * Thread:  one at a time.
 */

#include "core/base/bytes.h"
#include "core/base/time.h"

enum { PERF_HEAD_BYTES = 8 };

/* Without progress, either side. */
#define PERF_STALL_TIMEOUT SEC(30)

enum perf_event_type {
    PERF_EV_HALF_CLOSE, /* opener: all is uploaded; the download follows */
    PERF_EV_DONE,       /* all went as it should; acceptor: half-close */
    PERF_EV_FAILED,     /* reset the stream */
};

struct perf_event {
    enum perf_event_type type;
    nsec_t upload_time;   /* opener, PERF_EV_DONE: from the first byte to the half-close */
    nsec_t download_time; /* and from there to the end of the peer's bytes */
    /* PERF_EV_FAILED:
     * -ERR_LIMIT               acceptor: it was asked for, or sent, more than its cap
     * -ERR_TRUNCATED           acceptor: ended before the size; opener: fewer bytes than asked for
     * -ERR_PROTOCOL_VIOLATION  opener: more bytes, or bytes before it half-closed
     * -ETIMEDOUT */
    int error;
};

/* --- acceptor -------------------------------------------------------------------------------- */

enum perf_acceptor_state { PERF_RECEIVING, PERF_FILLING, PERF_ACCEPTOR_OVER };

/* Embedded by its owner; the counts may be read, all else is the engine's. */
struct perf_acceptor {
    uint64_t bytes_received; /* without the head */
    uint64_t bytes_sent;
    uint64_t bytes_wanted; /* by the peer */
    uint64_t bytes_max;
    uint8_t head_count;
    uint8_t state; /* enum perf_acceptor_state */
    bool has_event;
    struct perf_event event;
    nsec_t deadline;
    nsec_t now;
};

/* At most bytes_max each way. */
void perf_acceptor_init(struct perf_acceptor *p, uint64_t bytes_max, nsec_t now);

/* Takes everything. */
void perf_acceptor_recv(struct perf_acceptor *p, struct bytes in, nsec_t now);
void perf_acceptor_recv_end(struct perf_acceptor *p, nsec_t now);

/* How many bytes of filler, at most `max`, the driver sends now: none before the peer's end. */
NODISCARD size_t perf_acceptor_fill(struct perf_acceptor *p, size_t max, nsec_t now);

bool perf_acceptor_next_event(struct perf_acceptor *p, struct perf_event *ret_event);
/* NSEC_NEVER after the end. */
nsec_t perf_acceptor_deadline(const struct perf_acceptor *p);
void perf_acceptor_tick(struct perf_acceptor *p, nsec_t now);

/* --- opener ---------------------------------------------------------------------------------- */

enum perf_opener_state { PERF_HEADING, PERF_UPLOADING, PERF_DOWNLOADING, PERF_OPENER_OVER };

/* Embedded by its owner; the counts may be read, all else is the engine's. */
struct perf_opener {
    uint64_t bytes_to_upload;
    uint64_t bytes_uploaded;
    uint64_t bytes_to_download;
    uint64_t bytes_downloaded;
    uint8_t state; /* enum perf_opener_state */
    bool has_event;
    struct perf_event event;
    nsec_t started_at;
    nsec_t half_closed_at;
    nsec_t deadline;
    nsec_t now;
};

void perf_opener_init(struct perf_opener *p, uint64_t upload_bytes, uint64_t download_bytes,
                      nsec_t now);

/* The head, once; to be sent before any filler. */
void perf_opener_head(struct perf_opener *p, uint8_t ret_head[PERF_HEAD_BYTES], nsec_t now);

/* How many bytes of filler, at most `max`, the driver sends now. */
NODISCARD size_t perf_opener_fill(struct perf_opener *p, size_t max, nsec_t now);

/* Takes everything. */
void perf_opener_recv(struct perf_opener *p, struct bytes in, nsec_t now);
void perf_opener_recv_end(struct perf_opener *p, nsec_t now);

bool perf_opener_next_event(struct perf_opener *p, struct perf_event *ret_event);
/* NSEC_NEVER after the end. */
nsec_t perf_opener_deadline(const struct perf_opener *p);
void perf_opener_tick(struct perf_opener *p, nsec_t now);
