/* SPDX-License-Identifier: MIT */
#pragma once

/* The few calls on sockets that are needed beside a library with a loop of its own, which accepts,
 * reads and writes by itself when the reactor finds its descriptor readable (fd_watch). */

#include "uring/sock_addr.h"

/* A listening socket, non-blocking, closed by exec; alone on its port; a Unix path gets mode 0600.
 * Returns the descriptor, the caller's; -EADDRINUSE, -EACCES, ... */
NODISCARD int foreign_listen(const struct sock_addr *at);

/* Whether somebody listens at a Unix path: 1, or 0 where the kernel says that nobody does, as of
 * what a process left there that died.  -errno: it cannot be told (-EACCES, -ENOENT, -EPROTOTYPE,
 * ...) */
NODISCARD int foreign_is_listening(const struct sock_addr *at);

/* Where it is bound, and who is at the other end.  -errno */
NODISCARD int foreign_local_addr(int fd, struct sock_addr *ret_addr);
NODISCARD int foreign_remote_addr(int fd, struct sock_addr *ret_addr);

/* Ends a connection in both directions; its owner finds it ended, and closes it. */
void foreign_shutdown(int fd);
