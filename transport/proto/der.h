/* SPDX-License-Identifier: MIT */
#pragma once

/* Reading DER (X.690) on the sticky cursor of rd.h: definite, minimal lengths of at most three
 * bytes, one-byte tags.  What certificates need, nothing else.
 *
 * Errors: -ERR_TRUNCATED, and -ERR_MALFORMED for another tag or a length that is not DER.
 * Memory: none; results borrow from the input.
 * Thread: any.
 */

#include "core/base/rd.h"

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_OID = 0x06,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_CONTEXT_0 = 0xa0, /* [0] EXPLICIT */
    DER_CONTEXT_3 = 0xa3,
};

/* Whether an element with this tag comes next. */
bool der_is_next(const struct rd *r, enum der_tag tag);

/* Takes the next element, which must have this tag; gives its content. */
struct bytes der_take(struct rd *r, enum der_tag tag);

/* The same, tag and length included. */
struct bytes der_take_whole(struct rd *r, enum der_tag tag);

/* The bytes of a BIT STRING, which must have a whole number of them. */
struct bytes der_take_bits(struct rd *r);
