/* SPDX-License-Identifier: MIT */
#include "cli/relay_address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/net_addr.h"
#include "core/base/problem.h"

static void format_ip(const struct net_addr *ip, uint16_t port, struct relay_address *ret_address) {
    struct net_addr with_port = *ip;
    struct multiaddr addr;
    with_port.port = port;
    multiaddr_from_net_addr(&with_port, MULTIADDR_KIND_TCP, &addr);
    *ret_address = (struct relay_address){.has_peer = false};
    (void)multiaddr_format(&addr, ret_address->text);
}

static int parse_full(const char *text, struct relay_address *ret_address,
                      struct problem *ret_problem) {
    struct multiaddr addr, transport;
    struct peer_id id;
    if (multiaddr_parse(text, &addr) < 0)
        return problem_set(ret_problem, -EINVAL, "invalid multiaddr: %s", text);
    *ret_address = (struct relay_address){.has_peer = false};
    (void)multiaddr_format(&addr, ret_address->text);
    ret_address->has_peer = multiaddr_split_peer(&addr, &transport, &id) == 0;
    return 0;
}

static bool parse_port(const char *text, uint16_t *ret_port) {
    char *end;
    unsigned long port = strtoul(text, &end, 10);
    if (strspn(text, "0123456789") != strlen(text) || *text == '\0' || *end != '\0' || port == 0 ||
        port > UINT16_MAX)
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

/* "[IPv6]", "[IPv6]:PORT" or "IPv4:PORT": the host without brackets, and the port's text or NULL.
 * False for any other form. */
static bool split(const char *text, char *host, size_t host_size, const char **ret_port) {
    const char *colon = strrchr(text, ':');
    const char *start = text, *end = colon;

    *ret_port = colon == NULL ? NULL : colon + 1;
    if (text[0] == '[') {
        start = text + 1;
        end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return false;
        *ret_port = end[1] == ':' ? end + 2 : NULL;
    } else if (colon == NULL || strchr(text, ':') != colon) {
        return false;
    }
    if ((size_t)(end - start) >= host_size)
        return false;
    (void)snprintf(host, host_size, "%.*s", (int)(end - start), start);
    return true;
}

int relay_address_parse(const char *text, struct relay_address *ret_address,
                        struct problem *ret_problem) {
    struct net_addr ip;
    char host[NET_ADDR_TEXT_MAX];
    const char *port_text;
    uint16_t port = RELAY_PORT_DEFAULT;

    if (*text == '/')
        return parse_full(text, ret_address, ret_problem);
    if (net_addr_parse_ip(text, &ip) == 0) {
        format_ip(&ip, port, ret_address);
        return 0;
    }
    if (!split(text, host, sizeof(host), &port_text))
        return problem_set(ret_problem, -EINVAL,
                           "invalid relay address: expected IP:PORT, IP address, or full multiaddr "
                           "starting with /");
    if (net_addr_parse_ip(host, &ip) < 0)
        return problem_set(ret_problem, -EINVAL,
                           "invalid relay address: invalid IP address: %s (hostnames not accepted)",
                           host);
    if (port_text != NULL && !parse_port(port_text, &port))
        return problem_set(ret_problem, -EINVAL, "invalid relay address: invalid port: %s",
                           port_text);
    format_ip(&ip, port, ret_address);
    return 0;
}

int relay_address_add_peer(struct relay_address *address, const char *peer_id,
                           struct problem *ret_problem) {
    struct multiaddr addr;
    struct peer_id id;
    if (peer_id_parse(peer_id, &id) < 0)
        return problem_set(ret_problem, -EINVAL, "invalid Peer ID: failed to parse peer ID: %s",
                           peer_id);
    if (multiaddr_parse(address->text, &addr) < 0 || multiaddr_add_peer(&addr, &id) < 0)
        return problem_set(ret_problem, -EINVAL, "invalid multiaddr: %s", address->text);
    (void)multiaddr_format(&addr, address->text);
    address->has_peer = true;
    return 0;
}
