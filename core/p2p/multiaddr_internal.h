/* SPDX-License-Identifier: MIT */
#pragma once

/* The table of multiaddr protocols, and the values of one part as text and bytes. */

#include "core/base/rd.h"
#include "core/base/wr.h"
#include "core/p2p/multiaddr.h"

enum value_type {
    VALUE_NONE,
    VALUE_IP4,
    VALUE_IP6,
    VALUE_NUMBER, /* big-endian of `size` bytes, printed in decimal */
    VALUE_NAME,   /* not empty, without '/' */
    VALUE_PATH,   /* takes the rest of the text, its '/' included */
    VALUE_PEER,   /* multihash of a key */
    VALUE_CERTHASH,
    VALUE_ONION,
    VALUE_GARLIC32,
    VALUE_GARLIC64,
    VALUE_HTTP_PATH,
};

enum { PROTOCOL_SIZE_VARIES = -1 };

struct protocol {
    const char *name;
    uint32_t code;
    int16_t size; /* of the value; PROTOCOL_SIZE_VARIES when its length stands before it */
    uint8_t type; /* enum value_type */
};

/* NULL for an unknown one.  "ipfs" is p2p. */
const struct protocol *protocol_find_code(uint64_t code);
const struct protocol *protocol_find_name(struct bytes name);

/* Whether a value from the wire is one.  Its size is right already when that is fixed. */
bool value_is_valid(const struct protocol *p, struct bytes value);

/* Writes the binary value of a text, without its length.  -ERR_BAD_MULTIADDR */
NODISCARD int value_parse(const struct protocol *p, struct bytes text, struct wr *w);

/* Writes the text of a valid value. */
void value_format(const struct protocol *p, struct bytes value, struct wr *w);
