/* SPDX-License-Identifier: MIT */
#include "relay/proto/nat_type.h"

const char *nat_type_name(enum nat_type type) {
    static const char *const names[] = {
        [NAT_UNKNOWN] = "unknown",
        [NAT_NONE] = "none",
        [NAT_FULL_CONE] = "full-cone",
        [NAT_ADDRESS_RESTRICTED] = "address-restricted",
        [NAT_PORT_RESTRICTED] = "port-restricted",
        [NAT_SYMMETRIC] = "symmetric",
    };
    assert(type <= NAT_SYMMETRIC);
    return names[type];
}
