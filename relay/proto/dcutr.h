/* SPDX-License-Identifier: MIT */
#pragma once

/* DCUtR: two peers with a relayed connection agree on the moment at which both dial directly.
 * Engine: no I/O, no clock.
 *
 *   opener    was dialled through the relay; opens the stream, tries up to three times, and is
 *             the server: over QUIC it punches (udp_punch.h) and waits, and a moment later dials,
 *             too; over TCP it dials but answers as the responder of security and muxer
 *   acceptor  dialled through the relay; is the client: it dials as ever
 *
 *   messages, streams, dials -> dcutr_recv(), _stream_open(), _connected(), ...
 *   events                   <- dcutr_next_event(), to be drained after each call
 *   time                     -> dcutr_tick() at dcutr_deadline()
 *
 * The driver resets a stream that comes over a direct connection, or over a relayed one that the
 * peer dialled, before it makes an acceptor.
 *
 * With `try_direct` the opener has the peer dialled one-sidedly from the start, beside the
 * exchange: a peer that is not behind a NAT at all is reached without waiting for it.  That gets
 * one second, and an end of the exchange is held back until it is over.
 *
 * Two that are seen at one IPv4 address are behind the same NAT, which most often does not turn
 * packets round: each dials the other's private addresses, too, if both tell them.  Others neither
 * tell nor dial such.
 *
 * Spec:    libp2p DCUtR; roles and number of attempts of go-libp2p and rust-libp2p.
 * Memory:  the struct, about 22 KiB.
 * Thread:  one at a time.
 */

#include "core/base/time.h"
#include "relay/proto/dcutr_msg.h"

enum {
    DCUTR_ADDRS_MAX = 16,  /* of the peer's that are dialled, and of ours that are told */
    DCUTR_PRIVATE_MAX = 8, /* of them: four interfaces with two transports each */
    DCUTR_ATTEMPTS_MAX = 3,
};

#define DCUTR_DIRECT_TIMEOUT   SEC(1)
#define DCUTR_EXCHANGE_TIMEOUT SEC(10) /* from the opening of a stream to its last message */
#define DCUTR_DIAL_TIMEOUT     SEC(10)
/* Behind DCUTR_EV_DIAL: most holes are punched by then, and need no second connection. */
#define DCUTR_DIAL_BACK_DELAY  MSEC(400)

/* --- addresses ------------------------------------------------------------------------------- */

struct dcutr_addrs {
    struct multiaddr list[DCUTR_ADDRS_MAX];
    size_t count;
};

/* Adds an address, without /p2p, if it is worth dialling: TCP or QUIC on a public IP address, with
 * a port, not relayed, not there yet, and there is room.  `accept_private` takes all IP addresses
 * but unspecified ones: for labs.  Returns whether it was added. */
bool dcutr_addrs_add(struct dcutr_addrs *addrs, const struct multiaddr *a, bool accept_private);
/* The same of a private one, by which only neighbours behind the same NAT come: neither loopback
 * nor link-local, and DCUTR_PRIVATE_MAX of them. */
bool dcutr_addrs_add_private(struct dcutr_addrs *addrs, const struct multiaddr *a);
/* The same of ours, those at `main_ip` first (family NET_NONE: none is): where containers have more
 * bridges than there is room for, a neighbour hears of our own network all the same. */
void dcutr_addrs_add_own_private(struct dcutr_addrs *addrs, const struct multiaddr *own,
                                 size_t own_count, const struct net_addr *main_ip);

/* --- engine ---------------------------------------------------------------------------------- */

enum dcutr_role { DCUTR_OPENER, DCUTR_ACCEPTOR };

struct dcutr_config {
    enum dcutr_role role;
    const struct dcutr_addrs *own; /* copied; observed ones first */
    bool accept_private;           /* of the peer's addresses, see dcutr_addrs_add() */
    bool try_direct;               /* opener: the peer has public addresses that we know */
    unsigned attempts_max;         /* opener; 0: DCUTR_ATTEMPTS_MAX, and no more than that */
};

