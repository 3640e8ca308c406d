/* SPDX-License-Identifier: MIT */
#pragma once

/* Two connected stream sockets: one end for a reactor (tcp_conn_adopt), the other for code that
 * knows no reactor, with the calls that such code needs.
 *
 * Thread: socket_pair_open() the reactor's; the others any.
 */

#include "core/base/base.h"

struct reactor;

/* `ret_fd` is a descriptor, close-on-exec and blocking unless asked otherwise; its owner closes it.
 * Works with the reactors that stand on the kernel's descriptors (all but the simulation's).
 * -EMFILE, -ENFILE, -ENOMEM */
NODISCARD int socket_pair_open(struct reactor *r, bool nonblocking, int *ret_handle, int *ret_fd);

/* As recv(2) and send(2), without SIGPIPE, continued when a signal came.  Bytes, or -errno. */
NODISCARD ssize_t socket_pair_read(int fd, void *out, size_t size);
NODISCARD ssize_t socket_pair_write(int fd, const void *data, size_t size);
NODISCARD int socket_pair_shutdown_write(int fd);
