/* SPDX-License-Identifier: MIT */
#include "uring/foreign_socket.h"

#include "uring/backend.h"
#include "uring/sock.h"

int foreign_listen(const struct sock_addr *at) {
    struct backend plain = {.socket_flags = SOCK_NONBLOCK};
    return sock_stream_listen(&plain, at);
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
