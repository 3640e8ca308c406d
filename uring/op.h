/* SPDX-License-Identifier: MIT */
#pragma once

/* One operation in flight, embedded in its owner.  Handles (tcp.h, udp.h) fill in kind and
 * parameters; backends (backend.h) carry it out.  Above uring/ nobody looks inside.
 *
 * IDLE -> (backend start) -> FLYING -> done() without OP_MORE -> IDLE
 *
 * A multishot operation calls done() any number of times with OP_MORE and once without.
 */

#include "core/base/buf.h"
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
    OP_POLL_OUT,
    OP_HANGUP,
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
    uint8_t hint; /* the backend's own, kept from one start to the next; 0 at first */
    int fd;       /* the backend's handle */
    void *data;   /* parameters when it starts, results in done(), by kind */
    size_t size;  /* of the parameters, by kind */
};

enum {
    RECV_SLICES_MAX = 4, /* of a busy stream: docs/adr/0003-receive-shape.md */
    RECV_BYTES_MAX = RECV_SLICES_MAX * 65536,
    SEND_SLICES_MAX = 16,
};

/* Where a receive of a stream puts what it got. */
struct recv_result {
    struct slice slices[RECV_SLICES_MAX];
    uint32_t count;
    uint32_t lent_count; /* the backend's, while in flight: slabs that the kernel may write to */
};

static inline void op_init(struct op *op, enum op_kind kind, op_fn *done) {
    *op = (struct op){.done = done, .kind = (uint8_t)kind, .fd = -1};
    list_init(&op->node);
}
