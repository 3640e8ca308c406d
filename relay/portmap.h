/* SPDX-License-Identifier: MIT */
#pragma once

/* Has the gateway of a home network pass on what comes to our listening ports: so a node behind a
 * NAT has an address that strangers can dial.  By PCP or NAT-PMP (relay/proto/pcp.h); where the
 * gateway is silent about them, or refuses, by UPnP (relay/portmap_upnp.h).
 *
 *   portmap_new()               asks the gateway of the default route, over IPv4
 *   portmap_network_changed()   another gateway, or the same one again
 *   portmap_close()             has it forget the mappings, and ends in closed()
 *
 * Where our own address is a public one nothing is mapped.  What the gateway says is believed as
 * far as it is a public address: it is on the way of every packet anyway.  What others say is not
 * looked at.
 *
 * A port that both ways have mapped, since an answer by PCP came late, is PCP's: UPnP renews its
 * own no more, and removes it only where the number outside is another one.  Under the same number
 * it may be one rule of the gateway's, which is there as long as PCP's is.
 *
 * Bounds:  PORTMAP_PORTS_MAX ports, one packet and one HTTP exchange in flight, and the engines'
 *          retries; a silent gateway is asked again after ten minutes.
 * Spec:    RFC 6886, RFC 6887; relay/proto/upnp_msg.h.
 * Thread:  the reactor's. */

#include "core/p2p/multiaddr.h"
#include "relay/proto/pcp.h"

struct log;
struct netwatch;
struct portmap;
struct reactor;

enum { PORTMAP_PORTS_MAX = PCP_MAPPINGS_MAX };

struct portmap_config {
    struct reactor *reactor;
    struct netwatch *netwatch;      /* outlives this */
    struct log *log;                /* may be NULL */
    const struct multiaddr *listen; /* as bound, copied: QUIC, TCP and WebSocket count */
    size_t listen_count;            /* those beyond PORTMAP_PORTS_MAX are left out */
    uint16_t gateway_port;          /* 0: PCP_PORT */
    /* portmap_addrs() gives others than before; at the end of a turn.  May be NULL. */
    void (*changed)(void *user);
    void *user;
};

/* Nothing is told before it returns.  -ENOMEM */
NODISCARD int portmap_new(const struct portmap_config *cfg, struct portmap **ret_portmap);

/* The network watch has other news, or the machine has slept. */
void portmap_network_changed(struct portmap *p);

/* Where our ports are reached from outside now, in the order of `listen`.  Returns how many are
 * written. */
size_t portmap_addrs(const struct portmap *p, struct multiaddr ret_addrs[PORTMAP_PORTS_MAX]);

/* Asks once for the removal of each mapping, waits for answers as long as PORTMAP_UPNP_CLOSE_MAX at
 * most, and calls back once, when all sockets are closed; never from inside this call.  Nothing
 * else is told any more. */
void portmap_close(struct portmap *p, void (*closed)(void *user), void *user);

/* After closed().  Accepts NULL, returns NULL. */
struct portmap *portmap_free(struct portmap *p);
