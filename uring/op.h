/* SPDX-License-Identifier: MIT */
#pragma once

/* One operation in flight, embedded in its owner.  Handles (tcp.h, udp.h) fill in kind and
 * parameters; backends (backend.h) carry it out.  Above uring/ nobody looks inside.
 *
 * IDLE -> (backend start) -> FLYING -> done() without OP_MORE -> IDLE
 *
 * A multishot operation calls done() any number of times with OP_MORE and once without.
 */

#include "core/base/base.h"
#include "core/base/list.h"

struct op;
typedef void op_fn(struct op *op);

/* What each kind does with its fields is said in backend.h. */
enum op_kind {
    OP_ACCEPT,
    OP_CONNECT,
    OP_RECV,
    OP_SEND,
    OP_UDP_RECV,
    OP_UDP_SEND,
    OP_POLL,
    OP_CANCEL,
    OP_CLOSE,
};

enum { OP_MORE = 1 }; /* in op.flags: another completion will follow */

struct op {
    op_fn *done;      /* called from the completion loop */
    struct list node; /* the backend's, while in flight */
    int32_t result;   /* bytes, a handle, or a negative errno */
    uint32_t flags;
    uint8_t kind;
    bool flying;
    bool drained; /* io_uring's own: the last receive emptied the socket */
    int fd;       /* the backend's handle */
    void *data;   /* parameters when it starts, results in done(), by kind */
    size_t size;  /* of the parameters, by kind */
};

static inline void op_init(struct op *op, enum op_kind kind, op_fn *done) {
    *op = (struct op){.done = done, .kind = (uint8_t)kind, .fd = -1};
    list_init(&op->node);
}
