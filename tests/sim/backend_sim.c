/* SPDX-License-Identifier: MIT */
#include "tests/sim/backend_sim.h"

#include <string.h>
#include <unistd.h>

#include "tests/sim/tcp_model.h"
#include "tests/sim/udp_model.h"
#include "uring/sock.h"

enum {
    /* Below are descriptors of the kernel's, which a reactor polls (signals). */
    HANDLE_FIRST = 1 << 20,
    READS_PER_TURN = 16,
    GRO_BYTES_MAX = 65507,
    GRO_SEGMENTS_MAX = 64,
    SHORT_IO_PPM = 300000,
};

#define WALLTIME_AT_START 1800000000

struct sim_handle {
    struct list proc_node;
    struct list ready_node; /* in ready, or in starved */
    struct list fresh_node;
    struct sim_backend *backend;
    struct sim_sock *sock; /* NULL: the process was killed */
    struct list reads;     /* operations that wait, in order */
    struct list writes;
    struct list hangups;
    struct net_addr bound; /* also after a kill */
    bool reset_on_close;
    int fd;
};

struct sim_backend {
    struct backend backend; /* first */
    struct sim_backend_config cfg;
    struct sim_handle **handles;
    size_t handles_count;
    struct list ready;   /* handles to look at */
    struct list fresh;   /* handles with writes that were started since */
    struct list starved; /* handles with bytes, but the pool had no slab for them */
    struct list ended;   /* operations whose result is known */
    struct byte_queue *pipes;
    size_t pipes_count;
    struct list foreign; /* polls of real descriptors, which nothing ends but a cancel */
    struct udp_batch batch;
    uint8_t dgrams[GRO_BYTES_MAX];
};

static struct sim_backend *of(struct backend *b) {
    return CONTAINER_OF(b, struct sim_backend, backend);
}

static struct world *world_of(const struct sim_backend *s) {
    return s->cfg.proc->host->net->world;
}

static void end(struct sim_backend *s, struct op *op, int32_t result) {
    op->result = result;
    list_push(&s->ended, &op->node);
}

static void end_list(struct sim_backend *s, struct list *ops, int32_t result) {
    struct list *node;
    while ((node = list_shift(ops)) != NULL)
        end(s, LIST_ENTRY(node, struct op, node), result);
}

/* --- Handles --- */

static struct sim_handle *handle_of(struct sim_backend *s, int fd) {
    assert(fd >= HANDLE_FIRST);
    assert((size_t)(fd - HANDLE_FIRST) < s->handles_count);
    struct sim_handle *h = s->handles[fd - HANDLE_FIRST];
    assert(h != NULL);
    return h;
}

static void on_sock_changed(struct sim_sock *sock, void *user) {
    struct sim_handle *h = user;
    (void)sock;
    if (!list_is_linked(&h->ready_node))
        list_push(&h->backend->ready, &h->ready_node);
    proc_wake(h->backend->cfg.proc);
}

static int handle_new(struct sim_backend *s, struct sim_sock *sock) {
    size_t i = 0;
    while (i < s->handles_count && s->handles[i] != NULL)
        i++;
    if (i == s->handles_count) {
        s->handles_count = MAX((size_t)16, 2 * s->handles_count);
        s->handles = sim_resize(s->handles, s->handles_count * sizeof(s->handles[0]));
        memset(s->handles + i, 0, (s->handles_count - i) * sizeof(s->handles[0]));
    }
    struct sim_handle *h = sim_alloc(sizeof(*h));
    list_init(&h->proc_node);
    list_init(&h->ready_node);
    list_init(&h->fresh_node);
    list_init(&h->reads);
    list_init(&h->writes);
    list_init(&h->hangups);
    list_push(&s->cfg.proc->handles, &h->proc_node);
    h->backend = s;
    h->sock = sock;
    h->fd = HANDLE_FIRST + (int)i;
    s->handles[i] = h;
    if (sock != NULL) {
        h->bound = sock->local;
        sock->changed = on_sock_changed;
        sock->user = h;
    }
    return h->fd;
}

