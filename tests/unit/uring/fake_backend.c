/* SPDX-License-Identifier: MIT */
#include "fake_backend.h"

#include <unistd.h>

/* Below are descriptors of the kernel's, which a reactor watches. */
enum { HANDLE_FIRST = 1 << 20 };

static struct fake *fake_of(struct backend *b) {
    return CONTAINER_OF(b, struct fake, backend);
}

/* --- Operations --- */

static void take_out(struct fake *f, size_t i) {
    f->flying[i] = f->flying[--f->flying_count];
}

static void end(struct fake *f, struct op *op, int32_t result) {
    cr_assert(f->ended_count < FAKE_OPS_MAX);
    op->result = result;
    f->ended[f->ended_count++] = op;
}

static void cancel(struct fake *f, struct op *cancel_op) {
    f->cancels++;
    for (size_t i = 0; i < f->flying_count;) {
        if (f->flying[i]->fd == cancel_op->fd && !f->cancel_misses) {
            end(f, f->flying[i], -ECANCELED);
            take_out(f, i);
        } else {
            i++;
        }
    }
    end(f, cancel_op, 0);
}

static void fake_start(struct backend *b, struct op *op) {
    struct fake *f = fake_of(b);
    if (op->kind == OP_CANCEL) {
        cancel(f, op);
    } else if (op->kind == OP_CLOSE) {
        if (op->fd < HANDLE_FIRST)
            cr_assert_eq(close(op->fd), 0);
        else
            f->handles_open--;
        end(f, op, 0);
    } else {
        cr_assert(f->flying_count < FAKE_OPS_MAX);
        f->flying[f->flying_count++] = op;
    }
}

static void fake_submit(struct backend *b) {
    (void)b;
}

static int fake_wait(struct backend *b, nsec_t deadline) {
    struct fake *f = fake_of(b);
    if (deadline != NSEC_NEVER && deadline > f->now && f->ended_count == 0)
        f->now = deadline;
    return 0;
}

static bool fake_has_work(struct backend *b) {
    return fake_of(b)->ended_count > 0;
}

static bool fake_dispatch(struct backend *b) {
    struct fake *f = fake_of(b);
    struct op *ended[FAKE_OPS_MAX];
    size_t count = f->ended_count;
    memcpy(ended, f->ended, sizeof(ended));
    f->ended_count = 0;
    for (size_t i = 0; i < count; i++)
        op_complete(ended[i], ended[i]->result, 0);
    return count > 0;
}

static void fake_wake(struct backend *b) {
    (void)b;
}

static int fake_poll_fd(struct backend *b) {
    (void)b;
    return -1;
}

/* --- Handles --- */

static int handle_new(struct fake *f) {
    f->handles_open++;
    return HANDLE_FIRST + f->handles_next++;
}

static int fake_stream_open(struct backend *b, const struct sock_addr *peer) {
    (void)peer;
    return handle_new(fake_of(b));
}

static int fake_stream_bind(struct backend *b, int fd, const struct sock_addr *local) {
    (void)b;
    (void)fd;
    return local->ip.port == 1 ? -EACCES : 0;
}

static int fake_shutdown_write(struct backend *b, int fd) {
    (void)fd;
    fake_of(b)->shutdowns++;
    return 0;
}

static int fake_stream_error(struct backend *b, int fd) {
    (void)fd;
    return fake_of(b)->stream_error;
}

static int fake_stream_acked(struct backend *b, int fd, uint64_t *ret_bytes, nsec_t *ret_at) {
    (void)b;
    (void)fd;
    (void)ret_bytes;
    (void)ret_at;
    return -ENOTSUP;
}

static ssize_t fake_stream_unsent(struct backend *b, int fd) {
    (void)b;
    (void)fd;
    return -ENOTSUP;
}

static void fake_reset_on_close(struct backend *b, int fd) {
    (void)fd;
    fake_of(b)->resets++;
}

static void fake_handle_close(struct backend *b, int fd) {
    (void)fd;
    fake_of(b)->handles_open--;
}

static int fake_udp_open(struct backend *b, const struct net_addr *local) {
    (void)local;
    return fake_of(b)->udp_error < 0 ? fake_of(b)->udp_error : handle_new(fake_of(b));
}

static int fake_addr(struct backend *b, int fd, struct sock_addr *ret_addr) {
    (void)b;
    *ret_addr = (struct sock_addr){.ip = {.family = NET_IP4, .ip = {192, 0, 2, 1}}};
    ret_addr->ip.port = (uint16_t)(1000 + fd - HANDLE_FIRST);
    return 0;
}

