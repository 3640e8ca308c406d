/* SPDX-License-Identifier: MIT */
#pragma once

/* Which of our addresses AutoNAT v2 servers are to dial, when and by whom, and what their answers
 * amount to.  Engine: no I/O, no clock.
 *
 *   autonat_client_set_addrs(), _server_added(), _server_gone()   what there is
 *   while (autonat_client_next(&c, &plan, now)) run an autonat_probe with the plan
 *   autonat_client_done(&c, &plan, &result, now)                  tells whether a verdict changed
 *   again at autonat_client_deadline()
 *
 * One answer is no verdict: confidence counts answers from -3 to 3, a verdict stands from 2 on and
 * falls back to "unknown" only by way of 0.  Addresses without full confidence are asked about
 * every 10 s, others after 5 minutes, and every hour once nothing has changed three times.  A
 * server is asked at most every 6 s (go's takes 12 a minute), and after a failure, a rejection or
 * an answer without proof not for 2 minutes.  Servers take turns.
 *
 * New addresses are asked about at once, as many as there may be in all; then there is one each
 * AUTONAT_ADDR_EVERY, and none waits longer than AUTONAT_ADDR_WAIT_MAX: whoever has us believe in
 * another address each second has none of them asked about, and nobody else's held up.
 *
 * That an address can be dialled is proved; that it cannot is somebody's word, and stands as long
 * as there is a server that could prove the contrary.
 *
 * That a server can dial none of the addresses (AUTONAT_REFUSED) says nothing of them: this server
 * is not asked about them for 5 minutes, others are.  All that one server refused is forgotten with
 * the first of it.
 *
 * Spec:    libp2p AutoNAT v2, "Client step".
 * Memory:  the struct, about 20 KiB.
 * Thread:  one at a time.
 */

#include "core/p2p/peer_id.h"
#include "relay/proto/autonat_probe.h"

enum {
    AUTONAT_TRACKED_MAX = 32,
    AUTONAT_SERVERS_MAX = 32,
    AUTONAT_PROBES_MAX = 2,     /* at once */
    AUTONAT_CONFIDENCE_MAX = 3, /* go's target */
    AUTONAT_CONFIDENCE_MIN = 2, /* from which on it is a verdict */
};

#define AUTONAT_NEW_INTERVAL     SEC(10)
#define AUTONAT_REFRESH_INTERVAL SEC(300)
#define AUTONAT_STABLE_INTERVAL  SEC(3600)
#define AUTONAT_SERVER_INTERVAL  SEC(6)
#define AUTONAT_SERVER_REST      SEC(120)
#define AUTONAT_ADDR_EVERY       SEC(10)
#define AUTONAT_ADDR_WAIT_MAX    SEC(60)

enum autonat_reach { AUTONAT_REACH_UNKNOWN, AUTONAT_REACH_PUBLIC, AUTONAT_REACH_PRIVATE };

struct autonat_tracked {
    struct multiaddr addr;
    int8_t confidence;     /* above 0: reachable */
    uint8_t reach;         /* enum autonat_reach */
    uint8_t confirmations; /* of a verdict with full confidence */
    bool is_asked;
    nsec_t next_at;
    uint32_t refused_by; /* a bit for each place in servers[] */
};

struct autonat_server_known {
    struct peer_id id;
    bool is_asked;
    nsec_t ready_at;
    nsec_t forget_at; /* what it refused; 0: nothing */
};

/* Embedded by its owner; fields are the engine's. */
struct autonat_client {
    struct autonat_tracked tracked[AUTONAT_TRACKED_MAX];
    struct autonat_server_known servers[AUTONAT_SERVERS_MAX];
    size_t tracked_count;
    size_t servers_count;
    size_t probes_count;
    nsec_t new_until; /* the time up to which new addresses were given out */
};

/* One probe to run. */
struct autonat_plan {
    struct peer_id server;
    size_t addrs_count;
    struct multiaddr addrs[AUTONAT_ADDRS_MAX];
};

void autonat_client_init(struct autonat_client *c);

/* The addresses to track, best first; what is known of those that stay is kept.  Only public ones
 * are worth it.  Beyond AUTONAT_TRACKED_MAX the last are left out. */
void autonat_client_set_addrs(struct autonat_client *c, const struct multiaddr *addrs,
                              size_t addrs_count, nsec_t now);

/* A connected peer lists the protocol; a connection ended.  Beyond AUTONAT_SERVERS_MAX a new one is
 * left out. */
void autonat_client_server_added(struct autonat_client *c, const struct peer_id *server,
                                 nsec_t now);
/* Returns whether the verdict of an address changed. */
bool autonat_client_server_gone(struct autonat_client *c, const struct peer_id *server);

/* Whether a probe is due now; it is under way then, until autonat_client_done(). */
bool autonat_client_next(struct autonat_client *c, struct autonat_plan *ret_plan, nsec_t now);

/* The probe's result.  Returns whether the verdict of an address changed. */
bool autonat_client_done(struct autonat_client *c, const struct autonat_plan *plan,
                         const struct autonat_result *result, nsec_t now);

/* UNKNOWN for an address that is not tracked. */
enum autonat_reach autonat_client_reach(const struct autonat_client *c,
                                        const struct multiaddr *addr);

/* When the next probe is due; NSEC_NEVER: not by time alone. */
nsec_t autonat_client_deadline(const struct autonat_client *c);