static void sock_free(struct sim_sock *sock, bool reset) {
    if (sock->kind == SOCK_UDP)
        udp_close_sock(udp_of(sock));
    else if (sock->kind == SOCK_LISTENER)
        tcp_close_listener(listener_of(sock));
    else
        tcp_close_sock(tcp_of(sock), reset);
}

static void handle_free(struct sim_backend *s, struct sim_handle *h) {
    assert(list_is_empty(&h->reads));
    assert(list_is_empty(&h->writes));
    assert(list_is_empty(&h->hangups));
    if (h->sock != NULL)
        sock_free(h->sock, h->reset_on_close);
    list_remove(&h->proc_node);
    list_remove(&h->ready_node);
    list_remove(&h->fresh_node);
    s->handles[h->fd - HANDLE_FIRST] = NULL;
    sim_free(h);
}

void sim_backend_kill(struct sim_proc *p, bool silently) {
    list_for_each (node, &p->handles) {
        struct sim_handle *h = LIST_ENTRY(node, struct sim_handle, proc_node);
        if (h->sock == NULL)
            continue;
        h->sock->changed = NULL;
        if (silently && h->sock->kind == SOCK_TCP)
            tcp_drop(h->sock);
        else
            sock_free(h->sock, true);
        h->sock = NULL;
    }
}

/* --- What is done at once, if it can be --- */

static size_t some_of(struct sim_backend *s, size_t n) {
    struct sim_rand *r = &s->cfg.proc->latency;
    if (n > 1 && s->cfg.short_io && sim_rand_chance(r, SHORT_IO_PPM))
        return 1 + sim_rand_below(r, n - 1);
    return n;
}

static int32_t send_slices(struct sim_backend *s, struct sim_tcp *t, const struct op *op) {
    const struct slice *slices = op->data;
    size_t taken = 0;
    for (size_t i = 0; i < op->size; i++) {
        size_t want = some_of(s, slices[i].len);
        ssize_t n = tcp_write_sock(t, slices[i].data, want);
        if (n < 0)
            return taken > 0 ? (int32_t)taken : (int32_t)n;
        taken += (size_t)n;
        if ((size_t)n < slices[i].len)
            break;
    }
    return (int32_t)taken;
}

static int32_t send_dgrams(struct sim_udp *u, const struct udp_out *out) {
    if (out->segment_len < out->len &&
        out->segment_len >
            net_payload_max(u->sock.host->net, u->sock.host, &out->remote, PROTO_UDP))
        return -EINVAL;
    for (size_t at = 0; at < out->len; at += out->segment_len) {
        int e = udp_send_one(u, &out->local, &out->remote, out->ecn, out->data + at,
                             MIN(out->segment_len, out->len - at));
        if (e < 0)
            return e;
    }
    return (int32_t)out->len;
}

/* -EAGAIN: it waits. */
static int32_t try_write(struct sim_backend *s, struct sim_handle *h, struct op *op) {
    if (op->kind == OP_UDP_SEND) {
        const struct udp_out *out = op->data;
        return h->sock == NULL ? (int32_t)out->len : send_dgrams(udp_of(h->sock), out);
    }
    if (h->sock == NULL)
        return -EAGAIN;
    if (op->kind == OP_CONNECT) {
        int e = tcp_connect_result(tcp_of(h->sock));
        return e == -EINPROGRESS ? -EAGAIN : e;
    }
    if (op->kind == OP_POLL_OUT)
        return tcp_can_write(tcp_of(h->sock)) ? 0 : -EAGAIN;
    return send_slices(s, tcp_of(h->sock), op);
}

static void writes_try(struct sim_backend *s, struct sim_handle *h) {
    while (!list_is_empty(&h->writes)) {
        struct op *op = LIST_ENTRY(h->writes.next, struct op, node);
        int32_t result = try_write(s, h, op);
        if (result == -EAGAIN)
            return;
        list_remove(&op->node);
        end(s, op, result);
    }
}

