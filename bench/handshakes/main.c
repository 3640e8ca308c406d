/* SPDX-License-Identifier: MIT */

/* peerup-bench-handshakes: how many connections a second can be made to a node.
 *
 *   peerup-bench-handshakes MULTIADDR STACK IN-FLIGHT MILLISECONDS
 *   peerup-bench-handshakes ids                  whom the node must let in, one a line
 *
 * Each of those in flight connects, has one ping answered, closes the connection, and begins anew
 * until the time is over; each does it once at least.  STACK is quic, tls or noise: with noise
 * nothing else is proposed on a TCP address, with tls both are, TLS first, as peerup does it.  Each
 * has a host and an identity of its own: a host has one connection to a peer, and a node answers a
 * peer two pings at a time.
 *
 * Prints one line of JSON, in the words of bench/load.  What it holds then is left to exit(). */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/crypto/wolf_env.h"
#include "core/p2p/identity.h"
#include "core/p2p/multiaddr.h"
#include "transport/conn.h"
#include "transport/host.h"
#include "transport/proto/ping.h"
#include "transport/upgrade.h"
#include "uring/reactor.h"

enum { IN_FLIGHT_MAX = 64 };

#define OPEN_TIMEOUT SEC(30)

struct slot {
    struct bench *bench;
    struct host *host;
    struct stream_request request;
    struct stream *stream;
    struct deferred again;
    size_t received;
    bool is_over;
};

struct bench {
    struct reactor *reactor;
    struct peer_id peer;
    unsigned securities; /* UPGRADE_... bits */
    struct slot slots[IN_FLIGHT_MAX];
    size_t running;
    nsec_t start;
    nsec_t deadline;
    uint64_t echoed;
    uint64_t failed;
    const char *first_error;
};

