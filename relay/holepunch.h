/* SPDX-License-Identifier: MIT */
#pragma once

/* Hole punching: direct connections with peers that we reach, or that reach us, over a relay.  For
 * each of them one upgrade (relay/punch.h) at a time, as long as the way to it is relayed:
 *
 *   it dialled us   we open, as soon as identify has told where it is; when that fails again after
 *                   30 s, 60 s, 2, 5, 10, 10 ... minutes, with one attempt instead of three, and
 *                   at once when our addresses change
 *   we dialled it   we accept: its streams over such circuits alone (decision 1).  A stream that
 *                   comes while both dial replaces that upgrade, one that comes earlier is reset
 *   both            the side with the smaller peer ID opens
 *
 * Whoever speaks no DCUtR, or has no address, is asked again as rarely.
 *
 * Bounds:  HOLEPUNCH_ACTIVE_MAX upgrades; of a peer one, and HOLEPUNCH_ACCEPTS_MAX of its streams
 *          in HOLEPUNCH_ACCEPTS_PERIOD, since each has us send to addresses that it names.
 * Spec:    libp2p DCUtR; decisions 1, 6.
 * Thread:  the reactor's. */

#include "core/base/base.h"
#include "core/base/time.h"

struct external_addrs;
struct holepunch;
struct host;
struct log;
struct peer_id;
struct reactor;

enum {
    HOLEPUNCH_ACTIVE_MAX = 32,
    HOLEPUNCH_ACCEPTS_MAX = 6, /* twice the attempts of one upgrade */
};

#define HOLEPUNCH_ACCEPTS_PERIOD SEC(30)
#define HOLEPUNCH_FIRST_PAUSE    SEC(30)
/* However often our addresses change: after an upgrade in which the two dialled. */
#define HOLEPUNCH_PAUSE_MIN      SEC(5)

/* What became of an upgrade that came as far as a dial. */
enum holepunch_outcome {
    HOLEPUNCH_FAILED,
    HOLEPUNCH_SUCCEEDED,
    HOLEPUNCH_REVERSED, /* the one-sided dial was enough */
};

struct holepunch_config {
    struct reactor *reactor;
    struct host *host;                     /* outlives this, and has no connection yet */
    struct log *log;                       /* may be NULL */
    const struct external_addrs *external; /* outlives this; NULL: only what we listen on is told */
    bool accept_private;                   /* addresses of ours and of peers: for labs */
    /* May be NULL; what it starts happens later. */
    void (*ended)(void *user, const struct peer_id *peer, enum holepunch_outcome outcome,
                  nsec_t took);
    void *user;
};

/* -ENOMEM; -EEXIST: somebody serves the protocol on this host */
NODISCARD int holepunch_new(const struct holepunch_config *cfg, struct holepunch **ret_holepunch);
/* Gives up what runs.  Accepts NULL, returns NULL. */
struct holepunch *holepunch_free(struct holepunch *h);

/* Our addresses changed. */
void holepunch_network_changed(struct holepunch *h);
/* More of them are known.  For peers with whom we have dialled in vain that is no new beginning,
 * only a reason to try again HOLEPUNCH_FIRST_PAUSE after that: behind some NATs each connection
 * shows another address. */
void holepunch_addrs_added(struct holepunch *h);

/* Upgrades that are over, of those in which the two agreed to dial and the one-sided dial was not
 * enough; and how often they agreed, also in those that run. */
struct holepunch_stats {
    uint64_t attempts;
    uint64_t succeeded;
    uint64_t failed;
};
const struct holepunch_stats *holepunch_stats(const struct holepunch *h);
