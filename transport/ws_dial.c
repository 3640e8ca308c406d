/* SPDX-License-Identifier: MIT */
#include "transport/ws_dial.h"

#include <stdio.h>

#include "core/base/net_addr.h"
#include "core/p2p/multiaddr.h"
#include "transport/proto/tls.h"
#include "transport/proto/websocket.h"
#include "transport/secure_link.h"
#include "transport/ws_link.h"
#include "uring/reactor.h"

enum { NAME_MAX_LEN = 255, NAME_SIZE = NAME_MAX_LEN + 1 };

_Static_assert(NAME_MAX_LEN + sizeof(":65535") - 1 <= WEBSOCKET_HOST_MAX, "with its port");

/* The name that the server is to prove, terminated; false: the address has none, or one that is too
 * long to be a host's. */
static bool server_name(const struct multiaddr *a, char out[NAME_SIZE]) {
    struct multiaddr_part part;
    for (struct bytes left = multiaddr_bytes(a); multiaddr_next(&left, &part);) {
        if (part.code != MULTIADDR_SNI)
            continue;
        if (part.value.len > NAME_MAX_LEN)
            return false;
        memcpy(out, part.value.data, part.value.len);
        out[part.value.len] = '\0';
        return true;
    }
    return false;
}

bool ws_dial_can(const struct multiaddr *to) {
    char name[NAME_SIZE];
    struct net_addr addr;
    if (multiaddr_to_net_addr(to, &addr) < 0)
        return false;
    enum multiaddr_kind kind = multiaddr_kind(to);
    return kind == MULTIADDR_KIND_WS || (kind == MULTIADDR_KIND_WSS && server_name(to, name));
}

/* The upgrader waits for the WebSocket, which waits for this. */
static void on_secured(struct link *l) {
    (void)l;
}

static int secure_over(struct reactor *r, struct tls_context *tls, const char *name,
                       struct link **link) {
    struct secure *engine;
    struct slice_queue nothing;
    struct tls_config cfg = {
        .mem = reactor_mem(r),
        .context = tls,
        .now = reactor_walltime(r),
        .initiator = true,
    };
    int e = tls_web_new(&cfg, name, &engine);
    if (e < 0)
        return e;
    slice_queue_init(&nothing, reactor_mem(r));
    e = secure_link_new(r, *link, engine, &nothing, on_secured, link);
    if (e < 0)
        (void)secure_free(engine);
    return e;
}

int ws_dial_over(struct reactor *r, struct tls_context *tls, const struct multiaddr *to,
                 struct link **link) {
    char name[NAME_SIZE];
    char host[WEBSOCKET_HOST_MAX + 1];
    struct net_addr addr;
    assert(ws_dial_can(to));
    int e = multiaddr_to_net_addr(to, &addr);
    if (e < 0)
        return e;
    if (server_name(to, name))
        (void)snprintf(host, sizeof(host), "%s:%u", name, addr.port);
    else
        (void)net_addr_format(&addr, host);
    if (multiaddr_kind(to) == MULTIADDR_KIND_WSS)
        e = secure_over(r, tls, name, link);
    return e < 0 ? e : ws_link_dial(r, *link, host, link);
}
