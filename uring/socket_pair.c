/* SPDX-License-Identifier: MIT */
#include "uring/socket_pair.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "uring/reactor_internal.h"

static int set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return 0;
}

int socket_pair_open(struct reactor *r, bool nonblocking, int *ret_handle, int *ret_fd) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    int e = 0;
    if ((r->backend->socket_flags & SOCK_NONBLOCK) != 0)
        e = set_nonblocking(pair[0]);
    if (e == 0 && nonblocking)
        e = set_nonblocking(pair[1]);
    if (e < 0) {
        (void)close(pair[0]);
        (void)close(pair[1]);
        return e;
    }
    *ret_handle = pair[0];
    *ret_fd = pair[1];
    return 0;
}

ssize_t socket_pair_read(int fd, void *out, size_t size) {
    ssize_t n;
    do
        n = recv(fd, out, size, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t socket_pair_write(int fd, const void *data, size_t size) {
    ssize_t n;
    do
        n = send(fd, data, size, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int socket_pair_shutdown_write(int fd) {
    return shutdown(fd, SHUT_WR) < 0 ? -errno : 0;
}