enum dcutr_event_type {
    /* Opener: dial the peer's known direct addresses as ever, by TCP from any port but the one of
     * DCUTR_EV_DIAL, where it would meet the peer's in the wrong role; _connected() or
     * _direct_failed(). */
    DCUTR_EV_DIRECT,
    /* Those dials' time is over: give them up. */
    DCUTR_EV_DIRECT_END,
    /* The time of DCUTR_EV_DIAL's and _DIAL_BACK's dials is over: give them up. */
    DCUTR_EV_DIAL_END,
    /* Opener: open a stream on the relayed connection; _stream_open() or _stream_failed(). */
    DCUTR_EV_OPEN,
    /* Write `message`; behind a `is_last` one close the stream. */
    DCUTR_EV_SEND,
    /* Reset the stream, the exchange is over. */
    DCUTR_EV_RESET,
    /* Now: reach each address of `addrs` in our role; _connected() or _dial_failed().  The acceptor
     * closes the stream. */
    DCUTR_EV_DIAL,
    /* Opener: dial the QUIC addresses of `addrs` as ever, too; _connected() or nothing.  A NAT that
     * shows the peer another address than we know lets the peer's dial in rarely; but the peer's
     * own NAT may let us in, as soon as it has dialled. */
    DCUTR_EV_DIAL_BACK,
    /* A direct connection stands; what else runs is given up.  The engine is dead. */
    DCUTR_EV_DONE,
    /* None does, and nothing runs any more.  The engine is dead.
     *   -ERR_NO_ADDRESSES        we have none to tell, or the peer has none of use
     *   -ERR_PROTOCOL_VIOLATION  a message out of its turn
     *   -ERR_MALFORMED, -ERR_LIMIT, -ERR_TRUNCATED  see dcutr_msg_decode()
     *   -ETIMEDOUT               the exchange's or the last attempt's time is over
     *   -EHOSTUNREACH            all dials of the last attempt failed
     *   others                   what _stream_failed() was told */
    DCUTR_EV_FAILED,
};

struct dcutr_event {
    enum dcutr_event_type type;
    unsigned attempt;                /* DCUTR_EV_OPEN, DCUTR_EV_DIAL: from 1 */
    struct bytes message;            /* DCUTR_EV_SEND: with its length; the engine's */
    bool is_last;                    /* DCUTR_EV_SEND */
    const struct dcutr_addrs *addrs; /* of the peer: DCUTR_EV_DIAL, DCUTR_EV_DIAL_BACK */
    int error;                       /* DCUTR_EV_FAILED */
};

enum dcutr_state {
    DCUTR_OPENING,    /* opener: for the stream */
    DCUTR_CONNECTING, /* for the peer's CONNECT */
    DCUTR_SYNCING,    /* opener: half a round trip; acceptor: for SYNC */
    DCUTR_DIALING,
    DCUTR_LEFT_DIRECT, /* opener: the exchange failed, the one-sided dial still runs */
    DCUTR_OVER,
};

/* Embedded by its owner; fields are the engine's. */
struct dcutr {
    uint8_t role;  /* enum dcutr_role */
    uint8_t state; /* enum dcutr_state */
    uint8_t attempt;
    uint8_t attempts_max;
    bool accept_private;
    bool is_stream_ours; /* to be reset when the exchange fails */
    uint16_t events;     /* not given out: bits by type, given in the order of the types */
    int error;
    nsec_t deadline;     /* of the state */
    nsec_t direct_until; /* of the one-sided dial; NSEC_NEVER: none runs */
    nsec_t back_at;      /* opener, of DCUTR_EV_DIAL_BACK; NSEC_NEVER: none is to come */
    nsec_t asked_at;     /* opener: when CONNECT went out */
    nsec_t now;
    uint16_t connect_len;
    uint8_t connect[DCUTR_OUT_MAX];
    struct dcutr_addrs own;
    struct dcutr_addrs peer;
};

void dcutr_init(struct dcutr *d, const struct dcutr_config *config, nsec_t now);

/* Opener: the stream of DCUTR_EV_OPEN takes bytes; its protocol may still be under negotiation. */
void dcutr_stream_open(struct dcutr *d, nsec_t now);

/* The stream was refused, reset or ended by the peer; harmless once it is no longer needed. */
void dcutr_stream_failed(struct dcutr *d, int error, nsec_t now);

/* One message of the peer, without its length.  Ignored once the exchange is over. */
void dcutr_recv(struct dcutr *d, struct bytes body, nsec_t now);

/* A direct connection with the peer stands, whoever dialled it. */
void dcutr_connected(struct dcutr *d, nsec_t now);

/* All dials of DCUTR_EV_DIRECT, of DCUTR_EV_DIAL, failed; harmless when they were given up. */
void dcutr_direct_failed(struct dcutr *d, nsec_t now);
void dcutr_dial_failed(struct dcutr *d, nsec_t now);

/* false when there is none. */
bool dcutr_next_event(struct dcutr *d, struct dcutr_event *ret_event);

/* NSEC_NEVER at the end. */
nsec_t dcutr_deadline(const struct dcutr *d);

/* Early calls are harmless. */
void dcutr_tick(struct dcutr *d, nsec_t now);
