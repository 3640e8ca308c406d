/* SPDX-License-Identifier: MIT */
#pragma once

/* AutoNAT's client, v2: which of our addresses can strangers dial?  Asks connected peers that serve
 * it, about what the host advertises and what others see of it (relay/proto/autonat_client.h).
 *
 * Servers are peers that list the protocol and are connected directly, whoever they are: an answer
 * counts only with the nonce that was brought to the address.
 *
 * Spec:    libp2p AutoNAT v2.
 * Thread:  the reactor's. */

#include "core/p2p/peer_id.h"
#include "relay/proto/autonat_client.h"

struct autonat_prober;
struct host;
struct log;
struct reactor;

struct autonat_prober_config {
    struct reactor *reactor;
    struct host *host; /* outlives this, and has no connection yet */
    struct log *log;   /* may be NULL */
    /* Those of our addresses that the host does not advertise; asked for before each probe.
     * Returns how many are written, at most `max`.  May be NULL: none. */
    size_t (*more_addrs)(void *user, struct multiaddr *out, size_t max);
    bool accept_private; /* servers whose address is private are asked, too: for labs */
    /* The verdict of an address is another one; what it starts happens later.  May be NULL. */
    void (*changed)(void *user);
    void *user;
};

/* -ENOMEM; -EEXIST: somebody serves dial-backs on this host */
NODISCARD int autonat_prober_new(const struct autonat_prober_config *cfg,
                                 struct autonat_prober **ret_prober);
/* Gives up what runs.  Accepts NULL, returns NULL. */
struct autonat_prober *autonat_prober_free(struct autonat_prober *p);

/* Our addresses may be others. */
void autonat_prober_addrs_changed(struct autonat_prober *p);

enum autonat_reach autonat_prober_reach(const struct autonat_prober *p,
                                        const struct multiaddr *addr);

/* Addresses by their verdict. */
struct autonat_prober_info {
    size_t reachable;
    size_t unreachable;
    size_t unknown;
    size_t servers;
};
void autonat_prober_info(const struct autonat_prober *p, struct autonat_prober_info *ret_info);

/* How probes ended, as AutoNAT's verdicts name it. */
struct autonat_prober_stats {
    uint64_t ended[AUTONAT_FAILED + 1]; /* by enum autonat_verdict */
};
const struct autonat_prober_stats *autonat_prober_stats(const struct autonat_prober *p);
