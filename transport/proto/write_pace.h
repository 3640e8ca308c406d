/* SPDX-License-Identifier: MIT */
#pragma once

/* How much to hand on at once, so that what is said later does not wait long behind it: as much as
 * left lately within WRITE_PACE_TARGET.  Where streams share a connection, what has been handed on
 * is behind the last point at which one can overtake another, and a path of 50 Mbit/s takes a
 * sixth of a second for a megabyte.  Where the path is quick it costs nothing.  Engine: no I/O, no
 * clock.
 *
 * The size follows a write that took longer down at once, and doubles with each that was as large
 * as it might be and took less than half the time.
 *
 * Thread: one at a time. */

#include "core/base/base.h"
#include "core/base/time.h"

enum {
    WRITE_PACE_BYTES_MIN = 16 << 10, /* a record */
    WRITE_PACE_BYTES_MAX = 1 << 20,  /* the largest write of a TCP link */
};

#define WRITE_PACE_TARGET MSEC(5)

struct write_pace {
    size_t bytes; /* to hand on at once */
};

#define WRITE_PACE_INIT ((struct write_pace){.bytes = WRITE_PACE_BYTES_MAX})

/* A write of so many bytes has left after so long. */
void write_pace_note(struct write_pace *p, size_t bytes, nsec_t took);
