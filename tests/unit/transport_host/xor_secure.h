/* SPDX-License-Identifier: MIT */
#pragma once

/* A secure channel without any security, in the shape of transport/proto/secure.h: three handshake
 * messages of four bytes, records with a header of three, an end and an alert of their own.  So
 * what drives channels is tested by itself, with records of every size and failures at will. */

#include "transport/proto/secure.h"

struct mem;

enum {
    XOR_HEADER_BYTES = 3,
    XOR_TAG_BYTES = 4,
    XOR_PLAIN_MAX = SECURE_BODY_MAX - XOR_TAG_BYTES,
};

struct xor_options {
    bool initiator;
    bool refuses;       /* fails with -ERR_PEER_ID_MISMATCH and an alert, when it is to answer */
    uint32_t seals_max; /* then the keys are used up; 0: never */
    size_t plain_max;   /* of a record; 0: XOR_PLAIN_MAX */
};

struct secure *xor_secure_new(struct mem *mem, const struct xor_options *o);

/* How many records it sealed, and the length of the last. */
uint32_t xor_secure_sealed(const struct secure *s);