static void hangups_try(struct sim_backend *s, struct sim_handle *h) {
    if (h->sock != NULL && h->sock->kind == SOCK_TCP && tcp_is_hung_up(tcp_of(h->sock)))
        end_list(s, &h->hangups, 0);
}

static void ready(struct sim_backend *s, struct sim_handle *h) {
    if (!list_is_linked(&h->ready_node))
        list_push(&s->ready, &h->ready_node);
}

static void connect_start(struct sim_backend *s, struct sim_handle *h, struct op *op) {
    const struct sock_addr *to = op->data;
    int e = 0;
    if (to->ip.family == NET_NONE)
        e = -EAFNOSUPPORT;
    else if (h->sock != NULL)
        e = tcp_connect_sock(tcp_of(h->sock), &to->ip);
    if (e < 0) {
        end(s, op, e);
        return;
    }
    if (h->sock != NULL) {
        tcp_keep_alive(tcp_of(h->sock));
        h->bound = h->sock->local;
    }
    list_push(&h->writes, &op->node);
}

static void start_on(struct sim_backend *s, struct sim_handle *h, struct op *op) {
    switch ((enum op_kind)op->kind) {
    case OP_ACCEPT:
    case OP_RECV:
    case OP_UDP_RECV:
    case OP_POLL:
        list_push(&h->reads, &op->node);
        ready(s, h);
        break;
    case OP_SEND:
    case OP_POLL_OUT:
    case OP_UDP_SEND:
        list_push(&h->writes, &op->node);
        if (!list_is_linked(&h->fresh_node))
            list_push(&s->fresh, &h->fresh_node);
        break;
    case OP_CONNECT:
        connect_start(s, h, op);
        break;
    case OP_HANGUP:
        list_push(&h->hangups, &op->node);
        hangups_try(s, h);
        break;
    case OP_CANCEL:
        end_list(s, &h->reads, -ECANCELED);
        end_list(s, &h->writes, -ECANCELED);
        end_list(s, &h->hangups, -ECANCELED);
        end(s, op, 0);
        break;
    case OP_CLOSE:
        handle_free(s, h);
        end(s, op, 0);
        break;
    }
}

/* A real descriptor: only the reactor's signals have one, and no signal comes here. */
static void start_foreign(struct sim_backend *s, struct op *op) {
    if (op->kind == OP_POLL) {
        list_push(&s->foreign, &op->node);
        return;
    }
    if (op->kind == OP_CLOSE)
        (void)close(op->fd);
    list_for_each_safe (node, &s->foreign) {
        struct op *other = LIST_ENTRY(node, struct op, node);
        if (op->kind == OP_CANCEL && other->fd == op->fd) {
            list_remove(node);
            end(s, other, -ECANCELED);
        }
    }
    end(s, op, 0);
}

static void sim_start(struct backend *b, struct op *op) {
    struct sim_backend *s = of(b);
    if (op->fd < HANDLE_FIRST)
        start_foreign(s, op);
    else
        start_on(s, handle_of(s, op->fd), op);
}

/* Here and not when it is started: an error that a write finds is then told before the end that a
 * read finds after it, as on a kernel. */
static void sim_submit(struct backend *b) {
    struct sim_backend *s = of(b);
    struct list *node;
    while ((node = list_shift(&s->fresh)) != NULL)
        writes_try(s, LIST_ENTRY(node, struct sim_handle, fresh_node));
}

/* --- Reading: while completions are delivered --- */

