/* SPDX-License-Identifier: MIT */
#pragma once

/* How people are told that a connection ended because it met the limit that its relay had named
 * (struct conn_limit, transport/conn.h): which one, and how much it was.
 *
 * Spec: decision 2. */

#include "core/base/base.h"

struct conn_limit;

enum { RELAY_LIMIT_TEXT_MAX = 64 };

/* -ERR_RELAY_DATA_LIMIT and -ERR_RELAY_TIME_LIMIT. */
bool relay_limit_is_met(int error);

/* The limit of such an error: "64MB each way", "10m0s".  Returns `out`, RELAY_LIMIT_TEXT_MAX
 * bytes. */
const char *relay_limit_format(int error, const struct conn_limit *limit, char *out);
