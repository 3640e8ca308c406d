/* SPDX-License-Identifier: MIT */
#pragma once

/* A stream as a link, as circuits need it: another secured connection runs inside.  The stream's
 * windows bound what is buffered; a reset of either direction by the peer resets the link, and
 * codes are not told.
 *
 * A relay that lets only so much through ends the stream without a word when that is met: with a
 * reset, or behind so many bytes with the end.  A stream that ends so when its `limit` was met is a
 * link that failed, with -ERR_RELAY_DATA_LIMIT or -ERR_RELAY_TIME_LIMIT. */

#include "transport/link.h"

struct conn_limit;
struct reactor;
struct stream;

/* Takes over the stream, and `rest`: what was read of it already and is the link's, uncredited; may
 * be empty.  The limit's time begins here.  -ENOMEM: both are still the caller's. */
NODISCARD int stream_link_new(struct reactor *r, struct stream *s, struct slice *rest,
                              const struct conn_limit *limit, struct link **ret_link);
