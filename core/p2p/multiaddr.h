/* SPDX-License-Identifier: MIT */
#pragma once

/* Multiaddrs as values in binary form; text only at the edges.
 *
 *   struct multiaddr_part part;
 *   for (struct bytes left = multiaddr_bytes(&a); multiaddr_next(&left, &part);)
 *       if (part.code == MULTIADDR_P2P) ...
 *
 * Spec:   libp2p peer-ids-and-keys, section 3.  A value is always well-formed: whoever fills one by
 *         hand instead of with these functions breaks that.  Syntax only: "/tcp/1" alone is fine.
 * Limits: MULTIADDR_BYTES_MAX and MULTIADDR_PARTS_MAX are ours; the longest form in use (relayed
 *         WebTransport with two certificate hashes) has 10 parts and 200 bytes.
 * Lists:  an undecodable address in a peer's list is skipped, never an error of the message.
 * Thread: any.
 */

#include "core/base/bytes.h"
#include "core/p2p/peer_id.h"

struct net_addr;

enum {
    MULTIADDR_BYTES_MAX = 512,
    MULTIADDR_PARTS_MAX = 20,
    /* A name has at most 18 characters and two slashes; a value prints to at most thrice its
     * size (http-path, all escaped). */
    MULTIADDR_TEXT_MAX = MULTIADDR_PARTS_MAX * 20 + 3 * MULTIADDR_BYTES_MAX + 1,
};

/* Codes that code outside this module asks for; the table in multiaddr.c has the others. */
enum multiaddr_code {
    MULTIADDR_IP4 = 4,
    MULTIADDR_TCP = 6,
    MULTIADDR_IP6 = 41,
    MULTIADDR_IP6ZONE = 42,
    MULTIADDR_DNS = 53,
    MULTIADDR_DNS4 = 54,
    MULTIADDR_DNS6 = 55,
    MULTIADDR_DNSADDR = 56,
    MULTIADDR_UDP = 273,
    MULTIADDR_WEBRTC_DIRECT = 280,
    MULTIADDR_P2P_CIRCUIT = 290,
    MULTIADDR_P2P = 421,
    MULTIADDR_TLS = 448,
    MULTIADDR_SNI = 449,
    MULTIADDR_QUIC_V1 = 461,
    MULTIADDR_WEBTRANSPORT = 465,
    MULTIADDR_CERTHASH = 466,
    MULTIADDR_WS = 477,
    MULTIADDR_WSS = 478,
};

struct multiaddr {
    uint16_t len;
    uint8_t bytes[MULTIADDR_BYTES_MAX];
};

struct multiaddr_part {
    uint32_t code;
    struct bytes value; /* without its length; borrowed from the address */
};

/* What an address is dialled or listened with; a trailing /p2p/ID does not matter. */
enum multiaddr_kind {
    MULTIADDR_KIND_OTHER,   /* well-formed, of no use to us */
    MULTIADDR_KIND_TCP,     /* host/tcp/N */
    MULTIADDR_KIND_WS,      /* host/tcp/N/ws */
    MULTIADDR_KIND_WSS,     /* host/tcp/N/tls/ws, .../tls/sni/H/ws, .../wss */
    MULTIADDR_KIND_QUIC,    /* host/udp/N/quic-v1 */
    MULTIADDR_KIND_UDP,     /* host/udp/N */
    MULTIADDR_KIND_CIRCUIT, /* has /p2p-circuit anywhere */
    MULTIADDR_KIND_DNSADDR, /* /dnsaddr/D */
};

/* Where the first IP address or name lies (go's manet). */
enum multiaddr_class { MULTIADDR_NEITHER, MULTIADDR_PUBLIC, MULTIADDR_PRIVATE };

/* Errors of both: -ERR_BAD_MULTIADDR, and -ERR_LIMIT beyond the limits above. */
NODISCARD int multiaddr_parse(const char *text, struct multiaddr *ret_addr);
NODISCARD int multiaddr_decode(struct bytes in, struct multiaddr *ret_addr);

/* The canonical text into `out` of MULTIADDR_TEXT_MAX bytes; returns out. */
const char *multiaddr_format(const struct multiaddr *a, char *out);

static inline struct bytes multiaddr_bytes(const struct multiaddr *a) {
    return bytes_of(a->bytes, a->len);
}

static inline bool multiaddr_equal(const struct multiaddr *a, const struct multiaddr *b) {
    return bytes_equal(multiaddr_bytes(a), multiaddr_bytes(b));
}

bool multiaddr_is_in(const struct multiaddr *a, const struct multiaddr *list, size_t count);

/* Takes the next part off `left`, which began as multiaddr_bytes() of a well-formed address.
 * false at the end. */
bool multiaddr_next(struct bytes *left, struct multiaddr_part *ret_part);

/* Whether a part with this code is there. */
bool multiaddr_has(const struct multiaddr *a, enum multiaddr_code code);

enum multiaddr_kind multiaddr_kind(const struct multiaddr *a);
enum multiaddr_class multiaddr_class(const struct multiaddr *a);

/* Whether /p2p-circuit is in it: "relayed" of decision 2. */
static inline bool multiaddr_is_relayed(const struct multiaddr *a) {
    return multiaddr_has(a, MULTIADDR_P2P_CIRCUIT);
}

/* "/ip4/A/udp/N/quic-v1", "/ip4/A/tcp/N", "/ip4/A/tcp/N/ws", "/ip4/A/udp/N" for KIND_QUIC, _TCP,
 * _WS, _UDP (asserted).  A scope ID becomes a leading /ip6zone with its number.  The address must
 * have a family. */
void multiaddr_from_net_addr(const struct net_addr *in, enum multiaddr_kind kind,
                             struct multiaddr *ret_addr);

/* IP address and port with which the address begins; the rest does not matter.
 *   -ERR_UNSUPPORTED  it begins otherwise (a name, a relay), or has a zone that is no number: names
 *                     of interfaces are the caller's to resolve */
NODISCARD int multiaddr_to_net_addr(const struct multiaddr *a, struct net_addr *ret_addr);

/* Host name and port with which the address begins: /dns, /dns4 or /dns6 and tcp or udp.  The name
 * is borrowed from `a` and not terminated.  -ERR_UNSUPPORTED otherwise. */
NODISCARD int multiaddr_to_host(const struct multiaddr *a, struct multiaddr_part *ret_name,
                                uint16_t *ret_port);

/* Splits "<transport>/p2p/ID": the address without its last part, and the ID.
 *   -ENOENT               it does not end in /p2p
 *   -ERR_BAD_PEER_ID      a multihash that is no peer's (see peer_id.h)
 * For "/p2p/ID" alone, ret_transport is empty (len 0). */
NODISCARD int multiaddr_split_peer(const struct multiaddr *a, struct multiaddr *ret_transport,
                                   struct peer_id *ret_id);

/* Appends /p2p/ID, or a part without value.  -ERR_LIMIT leaves the address as it was. */
NODISCARD int multiaddr_add_peer(struct multiaddr *a, const struct peer_id *id);
NODISCARD int multiaddr_add(struct multiaddr *a, enum multiaddr_code code);