static _Noreturn void die(const char *what, const char *why) {
    (void)fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static nsec_t now(const struct bench *b) {
    return reactor_now(b->reactor);
}

/* The host forgets a connection at the end of the turn in which it was closed; the next handshake
 * begins when it has. */
static void count_conn(void *user, const struct conn_info *info) {
    (void)info;
    ++*(size_t *)user;
}

static void begin(struct slot *s);

static void run_again(struct deferred *d) {
    struct slot *s = CONTAINER_OF(d, struct slot, again);
    size_t conns = 0;
    host_each_conn(s->host, count_conn, &conns);
    if (conns > 0) {
        reactor_defer(s->bench->reactor, d);
        return;
    }
    if (now(s->bench) < s->bench->deadline)
        begin(s);
    else if (--s->bench->running == 0)
        reactor_stop(s->bench->reactor);
}

static void end(struct slot *s, int error) {
    if (error == 0) {
        s->bench->echoed++;
    } else {
        s->bench->failed++;
        s->bench->first_error = err_text(error);
    }
    if (s->stream != NULL) {
        struct conn *c = stream_conn(s->stream);
        s->stream = stream_release(s->stream);
        c->ops->close(c, CONN_CODE_NONE);
    }
    reactor_defer(s->bench->reactor, &s->again);
}

static void on_readable(struct stream *stream) {
    struct slot *s = stream_user(stream);
    struct slice in;
    while (stream_read(stream, &in, 1) == 1) {
        s->received += in.len;
        stream_consume(stream, &in);
    }
    if (s->received >= PING_BYTES)
        end(s, 0);
}

static void on_writable(struct stream *stream) {
    (void)stream;
}

static void on_code(struct stream *stream, uint64_t code) {
    (void)code;
    end(stream_user(stream), -ERR_STREAM_RESET);
}

static void on_closed(struct stream *stream, int error) {
    struct slot *s = stream_user(stream);
    s->stream = stream_release(s->stream); /* and so is its connection */
    end(s, error == 0 ? -ERR_STREAM_RESET : error);
}

static const struct stream_events events = {
    .readable = on_readable,
    .writable = on_writable,
    .stopped = on_code,
    .reset = on_code,
    .closed = on_closed,
};

static void on_stream(struct stream_request *r, struct stream *stream, int error) {
    struct slot *s = CONTAINER_OF(r, struct slot, request);
    if (error < 0) {
        end(s, error);
        return;
    }
    static const uint8_t message[PING_BYTES];
    s->stream = stream;
    stream_set_events(stream, &events, s);
    error = stream_write_bytes(stream, bytes_of(message, sizeof(message)));
    if (error < 0)
        end(s, error);
}

static void begin(struct slot *s) {
    s->received = 0;
    host_open_stream(s->host, &s->request, &s->bench->peer, "/ipfs/ping/1.0.0",
                     now(s->bench) + OPEN_TIMEOUT, on_stream);
}

/* Whoever knows the number has the key: it is good for nothing but this. */
static struct identity identity_of(size_t index) {
    uint8_t seed[ED25519_SEED_BYTES] = {(uint8_t)index};
    struct identity id;
    if (identity_from_seed(seed, &id) < 0)
        die("identity", "no key");
    return id;
}

static void print_ids(void) {
    char text[PEER_ID_TEXT_MAX];
    for (size_t i = 0; i < IN_FLIGHT_MAX; i++) {
        struct identity id = identity_of(i);
        puts(peer_id_format(&id.id, text));
    }
}

static unsigned securities_of(const char *stack) {
    if (strcmp(stack, "quic") == 0 || strcmp(stack, "tls") == 0)
        return UPGRADE_TLS | UPGRADE_NOISE;
    if (strcmp(stack, "noise") == 0)
        return UPGRADE_NOISE;
    die(stack, "not a stack");
}

static void open_slot(struct bench *b, size_t index, const struct multiaddr *to) {
    struct slot *s = &b->slots[index];
    struct problem problem = {0};
    struct identity id = identity_of(index);
    struct host_config cfg = {.reactor = b->reactor,
                              .identity = &id,
                              .agent = "peerup-bench",
                              .securities = b->securities};
    s->bench = b;
    deferred_init(&s->again, run_again);
    if (host_new(&cfg, &problem, &s->host) < 0)
        die("host", problem.text);
    if (host_add_addrs(s->host, &b->peer, to, 1) < 0)
        die("host", "no memory");
}

static uint64_t parse(const char *text, uint64_t max) {
    char *rest;
    uint64_t value = strtoull(text, &rest, 10);
    if (*text == '\0' || *rest != '\0' || value == 0 || value > max)
        die(text, "not a number in range");
    return value;
}

static walltime_t wall_of_reactor(void *context) {
    return reactor_walltime(context);
}

static void run(struct bench *b, const struct multiaddr *to, nsec_t duration) {
    struct reactor_config cfg = {.mem = mem_system()};
    if (reactor_new(&cfg, &b->reactor) < 0)
        die("reactor", "none");
    /* In its turns the reactor sets it; hosts are made before the first. */
    struct wolf_env env = {
        .rng = reactor_rng(b->reactor), .wall = wall_of_reactor, .context = b->reactor};
    (void)wolf_env_set(&env);
    for (size_t i = 0; i < b->running; i++)
        open_slot(b, i, to);
    b->start = now(b);
    b->deadline = b->start + duration;
    for (size_t i = b->running; i > 0; i--)
        begin(&b->slots[i - 1]);
    if (reactor_run(b->reactor) < 0)
        die("reactor", "broken");
    (void)wolf_env_set(NULL);
}

static void report(const struct bench *b) {
    double seconds = (double)(now(b) - b->start) / 1e9;
    printf("{\"echoed\": %" PRIu64 ", \"failed\": %" PRIu64 ", \"seconds\": %.6f, "
           "\"per_second\": %.1f}\n",
           b->echoed, b->failed, seconds, (double)b->echoed / seconds);
    if (b->failed > 0)
        (void)fprintf(stderr, "%s\n", b->first_error);
}

int main(int argc, char **argv) {
    struct bench b = {0};
    struct multiaddr whole, to;
    if (argc == 2 && strcmp(argv[1], "ids") == 0) {
        print_ids();
        return 0;
    }
    if (argc != 5)
        die("usage", "peerup-bench-handshakes MULTIADDR STACK IN-FLIGHT MILLISECONDS");
    if (multiaddr_parse(argv[1], &whole) < 0 || multiaddr_split_peer(&whole, &to, &b.peer) < 0)
        die(argv[1], "not an address with a peer ID");
    b.securities = securities_of(argv[2]);
    b.running = parse(argv[3], IN_FLIGHT_MAX);
    run(&b, &to, MSEC((nsec_t)parse(argv[4], 3600000)));
    report(&b);
    return 0;
}