/* False: nothing to read now. */
static bool read_stream(struct sim_backend *s, struct sim_handle *h, struct op *op) {
    struct sim_tcp *t = tcp_of(h->sock);
    struct recv_result *into = op->data;
    if (!tcp_can_read(t))
        return false;
    uint32_t count = sock_slabs_lend(s->backend.cfg.pool, op->size, into);
    if (count == 0) {
        list_push(&s->starved, &h->ready_node);
        return false;
    }
    into->lent_count = count;
    ssize_t total = 0;
    /* The end, or an error, is for the next read. */
    for (uint32_t i = 0; i < count && (i == 0 || t->in.len > 0); i++) {
        size_t want = some_of(s, into->slices[i].len);
        ssize_t n = tcp_read_sock(t, into->slices[i].data, want);
        if (n <= 0) {
            total = total > 0 ? total : n;
            break;
        }
        total += n;
        if ((size_t)n < into->slices[i].len)
            break;
    }
    assert(total != -EAGAIN);
    sock_slabs_keep(into, total);
    list_remove(&op->node);
    op_complete(op, (int32_t)total, 0);
    return true;
}

static bool read_accept(struct sim_backend *s, struct sim_handle *h, struct op *op) {
    struct sim_tcp *t = tcp_accept_sock(listener_of(h->sock));
    if (t == NULL)
        return false;
    if (!t->broken)
        tcp_keep_alive(t);
    op_complete(op, handle_new(s, &t->sock), OP_MORE);
    return true;
}

/* What a kernel with GRO hands over at once. */
static bool joins(const struct sim_backend *s, const struct udp_batch *b, const struct packet *p) {
    return !s->cfg.no_gro && net_addr_equal(&b->remote, &p->src) &&
           net_addr_ip_equal(&b->local, &p->dst) && b->ecn == p->ecn && p->len <= b->segment_len &&
           b->len % b->segment_len == 0 && b->len + p->len <= GRO_BYTES_MAX &&
           b->len / b->segment_len < GRO_SEGMENTS_MAX;
}

static bool read_dgrams(struct sim_backend *s, struct sim_handle *h, struct op *op) {
    struct sim_udp *u = udp_of(h->sock);
    if (list_is_empty(&u->queue))
        return false;
    struct udp_batch *b = &s->batch;
    *b = (struct udp_batch){.data = s->dgrams};
    while (!list_is_empty(&u->queue)) {
        struct packet *p = LIST_ENTRY(u->queue.next, struct packet, node);
        if (b->len > 0 && !joins(s, b, p))
            break;
        if (b->len == 0) {
            b->remote = p->src;
            b->local = p->dst;
            b->ecn = p->ecn;
            b->segment_len = p->len;
        }
        memcpy(s->dgrams + b->len, p->data, p->len);
        b->len += p->len;
        u->queued_bytes -= p->len + UDP_PACKET_COST;
        bool was_short = p->len < b->segment_len;
        packet_free(p);
        if (was_short || b->segment_len == 0)
            break;
    }
    op->data = b;
    op_complete(op, (int32_t)b->len, OP_MORE);
    return true;
}

static bool read_one(struct sim_backend *s, struct sim_handle *h, struct op *op) {
    if (op->kind == OP_RECV)
        return read_stream(s, h, op);
    if (op->kind == OP_ACCEPT)
        return read_accept(s, h, op);
    if (op->kind == OP_POLL) {
        list_remove(&op->node);
        op_complete(op, 0, 0);
        return true;
    }
    assert(op->kind == OP_UDP_RECV);
    return read_dgrams(s, h, op);
}

static bool can_read(const struct sim_handle *h) {
    if (h->sock == NULL || list_is_empty(&h->reads))
        return false;
    if (h->sock->kind == SOCK_UDP)
        return !list_is_empty(&udp_of(h->sock)->queue);
    if (h->sock->kind == SOCK_LISTENER)
        return !list_is_empty(&listener_of(h->sock)->waiting);
    return tcp_can_read(tcp_of(h->sock));
}

/* A callback may start, cancel or close on the same handle, so it is looked up afresh. */
static void handle_read(struct sim_backend *s, int fd) {
    for (int i = 0; i < READS_PER_TURN; i++) {
        struct sim_handle *h = s->handles[fd - HANDLE_FIRST];
        if (h == NULL || !can_read(h))
            return;
        if (!read_one(s, h, LIST_ENTRY(h->reads.next, struct op, node)))
            break;
    }
    struct sim_handle *h = s->handles[fd - HANDLE_FIRST];
    if (h != NULL && can_read(h))
        ready(s, h); /* not when it is among the starved */
}

