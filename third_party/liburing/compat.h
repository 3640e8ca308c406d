/* SPDX-License-Identifier: MIT */
/* What liburing's configure script would find out.  Kernel headers of Debian 12 (6.1) have all of
 * it but the discard command. */
#ifndef LIBURING_COMPAT_H
#define LIBURING_COMPAT_H

#include <linux/futex.h>
#include <linux/ioctl.h>
#include <linux/openat2.h>
#include <linux/time_types.h>
#include <sys/wait.h>

#define UAPI_LINUX_IO_URING_H_SKIP_LINUX_TIME_TYPES_H 1

#ifndef BLOCK_URING_CMD_DISCARD
#define BLOCK_URING_CMD_DISCARD _IO(0x12, 0)
#endif

#endif
