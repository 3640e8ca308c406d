/* SPDX-License-Identifier: MIT */

/* What the reactor costs, without protocols on top: Gbit/s per CPU-second of its thread.
 *
 *   peerup-bench-reactor [SECONDS]
 *
 *   tcp pump   source thread -> TCP -> reactor -> TCP -> sink thread, over loopback
 *   tcp echo   64 bytes there and back, one at a time, from a blocking thread
 *   udp        one socket to another on one reactor, 40 segments of 1,350 bytes a batch
 *
 * The source and the sink are plain blocking threads whose time is not counted. */

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "uring/reactor.h"
#include "uring/tcp.h"
#include "uring/udp.h"

enum {
    SOURCE_BYTES = 256 << 10,
    PUMP_SLICES_MAX = TCP_WRITE_SLICES_MAX,
    UDP_SEGMENT_BYTES = 1350,
    UDP_SEGMENTS = 40,
    UDP_IN_FLIGHT = 8,
};

struct run {
    const char *backend;
    nsec_t length;
    struct reactor *reactor;
    struct timer timer;
    double wall; /* seconds, after run_turns() */
    double cpu;
    uint64_t bytes;
    bool ending;
};

static void fatal(const char *what, int error) {
    fprintf(stderr, "%s: error %d\n", what, error);
    exit(1);
}

static nsec_t cpu_now(void) {
    struct timespec ts;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return SEC((nsec_t)ts.tv_sec) + (nsec_t)ts.tv_nsec;
}

static void on_end(struct timer *t) {
    struct run *run = CONTAINER_OF(t, struct run, timer);
    run->ending = true;
    reactor_stop(t->reactor);
}

static void run_start(struct run *run, enum reactor_io io, nsec_t length) {
    struct reactor_config cfg = {.mem = mem_system(), .io = io};
    int error = reactor_new(&cfg, &run->reactor);
    if (error < 0)
        fatal("reactor", error);
    run->backend = reactor_features(run->reactor)->backend;
    run->length = length;
    if (timer_init(&run->timer, run->reactor, on_end) < 0)
        fatal("timer", -ENOMEM);
}

static void run_turns(struct run *run) {
    timer_start(&run->timer, reactor_now(run->reactor) + run->length);
    nsec_t wall_start = reactor_now(run->reactor);
    nsec_t cpu_start = cpu_now();
    int error = reactor_run(run->reactor);
    if (error < 0)
        fatal("run", error);
    run->cpu = (double)(cpu_now() - cpu_start) / 1e9;
    run->wall = (double)(reactor_now(run->reactor) - wall_start) / 1e9;
    timer_done(&run->timer);
}

static void run_measure(struct run *run, const char *what) {
    run_turns(run);
    double gbit = (double)run->bytes * 8 / 1e9;
    printf("%-9s %-10s %7.2f Gbit/s per CPU-second %7.2f Gbit/s, CPU %3.0f %%\n", run->backend,
           what, gbit / run->cpu, gbit / run->wall, 100 * run->cpu / run->wall);
    (void)fflush(stdout);
}

/* --- TCP --- */

struct pump {
    struct run run;
    struct tcp_conn in;
    struct tcp_conn out;
    struct tcp_listener listener;
    struct slice queue[PUMP_SLICES_MAX];
    uint32_t queued;
    uint32_t queue_max;
    int closed;
};

static void pump_write(struct pump *p) {
    if (p->queued == 0 || tcp_is_writing(&p->out) || p->run.ending)
        return;
    tcp_write(&p->out, p->queue, p->queued);
    p->queued = 0;
    tcp_read_start(&p->in);
}

static void in_data(struct tcp_conn *c, struct slice s) {
    struct pump *p = CONTAINER_OF(c, struct pump, in);
    p->run.bytes += s.len;
    p->queue[p->queued++] = s;
    pump_write(p);
    if (p->queued >= p->queue_max)
        tcp_read_stop(c);
}

static void out_written(struct tcp_conn *c) {
    pump_write(CONTAINER_OF(c, struct pump, out));
}

static void ignore_conn(struct tcp_conn *c) {
    (void)c;
}

static void ignore_data(struct tcp_conn *c, struct slice s) {
    (void)c;
    slice_unref(&s);
}

static void any_failed(struct tcp_conn *c, int error) {
    (void)c;
    fatal("connection", error);
}

static void out_connected(struct tcp_conn *c, int error) {
    (void)c;
    if (error < 0)
        fatal("connect", error);
}

static void in_closed(struct tcp_conn *c) {
    CONTAINER_OF(c, struct pump, in)->closed++;
}

static void out_closed(struct tcp_conn *c) {
    CONTAINER_OF(c, struct pump, out)->closed++;
}

static const struct tcp_events in_events = {.connected = out_connected,
                                            .data = in_data,
                                            .eof = ignore_conn,
                                            .written = ignore_conn,
                                            .failed = any_failed,
                                            .closed = in_closed};
static const struct tcp_events out_events = {.connected = out_connected,
                                             .data = ignore_data,
                                             .eof = ignore_conn,
                                             .written = out_written,
                                             .failed = any_failed,
                                             .closed = out_closed};

