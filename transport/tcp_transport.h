/* SPDX-License-Identifier: MIT */
#pragma once

/* The transport of /ip4|ip6/A/tcp/N, and of the same with /ws, and of dialling /tls/ws and /wss:
 * TCP, the upgrader (transport/upgrade.h), yamux.
 *
 * Peers are dialled from the listening port of the family where there is one (SO_REUSEPORT), so
 * that a NAT shows one mapping; when that address pair is taken, from another port.
 * Upgrades that are not done: at most TCP_HALF_OPEN_MAX inbound, of which one IPv4 address or IPv6
 * /64 has TCP_HALF_OPEN_PER_IP_MAX (loopback is not counted); beyond the former the oldest goes.
 * Kernel keep-alive 30 s; TCP_NODELAY.
 * Thread: the reactor's. */

#include "transport/transport.h"

struct identity;
struct reactor;
struct tcp_preface;
struct tls_cert;

enum {
    TCP_HALF_OPEN_MAX = 1024,
    TCP_HALF_OPEN_PER_IP_MAX = 64,
    TCP_CONNS_MAX = 16384,
};

struct tcp_transport_config {
    struct reactor *reactor;
    const struct identity *identity; /* outlives the transport */
    const struct tls_cert *cert;     /* copied */
    unsigned securities;             /* UPGRADE_... bits (transport/upgrade.h) */
};

/* -ENOMEM, -ERR_CRYPTO */
NODISCARD int tcp_transport_new(const struct tcp_transport_config *cfg,
                                const struct transport_events *events, void *user,
                                struct transport **ret_transport);

/* Connections to listeners of plain TCP that begin so go to whoever it is that knows them
 * (transport/tcp_leg.h), from the next one on; NULL: there are none.  `t` is a transport of this
 * file. */
void tcp_transport_set_preface(struct transport *t, struct tcp_preface *p);
