/* SPDX-License-Identifier: MIT */
#pragma once

/* A proxy: local listeners whose TCP connections each become one stream to a service of a peer.
 *
 * Spec:   peerup-protocols, section 4; decision 7.
 * Opening a stream may take PROXY_OPEN_TIMEOUT; what may pass by itself (a timeout, a refused or
 * broken dial) is tried again after 1, 2 and 4 seconds, and then the client is reset.  What will
 * not pass (an unknown service, a peer that does not let us in, another peer at the address) resets
 * the client at once.  At the limit of streams to the peer, the client waits for one to end, and
 * the listeners rest: further clients stay in the kernel's backlog.  The same when the peer refuses
 * a stream because of its own limits (pump.h): the client waits with what it has sent, and its turn
 * comes again.  Refused later than PROXY_REFUSED_TIMEOUT after its first refusal, it is reset.
 * A stream on a connection whose peer has been silent for a second carries nothing of its client
 * before the peer has agreed to it.  If that connection ends before (the peer was restarted, and
 * nobody told us), or nothing is heard for three seconds, the client gets another stream, which
 * counts as one of the attempts.  A peer that is heard and does not agree in time resets it.
 * A client whose connection ends at a limit of the relay is reset; the next one has a circuit anew.
 *
 * Life:   proxy_open() .. proxy_close() .. closed() .. proxy_free().
 * Thread: the reactor's.
 */

#include "core/base/base.h"
#include "core/base/net_addr.h"
#include "core/base/time.h"
#include "core/p2p/peer_id.h"

struct conn_limit;
struct host;
struct log;
struct problem;
struct proxy;
struct reactor;

enum { PROXY_LISTEN_MAX = 4, PROXY_ATTEMPTS_MAX = 4 };

#define PROXY_OPEN_TIMEOUT    SEC(30)
#define PROXY_REFUSED_TIMEOUT SEC(120)

struct proxy_config {
    struct reactor *reactor;
    struct host *host;
    struct log *log; /* may be NULL */
    struct peer_id peer;
    const char *service; /* its name; copied */
    /* Where to listen; port 0 picks one, which later addresses with port 0 share. */
    const struct net_addr *listen;
    uint32_t listen_count;
    nsec_t refused_timeout; /* 0: PROXY_REFUSED_TIMEOUT */
    /* Clients that got no stream, for those who show it to a person; may be NULL. */
    void (*refused)(void *user, int error);
    /* Clients whose connection met a limit of its relay (relay/relay_limit.h), likewise. */
    void (*limit_met)(void *user, int error, const struct conn_limit *limit);
    void *user;
};

struct proxy_stats {
    uint32_t active;      /* clients now */
    uint64_t connections; /* clients that got a stream */
    uint64_t failed;      /* clients that got none */
    uint64_t rx_bytes;    /* from the network */
    uint64_t tx_bytes;
};

/* "localhost": 127.0.0.1 and ::1. */
void proxy_listen_localhost(uint16_t port, struct net_addr ret_addrs[2]);

/* The first address must be free; a later one that is not is left out with a warning (a host
 * without IPv6 has no ::1).
 *   -EINVAL  the service's name is too long, or there are too many addresses
 *   -EADDRINUSE, -EACCES and others of listening; -ENOMEM */
NODISCARD int proxy_open(const struct proxy_config *cfg, struct problem *ret_problem,
                         struct proxy **ret_proxy);
/* Resets all clients and calls back when they and the listeners are gone. */
void proxy_close(struct proxy *p, void (*closed)(void *user), void *user);
/* Accepts NULL, returns NULL. */
struct proxy *proxy_free(struct proxy *p);

/* The first address as bound. */
const struct net_addr *proxy_addr(const struct proxy *p);
const char *proxy_service(const struct proxy *p);
const struct peer_id *proxy_peer(const struct proxy *p);
void proxy_stats(const struct proxy *p, struct proxy_stats *ret_stats);
