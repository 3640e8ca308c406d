/* SPDX-License-Identifier: MIT */

/* The epoll backend: readiness turned into completions.
 *
 * Each handle is registered once, edge-triggered, for both directions, and remembers what epoll
 * said last; so the data path makes no epoll_ctl() call.  What was started is carried out where
 * io_uring would submit it (writes, connects, closes), or while completions are delivered (reads,
 * whose memory is lent to the callback). */

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "uring/backend.h"
#include "uring/sock.h"

enum {
    EVENTS_PER_WAIT = 128,
    /* Turns stay short enough for timers: a busy handle goes on in the next turn. */
    READS_PER_TURN = 64,
    DGRAM_BYTES_MAX = 65536,
    HANDLES_AT_START = 64,
};

/* All that is known of one descriptor.  Made when it is first used and kept for the next descriptor
 * of the same number. */
struct ep_handle {
    struct list node;         /* in epoll.ready */
    struct list starved_node; /* in epoll.starved: reading waits for a slab */
    struct list reads;        /* operations that wait, in order */
    struct list writes;
    struct list hangups;
    int fd;
    uint32_t generation; /* tells a late event of the descriptor before from one of this */
    bool registered;
    bool readable;
    bool writable;
    /* Behind a short read stands more: an end, an error, or what follows urgent data.  No edge will
     * tell. */
    bool must_drain;
    bool hung_up; /* the peer sent FIN, or the connection broke */
};

struct epoll {
    struct backend backend;
    int fd;
    int wake_fd;
    struct ep_handle **handles; /* by descriptor */
    size_t handles_count;
    struct list ready;      /* handles with an operation that may go on */
    struct list starved;    /* handles with data, but the pool had no slab for it */
    struct list ended;      /* operations whose result is known */
    uint8_t *dgram;         /* one receive at a time: it is lent to the callback only, */
    struct udp_batch batch; /* and so is what stands in it */
    bool no_pwait2;         /* the kernel is older than 5.11 */
};

static const uint64_t TAG_WAKE = UINT64_MAX;

static struct epoll *epoll_of(struct backend *b) {
    return CONTAINER_OF(b, struct epoll, backend);
}

static void end(struct epoll *e, struct op *op, int32_t result) {
    op->result = result;
    list_push(&e->ended, &op->node);
}

/* --- Handles --- */

static int handles_grow(struct epoll *e, size_t fd) {
    size_t count = MAX(e->handles_count, (size_t)HANDLES_AT_START);
    while (count <= fd)
        count *= 2;
    struct ep_handle **grown =
        mem_resize(e->backend.cfg.mem, e->handles, count * sizeof(struct ep_handle *));
    if (grown == NULL)
        return -ENOMEM;
    memset(grown + e->handles_count, 0, (count - e->handles_count) * sizeof(struct ep_handle *));
    e->handles = grown;
    e->handles_count = count;
    return 0;
}

static int handle_get(struct epoll *e, int fd, struct ep_handle **ret_handle) {
    assert(fd >= 0);
    if ((size_t)fd >= e->handles_count) {
        int error = handles_grow(e, (size_t)fd);
        if (error < 0)
            return error;
    }
    struct ep_handle *h = e->handles[fd];
    if (h == NULL) {
        h = mem_alloc(e->backend.cfg.mem, sizeof(*h));
        if (h == NULL)
            return -ENOMEM;
        list_init(&h->node);
        list_init(&h->starved_node);
        list_init(&h->reads);
        list_init(&h->writes);
        list_init(&h->hangups);
        h->fd = fd;
        e->handles[fd] = h;
    }
    *ret_handle = h;
    return 0;
}

static int handle_register(struct epoll *e, struct ep_handle *h) {
    if (h->registered)
        return 0;
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET,
        .data.u64 = (uint64_t)h->generation << 32 | (uint32_t)h->fd,
    };
    if (epoll_ctl(e->fd, EPOLL_CTL_ADD, h->fd, &event) < 0)
        return -errno;
    h->registered = true;
    h->readable = false; /* the first event tells */
    h->writable = true;  /* a try tells as fast */
    h->must_drain = false;
    h->hung_up = false;
    return 0;
}

