/* SPDX-License-Identifier: MIT */

/* The io_uring backend: one ring a reactor, one system call a turn. */

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "uring/backend_uring_internal.h"
#include "uring/sock.h"

enum { GROUP_STREAM = 0, GROUP_DGRAM = 1 };

/* What the kernel reads when it takes a submission, and not later: each lives until the next
 * submit.  When they run out, what is queued is submitted early. */
enum { SCRATCH_COUNT = 64 };

struct scratch {
    union {
        struct {
            struct msghdr msg;
            struct iovec iov[SEND_SLICES_MAX];
        };
        union sock_name name;
    };
};

struct uring {
    struct backend backend;
    struct io_uring ring;
    struct bufring slabs;
    struct dgram_ring dgrams;
    bool enabled;
    bool wake_armed;
    int wake_fd;

    struct list waiting; /* found no room in the submission queue */
    struct list starved; /* receives that found no slab */
    struct list ended;   /* result is known, done() not called yet */
    uint32_t flying_recv_count;

    struct scratch scratch[SCRATCH_COUNT];
    uint32_t scratch_used;

    struct udp_batch batch; /* of the completion that is being delivered */
};

/* user_data of completions that belong to no operation. */
static const uint64_t TAG_WAKE = 1;

static struct uring *uring_of(struct backend *b) {
    return CONTAINER_OF(b, struct uring, backend);
}

/* --- Submitting --- */

/* The thread that gets here first owns the ring from now on. */
static void enable(struct uring *u) {
    if (u->enabled)
        return;
    u->enabled = true;
    if (u->ring.flags & IORING_SETUP_R_DISABLED)
        (void)io_uring_enable_rings(&u->ring); /* fails only when it is enabled already */
    (void)io_uring_register_ring_fd(&u->ring); /* saves a look-up per call; works without */
}

static void submit(struct uring *u) {
    enable(u);
    /* On failure (the kernel is short of memory, or wants completions taken first) the entries stay
     * in the queue and the scratch with them; the next wait() tries again. */
    (void)io_uring_submit(&u->ring);
    if (io_uring_sq_ready(&u->ring) == 0)
        u->scratch_used = 0;
}

static struct io_uring_sqe *sqe_get(struct uring *u) {
    if (u->scratch_used == SCRATCH_COUNT || io_uring_sq_space_left(&u->ring) == 0)
        submit(u);
    if (u->scratch_used == SCRATCH_COUNT)
        return NULL;
    return io_uring_get_sqe(&u->ring);
}

static struct scratch *scratch_get(struct uring *u) {
    assert(u->scratch_used < SCRATCH_COUNT);
    return &u->scratch[u->scratch_used++];
}

static void prepare_send(struct uring *u, struct io_uring_sqe *sqe, const struct op *op) {
    const struct slice *slices = op->data;
    struct scratch *s = scratch_get(u);
    assert(op->size <= SEND_SLICES_MAX);
    for (size_t i = 0; i < op->size; i++)
        s->iov[i] = sock_iovec_of(&slices[i]);
    s->msg = (struct msghdr){.msg_iov = s->iov, .msg_iovlen = op->size};
    /* WAITALL: the kernel goes on with a partial send by itself. */
    io_uring_prep_sendmsg(sqe, op->fd, &s->msg, MSG_NOSIGNAL | MSG_WAITALL);
}

static void prepare_connect(struct uring *u, struct io_uring_sqe *sqe, const struct op *op) {
    struct scratch *s = scratch_get(u);
    int len = sock_name_from(op->data, &s->name);
    /* An address without family or path connects to nothing: the kernel says so. */
    io_uring_prep_connect(sqe, op->fd, &s->name.sa, len < 0 ? 0 : (socklen_t)len);
}

/* What the last receive said of the socket. */
enum recv_hint { RECV_UNKNOWN, RECV_DRAINED, RECV_MORE };

