/* SPDX-License-Identifier: MIT */
#pragma once

/* A WebSocket as a link: binary messages below, whose boundaries mean nothing, bytes above.
 *
 * Spec:   RFC 6455; connection-lifecycle.md, "From socket to usable connection".  Listening is
 *         plain (a reverse proxy adds TLS, decision 14).  For /wss the lower link is one secured
 *         for a host name (tls_web_new()).
 * While the upgrade runs the link has no room and nothing to read; a refusal is told as any failure
 * of a link.  Pings of the peer are answered, at most one answer waiting.
 * Events and life: transport/link.h. */

#include "transport/link.h"

struct reactor;

/* Takes over the lower link and asks for an upgrade of "/" at `host` ("name:port", copied).
 * -ENOMEM, -EINVAL (no host name): the link is still the caller's */
NODISCARD int ws_link_dial(struct reactor *r, struct link *lower, const char *host,
                           struct link **ret_link);

/* Takes over the lower link and awaits a request.  `rest` as in secure_link_new(). */
NODISCARD int ws_link_accept(struct reactor *r, struct link *lower, struct slice_queue *rest,
                             struct link **ret_link);