static void on_accepted(struct tcp_listener *l, int fd, const struct sock_addr *remote) {
    struct pump *p = CONTAINER_OF(l, struct pump, listener);
    (void)remote;
    tcp_conn_adopt(&p->in, fd);
    tcp_read_start(&p->in);
}

static void listener_closed(struct tcp_listener *l) {
    CONTAINER_OF(l, struct pump, listener)->closed++;
}

static const struct tcp_listener_events listener_events = {.accepted = on_accepted,
                                                           .closed = listener_closed};

static void *sink_main(void *context) {
    int listening = *(int *)context;
    int fd = accept(listening, NULL, NULL);
    uint8_t *buffer = malloc(SOURCE_BYTES);
    while (buffer != NULL && recv(fd, buffer, SOURCE_BYTES, 0) > 0)
        ;
    free(buffer);
    (void)close(fd);
    return NULL;
}

static void *source_main(void *context) {
    int fd = *(int *)context;
    uint8_t *buffer = calloc(1, SOURCE_BYTES);
    while (buffer != NULL && send(fd, buffer, SOURCE_BYTES, MSG_NOSIGNAL) > 0)
        ;
    free(buffer);
    (void)close(fd);
    return NULL;
}

static struct sock_addr loopback(uint16_t port) {
    return (struct sock_addr){.ip = {.family = NET_IP4, .ip = {127, 0, 0, 1}, .port = port}};
}

static int plain_listen(uint16_t *ret_port) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&name, len) < 0 || listen(fd, 8) < 0 ||
        getsockname(fd, (struct sockaddr *)&name, &len) < 0)
        fatal("listen", -errno);
    *ret_port = ntohs(name.sin_port);
    return fd;
}

static int plain_connect(uint16_t port) {
    struct sockaddr_in name = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
        fatal("connect", -errno);
    return fd;
}

static void bench_tcp(enum reactor_io io, nsec_t length, uint32_t queue_max) {
    struct pump p = {.queue_max = queue_max};
    run_start(&p.run, io, length);
    uint16_t sink_port = 0;
    int sink = plain_listen(&sink_port);
    pthread_t sink_thread;
    pthread_t source_thread;
    struct sock_addr at = loopback(0);
    struct sock_addr to = loopback(sink_port);
    tcp_conn_init(&p.in, p.run.reactor, &in_events, NULL);
    tcp_conn_init(&p.out, p.run.reactor, &out_events, NULL);
    if (tcp_listen(&p.listener, p.run.reactor, &at, &listener_events) < 0 ||
        tcp_listener_addr(&p.listener, &at) < 0 || tcp_connect(&p.out, &to, NULL) < 0)
        fatal("pump", -errno);
    int source = plain_connect(at.ip.port);
    if (pthread_create(&sink_thread, NULL, sink_main, &sink) != 0 ||
        pthread_create(&source_thread, NULL, source_main, &source) != 0)
        fatal("thread", -EAGAIN);
    char what[32];
    (void)snprintf(what, sizeof(what), "tcp x%u", queue_max);
    run_measure(&p.run, what);
    tcp_close(&p.in);
    tcp_close(&p.out);
    tcp_listener_close(&p.listener);
    while (p.closed < 3)
        if (reactor_turn(p.run.reactor, NSEC_NEVER) < 0)
            fatal("turn", -1);
    for (uint32_t i = 0; i < p.queued; i++)
        slice_unref(&p.queue[i]);
    (void)pthread_join(source_thread, NULL);
    (void)pthread_join(sink_thread, NULL);
    (void)close(sink);
    (void)reactor_free(p.run.reactor);
}

/* --- Small messages --- */

enum { ECHO_BYTES = 64 };

struct echo {
    struct run run;
    struct tcp_conn conn;
    struct tcp_listener listener;
    int closed;
};

static void echo_data(struct tcp_conn *c, struct slice s) {
    CONTAINER_OF(c, struct echo, conn)->run.bytes += s.len;
    tcp_write(c, &s, 1);
}

static void echo_closed(struct tcp_conn *c) {
    CONTAINER_OF(c, struct echo, conn)->closed++;
}

static const struct tcp_events echo_events = {.connected = out_connected,
                                              .data = echo_data,
                                              .eof = ignore_conn,
                                              .written = ignore_conn,
                                              .failed = any_failed,
                                              .closed = echo_closed};

static void echo_accepted(struct tcp_listener *l, int fd, const struct sock_addr *remote) {
    struct echo *e = CONTAINER_OF(l, struct echo, listener);
    (void)remote;
    tcp_conn_adopt(&e->conn, fd);
    tcp_read_start(&e->conn);
}

static void echo_listener_closed(struct tcp_listener *l) {
    CONTAINER_OF(l, struct echo, listener)->closed++;
}

static const struct tcp_listener_events echo_listener_events = {.accepted = echo_accepted,
                                                                .closed = echo_listener_closed};

