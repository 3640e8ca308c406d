/* SPDX-License-Identifier: MIT */
#pragma once

/* What lies between TCP and the upgrader for a dialled /ws or /wss address:
 *
 *   /ws    TCP -> WebSocket
 *   /wss   TCP -> TLS of a web server -> WebSocket; also as /tls/ws and /tls/sni/NAME/ws
 *
 * Nothing of this proves who the peer is: the upgrader does, inside.
 * Thread: the reactor's. */

#include <stdbool.h>

struct link;
struct multiaddr;
struct reactor;
struct tls_context;

/* Whether it is an address of these forms which a socket can be connected to; for /wss it must also
 * tell for which name the server is to prove itself: /sni/NAME, which a resolver leaves in the
 * place of the host's name. */
bool ws_dial_can(const struct multiaddr *to);

/* `link` is one over TCP, that still connects; it is replaced by the one to be used, also when this
 * fails: *link is then what is to be closed.
 *   -ENOMEM, -ERR_CRYPTO
 *   -EINVAL  the name has characters that no host has
 *   -ENOENT  the system has no roots to trust */
int ws_dial_over(struct reactor *r, struct tls_context *tls, const struct multiaddr *to,
                 struct link **link);
