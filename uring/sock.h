/* SPDX-License-Identifier: MIT */
#pragma once

/* The kernel's sockets, clocks and random source, for the backends that stand on them.  Every
 * function that fails returns a negative errno. */

#include <sys/socket.h>
#include <sys/un.h>

#include "core/base/time.h"
#include "uring/datagram.h"
#include "uring/op.h"
#include "uring/sock_addr.h"

struct backend;
struct stream_pipe;

union sock_name {
    struct sockaddr sa;
    struct sockaddr_un un;
    struct sockaddr_storage storage;
};

/* Returns the length.  -EINVAL for an address without family and path. */
int sock_name_from(const struct sock_addr *a, union sock_name *ret_name);
void sock_name_to(const union sock_name *name, socklen_t len, struct sock_addr *ret_addr);

/* --- Plain calls, in the shape of struct reactor_backend --- */

int sock_stream_open(struct backend *b, const struct sock_addr *peer);
int sock_stream_bind(struct backend *b, int fd, const struct sock_addr *local);
int sock_stream_listen(struct backend *b, const struct sock_addr *at);
int sock_shutdown_write(struct backend *b, int fd);
int sock_stream_error(struct backend *b, int fd);
int sock_stream_acked(struct backend *b, int fd, uint64_t *ret_bytes, nsec_t *ret_at);
ssize_t sock_stream_unsent(struct backend *b, int fd);
void sock_reset_on_close(struct backend *b, int fd);
/* Also makes both sockets non-blocking, and keeps SIGPIPE from this thread: splice(2) knows neither
 * MSG_DONTWAIT nor MSG_NOSIGNAL. */
int sock_pipe_open(struct backend *b, int from, int to, struct stream_pipe *ret_pipe);
void sock_pipe_close(struct backend *b, struct stream_pipe *pipe);
ssize_t sock_pipe_fill(struct backend *b, const struct stream_pipe *pipe, int from, size_t max);
ssize_t sock_pipe_drain(struct backend *b, const struct stream_pipe *pipe, int to, size_t held);
void sock_pipe_drop(struct backend *b, const struct stream_pipe *pipe, size_t held);
void sock_close(struct backend *b, int fd);
/* Warns once a backend when socket buffers stay small. */
int sock_udp_open(struct backend *b, const struct net_addr *local);
int sock_local_addr(struct backend *b, int fd, struct sock_addr *ret_addr);
int sock_remote_addr(struct backend *b, int fd, struct sock_addr *ret_addr);
nsec_t sock_now(struct backend *b);
walltime_t sock_walltime(struct backend *b);
int64_t sock_suspended(struct backend *b);
void sock_random(struct backend *b, void *out, size_t size);

bool sock_has_udp_gso(void);
bool sock_has_udp_gro(void);

/* --- Slabs for a receive --- */

static inline struct iovec sock_iovec_of(const struct slice *s) {
    return (struct iovec){.iov_base = s->data, .iov_len = s->len};
}

/* Fills slices[] with slabs for up to `size` bytes, whole ones if it is that of slabs, and returns
 * how many: 0 when the pool is used up.  `count` stays 0 until they are kept. */
uint32_t sock_slabs_lend(struct buf_pool *pool, size_t size, struct recv_result *into);
/* After the receive: keeps what `len` bytes fill (none when it is an error), drops the rest. */
void sock_slabs_keep(struct recv_result *into, ssize_t len);

/* --- Control data of datagrams --- */

/* Room for what the kernel tells of a received batch: packet info, ECN, GRO size. */
enum { SOCK_UDP_CONTROL_BYTES = 128 };

/* Fills msg, iov, name and control from the rest. */
void sock_udp_out_prepare(struct udp_out *out);
/* local.port stays 0, and local.family NET_NONE when the kernel did not tell.  -EINVAL when the
 * message makes no sense (no address, or cut off). */
int sock_udp_batch_read(struct msghdr *msg, uint8_t *data, size_t len, struct udp_batch *ret_batch);
