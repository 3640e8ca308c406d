/* SPDX-License-Identifier: MIT */
#pragma once

/* Who is connected to a host, over however many connections. */

#include "core/base/base.h"

struct host;
struct mem;
struct peer_id;

struct connected_peers {
    struct mem *mem;
    struct peer_id *ids; /* each once, sorted */
    size_t count;
};

/* -ENOMEM */
NODISCARD int connected_peers_find(struct host *h, struct mem *mem,
                                   struct connected_peers *ret_peers);
void connected_peers_done(struct connected_peers *p);

/* Which of them a peer is; it must be one (asserted). */
size_t connected_peers_index(const struct connected_peers *p, const struct peer_id *id);