/* Into slabs of the operation's own: only when there is something, since they would be held until
 * there is.  DONTWAIT makes sure of that. */
static bool prepare_recv_large(struct uring *u, struct io_uring_sqe *sqe, const struct op *op) {
    struct recv_result *into = op->data;
    if (op->hint != RECV_MORE || op->size <= buf_class_size(BUF_64K))
        return false;
    into->lent_count = sock_slabs_lend(u->backend.cfg.pool, op->size, into);
    if (into->lent_count == 0)
        return false;
    struct scratch *s = scratch_get(u);
    for (uint32_t i = 0; i < into->lent_count; i++)
        s->iov[i] = sock_iovec_of(&into->slices[i]);
    s->msg = (struct msghdr){.msg_iov = s->iov, .msg_iovlen = into->lent_count};
    io_uring_prep_recvmsg(sqe, op->fd, &s->msg, MSG_DONTWAIT);
    return true;
}

static void prepare_recv(struct uring *u, struct io_uring_sqe *sqe, const struct op *op) {
    if (prepare_recv_large(u, sqe, op))
        return;
    /* Length 0: as much as the buffer that the kernel picks has room for. */
    io_uring_prep_recv(sqe, op->fd, NULL, op->size < buf_class_size(BUF_64K) ? op->size : 0, 0);
    /* Saves the attempt that would find nothing: 5 % of the CPU of a 64-byte echo. */
    if (op->hint == RECV_DRAINED)
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = u->slabs.group;
}

