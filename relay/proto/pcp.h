/* SPDX-License-Identifier: MIT */
#pragma once

/* Keeps ports of ours mapped on a gateway by PCP, or by NAT-PMP where the gateway does not know
 * PCP. Engine: no I/O, no clock.
 *
 *   pcp_add() for each port
 *   while (pcp_next_send(&p, out, &len, now)) send it to the gateway
 *   datagrams from the gateway -> pcp_recv()       events <- pcp_next_event()
 *   time -> pcp_tick() at pcp_deadline()
 *   pcp_close() removes the mappings, as far as one packet each does that
 *
 * PCP is asked at 0, 3 and 9 s and given up after 21 s, NAT-PMP six times from 0 to 7.75 s and
 * given up after 15.75 s: the RFCs' intervals, but for a bound.  A version error makes it NAT-PMP
 * at once. A silent gateway is tried again after ten minutes, and from PCP on.
 *
 * A mapping is renewed at half its lifetime.  A gateway whose clock began anew has lost its state:
 * all mappings are asked for within two to five seconds, with the same ports.
 *
 * Spec:    RFC 6887 sections 8.1.1, 8.5 and 11; RFC 6886 sections 3.1 to 3.6.
 * Memory:  the struct, under 1 KiB.
 * Thread:  one at a time.
 */

#include "core/base/time.h"
#include "relay/proto/pcp_msg.h"

struct rng;

enum {
    PCP_MAPPINGS_MAX = 8,
    PCP_OUT_MAX = PCP_REQUEST_BYTES,
    PCP_LIFETIME_S = 7200, /* what RFC 6886 recommends */
};

#define PCP_SILENT_REST SEC(600)

enum pcp_protocol { PCP_SPEAKS_PCP, PCP_SPEAKS_NATPMP };

/* When something is asked, and how often it was. */
struct pcp_try {
    nsec_t at;
    uint8_t sends_count;
};

enum pcp_mapping_state {
    PCP_UNMAPPED,
    PCP_MAPPED,   /* until expires_at */
    PCP_REMOVING, /* one packet, then it is gone */
    PCP_REMOVED,
};

struct pcp_mapping {
    struct pcp_try next;
    nsec_t expires_at;
    struct net_addr external; /* as last given; wished for again */
    uint8_t nonce[PCP_NONCE_BYTES];
    uint16_t internal_port;
    bool is_tcp;
    uint8_t state; /* enum pcp_mapping_state */
    bool has_event;
    int error; /* of the event; 0: mapped */
};

/* Embedded by its owner; fields are the engine's. */
struct pcp {
    struct rng *rng;
    struct net_addr client;
    uint8_t protocol; /* enum pcp_protocol */
    bool is_heard;    /* it answered in this protocol */
    bool is_resting;  /* it was silent */
    nsec_t rest_until;
    uint32_t epoch_s;        /* when last heard */
    nsec_t epoch_at;         /* NSEC_NEVER: not yet */
    struct net_addr address; /* NAT-PMP: the external one; NET_NONE: unknown */
    struct pcp_try address_next;
    struct pcp_mapping mappings[PCP_MAPPINGS_MAX];
    size_t mappings_count;
    nsec_t now;
};

/* `client`: our own address towards the gateway, without which PCP's answers are refusals.  `rng`
 * must live as long as the engine. */
void pcp_init(struct pcp *p, const struct net_addr *client, struct rng *rng, nsec_t now);

/* Maps a port from now on; returns its place in events.  At most PCP_MAPPINGS_MAX (asserted). */
size_t pcp_add(struct pcp *p, bool is_tcp, uint16_t internal_port, nsec_t now);

/* The gateway may be another one, or have forgotten: all mappings are asked for at once, also of
 * one that was silent. */
void pcp_ask_again(struct pcp *p, nsec_t now);

/* No mapping is wanted any more.  The engine is over when pcp_next_send() gives nothing. */
void pcp_close(struct pcp *p, nsec_t now);

/* Whether a packet is to be sent to the gateway now. */
bool pcp_next_send(struct pcp *p, uint8_t ret_out[PCP_OUT_MAX], size_t *ret_len, nsec_t now);

/* A datagram that came from the gateway's address and port; what is no answer to us is ignored. */
void pcp_recv(struct pcp *p, struct bytes datagram, nsec_t now);

struct pcp_event {
    size_t mapping; /* pcp_add()'s */
    /* 0: mapped, to `external`, which may be private when another NAT is behind the gateway.
     * Else not, or no longer; it is tried again by itself:
     *   -ETIMEDOUT         the gateway is silent
     *   -EACCES            it refuses: forbidden, no resources, not our address as it sees it */
    int error;
    struct net_addr external;
};

/* Only what changed; false when there is none. */
bool pcp_next_event(struct pcp *p, struct pcp_event *ret_event);

/* NSEC_NEVER: nothing to do. */
nsec_t pcp_deadline(const struct pcp *p);

/* Early calls are harmless. */
void pcp_tick(struct pcp *p, nsec_t now);
