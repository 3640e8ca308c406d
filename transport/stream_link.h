/* SPDX-License-Identifier: MIT */
#pragma once

/* A stream as a link, as circuits need it: another secured connection runs inside.  The stream's
 * windows bound what is buffered; a reset of either direction by the peer resets the link, and
 * codes are not told. */

#include "transport/link.h"

struct reactor;
struct stream;

/* Takes over the stream, and `rest`: what was read of it already and is the link's, uncredited; may
 * be empty.  -ENOMEM: both are still the caller's. */
NODISCARD int stream_link_new(struct reactor *r, struct stream *s, struct slice *rest,
                              struct link **ret_link);
