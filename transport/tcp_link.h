/* SPDX-License-Identifier: MIT */
#pragma once

/* Links over TCP (and Unix stream sockets).  One tcp_write() of up to TCP_WRITE_SLICES_MAX slices
 * is in flight, and what follows waits with the writer.  Received slabs, at their full size, count
 * against LINK_BUFFERED_MAX like bytes: many small ones cannot grow past it. */

#include "transport/link.h"

struct conn_limit;
struct reactor;
struct tcp_conn;
struct sock_addr;

/* Connects; `from` may be NULL.  writable() tells when it is there, to who asked for it by a write;
 * a failure is told as any other.  The owner has a timer and closes when it takes too long.
 * -ENOMEM, and errors of socket(2) */
NODISCARD int tcp_link_connect(struct reactor *r, const struct sock_addr *to,
                               const struct sock_addr *from, struct link **ret_link);

/* Called once when a link that connects is connected, if it is not closed before; set in the turn
 * that made the link. */
void tcp_link_on_connected(struct link *l, void (*connected)(void *user), void *user);

/* Takes over a handle that a listener accepted, and receives no more than `read_max` bytes, so that
 * what is behind them stays in the kernel; SIZE_MAX: without limit.  -ENOMEM: it is still the
 * caller's. */
NODISCARD int tcp_link_adopt(struct reactor *r, int handle, size_t read_max,
                             struct link **ret_link);

/* For links of this file: */

/* -ENOTCONN */
NODISCARD int tcp_link_local_addr(const struct link *l, struct sock_addr *ret_addr);
/* From now on a relay joins it to the far end's.  Whose system acknowledges is not the far end's:
 * link_acked() does not tell any more.  When it ends with a limit of the relay's met, it has failed
 * with -ERR_RELAY_DATA_LIMIT or -ERR_RELAY_TIME_LIMIT. */
void tcp_link_is_joined(struct link *l, const struct conn_limit *limit);
/* The limit of reading is gone. */
void tcp_link_read_on(struct link *l);
/* What link_read() would give next, as far as it lies in one piece; still unread.  Borrowed until
 * the next call. */
struct bytes tcp_link_peek(const struct link *l);
/* The connection below, for uring/splice.h.  Nothing is read of it, by the limit. */
struct tcp_conn *tcp_link_conn(struct link *l);
