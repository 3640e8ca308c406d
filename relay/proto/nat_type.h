/* SPDX-License-Identifier: MIT */
#pragma once

/* What kind of NAT is in front of a socket, in the words of users.
 *
 * Evidence is how the NAT maps: which external address other hosts see of one socket.  What it lets
 * in is not tested, since hole punching works with any filter.  So of the five words
 *
 *   none                the external address is the socket's own
 *   full-cone           as below, and a stranger's dial of the external address came in
 *   address-restricted  every host sees the same external address; who may answer is not known
 *   port-restricted     never found: it is the above with a filter that is not tested
 *   symmetric           hosts, or ports of one host, see different external addresses
 *   unknown             less than two hosts or ports were heard
 *
 * Thread: any.
 */

#include "core/base/base.h"

enum nat_type {
    NAT_UNKNOWN,
    NAT_NONE,
    NAT_FULL_CONE,
    NAT_ADDRESS_RESTRICTED,
    NAT_PORT_RESTRICTED,
    NAT_SYMMETRIC,
};

/* "unknown", "none", "full-cone", "address-restricted", "port-restricted", "symmetric". */
const char *nat_type_name(enum nat_type type);

/* The type once a stranger's dial of the external address came in (AutoNAT v2). */
static inline enum nat_type nat_type_reached(enum nat_type type) {
    return type == NAT_ADDRESS_RESTRICTED ? NAT_FULL_CONE : type;
}
