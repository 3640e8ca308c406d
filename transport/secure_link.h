/* SPDX-License-Identifier: MIT */
#pragma once

/* A link inside a link: plaintext above, the records of a secure channel below.
 *
 * While the handshake runs it has no room for writing and nothing to read.  A handshake that fails
 * is told as any failure of a link, and secure_link_engine() says more; alerts are sent before.
 * How long it may take is the owner's business: it closes.
 *
 *   writing   slices are sealed straight into records in slabs of the lower link's quota; small
 *             ones (frame headers) share a record.  Nothing is kept back to fill records.
 *   reading   records are opened in the slab that they were received into; one that straddles two
 *             slabs is put together first.  Credit goes down as the plaintext's slices come back.
 *
 * Events and life: transport/link.h. */

#include "transport/link.h"
#include "transport/proto/secure.h"

struct reactor;

/* Takes over the lower link and the engine, and the bytes in `rest` that were read from the link
 * and not credited (a handshake message that came with the protocol's name).  `rest` is left empty.
 * `secured` comes once, when the engine's state is SECURE_OPEN; never inside this call.
 * -ENOMEM: all is still the caller's */
NODISCARD int secure_link_new(struct reactor *r, struct link *lower, struct secure *engine,
                              struct slice_queue *rest, void (*secured)(struct link *l),
                              struct link **ret_link);

/* Until closed(). */
const struct secure *secure_link_engine(const struct link *l);