static void prepare_udp_recv(struct uring *u, struct io_uring_sqe *sqe, const struct op *op) {
    io_uring_prep_recvmsg_multishot(sqe, op->fd, &u->dgrams.msg, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = u->dgrams.group;
}

static void prepare_udp_send(struct io_uring_sqe *sqe, const struct op *op) {
    struct udp_out *out = op->data;
    sock_udp_out_prepare(out);
    io_uring_prep_sendmsg(sqe, op->fd, &out->msg, MSG_NOSIGNAL);
}

static void prepare(struct uring *u, struct io_uring_sqe *sqe, struct op *op) {
    switch ((enum op_kind)op->kind) {
    case OP_ACCEPT:
        io_uring_prep_multishot_accept(sqe, op->fd, NULL, NULL, SOCK_CLOEXEC);
        break;
    case OP_CONNECT:
        prepare_connect(u, sqe, op);
        break;
    case OP_RECV:
        prepare_recv(u, sqe, op);
        break;
    case OP_SEND:
        prepare_send(u, sqe, op);
        break;
    case OP_UDP_RECV:
        prepare_udp_recv(u, sqe, op);
        break;
    case OP_UDP_SEND:
        prepare_udp_send(sqe, op);
        break;
    case OP_POLL:
        io_uring_prep_poll_add(sqe, op->fd, POLLIN);
        break;
    case OP_POLL_OUT:
        io_uring_prep_poll_add(sqe, op->fd, POLLOUT);
        break;
    case OP_HANGUP: /* POLLERR and POLLHUP are reported unasked */
        io_uring_prep_poll_add(sqe, op->fd, POLLRDHUP);
        break;
    case OP_CANCEL:
        io_uring_prep_cancel_fd(sqe, op->fd, IORING_ASYNC_CANCEL_ALL);
        break;
    case OP_CLOSE:
        io_uring_prep_close(sqe, op->fd);
        break;
    }
    io_uring_sqe_set_data(sqe, op);
}

static bool try_submit(struct uring *u, struct op *op) {
    struct io_uring_sqe *sqe = sqe_get(u);
    if (sqe == NULL)
        return false;
    prepare(u, sqe, op);
    return true;
}

static void end_all_of(struct uring *u, struct list *from, int fd) {
    list_for_each_safe (node, from) {
        struct op *op = LIST_ENTRY(node, struct op, node);
        if (op->fd == fd && op->kind != OP_CANCEL) {
            op->result = -ECANCELED;
            list_remove(node);
            list_push(&u->ended, node);
        }
    }
}

/* In order: what waits for room goes before `op`. */
static void start(struct uring *u, struct op *op) {
    if (op->kind == OP_CANCEL) {
        end_all_of(u, &u->waiting, op->fd);
        end_all_of(u, &u->starved, op->fd);
    }
    if (!list_is_empty(&u->waiting) || !try_submit(u, op))
        list_push(&u->waiting, &op->node);
}

static void submit_waiting(struct uring *u) {
    while (!list_is_empty(&u->waiting)) {
        struct op *op = LIST_ENTRY(u->waiting.next, struct op, node);
        if (!try_submit(u, op))
            return;
        list_remove(&op->node);
    }
}

static int dgrams_ensure(struct uring *u) {
    if (u->dgrams.ring != NULL)
        return 0;
    return dgram_ring_open(&u->dgrams, &u->ring, GROUP_DGRAM);
}

static void uring_start(struct backend *b, struct op *op) {
    struct uring *u = uring_of(b);
    if (op->kind == OP_RECV)
        u->flying_recv_count++;
    start(u, op);
}

static void wake_arm(struct uring *u) {
    struct io_uring_sqe *sqe = sqe_get(u);
    u->wake_armed = sqe != NULL;
    if (sqe == NULL) /* wait() tries again */
        return;
    /* Multishot polls report each write, so the counter never needs to be read. */
    io_uring_prep_poll_multishot(sqe, u->wake_fd, POLLIN);
    io_uring_sqe_set_data64(sqe, TAG_WAKE);
}

/* --- Waiting --- */

static void lend_slabs(struct uring *u) {
    if (u->flying_recv_count == 0)
        return;
    bool any = bufring_fill(&u->slabs);
    while (any && !list_is_empty(&u->starved)) {
        struct list *node = list_shift(&u->starved);
        list_push(&u->waiting, node);
    }
}

static void uring_submit(struct backend *b) {
    struct uring *u = uring_of(b);
    lend_slabs(u);
    submit_waiting(u);
    submit(u);
}

static bool uring_has_work(struct backend *b) {
    struct uring *u = uring_of(b);
    return !list_is_empty(&u->ended) || io_uring_cq_ready(&u->ring) > 0;
}

static int enter(struct uring *u, nsec_t deadline) {
    if (deadline == NSEC_NEVER)
        return io_uring_submit_and_wait(&u->ring, 1);
    nsec_t now = deadline == 0 ? 0 : sock_now(&u->backend);
    if (deadline <= now)
        return io_uring_submit_and_get_events(&u->ring);
    struct __kernel_timespec ts = {
        .tv_sec = (long long)((deadline - now) / SEC(1)),
        .tv_nsec = (long long)((deadline - now) % SEC(1)),
    };
    struct io_uring_cqe *cqe;
    return io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &ts, NULL);
}

static int uring_wait(struct backend *b, nsec_t deadline) {
    struct uring *u = uring_of(b);
    enable(u);
    if (!u->wake_armed)
        wake_arm(u);
    lend_slabs(u);
    submit_waiting(u);
    if (!list_is_empty(&u->waiting) || !u->wake_armed || uring_has_work(b))
        deadline = 0;
    int error = enter(u, deadline);
    if (io_uring_sq_ready(&u->ring) == 0)
        u->scratch_used = 0;
    switch (error) {
    case -ETIME:  /* the deadline */
    case -EINTR:  /* a signal; spurious returns are harmless */
    case -EAGAIN: /* short of memory: what was not taken is offered again next time */
    case -EBUSY:  /* completions must be taken first, which dispatch() does now */
        return 0;
    default:
        return MIN(error, 0);
    }
}

/* --- Completions --- */

/* The operation goes on without its owner noticing. */
static void start_again(struct uring *u, struct op *op) {
    list_push(&u->waiting, &op->node);
}

