/* SPDX-License-Identifier: MIT */
#pragma once

/* A WebSocket as a link: binary messages below, whose boundaries mean nothing, bytes above.
 *
 * Spec:   RFC 6455; connection-lifecycle.md, "From socket to usable connection".  Listening is
 *         plain (a reverse proxy adds TLS, decision 14).  For /wss the lower link is one secured
 *         for a host name (tls_web_new()).
 * While the upgrade runs the link has no room and nothing to read; a refusal, of either side, is
 * told as -ERR_HANDSHAKE, and the peer has been told by HTTP.
 *
 *   writing   each slice is a frame; a client's are masked, and so copied
 *   reading   payload is handed over as it arrives, whatever the length of frames.  wslay has it in
 *             memory of its own, so that it is copied to slabs of ours.
 *   ending    link_shutdown_write() says Close, and the peer's Close is -ENODATA here.  Ours is not
 *             said before, so that between two of ours each direction ends by itself; others read
 *             nothing more once they said it.  An end without a Close is taken as one between
 *             frames, and is -ERR_TRUNCATED inside a frame.
 *
 * Pings of the peer are answered, at most one answer waiting.  What breaks RFC 6455 is answered by
 * a Close with 1002, and told as -ERR_PROTOCOL_VIOLATION.
 *
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
