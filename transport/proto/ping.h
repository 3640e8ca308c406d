/* SPDX-License-Identifier: MIT */
#pragma once

/* /ipfs/ping/1.0.0: 32 bytes there and back.  Two engines, no I/O, no clock.
 *
 *   acceptor  echoes block by block; ends with the peer's bytes or by its time limits.
 *   opener    ping_opener_send() begins one round; the answer is an event with the time it took.
 *             As many rounds on one stream as the driver likes, one at a time.
 *
 * Spec:    libp2p ping; time limits of go-libp2p.
 * Memory:  the structs, under 150 bytes.
 * Thread:  one at a time.
 */

#include "core/base/bytes.h"
#include "core/base/time.h"

struct rng;

enum { PING_BYTES = 32 };

/* The acceptor's: without a whole block, and of the stream in all. */
#define PING_IDLE_TIMEOUT   SEC(10)
#define PING_STREAM_TIMEOUT SEC(30)
/* The opener's, for one round. */
#define PING_ROUND_TIMEOUT  SEC(10)

/* --- acceptor -------------------------------------------------------------------------------- */

/* Embedded by its owner; fields are the engine's. */
struct ping_acceptor {
    uint8_t block[PING_BYTES];
    uint8_t got;  /* bytes of the block received */
    uint8_t sent; /* and echoed; only of a whole one */
    bool ended;   /* the peer's bytes have ended */
    bool over;
    bool has_event;
    int error;
    nsec_t idle_deadline;
    nsec_t stream_deadline;
    nsec_t now;
};

void ping_acceptor_init(struct ping_acceptor *p, nsec_t now);

/* Takes bytes and returns how many: none while a block is to be pulled. */
NODISCARD size_t ping_acceptor_recv(struct ping_acceptor *p, struct bytes in, nsec_t now);

/* The peer's bytes ended and all were taken.  A partial block is ignored. */
void ping_acceptor_recv_end(struct ping_acceptor *p, nsec_t now);

/* Copies what is to be sent into `out`; returns the length. */
NODISCARD size_t ping_acceptor_pull(struct ping_acceptor *p, void *out, size_t size, nsec_t now);

/* True once, at the end: *ret_error is 0 when the peer ended (close the stream), -ETIMEDOUT when a
 * limit did (reset it). */
bool ping_acceptor_next_event(struct ping_acceptor *p, int *ret_error);

/* NSEC_NEVER after the end. */
nsec_t ping_acceptor_deadline(const struct ping_acceptor *p);

/* Early calls are harmless. */
void ping_acceptor_tick(struct ping_acceptor *p, nsec_t now);

/* --- opener ---------------------------------------------------------------------------------- */

enum ping_event_type { PING_EV_PONG, PING_EV_FAILED };

struct ping_event {
    enum ping_event_type type;
    nsec_t rtt; /* PING_EV_PONG: from the first pull to the last byte */
    /* PING_EV_FAILED, after which the engine is dead; reset the stream:
     * -ERR_PROTOCOL_VIOLATION  other bytes than ours, or bytes that we did not ask for
     * -ERR_TRUNCATED           the peer's bytes ended
     * -ETIMEDOUT */
    int error;
};

enum ping_opener_state { PING_IDLE, PING_SENDING, PING_WAITING, PING_DEAD };

/* Embedded by its owner; fields are the engine's. */
struct ping_opener {
    struct rng *rng;
    uint8_t block[PING_BYTES];
    uint8_t sent;
    uint8_t got;
    uint8_t state; /* enum ping_opener_state */
    bool has_event;
    struct ping_event event;
    nsec_t started_at;
    nsec_t deadline;
    nsec_t now;
};

/* `rng` must live as long as the engine. */
void ping_opener_init(struct ping_opener *p, struct rng *rng, nsec_t now);

/* Begins a round; no other may be under way. */
void ping_opener_send(struct ping_opener *p, nsec_t now);

/* Takes everything. */
void ping_opener_recv(struct ping_opener *p, struct bytes in, nsec_t now);
/* Between two rounds it is no failure. */
void ping_opener_recv_end(struct ping_opener *p, nsec_t now);
NODISCARD size_t ping_opener_pull(struct ping_opener *p, void *out, size_t size, nsec_t now);
bool ping_opener_next_event(struct ping_opener *p, struct ping_event *ret_event);
/* NSEC_NEVER between two rounds. */
nsec_t ping_opener_deadline(const struct ping_opener *p);
void ping_opener_tick(struct ping_opener *p, nsec_t now);
