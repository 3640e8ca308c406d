/* SPDX-License-Identifier: MIT */
#pragma once

/* Two ends of a TLS 1.3 connection on wolfSSL's own record layer, between two pieces of memory:
 * what transport/proto/tls_record.h is compared with. */

#include "core/base/bytes.h"

struct library;
struct tls_context;

enum { LIBRARY_WALL = 1800000000 /* early 2027 */ };

/* After its handshake; the suite by wolfSSL's name.  NULL: it failed.  Never freed. */
struct library *library_new(struct tls_context *context, const char *suite);

/* One record from the client to the server. */
bool library_write(struct library *l, struct bytes plain);
bool library_read(struct library *l, void *out, size_t size);