static bool sim_has_work(struct backend *b) {
    struct sim_backend *s = of(b);
    return !list_is_empty(&s->ended) || !list_is_empty(&s->ready) || !list_is_empty(&s->fresh);
}

static bool sim_dispatch(struct backend *b) {
    struct sim_backend *s = of(b);
    bool any = sim_has_work(b);
    struct list due;
    struct list handles;
    struct list *node;

    list_init(&due);
    list_init(&handles);
    list_splice(&handles, &s->ready);
    list_for_each (at, &handles) {
        struct sim_handle *h = LIST_ENTRY(at, struct sim_handle, ready_node);
        writes_try(s, h);
        hangups_try(s, h);
    }
    list_splice(&due, &s->ended);
    while ((node = list_shift(&due)) != NULL) {
        struct op *op = LIST_ENTRY(node, struct op, node);
        op_complete(op, op->result, 0);
    }
    while ((node = list_shift(&handles)) != NULL)
        handle_read(s, LIST_ENTRY(node, struct sim_handle, ready_node)->fd);
    return any;
}

/* Slabs come back in callbacks and between turns, so asking before each wait is often enough. */
static void feed_starved(struct sim_backend *s) {
    if (list_is_empty(&s->starved))
        return;
    struct buf *slab = buf_new(s->backend.cfg.pool, BUF_64K, NULL);
    if (slab == NULL)
        return;
    (void)buf_unref(slab);
    list_splice(&s->ready, &s->starved);
}

static int sim_wait(struct backend *b, nsec_t deadline) {
    struct sim_backend *s = of(b);
    feed_starved(s);
    sim_submit(b);
    proc_wait(s->cfg.proc, sim_has_work(b) ? 0 : deadline);
    return 0;
}

static void sim_wake(struct backend *b) {
    proc_wake(of(b)->cfg.proc);
}

static int sim_poll_fd(struct backend *b) {
    (void)b;
    return -1;
}

/* --- Plain calls --- */

static int sim_stream_open(struct backend *b, const struct sock_addr *peer) {
    struct sim_backend *s = of(b);
    if (peer->ip.family == NET_NONE)
        return -EAFNOSUPPORT; /* no Unix sockets here */
    return handle_new(s, s->cfg.proc->is_dead ? NULL : &tcp_new_sock(s->cfg.proc->host)->sock);
}

static int sim_stream_bind(struct backend *b, int fd, const struct sock_addr *local) {
    struct sim_handle *h = handle_of(of(b), fd);
    if (h->sock == NULL)
        return 0;
    return sock_bind(h->sock, &local->ip);
}

static int sim_stream_listen(struct backend *b, const struct sock_addr *at) {
    struct sim_backend *s = of(b);
    struct sim_listener *l = NULL;
    if (at->ip.family == NET_NONE)
        return -EAFNOSUPPORT;
    if (s->cfg.proc->is_dead)
        return handle_new(s, NULL);
    int e = tcp_listen_sock(s->cfg.proc->host, &at->ip, &l);
    return e < 0 ? e : handle_new(s, &l->sock);
}

static int sim_shutdown_write(struct backend *b, int fd) {
    struct sim_handle *h = handle_of(of(b), fd);
    return h->sock == NULL ? 0 : tcp_shutdown_sock(tcp_of(h->sock));
}

static int sim_stream_error(struct backend *b, int fd) {
    struct sim_handle *h = handle_of(of(b), fd);
    return h->sock == NULL ? 0 : tcp_take_error(tcp_of(h->sock));
}

