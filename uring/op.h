/* SPDX-License-Identifier: MIT */
#pragma once

/* One operation in flight, embedded in its owner.  Handles (tcp.h, udp.h) fill in kind and
 * parameters; backends (backend.h) carry it out.  Above uring/ nobody looks inside. */

#include "core/base/base.h"
#include "core/base/list.h"

struct op;
typedef void op_fn(struct op *op);

struct op {
    op_fn *done;      /* called from the completion loop */
    struct list node; /* completion queue or readiness list */
    int32_t result;   /* bytes, a handle, or a negative errno */
    uint32_t flags;   /* OP_MORE, OP_BUFFER */
    uint8_t kind;
    uint8_t state;
    uint16_t buffer_id;
    int fd;
    void *data; /* memory, msghdr or sockaddr, by kind; valid until the operation ends */
    uint64_t size;
};
