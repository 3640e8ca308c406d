/* SPDX-License-Identifier: MIT */
#pragma once

/* One question to an AutoNAT v2 server: which of our addresses can you dial?  Engine: no I/O, no
 * clock.
 *
 *   messages in  -> autonat_probe_recv()        out <- autonat_probe_pull(), until it gives none
 *   dial-backs   -> autonat_probe_dial_back()   result <- autonat_probe_result(), once
 *   time         -> autonat_probe_tick() at autonat_probe_deadline()
 *
 * The server dials one address from another peer ID and port and brings the nonce there.  Its word
 * alone proves nothing: without the nonce an address is not reachable.  A server that sees us at
 * another IP address may ask for up to 100,000 bytes first, so that nobody is attacked through it;
 * we send zeros.
 *
 * Spec:    libp2p AutoNAT v2; limits of go-libp2p's client.
 * Memory:  the struct, about 6 KiB.
 * Thread:  one at a time.
 */

#include "core/base/time.h"
#include "relay/proto/autonat_msg.h"

enum { AUTONAT_DATA_BYTES_MAX = 100000 };

#define AUTONAT_PROBE_TIMEOUT    SEC(30)
/* For the nonce, behind the server's word. */
#define AUTONAT_NONCE_TIMEOUT    SEC(5)
/* For the dial-back, behind the request or the data that was paid for it: go's server has 15 s for
 * all, rust's client 10 s. */
#define AUTONAT_DIAL_BACK_WINDOW SEC(10)

enum autonat_verdict {
    AUTONAT_NO_VERDICT,  /* a dial-back without nonce, or a failure after connecting */
    AUTONAT_REACHABLE,   /* the address `index` was dialled */
    AUTONAT_UNREACHABLE, /* and could not be */
    AUTONAT_REFUSED,     /* the server can dial none of the addresses: ask another one */
    AUTONAT_REJECTED,    /* it is busy: ask it later */
    AUTONAT_FAILED,      /* see error; reset the stream and leave that server alone for a while */
};

struct autonat_result {
    enum autonat_verdict verdict;
    uint32_t index; /* of the address; up to AUTONAT_UNREACHABLE */
    /* AUTONAT_FAILED: -ERR_PROTOCOL_VIOLATION, what autonat_decode() gave, -ETIMEDOUT, or what
     * autonat_probe_failed() was told. */
    int error;
};

enum autonat_probe_state {
    AUTONAT_PROBE_ASKING,  /* the request is not pulled yet */
    AUTONAT_PROBE_WAITING, /* for data to be wanted, or the response */
    AUTONAT_PROBE_FEEDING, /* data is to be pulled */
    AUTONAT_PROBE_FED,     /* for the response */
    AUTONAT_PROBE_NONCE,   /* for the nonce that the response promised */
    AUTONAT_PROBE_OVER,
};

/* Embedded by its owner; fields are the engine's. */
struct autonat_probe {
    uint64_t nonce;
    struct multiaddr addrs[AUTONAT_ADDRS_MAX];
    uint32_t addrs_count;
    uint8_t state; /* enum autonat_probe_state */
    bool has_nonce;
    bool has_result;
    bool has_turned_away;           /* somebody, who may have been the server */
    enum multiaddr_kind nonce_kind; /* what the nonce came over */
    uint8_t nonce_family;           /* enum net_family */
    uint32_t data_left;
    struct autonat_result result;
    nsec_t expects_until;
    nsec_t deadline;
    nsec_t now;
};

struct rng;

/* Asks for 1 to AUTONAT_ADDRS_MAX addresses, the most wanted first; copied. */
void autonat_probe_init(struct autonat_probe *p, const struct multiaddr *addrs, size_t addrs_count,
                        struct rng *rng, nsec_t now);

/* The next message to be written; 0: none now. */
NODISCARD size_t autonat_probe_pull(struct autonat_probe *p, uint8_t ret_out[AUTONAT_OUT_MAX],
                                    nsec_t now);

/* One message of the server, without its length. */
void autonat_probe_recv(struct autonat_probe *p, struct bytes body, nsec_t now);

/* The stream could not be opened, was reset, or the server's bytes ended. */
void autonat_probe_failed(struct autonat_probe *p, int error, nsec_t now);

/* A dial-back brought `nonce` from `remote`, over TCP, WS or QUIC.  Returns whether it is ours:
 * answer AUTONAT_DIAL_BACK_ANSWER, else reset that stream. */
bool autonat_probe_dial_back(struct autonat_probe *p, uint64_t nonce,
                             const struct multiaddr *remote, nsec_t now);

/* Whether a connection may be the server's dial-back: from the request on, or from the last of the
 * data that it wants first, for AUTONAT_DIAL_BACK_WINDOW. */
bool autonat_probe_expects(const struct autonat_probe *p, nsec_t now);

/* Meanwhile somebody was turned away, for want of a place or as none was expected any more: that
 * the server cannot dial us says nothing then. */
void autonat_probe_turned_away(struct autonat_probe *p);

/* True once, at the end. */
bool autonat_probe_result(struct autonat_probe *p, struct autonat_result *ret_result);

/* NSEC_NEVER at the end. */
nsec_t autonat_probe_deadline(const struct autonat_probe *p);

/* Early calls are harmless. */
void autonat_probe_tick(struct autonat_probe *p, nsec_t now);
