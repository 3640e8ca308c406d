/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- The fixture --- */

static void *counting_resize(struct mem *m, void *p, size_t size) {
    struct counting_mem *c = CONTAINER_OF(m, struct counting_mem, mem);
    c->calls++;
    if (p == NULL && size > 0)
        c->live++;
    if (p != NULL && size == 0)
        c->live--;
    return mem_system()->resize(mem_system(), p, size);
}

int open_fds_count(void) {
    DIR *dir = opendir("/proc/self/fd");
    cr_assert(dir != NULL);
    int count = 0;
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

void fixture_init(struct fixture *t, enum reactor_io io, size_t pool_bytes) {
    *t = (struct fixture){.mem.mem.resize = counting_resize, .fds_before = open_fds_count()};
    struct reactor_config cfg = {.mem = &t->mem.mem, .io = io};
#ifdef CONFORMANCE_SIM
    world_init(&t->world, 1, false);
    net_init(&t->net, &t->world);
    proc_start_alone(&t->proc, net_add_host(&t->net));
    cfg.backend = &backend_sim;
    cfg.backend_context = &(struct sim_backend_config){.proc = &t->proc};
#endif
    if (pool_bytes != 0)
        cfg.pool = (struct buf_pool_config){.bytes_max = pool_bytes};
    int error = reactor_new(&cfg, &t->reactor);
    if (io == REACTOR_IO_URING && (error == -ENOSYS || error == -EPERM))
        cr_skip("io_uring is refused on this system");
    cr_assert_eq(error, 0);
}

void fixture_done(struct fixture *t) {
    if (t->reactor != NULL)
        turn_while_ready(t);
    reactor_free(t->reactor);
#ifdef CONFORMANCE_SIM
    proc_done(&t->proc);
    net_done(&t->net);
    world_done(&t->world);
#endif
    cr_expect_eq(t->mem.live, 0, "%ld allocations are left", (long)t->mem.live);
    cr_expect_eq(open_fds_count(), t->fds_before);
}

void turn_while_ready(struct fixture *t) {
    for (int i = 0; i < 100; i++)
        cr_assert_eq(reactor_turn(t->reactor, 0), 0);
}

/* --- Peers --- */

uint64_t fnv1a(uint64_t sum, const uint8_t *data, size_t len) {
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ data[i]) * 0x100000001b3u;
    return sum;
}

static uint8_t pattern_at(uint64_t at) {
    return (uint8_t)(at * 2654435761u >> 13);
}

struct slice pattern_slice(struct fixture *t, uint64_t at, uint32_t len) {
    struct buf *b = buf_new(reactor_pool(t->reactor), buf_class_for(len), NULL);
    cr_assert(b != NULL);
    for (uint32_t i = 0; i < len; i++)
        b->data[i] = pattern_at(at + i);
    return slice_of(b, 0, len);
}

uint64_t pattern_sum_from(uint64_t at, uint64_t len) {
    uint64_t sum = FNV1A_START;
    for (uint64_t end = at + len; at < end; at++) {
        uint8_t byte = pattern_at(at);
        sum = fnv1a(sum, &byte, 1);
    }
    return sum;
}

uint64_t pattern_sum(uint64_t len) {
    return pattern_sum_from(0, len);
}

static struct peer *peer_of(struct tcp_conn *c) {
    return CONTAINER_OF(c, struct peer, conn);
}

static void on_connected(struct tcp_conn *c, int error) {
    peer_of(c)->connected++;
    peer_of(c)->connected_error = error;
}

static void on_data(struct tcp_conn *c, struct slice s) {
    struct peer *p = peer_of(c);
    cr_assert(s.len > 0);
    cr_assert_eq(p->eof, 0);
    cr_assert_eq(p->closed, 0);
    p->data++;
    p->sum = fnv1a(p->sum, s.data, s.len);
    if (p->got != NULL && p->got_len + s.len <= p->got_size)
        memcpy(p->got + p->got_len, s.data, s.len);
    p->got_len += s.len;
    if (p->echo) {
        cr_assert_not(tcp_is_writing(c));
        tcp_read_stop(c);
        tcp_write(c, &s, 1);
        return;
    }
    if (p->on_data != NULL)
        p->on_data(p, &s);
    if (p->keep) {
        slice_unref(&p->kept);
        p->kept = s;
        return;
    }
    slice_unref(&s);
}

static void on_eof(struct tcp_conn *c) {
    struct peer *p = peer_of(c);
    p->eof++;
    cr_assert_eq(p->eof, 1);
    if (p->echo)
        tcp_shutdown_write(c);
}

static void on_written(struct tcp_conn *c) {
    peer_of(c)->written++;
    if (peer_of(c)->echo)
        tcp_read_start(c);
}

static void on_failed(struct tcp_conn *c, int error) {
    struct peer *p = peer_of(c);
    cr_assert(error < 0);
    p->failed++;
    p->failed_error = error;
    cr_assert_eq(p->failed, 1);
}

static void on_closed(struct tcp_conn *c) {
    struct peer *p = peer_of(c);
    p->closed++;
    cr_assert_eq(p->closed, 1);
    p->is_open = false;
    memset(&p->conn, 0xdd, sizeof(p->conn)); /* the memory is ours again */
}

const struct tcp_events peer_events = {
    .connected = on_connected,
    .data = on_data,
    .eof = on_eof,
    .written = on_written,
    .failed = on_failed,
    .closed = on_closed,
};

void peer_init(struct peer *p, struct fixture *t) {
    *p = (struct peer){.t = t, .sum = FNV1A_START, .is_open = true};
    tcp_conn_init(&p->conn, t->reactor, &peer_events, NULL);
}

