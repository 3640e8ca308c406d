/* SPDX-License-Identifier: MIT */
#pragma once

/* A relay as people write it: a full multiaddr, or an IP address with or without port.
 * Spec: cli.md, sections 2.1 and 8.1. */

#include "core/base/base.h"
#include "core/p2p/multiaddr.h"

struct problem;

enum { RELAY_PORT_DEFAULT = 7777 };

struct relay_address {
    char text[MULTIADDR_TEXT_MAX];
    bool has_peer; /* ends in /p2p/<peer id> */
};

/* Reads one of: /multiaddr, IPv4:PORT, IPv4, [IPv6]:PORT, [IPv6], IPv6.  The port is 7777 when it
 * is missing.  -EINVAL with the text that users know. */
NODISCARD int relay_address_parse(const char *text, struct relay_address *ret_address,
                                  struct problem *ret_problem);

/* Appends /p2p/<id>.  -EINVAL "invalid Peer ID: ..." */
NODISCARD int relay_address_add_peer(struct relay_address *address, const char *peer_id,
                                     struct problem *ret_problem);
