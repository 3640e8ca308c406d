/* SPDX-License-Identifier: MIT */
#pragma once

/* X25519, RFC 7748.  Thin over wolfCrypt.
 *
 * Everything is little-endian.  Secrets are any 32 random bytes: they are clamped here.
 * Thread: any.
 */

#include "core/base/base.h"

enum { X25519_BYTES = 32 };

void x25519_public(const uint8_t secret[X25519_BYTES], uint8_t ret_point[X25519_BYTES]);

/* What both sides share.  The peer's point is taken as it is; its highest bit is ignored.
 * -ERR_BAD_KEY: a point of low order, with which the result would be zero whatever our secret */
NODISCARD int x25519_shared(const uint8_t secret[X25519_BYTES], const uint8_t point[X25519_BYTES],
                            uint8_t ret_shared[X25519_BYTES]);
