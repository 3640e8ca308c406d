/* SPDX-License-Identifier: MIT */
#pragma once

/* Asks several STUN servers from one socket which address they see, and tells the NAT's type from
 * the answers.  Engine: no I/O, no clock.
 *
 *   while (stun_client_next_send(&c, &to, out, now)) send `out` to `to`
 *   datagrams that stun_is_message() -> stun_client_recv()      time -> _tick() at _deadline()
 *   when stun_client_is_over(): stun_client_result(); it may be asked before, too
 *
 * All probes must leave from the socket whose NAT mapping is in question, the one of QUIC.  A
 * server that names a second port (OTHER-ADDRESS) is asked there as well: that tells a NAT whose
 * mapping depends on the port, with one server.  Of its other address only the port is believed, so
 * that a server cannot send us elsewhere.
 *
 * Each address is asked three times at most, one, two, four seconds apart, and each host at most
 * once a second: whether it is up or not.
 *
 * Spec:    RFC 8489, section 6.2.1, with slower retransmission.
 * Memory:  the struct, under 2 KiB.
 * Thread:  one at a time.
 */

#include "core/base/time.h"
#include "relay/proto/nat_type.h"
#include "relay/proto/stun_msg.h"

struct rng;

enum { STUN_PROBES_MAX = 16, STUN_SENDS_MAX = 3 };

#define STUN_HOST_INTERVAL SEC(1)

enum stun_probe_state { STUN_ASKING, STUN_ANSWERED, STUN_GIVEN_UP };

struct stun_probe {
    struct net_addr to;
    struct net_addr mapped; /* STUN_ANSWERED */
    uint8_t txid[STUN_TXID_BYTES];
    uint8_t state; /* enum stun_probe_state */
    uint8_t sends_count;
    nsec_t sent_at; /* the last time */
    nsec_t next_at; /* when it is asked again, or given up */
};

/* Embedded by its owner; fields are the engine's. */
struct stun_client {
    struct rng *rng;
    struct stun_probe probes[STUN_PROBES_MAX];
    size_t probes_count;
    nsec_t now;
};

/* Servers of the socket's family; others, repeated ones and those beyond STUN_PROBES_MAX are left
 * out.  `rng` must live as long as the engine. */
void stun_client_init(struct stun_client *c, enum net_family family, const struct net_addr *servers,
                      size_t servers_count, struct rng *rng, nsec_t now);

/* Whether a request is to be sent now, and where. */
bool stun_client_next_send(struct stun_client *c, struct net_addr *ret_to,
                           uint8_t ret_out[STUN_REQUEST_BYTES], nsec_t now);

/* A datagram from `from`.  Returns whether it answered a probe; everything else is ignored. */
bool stun_client_recv(struct stun_client *c, const struct net_addr *from, struct bytes datagram,
                      nsec_t now);

/* NSEC_NEVER when it is over. */
nsec_t stun_client_deadline(const struct stun_client *c);

/* Early calls are harmless. */
void stun_client_tick(struct stun_client *c, nsec_t now);

/* Nothing is asked any more. */
bool stun_client_is_over(const struct stun_client *c);

struct stun_result {
    enum nat_type type;
    struct net_addr external; /* NET_NONE: unknown.  Of a symmetric NAT: one of several. */
    size_t answers_count;     /* that the verdict rests on */
    /* Their hosts.  With one alone a NAT whose mapping depends on the host, not on the port, would
     * not be noticed. */
    size_t hosts_count;
};

/* What the answers so far tell.  `local`: the addresses of the socket, with its port; of a socket
 * bound to no address those of all interfaces.  An answer that names an address which is not public
 * comes from within our network: it tells nothing when it names a local one, or when others see us
 * at a public one. */
void stun_client_result(const struct stun_client *c, const struct net_addr *local,
                        size_t local_count, struct stun_result *ret_result);
