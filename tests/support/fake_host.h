/* SPDX-License-Identifier: MIT */
#pragma once

/* A host and its streams in memory: transport/host.h and transport/stream.h as far as relay/ uses
 * them, linked instead of transport/'s.  Streams come in pairs with a window each way; events come
 * from deferred calls of the reactor.  Nothing is lost, delayed or encrypted.
 */

#include "transport/conn.h"
#include "transport/host.h"

struct fake_conn;

/* As much as one side may have written and the other not yet credited. */
enum { FAKE_WINDOW_BYTES = 256 << 10 };

/* Opens streams to `remote`, which may be itself; NULL: there is no peer. */
struct host *fake_host_new(struct reactor *r, const char *peer_name, struct host *remote);
void fake_host_free(struct host *h);
struct peer_id fake_peer_id(const char *name);
/* Gives it a key of its own, and the ID of that. */
void fake_host_set_key(struct host *h, uint8_t seed);
/* What host_advertised_addrs() says; must outlive the host. */
void fake_host_advertise(struct host *h, const struct multiaddr *addrs, size_t count);

/* A connection, over which both open streams to one another from now on, whatever `remote` is.  The
 * addresses are what the two see of each other; one with /p2p-circuit makes it a relayed one. */
struct fake_conn *fake_connect(struct host *from, struct host *to, const char *from_addr,
                               const char *to_addr);
/* What a relay said that it lets through. */
void fake_conn_limit(struct fake_conn *c, const struct conn_limit *limit);
/* It dies: streams are told `error` at both ends, then those that watch.  The structs stay until
 * the hosts are freed. */
void fake_disconnect(struct fake_conn *c, int error);

/* A host does not hear its peer on it any more, but on another one. */
void fake_conn_silent(struct fake_conn *c, const struct host *at);

/* What the next host_open_stream() calls come to: `count` of them fail with `error`. */
void fake_host_fail(struct host *h, int error, uint32_t count);
/* The next `count` streams are reset by the peer with `code` some turns after they were opened,
 * before it has agreed to their protocol. */
void fake_host_refuse(struct host *h, uint64_t code, uint32_t count);
/* The next `count` streams that it opens are on a connection on which nothing was heard for a long
 * time, and their protocol is not agreed before fake_host_speak(). */
void fake_host_silence(struct host *h, uint32_t count);
void fake_host_speak(struct host *h);
/* Something is heard on the connection of every stream that it opened, which agrees to none. */
void fake_host_stir(struct host *h);
/* How often host_doubt() was called. */
uint32_t fake_host_doubts(const struct host *h);
/* The next `count` streams that it opens have no slab for what it wants to write. */
void fake_host_starve(struct host *h, uint32_t count);
/* Nor does the other end of this one. */
void fake_stream_starve(struct stream *s);
/* At most so many streams at a time: -ERR_RESOURCE_LIMIT beyond. */
void fake_host_limit(struct host *h, uint32_t streams_max);
/* The connection dies: every stream that it opened is told `error`, at both ends. */
void fake_host_kill(struct host *h, int error);
/* Streams that it opened and that are not released at both ends. */
uint32_t fake_host_streams(const struct host *h);

/* Of host_set_preface(). */
struct tcp_preface *fake_host_preface(const struct host *h);

/* Its connection dies: both ends are told. */
void fake_stream_kill(struct stream *s, int error);

/* A pair without hosts, for tests that are the other end themselves. */
void fake_stream_pair(struct reactor *r, struct stream **ret_a, struct stream **ret_b);