void peer_end(struct peer *p) {
    if (!p->is_open)
        return;
    tcp_close(&p->conn);
    TURN_UNTIL(p->t, p->closed == 1);
}

/* --- Hosts --- */

const char *const family_names[FAMILY_COUNT] = {"IPv4", "IPv6", "Unix"};

static void on_accepted(struct tcp_listener *l, int fd, const struct sock_addr *remote) {
    struct host *h = CONTAINER_OF(l, struct host, listener);
    (void)remote;
    h->accepted++;
    if (h->accept_into == NULL) {
        tcp_handle_close(h->t->reactor, fd, true);
        return;
    }
    struct peer *p = h->accept_into;
    h->accept_into = NULL;
    tcp_conn_adopt(&p->conn, fd);
}

static void on_listener_closed(struct tcp_listener *l) {
    struct host *h = CONTAINER_OF(l, struct host, listener);
    h->closed++;
    cr_assert_eq(h->closed, 1);
}

static const struct tcp_listener_events host_events = {
    .accepted = on_accepted,
    .closed = on_listener_closed,
};

static struct sock_addr loopback(struct fixture *t, enum family family) {
    struct sock_addr a = {0};
    if (family == LOCAL) {
        uint64_t unique;
        reactor_random(t->reactor, &unique, sizeof(unique));
        snprintf(a.unix_path, sizeof(a.unix_path), "/tmp/peerup-conformance-%d-%llx", (int)getpid(),
                 (unsigned long long)unique);
    } else if (family == V6) {
        a.ip.family = NET_IP6;
        a.ip.ip[15] = 1;
    } else {
        a.ip.family = NET_IP4;
        a.ip.ip[0] = 127;
        a.ip.ip[3] = 1;
    }
    return a;
}

bool host_open(struct host *h, struct fixture *t, enum family family) {
    *h = (struct host){.t = t};
#ifdef CONFORMANCE_SIM
    if (family == LOCAL)
        return false;
#endif
    struct sock_addr at = loopback(t, family);
    int error = tcp_listen(&h->listener, t->reactor, &at, &host_events);
    if (family == V6 && (error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT))
        return false;
    cr_assert_eq(error, 0, "%s: listening fails with %d", family_names[family], error);
    cr_assert_eq(tcp_listener_addr(&h->listener, &h->addr), 0);
    if (family == LOCAL) {
        struct stat st;
        cr_assert_eq(stat(at.unix_path, &st), 0);
        cr_assert_eq(st.st_mode & 0777, 0600);
        cr_assert_str_eq(h->addr.unix_path, at.unix_path);
    } else {
        cr_assert_neq(h->addr.ip.port, 0);
    }
    return true;
}

void host_end(struct host *h) {
    tcp_listener_close(&h->listener);
    TURN_UNTIL(h->t, h->closed == 1);
    if (h->addr.ip.family == NET_NONE)
        unlink(h->addr.unix_path);
}

bool pair_open(struct pair *p, struct fixture *t, enum family family) {
    struct host h;
    if (!host_open(&h, t, family))
        return false;
    peer_init(&p->client, t);
    peer_init(&p->server, t);
    h.accept_into = &p->server;
    cr_assert_eq(tcp_connect(&p->client.conn, &h.addr, NULL), 0);
    cr_assert_eq(p->client.connected, 0, "a callback from inside the call");
    TURN_UNTIL(t, p->client.connected == 1 && h.accepted == 1);
    cr_assert_eq(p->client.connected_error, 0);
    host_end(&h);
    return true;
}

void pair_end(struct pair *p) {
    peer_end(&p->client);
    peer_end(&p->server);
}

/* --- UDP --- */

static void on_received(struct udp_socket *u, const struct udp_batch *b) {
    struct dgrams *d = CONTAINER_OF(u, struct dgrams, socket);
    cr_assert_eq(d->closed, 0);
    cr_assert(b->segment_len > 0 || b->len == 0);
    d->batches++;
    for (size_t at = 0; at < b->len; at += b->segment_len) {
        if (d->datagrams < (int)ARRAY_COUNT(d->sizes))
            d->sizes[d->datagrams] = MIN(b->segment_len, b->len - at);
        d->datagrams++;
    }
    d->bytes += b->len;
    d->sum = fnv1a(d->sum, b->data, b->len);
    d->last = *b;
    d->last.data = NULL;
}

static void on_udp_failed(struct udp_socket *u, int error) {
    (void)error;
    CONTAINER_OF(u, struct dgrams, socket)->failed++;
}

static void on_udp_closed(struct udp_socket *u) {
    struct dgrams *d = CONTAINER_OF(u, struct dgrams, socket);
    d->closed++;
    cr_assert_eq(d->closed, 1);
}

static const struct udp_events dgrams_events = {
    .received = on_received,
    .failed = on_udp_failed,
    .closed = on_udp_closed,
};

bool dgrams_open(struct dgrams *d, struct fixture *t, enum family family) {
    *d = (struct dgrams){.t = t, .sum = FNV1A_START};
    struct udp_config cfg = {.local = loopback(t, family).ip};
    int error = udp_open(&d->socket, t->reactor, &cfg, &dgrams_events);
    if (family == V6 && (error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT))
        return false;
    cr_assert_eq(error, 0);
    cr_assert_neq(d->socket.bound.port, 0);
    return true;
}

void dgrams_end(struct dgrams *d) {
    udp_close(&d->socket);
    TURN_UNTIL(d->t, d->closed == 1);
}