static void handle_forget(struct epoll *e, struct ep_handle *h) {
    assert(list_is_empty(&h->reads));
    assert(list_is_empty(&h->writes));
    assert(list_is_empty(&h->hangups));
    if (h->registered)
        (void)epoll_ctl(e->fd, EPOLL_CTL_DEL, h->fd, NULL);
    h->registered = false;
    h->generation++;
    list_remove(&h->node);
    list_remove(&h->starved_node);
}

static void handle_ready(struct epoll *e, struct ep_handle *h) {
    bool can_read = h->readable && !list_is_empty(&h->reads) && !list_is_linked(&h->starved_node);
    bool can_write = h->writable && !list_is_empty(&h->writes);
    if ((can_read || can_write) && !list_is_linked(&h->node))
        list_push(&e->ready, &h->node);
}

/* --- Starting --- */

static void end_list(struct epoll *e, struct list *ops, int32_t result) {
    struct list *node;
    while ((node = list_shift(ops)) != NULL)
        end(e, LIST_ENTRY(node, struct op, node), result);
}

/* Works without memory: a descriptor for which there never was any has nothing to forget. */
static void start_close(struct epoll *e, struct op *op) {
    if ((size_t)op->fd < e->handles_count && e->handles[op->fd] != NULL)
        handle_forget(e, e->handles[op->fd]);
    (void)close(op->fd); /* the descriptor is gone whatever it answers */
    end(e, op, 0);
}

static void start_connect(struct epoll *e, struct ep_handle *h, struct op *op) {
    union sock_name name;
    int len = sock_name_from(op->data, &name);
    if (len < 0) {
        end(e, op, len);
        return;
    }
    if (connect(op->fd, &name.sa, (socklen_t)len) == 0) {
        end(e, op, 0);
    } else if (errno == EINPROGRESS) {
        h->writable = false; /* until it has ended */
        list_push(&h->writes, &op->node);
    } else {
        end(e, op, -errno);
    }
}

/* A poll is about now, not about the last edge: its owner may have left something unread, or room.
 */
static void start_poll(struct epoll *e, struct ep_handle *h, struct op *op) {
    bool is_out = op->kind == OP_POLL_OUT;
    struct pollfd now = {.fd = op->fd, .events = is_out ? POLLOUT : POLLIN};
    if (poll(&now, 1, 0) > 0) {
        end(e, op, now.revents);
    } else if (is_out) {
        h->writable = false;
        list_push(&h->writes, &op->node);
    } else {
        h->readable = false;
        list_push(&h->reads, &op->node);
    }
}

static void start_on(struct epoll *e, struct ep_handle *h, struct op *op) {
    switch ((enum op_kind)op->kind) {
    case OP_ACCEPT:
    case OP_RECV:
    case OP_UDP_RECV:
        list_push(&h->reads, &op->node);
        break;
    case OP_SEND:
    case OP_UDP_SEND:
        list_push(&h->writes, &op->node);
        break;
    case OP_CONNECT:
        start_connect(e, h, op);
        break;
    case OP_POLL:
    case OP_POLL_OUT:
        start_poll(e, h, op);
        break;
    case OP_HANGUP:
        if (h->hung_up)
            end(e, op, 0);
        else
            list_push(&h->hangups, &op->node);
        break;
    case OP_CANCEL:
        end_list(e, &h->reads, -ECANCELED);
        end_list(e, &h->writes, -ECANCELED);
        end_list(e, &h->hangups, -ECANCELED);
        end(e, op, 0);
        break;
    case OP_CLOSE: /* see epoll_start() */
        break;
    }
    handle_ready(e, h);
}