/* --- The world --- */

static nsec_t fake_now(struct backend *b) {
    return fake_of(b)->now;
}

static walltime_t fake_walltime(struct backend *b) {
    (void)b;
    return 1000000000;
}

static int64_t fake_suspended(struct backend *b) {
    return fake_of(b)->suspended;
}

static void fake_random(struct backend *b, void *out, size_t size) {
    /* The same in every run, and never the same twice: connection IDs must differ. */
    uint64_t *state = &fake_of(b)->random_state;
    for (size_t i = 0; i < size; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)out)[i] = (uint8_t)(*state >> 56);
    }
}

static int fake_offload(struct backend *b, void (*run)(void *context), void *context) {
    (void)b;
    run(context);
    return 0;
}

static void fake_backend_free(struct backend *b) {
    struct fake *f = fake_of(b);
    cr_expect_eq(f->handles_open, 0);
    cr_expect_eq(f->flying_count, 0u);
    mem_free(b->cfg.mem, f);
}

static const struct reactor_backend fake_type;

static int fake_open(const struct backend_config *cfg, struct backend **ret_backend) {
    struct fake *f = mem_alloc(cfg->mem, sizeof(*f));
    if (f == NULL)
        return -ENOMEM;
    f->backend.type = &fake_type;
    f->backend.cfg = *cfg;
    f->backend.features.backend = "fake";
    f->backend.features.udp_gso = true;
    f->now = SEC(1);
    *(struct fake **)cfg->context = f;
    *ret_backend = &f->backend;
    return 0;
}

static const struct reactor_backend fake_type = {
    .name = "fake",
    .open = fake_open,
    .free = fake_backend_free,
    .start = fake_start,
    .submit = fake_submit,
    .wait = fake_wait,
    .dispatch = fake_dispatch,
    .has_work = fake_has_work,
    .wake = fake_wake,
    .poll_fd = fake_poll_fd,
    .stream_open = fake_stream_open,
    .stream_bind = fake_stream_bind,
    .stream_listen = fake_stream_open,
    .shutdown_write = fake_shutdown_write,
    .stream_error = fake_stream_error,
    .stream_acked = fake_stream_acked,
    .stream_unsent = fake_stream_unsent,
    .reset_on_close = fake_reset_on_close,
    .handle_close = fake_handle_close,
    .udp_open = fake_udp_open,
    .local_addr = fake_addr,
    .remote_addr = fake_addr,
    .now = fake_now,
    .walltime = fake_walltime,
    .suspended = fake_suspended,
    .random = fake_random,
    .offload = fake_offload,
};

/* --- For tests --- */

struct fake *fake_new_with(struct reactor **ret_reactor, struct mem *mem, struct log *log) {
    struct fake *f = NULL;
    struct reactor_config cfg = {
        .mem = mem, .log = log, .backend = &fake_type, .backend_context = &f};
    int e = reactor_new(&cfg, ret_reactor);
    cr_assert(e == 0 || e == -ENOMEM, "%d", e);
    return e == 0 ? f : NULL;
}

struct fake *fake_new(struct reactor **ret_reactor) {
    struct fake *f = fake_new_with(ret_reactor, mem_system(), NULL);
    cr_assert_not_null(f);
    return f;
}

void fake_free(struct reactor *r) {
    for (int i = 0; i < 4; i++)
        fake_turn(r);
    reactor_free(r);
}

void fake_turn(struct reactor *r) {
    cr_assert_eq(reactor_turn(r, 0), 0);
}

static size_t find(struct fake *f, enum op_kind kind) {
    size_t i = 0;
    while (i < f->flying_count && f->flying[i]->kind != kind)
        i++;
    return i;
}

bool fake_has(struct fake *f, enum op_kind kind) {
    return find(f, kind) < f->flying_count;
}

struct op *fake_find(struct fake *f, enum op_kind kind) {
    cr_assert(fake_has(f, kind), "no operation of kind %d is in flight", (int)kind);
    return f->flying[find(f, kind)];
}

void fake_end(struct reactor *r, struct fake *f, enum op_kind kind, int32_t result) {
    struct op *op = fake_find(f, kind);
    take_out(f, find(f, kind));
    end(f, op, result);
    fake_turn(r);
}

void fake_more(struct reactor *r, struct fake *f, enum op_kind kind, int32_t result) {
    op_complete(fake_find(f, kind), result, OP_MORE);
    fake_turn(r);
}