static int sim_stream_acked(struct backend *b, int fd, uint64_t *ret_bytes, nsec_t *ret_at) {
    struct sim_backend *s = of(b);
    struct sim_handle *h = handle_of(s, fd);
    if (h->sock == NULL || h->sock->kind != SOCK_TCP || tcp_of(h->sock)->state != TCPS_OPEN)
        return -ENOTSUP;
    *ret_bytes = tcp_of(h->sock)->snd_una;
    *ret_at = tcp_of(h->sock)->heard_at + s->cfg.proc->clock_offset;
    return 0;
}

static ssize_t sim_stream_unsent(struct backend *b, int fd) {
    struct sim_handle *h = handle_of(of(b), fd);
    if (h->sock == NULL || h->sock->kind != SOCK_TCP || tcp_of(h->sock)->state != TCPS_OPEN)
        return -ENOTSUP;
    return (ssize_t)tcp_unsent_bytes(tcp_of(h->sock));
}

/* A place in the table is a pipe's, or free: its queue has no memory then. */
static int sim_pipe_open(struct backend *b, int from, int to, struct stream_pipe *ret_pipe) {
    struct sim_backend *s = of(b);
    size_t i = 0;
    (void)from;
    (void)to;
    while (i < s->pipes_count && s->pipes[i].data != NULL)
        i++;
    if (i == s->pipes_count) {
        s->pipes_count = MAX((size_t)16, 2 * s->pipes_count);
        s->pipes = sim_resize(s->pipes, s->pipes_count * sizeof(s->pipes[0]));
        memset(s->pipes + i, 0, (s->pipes_count - i) * sizeof(s->pipes[0]));
    }
    byte_queue_add(&s->pipes[i], "", 1); /* takes the place */
    byte_queue_drop(&s->pipes[i], 1);
    *ret_pipe = (struct stream_pipe){.in = (int)i, .out = (int)i};
    return 0;
}

static void sim_pipe_close(struct backend *b, struct stream_pipe *pipe) {
    byte_queue_done(&of(b)->pipes[pipe->in]);
}

static ssize_t sim_pipe_fill(struct backend *b, const struct stream_pipe *pipe, int from,
                             size_t max) {
    struct sim_backend *s = of(b);
    struct sim_handle *h = handle_of(s, from);
    uint8_t bytes[4096];
    if (h->sock == NULL)
        return -EAGAIN;
    ssize_t n = tcp_read_sock(tcp_of(h->sock), bytes, some_of(s, MIN(max, sizeof(bytes))));
    if (n > 0)
        byte_queue_add(&s->pipes[pipe->in], bytes, (size_t)n);
    return n;
}

static ssize_t sim_pipe_drain(struct backend *b, const struct stream_pipe *pipe, int to,
                              size_t held) {
    struct sim_backend *s = of(b);
    struct sim_handle *h = handle_of(s, to);
    struct byte_queue *q = &s->pipes[pipe->out];
    assert(q->len == held);
    if (h->sock == NULL)
        return -EAGAIN;
    ssize_t n = tcp_write_sock(tcp_of(h->sock), byte_queue_at(q, 0), some_of(s, held));
    if (n > 0)
        byte_queue_drop(q, (size_t)n);
    return n;
}

static void sim_pipe_drop(struct backend *b, const struct stream_pipe *pipe, size_t held) {
    struct byte_queue *q = &of(b)->pipes[pipe->out];
    assert(q->len == held);
    byte_queue_drop(q, held);
}

static void sim_reset_on_close(struct backend *b, int fd) {
    handle_of(of(b), fd)->reset_on_close = true;
}

static void sim_handle_close(struct backend *b, int fd) {
    handle_free(of(b), handle_of(of(b), fd));
}

static int sim_udp_open(struct backend *b, const struct net_addr *local) {
    struct sim_backend *s = of(b);
    struct sim_udp *u = NULL;
    if (s->cfg.proc->is_dead) {
        int fd = handle_new(s, NULL);
        handle_of(s, fd)->bound = *local;
        return fd;
    }
    int e = udp_open_sock(s->cfg.proc->host, local, &u);
    return e < 0 ? e : handle_new(s, &u->sock);
}

