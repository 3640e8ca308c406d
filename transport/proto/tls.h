/* SPDX-License-Identifier: MIT */
#pragma once

/* TLS 1.3 with libp2p's certificate on a link: the secure channel "/tls/1.0.0".
 *
 * Spec:   RFC 8446; libp2p tls.md.  Both sides show one certificate, no names, no tickets, no early
 *         data; ALPN "/yamux/1.0.0", then "libp2p".
 * Memory: wolfSSL's own while the handshake runs, about 15 KiB and with the peer's longest messages
 *         some 20 KiB more; from cfg.mem all else, under 4 KiB of an open channel. */

#include "core/base/time.h"
#include "transport/proto/secure.h"
#include "transport/proto/tls_context.h"

struct mem;

struct tls_config {
    struct mem *mem;
    struct tls_context *context;    /* outlives the channel */
    const struct peer_id *expected; /* who must answer; NULL: anybody.  Copied */
    walltime_t now;                 /* for the validity of certificates */
    bool initiator;
    uint64_t records_per_key_max; /* sealed before a key is changed; 0: what the ciphers bear */
};

/* -ENOMEM, -ERR_CRYPTO */
NODISCARD int tls_new(const struct tls_config *cfg, struct secure **ret_secure);

/* The same for a web server, as /wss needs it: an ordinary TLS 1.3 client that trusts the system's
 * roots (or tls_context_trust()) and wants a certificate for `host`, a name; ALPN "http/1.1".
 * Nobody's peer ID is proved: `expected` and `now` are not used, `peer` stays empty, `muxer` NULL.
 * -ENOMEM, -ERR_CRYPTO, -ENOENT (no roots), -ERR_UNSUPPORTED (an address) */
NODISCARD int tls_web_new(const struct tls_config *cfg, const char *host,
                          struct secure **ret_secure);
