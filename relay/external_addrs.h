/* SPDX-License-Identifier: MIT */
#pragma once

/* Our addresses as others see them: what peers with a direct connection tell by identify goes into
 * a tracker (relay/proto/observed.h), and what is believed there the host announces.
 *
 * An address is announced when four networks see it, or one peer of those that the user named: with
 * one relay of our own there are no four.  To punch with, one observer is enough.
 *
 * What a gateway passes on to us is announced beside that (relay/portmap.h).
 *
 * Only what is seen of a socket that listens counts: others lead nowhere.
 *
 * Spec:    libp2p identify, "Observed addresses".
 * Thread:  the reactor's. */

#include "core/p2p/multiaddr.h"

struct external_addrs;
struct host;
struct log;
struct peer_id;
struct reactor;

enum {
    EXTERNAL_ADDRS_MAX = 16,
    EXTERNAL_TRUSTED_MAX = 16,
};

struct external_addrs_config {
    struct reactor *reactor;
    struct host *host; /* outlives this, and has no connection yet */
    struct log *log;   /* may be NULL */
    const struct peer_id *trusted;
    size_t trusted_count; /* those beyond EXTERNAL_TRUSTED_MAX are as others */
    bool accept_private;  /* for labs */
    /* One more address is seen; what it starts happens later.  May be NULL. */
    void (*added)(void *user);
    void *user;
};

/* -ENOMEM */
NODISCARD int external_addrs_new(const struct external_addrs_config *cfg,
                                 struct external_addrs **ret_addrs);
/* Nothing is announced any more.  Accepts NULL, returns NULL. */
struct external_addrs *external_addrs_free(struct external_addrs *x);

/* Those that a gateway maps to our listening ports, instead of those before; at most
 * EXTERNAL_ADDRS_MAX.  added() may follow from inside this call. */
void external_addrs_set_mapped(struct external_addrs *x, const struct multiaddr *addrs,
                               size_t count);

/* Those that are mapped, and those that anybody sees, the surest first: QUIC and TCP.  Returns how
 * many are written. */
size_t external_addrs_seen(const struct external_addrs *x,
                           struct multiaddr ret_addrs[EXTERNAL_ADDRS_MAX]);
