/* SPDX-License-Identifier: MIT */
#pragma once

/* What a relay's limits have to do with the end of a link through it.  The relay ends the link
 * without a word: whether a limit was met must be counted here.
 *
 * Thread: one at a time. */

#include "core/base/time.h"
#include "transport/conn.h"

struct link_limit {
    struct conn_limit limit; /* zeros: none */
    nsec_t began_at;
    uint64_t in_bytes;
    uint64_t out_bytes; /* given to what is below */
};

/* -ERR_RELAY_DATA_LIMIT or -ERR_RELAY_TIME_LIMIT where that was met, else `error`.  What is below
 * has `unsent` bytes that have not left, and some of them may be older than the count. */
int link_limit_error(const struct link_limit *l, uint64_t unsent, nsec_t now, int error);
