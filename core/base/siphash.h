/* SPDX-License-Identifier: MIT */
#pragma once

/* SipHash-c-d (Aumasson and Bernstein, 2012): a keyed hash for tables whose keys peers choose.
 * Not for authentication when c and d are as small as a table wants them. */

#include "core/base/bytes.h"

uint64_t siphash(const uint64_t key[2], struct bytes in, unsigned c_rounds, unsigned d_rounds);
