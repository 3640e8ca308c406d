/* SPDX-License-Identifier: MIT */
#pragma once

/* How long a spliced path that one of its peers has ended goes on without that peer's word: until
 * what was on its way has arrived.  Engine: no I/O, no clock.
 *
 *   splice_linger_begin()    the peer has ended it, by itself
 *   splice_linger_goes_on()  at splice_linger_deadline(): false, it has lingered long enough
 *
 * It is looked at every SPLICE_LINGER_STILL: when nothing has moved since the last look, there is
 * no reader any more.  A slow one that goes on reading is let read, but not for ever, for nobody
 * answers for the path meanwhile: SPLICE_LINGER_MAX in all.
 *
 * Spec:    docs/adr/0013-spliced-relay-path.md
 * Thread:  one at a time.
 */

#include "core/base/base.h"
#include "core/base/time.h"

#define SPLICE_LINGER_STILL SEC(10)  /* in which nothing moves */
#define SPLICE_LINGER_MAX   SEC(120) /* at 1 Mbit/s, twice what two sockets and a pipe hold */

/* Embedded by its owner; fields are the engine's. */
struct splice_linger {
    uint64_t moved; /* at the last look */
    nsec_t look_at;
    nsec_t ends_at;
};

/* `moved` counts what has arrived so far.  `ends_at` is another bound of the
 * path's; NSEC_NEVER: it has none. */
void splice_linger_begin(struct splice_linger *l, uint64_t moved, nsec_t ends_at, nsec_t now);
nsec_t splice_linger_deadline(const struct splice_linger *l);
/* Early calls are harmless. */
NODISCARD bool splice_linger_goes_on(struct splice_linger *l, uint64_t moved, nsec_t now);