static void epoll_start(struct backend *b, struct op *op) {
    struct epoll *e = epoll_of(b);
    if (op->kind == OP_CLOSE) {
        start_close(e, op);
        return;
    }
    struct ep_handle *h = NULL;
    int error = handle_get(e, op->fd, &h);
    if (error == 0 && op->kind != OP_CANCEL)
        error = handle_register(e, h);
    if (error < 0)
        end(e, op, error);
    else
        start_on(e, h, op);
}

/* --- Writing: where io_uring submits --- */

static int32_t send_slices(const struct op *op) {
    const struct slice *slices = op->data;
    struct iovec iov[SEND_SLICES_MAX];
    for (size_t i = 0; i < op->size; i++)
        iov[i] = sock_iovec_of(&slices[i]);
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = op->size};
    ssize_t n = sendmsg(op->fd, &msg, MSG_NOSIGNAL);
    return n < 0 ? -errno : (int32_t)n;
}

static int32_t send_dgrams(const struct op *op) {
    struct udp_out *out = op->data;
    sock_udp_out_prepare(out);
    ssize_t n = sendmsg(op->fd, &out->msg, MSG_NOSIGNAL);
    return n < 0 ? -errno : (int32_t)n;
}

static int32_t connect_result(const struct op *op) {
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(op->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        return -errno;
    return -error;
}

static void handle_write(struct epoll *e, struct ep_handle *h) {
    while (h->writable && !list_is_empty(&h->writes)) {
        struct op *op = LIST_ENTRY(h->writes.next, struct op, node);
        int32_t result;
        if (op->kind == OP_CONNECT)
            result = connect_result(op);
        else if (op->kind == OP_POLL_OUT)
            result = POLLOUT;
        else if (op->kind == OP_SEND)
            result = send_slices(op);
        else
            result = send_dgrams(op);
        if (result == -EAGAIN) {
            h->writable = false;
            return;
        }
        list_remove(&op->node);
        end(e, op, result);
    }
}

/* Slabs come back in callbacks and between turns, so asking before each wait is often enough. */
static void feed_starved(struct epoll *e) {
    if (list_is_empty(&e->starved))
        return;
    struct buf *slab = buf_new(e->backend.cfg.pool, BUF_64K, NULL);
    if (slab == NULL)
        return;
    (void)buf_unref(slab);
    struct list *node;
    while ((node = list_shift(&e->starved)) != NULL)
        handle_ready(e, LIST_ENTRY(node, struct ep_handle, starved_node));
}

static void epoll_submit(struct backend *b) {
    struct epoll *e = epoll_of(b);
    feed_starved(e);
    list_for_each (node, &e->ready) {
        handle_write(e, LIST_ENTRY(node, struct ep_handle, node));
    }
}

/* --- Waiting --- */

static int wait_timeout(struct epoll *e, struct epoll_event *events, nsec_t deadline) {
    nsec_t now = deadline == 0 || deadline == NSEC_NEVER ? 0 : sock_now(&e->backend);
    nsec_t left = deadline <= now ? 0 : deadline - now;
    if (!e->no_pwait2) {
        struct timespec ts = {.tv_sec = (time_t)(left / SEC(1)), .tv_nsec = (long)(left % SEC(1))};
        int n =
            epoll_pwait2(e->fd, events, EVENTS_PER_WAIT, deadline == NSEC_NEVER ? NULL : &ts, NULL);
        if (n >= 0 || errno != ENOSYS)
            return n;
        e->no_pwait2 = true;
    }
    /* Rounded up: a timer is never early. */
    int ms = (int)MIN((left + MSEC(1) - 1) / MSEC(1), (nsec_t)INT32_MAX);
    return epoll_wait(e->fd, events, EVENTS_PER_WAIT, deadline == NSEC_NEVER ? -1 : ms);
}

static void take_event(struct epoll *e, const struct epoll_event *event) {
    if (event->data.u64 == TAG_WAKE)
        return;
    struct ep_handle *h = e->handles[(uint32_t)event->data.u64];
    if (h->generation != (uint32_t)(event->data.u64 >> 32) || !h->registered)
        return;
    if (event->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        h->readable = true;
    if (event->events & (EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        h->must_drain = true;
    if (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        h->hung_up = true;
        end_list(e, &h->hangups, 0);
    }
    if (event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        h->writable = true;
    handle_ready(e, h);
}

static bool epoll_has_work(struct backend *b) {
    struct epoll *e = epoll_of(b);
    return !list_is_empty(&e->ready) || !list_is_empty(&e->ended);
}

static int epoll_wait_turn(struct backend *b, nsec_t deadline) {
    struct epoll *e = epoll_of(b);
    struct epoll_event events[EVENTS_PER_WAIT];
    epoll_submit(b);
    int n = wait_timeout(e, events, epoll_has_work(b) ? 0 : deadline);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++)
        take_event(e, &events[i]);
    return 0;
}

/* --- Reading: while completions are delivered --- */

/* False: nothing to read now. */
static bool read_stream(struct epoll *e, struct ep_handle *h, struct op *op) {
    struct recv_result *into = op->data;
    struct iovec iov[RECV_SLICES_MAX];
    size_t room = 0;
    uint32_t count = sock_slabs_lend(e->backend.cfg.pool, op->size, into);
    if (count == 0) {
        list_push(&e->starved, &h->starved_node);
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        iov[i] = sock_iovec_of(&into->slices[i]);
        room += into->slices[i].len;
    }
    into->lent_count = count;
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = count};
    ssize_t n = recvmsg(op->fd, &msg, 0);
    int error = errno;
    sock_slabs_keep(into, n);
    if (n < 0 && error == EAGAIN) {
        h->readable = false;
        return false;
    }
    /* A short read emptied the socket. */
    if (n > 0 && (size_t)n < room && !h->must_drain)
        h->readable = false;
    list_remove(&op->node);
    op_complete(op, n < 0 ? -error : (int32_t)n, 0);
    return true;
}

static bool read_accept(struct ep_handle *h, struct op *op) {
    int fd = accept4(op->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 && errno == EAGAIN) {
        h->readable = false;
        return false;
    }
    if (fd < 0)
        list_remove(&op->node);
    op_complete(op, fd < 0 ? -errno : fd, fd < 0 ? 0 : OP_MORE);
    return true;
}

static bool read_dgrams(struct epoll *e, struct ep_handle *h, struct op *op) {
    struct sockaddr_storage name;
    _Alignas(struct cmsghdr) uint8_t control[SOCK_UDP_CONTROL_BYTES];
    struct iovec iov = {.iov_base = e->dgram, .iov_len = DGRAM_BYTES_MAX};
    struct msghdr msg = {
        .msg_name = &name,
        .msg_namelen = sizeof(name),
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    ssize_t n = recvmsg(op->fd, &msg, 0);
    if (n < 0 && errno == EAGAIN) {
        h->readable = false;
        return false;
    }
    op->data = NULL;
    if (n < 0) {
        list_remove(&op->node);
        op_complete(op, -errno, 0);
        return true;
    }
    if (sock_udp_batch_read(&msg, e->dgram, (size_t)n, &e->batch) == 0)
        op->data = &e->batch;
    op_complete(op, (int32_t)n, OP_MORE);
    return true;
}

static bool read_one(struct epoll *e, struct ep_handle *h, struct op *op) {
    if (op->kind == OP_RECV)
        return read_stream(e, h, op);
    if (op->kind == OP_ACCEPT)
        return read_accept(h, op);
    if (op->kind == OP_UDP_RECV)
        return read_dgrams(e, h, op);
    assert(op->kind == OP_POLL);
    h->readable = false;
    list_remove(&op->node);
    op_complete(op, POLLIN, 0);
    return true;
}

/* A callback may start, cancel or close on the same handle, so the list is looked at afresh. */
static void handle_read(struct epoll *e, struct ep_handle *h) {
    for (int i = 0; i < READS_PER_TURN; i++) {
        if (!h->readable || list_is_empty(&h->reads) || list_is_linked(&h->starved_node))
            return;
        if (!read_one(e, h, LIST_ENTRY(h->reads.next, struct op, node)))
            return;
    }
}

static bool epoll_dispatch(struct backend *b) {
    struct epoll *e = epoll_of(b);
    bool any = epoll_has_work(b);
    struct list due;
    struct list *node;

    list_init(&due);
    list_splice(&due, &e->ended);
    while ((node = list_shift(&due)) != NULL) {
        struct op *op = LIST_ENTRY(node, struct op, node);
        op_complete(op, op->result, 0);
    }

    list_splice(&due, &e->ready);
    while ((node = list_shift(&due)) != NULL) {
        struct ep_handle *h = LIST_ENTRY(node, struct ep_handle, node);
        handle_read(e, h);
        handle_ready(e, h);
    }
    return any;
}

/* --- The rest --- */

static void epoll_wake(struct backend *b) {
    uint64_t one = 1;
    ssize_t n = write(epoll_of(b)->wake_fd, &one, sizeof(one));
    (void)n; /* it fails only when the counter is full of wakes that nobody has seen */
}

static int epoll_poll_fd(struct backend *b) {
    return epoll_of(b)->fd;
}

static int epoll_udp_open(struct backend *b, const struct net_addr *local) {
    struct epoll *e = epoll_of(b);
    if (e->dgram == NULL)
        e->dgram = mem_resize(b->cfg.mem, NULL, DGRAM_BYTES_MAX);
    return e->dgram == NULL ? -ENOMEM : sock_udp_open(b, local);
}

static void epoll_free(struct backend *b) {
    struct epoll *e = epoll_of(b);
    struct mem *mem = b->cfg.mem;
    for (size_t i = 0; i < e->handles_count; i++)
        (void)mem_free(mem, e->handles[i]);
    (void)mem_free(mem, e->handles);
    (void)mem_free(mem, e->dgram);
    if (e->wake_fd >= 0)
        (void)close(e->wake_fd);
    if (e->fd >= 0)
        (void)close(e->fd);
    (void)mem_free(mem, e);
}

static int open_descriptors(struct epoll *e) {
    e->fd = epoll_create1(EPOLL_CLOEXEC);
    if (e->fd < 0)
        return -errno;
    e->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (e->wake_fd < 0)
        return -errno;
    /* Edge-triggered: each write is an event, so the counter never needs to be read. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = TAG_WAKE};
    return epoll_ctl(e->fd, EPOLL_CTL_ADD, e->wake_fd, &event) < 0 ? -errno : 0;
}

static int epoll_open(const struct backend_config *cfg, struct backend **ret_backend) {
    struct epoll *e = mem_alloc(cfg->mem, sizeof(*e));
    if (e == NULL)
        return -ENOMEM;
    e->backend.type = &backend_epoll;
    e->backend.cfg = *cfg;
    e->backend.socket_flags = SOCK_NONBLOCK;
    e->backend.features.backend = "epoll";
    e->backend.features.udp_gso = sock_has_udp_gso();
    e->backend.features.udp_gro = sock_has_udp_gro();
    e->fd = -1;
    e->wake_fd = -1;
    list_init(&e->ready);
    list_init(&e->starved);
    list_init(&e->ended);
    int error = open_descriptors(e);
    if (error < 0) {
        epoll_free(&e->backend);
        return error;
    }
    *ret_backend = &e->backend;
    return 0;
}

const struct reactor_backend backend_epoll = {
    .name = "epoll",
    .open = epoll_open,
    .free = epoll_free,
    .start = epoll_start,
    .submit = epoll_submit,
    .wait = epoll_wait_turn,
    .dispatch = epoll_dispatch,
    .has_work = epoll_has_work,
    .wake = epoll_wake,
    .poll_fd = epoll_poll_fd,
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
    .udp_open = epoll_udp_open,
    .local_addr = sock_local_addr,
    .remote_addr = sock_remote_addr,
    .now = sock_now,
    .walltime = sock_walltime,
    .suspended = sock_suspended,
    .random = sock_random,
};