static void complete_recv(struct uring *u, struct op *op, const struct io_uring_cqe *cqe) {
    struct recv_result *into = op->data;
    bool was_large = into->lent_count > 0;
    op->hint = cqe->flags & IORING_CQE_F_SOCK_NONEMPTY ? RECV_MORE : RECV_DRAINED;
    if (was_large) {
        sock_slabs_keep(into, cqe->res);
        if (cqe->res == -EAGAIN) { /* there was nothing after all */
            start_again(u, op);
            return;
        }
    } else if (cqe->res == -ENOBUFS) {
        op->hint = RECV_UNKNOWN;
        bufring_grow(&u->slabs);
        list_push(&u->starved, &op->node);
        return;
    } else if (cqe->flags & IORING_CQE_F_BUFFER) {
        uint16_t id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        struct slice s = slice_of(bufring_take(&u->slabs, id), 0, (uint32_t)MAX(cqe->res, 0));
        if (cqe->res > 0)
            into->slices[into->count++] = s;
        else /* an end or an error that a worker thread of the kernel met */
            slice_unref(&s);
    }
    u->flying_recv_count--;
    op_complete(op, cqe->res, 0);
}

static void complete_udp_recv(struct uring *u, struct op *op, const struct io_uring_cqe *cqe) {
    bool more = (cqe->flags & IORING_CQE_F_MORE) != 0;
    if (cqe->res == -ENOBUFS) { /* all buffers are full of datagrams that come later in this loop */
        start_again(u, op);
        return;
    }
    op->data = NULL;
    if ((cqe->flags & IORING_CQE_F_BUFFER) == 0) {
        op_complete(op, cqe->res, more ? OP_MORE : 0);
        return;
    }
    uint16_t id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    if (dgram_ring_read(&u->dgrams, id, (uint32_t)cqe->res, &u->batch) == 0)
        op->data = &u->batch;
    op_complete(op, cqe->res, more ? OP_MORE : 0);
    dgram_ring_return(&u->dgrams, id);
}

static void complete(struct uring *u, const struct io_uring_cqe *cqe) {
    if (cqe->user_data == TAG_WAKE) {
        u->wake_armed = (cqe->flags & IORING_CQE_F_MORE) != 0;
        return;
    }
    struct op *op = io_uring_cqe_get_data(cqe);
    switch ((enum op_kind)op->kind) {
    case OP_RECV:
        complete_recv(u, op, cqe);
        break;
    case OP_UDP_RECV:
        complete_udp_recv(u, op, cqe);
        break;
    case OP_ACCEPT:
    case OP_CONNECT:
    case OP_SEND:
    case OP_UDP_SEND:
    case OP_POLL:
    case OP_POLL_OUT:
    case OP_HANGUP:
    case OP_CANCEL:
    case OP_CLOSE:
        op_complete(op, cqe->res, cqe->flags & IORING_CQE_F_MORE ? OP_MORE : 0);
        break;
    }
}

static void dispatch_ended(struct uring *u) {
    struct list due;
    list_init(&due);
    list_splice(&due, &u->ended);
    struct list *node;
    while ((node = list_shift(&due)) != NULL) {
        struct op *op = LIST_ENTRY(node, struct op, node);
        if (op->kind == OP_RECV)
            u->flying_recv_count--;
        op_complete(op, op->result, 0);
    }
}

static bool uring_dispatch(struct backend *b) {
    struct uring *u = uring_of(b);
    bool any = uring_has_work(b);
    dispatch_ended(u);
    /* Those that are there now; what comes meanwhile waits for the next turn.  Each is copied and
     * its place given back before the callback, which may need the kernel to post more. */
    unsigned count = io_uring_cq_ready(&u->ring);
    while (count-- > 0) {
        struct io_uring_cqe *entry;
        if (io_uring_peek_cqe(&u->ring, &entry) < 0)
            break;
        struct io_uring_cqe cqe = {
            .user_data = entry->user_data, .res = entry->res, .flags = entry->flags};
        io_uring_cq_advance(&u->ring, 1);
        complete(u, &cqe);
    }
    return any;
}

