/* SPDX-License-Identifier: MIT */
#include "uring/foreign_socket.h"

#include "uring/backend.h"
#include "uring/sock.h"

int foreign_listen(const struct sock_addr *at) {
    struct backend plain = {.socket_flags = SOCK_NONBLOCK};
    return sock_stream_listen(&plain, at);
}

/* A Unix socket answers at once.  A full backlog is somebody's. */
int foreign_is_listening(const struct sock_addr *at) {
    struct backend plain = {.socket_flags = SOCK_NONBLOCK};
    union sock_name name;
    assert(at->ip.family == NET_NONE);
    int len = sock_name_from(at, &name);
    int fd = len < 0 ? len : sock_stream_open(&plain, at);
    if (fd < 0)
        return fd;
    int e = connect(fd, &name.sa, (socklen_t)len) == 0 || errno == EAGAIN ? 1 : -errno;
    sock_close(&plain, fd);
    return e == -ECONNREFUSED ? 0 : e;
}

int foreign_local_addr(int fd, struct sock_addr *ret_addr) {
    return sock_local_addr(NULL, fd, ret_addr);
}

int foreign_remote_addr(int fd, struct sock_addr *ret_addr) {
    return sock_remote_addr(NULL, fd, ret_addr);
}

void foreign_shutdown(int fd) {
    (void)shutdown(fd, SHUT_RDWR); /* -ENOTCONN: it has ended already */
}
