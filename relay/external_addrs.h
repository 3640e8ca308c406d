/* SPDX-License-Identifier: MIT */
#pragma once

/* Our addresses as others see them: what peers with a direct connection tell by identify, and STUN
 * servers, goes into a tracker (relay/proto/observed.h), and what is believed there the host
 * announces.
 *
 * An address is announced when four networks see it, or one peer of those that the user named: with
 * one relay of our own there are no four.  To punch with, one observer is enough.  AutoNAT's word
 * goes before either: what strangers can dial is announced when two networks see it, what they
 * cannot is not.  One would not do: who says where we are may also be who says that he dialled us
 * there, and others would come to wherever he likes.
 *
 * What a gateway passes on to us is announced on its word (relay/portmap.h), as long as AutoNAT
 * does not find otherwise.
 *
 * Only what is seen of a socket that listens counts: others lead nowhere.
 *
 * Spec:    libp2p identify, "Observed addresses".
 * Thread:  the reactor's. */

#include "core/base/time.h"
#include "core/p2p/multiaddr.h"
#include "relay/proto/autonat_client.h"

struct external_addrs;
struct host;
struct log;
struct net_addr;
struct peer_id;
struct reactor;

enum {
    EXTERNAL_ADDRS_MAX = 16,
    EXTERNAL_TRUSTED_MAX = 16,
    EXTERNAL_NEWS_BURST = 16, /* of one observer's word, */
};
#define EXTERNAL_NEWS_EVERY SEC(10) /* then one so often */

struct external_addrs_config {
    struct reactor *reactor;
    struct host *host; /* outlives this, and has no connection yet */
    struct log *log;   /* may be NULL */
    const struct peer_id *trusted;
    size_t trusted_count; /* those beyond EXTERNAL_TRUSTED_MAX are as others */
    bool accept_private;  /* for labs */
    bool is_hidden;       /* nothing is announced, though it may be punched with */
    /* What AutoNAT found of an address, for which the gateway or somebody trusted may vouch.  May
     * be NULL: nothing. */
    enum autonat_reach (*reach)(void *user, const struct multiaddr *addr, bool is_vouched_for);
    /* One more address is seen; what it starts happens later.  May be NULL.  What a single observer
     * says is news EXTERNAL_NEWS_BURST times, then one each EXTERNAL_NEWS_EVERY; what was not is
     * when another one confirms it, or somebody trusted. */
    void (*added)(void *user);
    /* One more is worth a question of AutoNAT; as above. */
    void (*to_ask_added)(void *user);
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

/* `server`, which the user trusts, sees the QUIC socket that is bound to `listen` at `external`;
 * family NET_NONE: nobody does any more.  There is one such report a family. */
void external_addrs_probed(struct external_addrs *x, const struct net_addr *listen,
                           const struct net_addr *external, const struct net_addr *server);

/* AutoNAT's verdicts are others. */
void external_addrs_reach_changed(struct external_addrs *x);

/* What the NAT in front of a listening socket is, by what peers see. */
enum nat_type external_addrs_nat_type(const struct external_addrs *x, const struct net_addr *listen,
                                      bool is_tcp);

/* Those that are mapped, and those that anybody sees, the surest first: QUIC and TCP.  Returns how
 * many are written. */
size_t external_addrs_seen(const struct external_addrs *x,
                           struct multiaddr ret_addrs[EXTERNAL_ADDRS_MAX]);

/* Of those, what AutoNAT's servers may be asked about: what one peer alone sees is not worth it,
 * and would let him have us ask. */
size_t external_addrs_to_ask(const struct external_addrs *x,
                             struct multiaddr ret_addrs[EXTERNAL_ADDRS_MAX]);
