/* SPDX-License-Identifier: MIT */
#pragma once

/* The machine's place in the network: its own addresses, the links that they are on, its default
 * routes; and when they change.
 *
 * A watch holds a snapshot.  Whoever finds the state out publishes whole ones: the system's own
 * (netwatch_system_new) asks the kernel by netlink, the simulation reads a script.  One that
 * differs in what counts replaces the old one and is told by changed().
 *
 *   listed   addresses of links that are up, which can be used now: not those that duplicate
 *            address detection has not passed; not loopback's, and not those of IPv6 that mean
 *            something on one link only.  Default routes of the main table whose link has a carrier
 *   counts   an address came or went, or its flags are others; a default route came or went; the
 *            machine was suspended
 *   doesn't  everything else: it is in the snapshot without a call
 *
 * Memory: within struct netwatch.  What there is no room for is left out, and is_cut says so.
 * Thread: the reactor's.
 */

#include "core/base/net_addr.h"

struct reactor;

enum {
    NETWATCH_ADDRS_MAX = 64,
    NETWATCH_ROUTES_MAX = 16,
    NETWATCH_LINKS_MAX = 32,
    NETWATCH_NAME_BYTES = 16, /* IFNAMSIZ */
};

/* How far the system says that an address reaches.  Whether the internet can is another question:
 * net_addr_is_public(). */
enum netwatch_scope { NETWATCH_SCOPE_GLOBAL, NETWATCH_SCOPE_LINK, NETWATCH_SCOPE_HOST };

struct netwatch_addr {
    struct net_addr ip; /* port 0 */
    uint32_t link_index;
    uint8_t prefix_len;
    uint8_t scope;      /* enum netwatch_scope */
    bool is_temporary;  /* IPv6: for privacy, and replaced every day or so */
    bool is_deprecated; /* goes soon: nothing new is to begin from it */
};

struct netwatch_route {
    struct net_addr gateway; /* port 0; family NET_NONE: none, the link is point-to-point */
    uint32_t link_index;
    uint32_t metric; /* the lowest is taken */
    uint8_t family;  /* of the destinations, enum net_family */
};

/* Of an address or a route that is listed. */
struct netwatch_link {
    uint32_t index;
    char name[NETWATCH_NAME_BYTES]; /* NUL-terminated */
    bool is_running;                /* has a carrier */
};

struct netwatch_snapshot {
    struct netwatch_addr addrs[NETWATCH_ADDRS_MAX];
    struct netwatch_route routes[NETWATCH_ROUTES_MAX];
    struct netwatch_link links[NETWATCH_LINKS_MAX];
    uint32_t addrs_count;
    uint32_t routes_count;
    uint32_t links_count;
    bool is_known;     /* false: the system has not said anything, which is not "no addresses" */
    bool knows_routes; /* false: no routes are listed because the system does not tell */
    bool is_cut;
};

struct netwatch_change {
    uint32_t addrs_added;
    uint32_t addrs_removed;
    uint32_t addrs_altered; /* still there, with other flags */
    bool routes_differ;
    bool was_suspended; /* also when all is as before: peers and NATs may have forgotten us */
};

typedef void netwatch_fn(void *user, const struct netwatch_change *change);

struct netwatch {
    struct netwatch_snapshot now;
    netwatch_fn *changed; /* NULL: nobody is told */
    void *user;
};

/* Never NULL; stays as it is until the reactor's next turn. */
const struct netwatch_snapshot *netwatch_snapshot(const struct netwatch *w);

/* Tells of changes from now on, in turns of the reactor's; NULL ends that, and must before `user`
 * goes. */
void netwatch_set_watcher(struct netwatch *w, netwatch_fn *changed, void *user);

/* NULL when it is not listed. */
const struct netwatch_link *netwatch_link_of(const struct netwatch_snapshot *s, uint32_t index);

/* --- The system's --- */

/* Knows the state when it returns, if the kernel tells it.  Changes are told half a second after
 * the first event of several; a sleep within 5 s of waking up.  Where netlink is refused (a
 * container's seccomp profile) it warns once and looks at the addresses every 30 s, without routes.
 *   -ENOMEM */
NODISCARD int netwatch_system_new(struct reactor *r, struct netwatch **ret_watch);
/* May be called in changed().  Its descriptor closes in the reactor's next turns.  Accepts NULL,
 * returns NULL. */
struct netwatch *netwatch_system_free(struct netwatch *w);

/* --- For those who publish --- */

/* Whether an address of the machine's is one to list at all. */
bool netwatch_lists(const struct net_addr *ip);
/* What there is no room for sets is_cut. */
void netwatch_add_addr(struct netwatch_snapshot *s, const struct netwatch_addr *a);
void netwatch_add_route(struct netwatch_snapshot *s, const struct netwatch_route *r);
void netwatch_add_link(struct netwatch_snapshot *s, const struct netwatch_link *l);

/* Takes a copy of `s`, which is known from then on, and tells if that changes what counts.  The
 * watch may be gone when it returns. */
void netwatch_publish(struct netwatch *w, const struct netwatch_snapshot *s, bool was_suspended);