static int sim_local_addr(struct backend *b, int fd, struct sock_addr *ret_addr) {
    struct sim_handle *h = handle_of(of(b), fd);
    *ret_addr = (struct sock_addr){.ip = h->sock == NULL ? h->bound : h->sock->local};
    return 0;
}

static int sim_remote_addr(struct backend *b, int fd, struct sock_addr *ret_addr) {
    struct sim_handle *h = handle_of(of(b), fd);
    if (h->sock == NULL || h->sock->kind != SOCK_TCP || tcp_of(h->sock)->state != TCPS_OPEN)
        return -ENOTCONN;
    *ret_addr = (struct sock_addr){.ip = tcp_of(h->sock)->remote};
    return 0;
}

/* --- The world --- */

static nsec_t sim_now(struct backend *b) {
    return proc_now(of(b)->cfg.proc);
}

static walltime_t sim_walltime(struct backend *b) {
    return WALLTIME_AT_START + (walltime_t)(world_of(of(b))->now / SEC(1));
}

static int64_t sim_suspended(struct backend *b) {
    (void)b;
    return 0;
}

static void sim_random(struct backend *b, void *out, size_t size) {
    rng_fill(&of(b)->cfg.proc->rand.rng, out, size);
}

static int sim_offload(struct backend *b, void (*run)(void *context), void *context) {
    (void)b;
    run(context); /* what it posts is delivered in the next turn */
    return 0;
}

static void sim_backend_free(struct backend *b) {
    struct sim_backend *s = of(b);
    assert(list_is_empty(&s->ended));
    assert(list_is_empty(&s->foreign));
    for (size_t i = 0; i < s->handles_count; i++)
        assert(s->handles[i] == NULL);
    for (size_t i = 0; i < s->pipes_count; i++)
        assert(s->pipes[i].data == NULL);
    sim_free(s->pipes);
    sim_free(s->handles);
    sim_free(s);
}

static int sim_open(const struct backend_config *cfg, struct backend **ret_backend) {
    struct sim_backend *s = sim_alloc(sizeof(*s));
    s->cfg = *(const struct sim_backend_config *)cfg->context;
    s->backend.type = &backend_sim;
    s->backend.cfg = *cfg;
    s->backend.features.backend = "sim";
    s->backend.features.udp_gso = !s->cfg.no_gso;
    s->backend.features.udp_gro = !s->cfg.no_gro;
    list_init(&s->ready);
    list_init(&s->starved);
    list_init(&s->fresh);
    list_init(&s->ended);
    list_init(&s->foreign);
    *ret_backend = &s->backend;
    return 0;
}

const struct reactor_backend backend_sim = {
    .name = "sim",
    .open = sim_open,
    .free = sim_backend_free,
    .start = sim_start,
    .submit = sim_submit,
    .wait = sim_wait,
    .dispatch = sim_dispatch,
    .has_work = sim_has_work,
    .wake = sim_wake,
    .poll_fd = sim_poll_fd,
    .stream_open = sim_stream_open,
    .stream_bind = sim_stream_bind,
    .stream_listen = sim_stream_listen,
    .shutdown_write = sim_shutdown_write,
    .stream_error = sim_stream_error,
    .stream_acked = sim_stream_acked,
    .stream_unsent = sim_stream_unsent,
    .pipe_open = sim_pipe_open,
    .pipe_close = sim_pipe_close,
    .pipe_fill = sim_pipe_fill,
    .pipe_drain = sim_pipe_drain,
    .pipe_drop = sim_pipe_drop,
    .reset_on_close = sim_reset_on_close,
    .handle_close = sim_handle_close,
    .udp_open = sim_udp_open,
    .local_addr = sim_local_addr,
    .remote_addr = sim_remote_addr,
    .now = sim_now,
    .walltime = sim_walltime,
    .suspended = sim_suspended,
    .random = sim_random,
    .offload = sim_offload,
};
