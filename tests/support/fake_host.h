/* SPDX-License-Identifier: MIT */
#pragma once

/* A host and its streams in memory: transport/host.h and transport/stream.h as far as relay/ uses
 * them, linked instead of transport/'s.  Streams come in pairs with a window each way; events come
 * from deferred calls of the reactor.  Nothing is lost, delayed or encrypted.
 */

#include "transport/host.h"

/* As much as one side may have written and the other not yet credited. */
enum { FAKE_WINDOW_BYTES = 256 << 10 };

/* Opens streams to `remote`, which may be itself; NULL: there is no peer. */
struct host *fake_host_new(struct reactor *r, const char *peer_name, struct host *remote);
void fake_host_free(struct host *h);
struct peer_id fake_peer_id(const char *name);

/* What the next host_open_stream() calls come to: `count` of them fail with `error`. */
void fake_host_fail(struct host *h, int error, uint32_t count);
/* The next `count` streams are reset by the peer with `code` some turns after they were opened,
 * before it has agreed to their protocol. */
void fake_host_refuse(struct host *h, uint64_t code, uint32_t count);
/* At most so many streams at a time: -ERR_RESOURCE_LIMIT beyond. */
void fake_host_limit(struct host *h, uint32_t streams_max);
/* The connection dies: every stream that it opened is told `error`, at both ends. */
void fake_host_kill(struct host *h, int error);
/* Streams that it opened and that are not released at both ends. */
uint32_t fake_host_streams(const struct host *h);

/* Its connection dies: both ends are told. */
void fake_stream_kill(struct stream *s, int error);

/* A pair without hosts, for tests that are the other end themselves. */
void fake_stream_pair(struct reactor *r, struct stream **ret_a, struct stream **ret_b);
