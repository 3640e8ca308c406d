/* SPDX-License-Identifier: MIT */
#pragma once

/* Ports mapped by UPnP on one gateway: the sockets for relay/proto/upnp.h.  One HTTP exchange at a
 * time, each on a connection of its own, of at most five seconds and UPNP_ANSWER_BYTES_MAX, however
 * the gateway drips or pours; all that are left at the end within a second.
 *
 * Life:    portmap_upnp_new() .. portmap_upnp_close() .. closed(); then it is freed.
 * Thread:  the reactor's. */

#include "relay/proto/upnp.h"

struct portmap_upnp;
struct reactor;

#define PORTMAP_UPNP_EXCHANGE_MAX SEC(5)
#define PORTMAP_UPNP_CLOSE_MAX    SEC(1)

struct portmap_upnp_config {
    struct reactor *reactor;
    struct net_addr gateway; /* IPv4, both */
    struct net_addr client;  /* our address in the gateway's network */
    /* What upnp_next_event() gives, from the reactor. */
    void (*event)(void *user, const struct upnp_event *ev);
    void *user;
};

/* -ENOMEM, and errors of opening the socket that searches */
NODISCARD int portmap_upnp_new(const struct portmap_upnp_config *cfg,
                               struct portmap_upnp **ret_upnp);

/* As the engine's. */
size_t portmap_upnp_add(struct portmap_upnp *p, bool is_tcp, uint16_t internal_port);
void portmap_upnp_yield(struct portmap_upnp *p, size_t mapping, uint16_t external_port);
void portmap_upnp_resume(struct portmap_upnp *p, size_t mapping);
void portmap_upnp_ask_again(struct portmap_upnp *p);

/* `removes`: has the gateway forget the mappings, each by one exchange, as far as it answers within
 * PORTMAP_UPNP_CLOSE_MAX; else they run out.  Calls back when all sockets are closed, never from
 * inside this call. */
void portmap_upnp_close(struct portmap_upnp *p, bool removes, void (*closed)(void *user),
                        void *user);