/* --- The rest --- */

static void uring_wake(struct backend *b) {
    uint64_t one = 1;
    ssize_t n = write(uring_of(b)->wake_fd, &one, sizeof(one));
    (void)n; /* it fails only when the counter is full of wakes that nobody has seen */
}

static int uring_poll_fd(struct backend *b) {
    return uring_of(b)->ring.ring_fd;
}

static void uring_trim(struct backend *b) {
    struct uring *u = uring_of(b);
    bufring_trim(&u->slabs);
    /* A completion that waits to be read may speak of a datagram in there. */
    if (io_uring_cq_ready(&u->ring) == 0)
        dgram_ring_trim(&u->dgrams);
}

static int uring_udp_open(struct backend *b, const struct net_addr *local) {
    int error = dgrams_ensure(uring_of(b));
    return error < 0 ? error : sock_udp_open(b, local);
}

static void uring_free(struct backend *b) {
    struct uring *u = uring_of(b);
    bufring_close(&u->slabs);
    dgram_ring_close(&u->dgrams);
    io_uring_queue_exit(&u->ring);
    if (u->wake_fd >= 0)
        (void)close(u->wake_fd);
    (void)mem_free(b->cfg.mem, u);
}

static int open_rest(struct uring *u) {
    int error = uring_probe_features(&u->ring, &u->backend.features);
    if (error < 0)
        return error;
    error = bufring_open(&u->slabs, &u->ring, u->backend.cfg.pool, GROUP_STREAM);
    if (error < 0)
        return error;
    u->backend.features.buffer_ring = true;
    u->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (u->wake_fd < 0)
        return -errno;
    wake_arm(u);
    return 0;
}

static int uring_open(const struct backend_config *cfg, struct backend **ret_backend) {
    struct uring *u = mem_alloc(cfg->mem, sizeof(*u));
    if (u == NULL)
        return -ENOMEM;
    u->backend.type = &backend_uring;
    u->backend.cfg = *cfg;
    u->wake_fd = -1;
    list_init(&u->waiting);
    list_init(&u->starved);
    list_init(&u->ended);
    int error = uring_probe_ring(&u->ring);
    if (error < 0) {
        (void)mem_free(cfg->mem, u);
        return error;
    }
    error = open_rest(u);
    if (error < 0) {
        uring_free(&u->backend);
        return error;
    }
    *ret_backend = &u->backend;
    return 0;
}

const struct reactor_backend backend_uring = {
    .name = "io_uring",
    .open = uring_open,
    .free = uring_free,
    .start = uring_start,
    .submit = uring_submit,
    .wait = uring_wait,
    .dispatch = uring_dispatch,
    .has_work = uring_has_work,
    .wake = uring_wake,
    .poll_fd = uring_poll_fd,
    .trim = uring_trim,
    .stream_open = sock_stream_open,
    .stream_bind = sock_stream_bind,
    .stream_listen = sock_stream_listen,
    .shutdown_write = sock_shutdown_write,
    .stream_error = sock_stream_error,
    .stream_acked = sock_stream_acked,
    .stream_unsent = sock_stream_unsent,
    .pipe_open = sock_pipe_open,
    .pipe_close = sock_pipe_close,
    .pipe_fill = sock_pipe_fill,
    .pipe_drain = sock_pipe_drain,
    .pipe_drop = sock_pipe_drop,
    .reset_on_close = sock_reset_on_close,
    .handle_close = sock_close,
    .udp_open = uring_udp_open,
    .local_addr = sock_local_addr,
    .remote_addr = sock_remote_addr,
    .now = sock_now,
    .walltime = sock_walltime,
    .suspended = sock_suspended,
    .random = sock_random,
};