static void *ask_main(void *context) {
    int fd = *(int *)context;
    uint8_t message[ECHO_BYTES] = {0};
    while (send(fd, message, sizeof(message), MSG_NOSIGNAL) > 0 &&
           recv(fd, message, sizeof(message), MSG_WAITALL) > 0)
        ;
    (void)close(fd);
    return NULL;
}

static void bench_echo(enum reactor_io io, nsec_t length) {
    struct echo e = {0};
    run_start(&e.run, io, length);
    struct sock_addr at = loopback(0);
    tcp_conn_init(&e.conn, e.run.reactor, &echo_events, NULL);
    if (tcp_listen(&e.listener, e.run.reactor, &at, &echo_listener_events) < 0 ||
        tcp_listener_addr(&e.listener, &at) < 0)
        fatal("echo", -errno);
    int fd = plain_connect(at.ip.port);
    pthread_t thread;
    if (pthread_create(&thread, NULL, ask_main, &fd) != 0)
        fatal("thread", -EAGAIN);
    run_turns(&e.run);
    double count = (double)e.run.bytes / ECHO_BYTES;
    printf("%-9s %-10s %7.2f us of CPU each %7.2f us there and back\n", e.run.backend, "tcp echo",
           1e6 * e.run.cpu / count, 1e6 * e.run.wall / count);
    tcp_close(&e.conn);
    tcp_listener_close(&e.listener);
    while (e.closed < 2)
        if (reactor_turn(e.run.reactor, NSEC_NEVER) < 0)
            fatal("turn", -1);
    (void)pthread_join(thread, NULL);
    (void)reactor_free(e.run.reactor);
}

/* --- UDP --- */

struct duo {
    struct run run;
    struct udp_socket from;
    struct udp_socket to;
    struct udp_send sends[UDP_IN_FLIGHT];
    uint8_t payload[UDP_SEGMENT_BYTES * UDP_SEGMENTS];
    int flying;
    int closed;
};

static void on_received(struct udp_socket *u, const struct udp_batch *b) {
    struct duo *d = CONTAINER_OF(u, struct duo, to);
    d->run.bytes += b->len;
}

static void udp_failed(struct udp_socket *u, int error) {
    (void)u;
    fatal("udp", error);
}

static void from_received(struct udp_socket *u, const struct udp_batch *b) {
    (void)u;
    (void)b;
}

static void from_closed(struct udp_socket *u) {
    CONTAINER_OF(u, struct duo, from)->closed++;
}

static void to_closed(struct udp_socket *u) {
    CONTAINER_OF(u, struct duo, to)->closed++;
}

static const struct udp_events from_events = {
    .received = from_received, .failed = udp_failed, .closed = from_closed};
static const struct udp_events to_events = {
    .received = on_received, .failed = udp_failed, .closed = to_closed};

static void on_sent(struct udp_send *s, int error) {
    struct duo *d = CONTAINER_OF(s->socket, struct duo, from);
    (void)error; /* a full socket buffer is loss, which the receiver's count shows */
    if (d->run.ending)
        d->flying--;
    else
        udp_send_start(&d->from, s);
}

static void bench_udp(enum reactor_io io, nsec_t length) {
    static struct duo d;
    d = (struct duo){.flying = UDP_IN_FLIGHT};
    run_start(&d.run, io, length);
    struct udp_config cfg = {.local = loopback(0).ip};
    if (udp_open(&d.from, d.run.reactor, &cfg, &from_events) < 0 ||
        udp_open(&d.to, d.run.reactor, &cfg, &to_events) < 0)
        fatal("udp", -errno);
    for (int i = 0; i < UDP_IN_FLIGHT; i++) {
        d.sends[i] = (struct udp_send){.data = d.payload,
                                       .len = sizeof(d.payload),
                                       .segment_len = UDP_SEGMENT_BYTES,
                                       .remote = d.to.bound,
                                       .local = d.from.bound,
                                       .done = on_sent};
        udp_send_start(&d.from, &d.sends[i]);
    }
    run_measure(&d.run, "udp both");
    while (d.flying > 0)
        if (reactor_turn(d.run.reactor, NSEC_NEVER) < 0)
            fatal("turn", -1);
    udp_close(&d.from);
    udp_close(&d.to);
    while (d.closed < 2)
        if (reactor_turn(d.run.reactor, NSEC_NEVER) < 0)
            fatal("turn", -1);
    (void)reactor_free(d.run.reactor);
}

int main(int argc, char **argv) {
    static const enum reactor_io ios[] = {REACTOR_IO_URING, REACTOR_IO_EPOLL};
    long seconds = argc > 1 ? strtol(argv[1], NULL, 10) : 2;
    if (seconds < 1 || seconds > 60) {
        fprintf(stderr, "usage: %s [SECONDS], 1 to 60\n", argv[0]);
        return 2;
    }
    nsec_t length = SEC((nsec_t)seconds);
    for (size_t i = 0; i < ARRAY_COUNT(ios); i++) {
        bench_tcp(ios[i], length, 1);
        bench_tcp(ios[i], length, 4);
        bench_tcp(ios[i], length, PUMP_SLICES_MAX);
        bench_echo(ios[i], length);
        bench_udp(ios[i], length);
    }
    return 0;
}
