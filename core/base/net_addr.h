/* SPDX-License-Identifier: MIT */
#pragma once

/* An IP address with port, as a value; no sockets here.  Text forms: "1.2.3.4:80", "[::1]:80",
 * "[fe80::1%3]:80" with the number of a scope, never its name. */

#include "core/base/base.h"

enum net_family { NET_NONE = 0, NET_IP4 = 4, NET_IP6 = 6 };

struct net_addr {
    uint8_t ip[16];        /* IPv4 uses the first four bytes, the rest is zero */
    uint32_t scope_id;     /* interface index of a link-local IPv6 address, else 0 */
    uint16_t port;         /* host order */
    uint8_t family;        /* enum net_family */
    uint8_t reserved_zero; /* so that equal addresses are equal bytes */
};

enum { NET_ADDR_TEXT_MAX = 64 };

/* Parses "ip:port" or "[ip6]:port".  -EINVAL for anything else, host names too. */
NODISCARD int net_addr_parse(const char *text, struct net_addr *ret_addr);

/* Parses an address without port. */
NODISCARD int net_addr_parse_ip(const char *text, struct net_addr *ret_addr);

/* Writes the text form and returns `out`, which must have NET_ADDR_TEXT_MAX bytes. */
const char *net_addr_format(const struct net_addr *a, char *out);

/* The address alone, without port, brackets and scope; as Go prints it (RFC 5952). */
const char *net_addr_format_ip(const struct net_addr *a, char *out);

bool net_addr_equal(const struct net_addr *a, const struct net_addr *b);
bool net_addr_ip_equal(const struct net_addr *a, const struct net_addr *b);
bool net_addr_is_unspecified(const struct net_addr *a);
bool net_addr_is_loopback(const struct net_addr *a);
bool net_addr_is_link_local(const struct net_addr *a);
/* As go's manet has it; see libp2p peer-ids-and-keys, "Public or private". */
bool net_addr_is_private(const struct net_addr *a);
bool net_addr_is_public(const struct net_addr *a);
