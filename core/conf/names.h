/* SPDX-License-Identifier: MIT */
#pragma once

/* What a user calls a peer: a name of the config, a peer ID, or an address that ends in
 * /p2p/<peer id>.  Spec: config.md, section 7; decision 3. */

#include "core/base/arena.h"
#include "core/p2p/multiaddr.h"
#include "core/p2p/peer_id.h"

struct config;
struct problem;

enum target_source { TARGET_NAME, TARGET_PEER_ID, TARGET_ADDRESS };

struct target {
    struct peer_id id;
    enum target_source source;
    const struct multiaddr *addrs; /* where the peer may be, without /p2p/ID; may be none */
    uint32_t addrs_count;
};

/* Looks the text up: names first (exact, case-sensitive), then as an address or a peer ID.  `c`
 * may be NULL.  The addresses live in the arena or in the config.
 *   -ERR_NAME_NOT_FOUND  "name not found: <text>"
 *   -ERR_BAD_PEER_ID     "invalid peer ID for name <name>: ..."
 *   -ERR_BAD_MULTIADDR   it begins with "/" and is no address that ends in /p2p
 *   -ENOMEM                                                                              */
NODISCARD int target_resolve(const struct config *c, struct arena *a, const char *text,
                             struct target *ret_target, struct problem *ret_problem);

enum { NAME_BYTES_MAX = 64 };

/* What remains of a name that a peer sent: [A-Za-z0-9._-], at most 64 of them, into `out` of
 * NAME_BYTES_MAX + 1 bytes.  An empty result means: no name. */
void name_sanitize(struct bytes from_peer, char *out);
