/* SPDX-License-Identifier: MIT */
#pragma once

/* Messages to a gateway that maps ports: PCP's MAP, and its forerunner NAT-PMP.  Both speak on the
 * gateway's UDP port 5351 and are told apart by their first byte, the version.
 *
 * Spec:    RFC 6887 (PCP), RFC 6886 (NAT-PMP).
 * Thread:  any.
 */

#include "core/base/bytes.h"
#include "core/base/net_addr.h"

enum {
    PCP_PORT = 5351,
    PCP_VERSION = 2,
    PCP_NONCE_BYTES = 12,
    PCP_REQUEST_BYTES = 60,
    PCP_MESSAGE_MAX = 1100, /* with options, which we ignore */

    NATPMP_VERSION = 0,
    NATPMP_ADDRESS_REQUEST_BYTES = 2,
    NATPMP_MAP_REQUEST_BYTES = 12,
};

/* --- PCP ------------------------------------------------------------------------------------- */

enum pcp_result {
    PCP_SUCCESS = 0,
    PCP_UNSUPP_VERSION = 1,
    PCP_NOT_AUTHORIZED = 2,
    PCP_NO_RESOURCES = 8,
    PCP_ADDRESS_MISMATCH = 12,
};

struct pcp_map_request {
    struct net_addr client; /* ours, as the gateway should see it; the port does not matter */
    uint8_t nonce[PCP_NONCE_BYTES];
    bool is_tcp;
    uint16_t internal_port;
    struct net_addr external; /* wished; NET_NONE: any */
    uint32_t lifetime_s;      /* 0 removes the mapping */
};

struct pcp_map_response {
    uint8_t version;
    uint8_t result; /* enum pcp_result, or another one.  Of a version that is not ours the fields
                     * below are zero. */
    uint32_t lifetime_s; /* of the mapping, or of the error */
    uint32_t epoch_s;    /* since the gateway's state was lost */
    uint8_t nonce[PCP_NONCE_BYTES];
    bool is_tcp;
    uint16_t internal_port;
    struct net_addr external;
};

void pcp_encode_map(const struct pcp_map_request *request, uint8_t ret_out[PCP_REQUEST_BYTES]);

/*   -ERR_UNSUPPORTED  not an answer to MAP for UDP or TCP, or NAT-PMP's
 *   -ERR_TRUNCATED
 *   -ERR_MALFORMED    too long, or not of four-byte words */
NODISCARD int pcp_decode_map(struct bytes datagram, struct pcp_map_response *ret_response);

/* --- NAT-PMP --------------------------------------------------------------------------------- */

enum natpmp_op { NATPMP_ADDRESS = 0, NATPMP_MAP_UDP = 1, NATPMP_MAP_TCP = 2 };

struct natpmp_response {
    enum natpmp_op op;
    uint16_t result; /* 0: success; of an error the fields below but the epoch may be zero */
    uint32_t epoch_s;
    struct net_addr external; /* ADDRESS: without port */
    uint16_t internal_port;   /* MAP_... */
    uint16_t external_port;
    uint32_t lifetime_s;
};

void natpmp_encode_address(uint8_t ret_out[NATPMP_ADDRESS_REQUEST_BYTES]);

/* lifetime_s 0 removes the mapping. */
void natpmp_encode_map(bool is_tcp, uint16_t internal_port, uint16_t external_port,
                       uint32_t lifetime_s, uint8_t ret_out[NATPMP_MAP_REQUEST_BYTES]);

/*   -ERR_UNSUPPORTED  not an answer of NAT-PMP's to one of the three
 *   -ERR_TRUNCATED, -ERR_MALFORMED (bytes left over) */
NODISCARD int natpmp_decode(struct bytes datagram, struct natpmp_response *ret_response);
