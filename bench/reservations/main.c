/* SPDX-License-Identifier: MIT */

/* peerup-bench-reservations: clients that keep a reservation on a relay and do nothing else.
 *
 *   peerup-bench-reservations MULTIADDR COUNT SECONDS PID
 *
 * Each has a host and an identity of its own.  Prints the relay's (PID's) resident memory before
 * the first, when all hold a reservation, and after they were idle for SECONDS, as one line of
 * JSON. The relay must let everybody in. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/crypto/wolf_env.h"
#include "core/p2p/identity.h"
#include "core/p2p/multiaddr.h"
#include "relay/circuit_transport.h"
#include "relay/reservations.h"
#include "transport/host.h"
#include "uring/reactor.h"

enum { CLIENTS_MAX = 4096 };

#define ALL_HELD_WITHIN SEC(120)

struct client {
    struct host *host;
    struct circuit_transport *circuit;
    struct reservations *reservations;
};

static _Noreturn void die(const char *what, const char *why) {
    (void)fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static long resident_kib(const char *pid) {
    char path[64], line[128];
    long kib = -1;
    (void)snprintf(path, sizeof(path), "/proc/%s/status", pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        die(path, "cannot be read");
    while (fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    }
    (void)fclose(f);
    return kib;
}

static void open_client(struct client *c, struct reactor *r, uint32_t index,
                        const struct multiaddr *relay) {
    uint8_t seed[ED25519_SEED_BYTES] = {0x77, (uint8_t)index, (uint8_t)(index >> 8)};
    struct identity id;
    struct problem why = PROBLEM_INIT;
    if (identity_from_seed(seed, &id) < 0)
        die("identity", "no key");
    struct host_config host_cfg = {.reactor = r, .identity = &id, .agent = "peerup-bench"};
    if (host_new(&host_cfg, &why, &c->host) < 0)
        die("host", why.text);
    struct circuit_transport_config circuit_cfg = {.reactor = r, .host = c->host};
    if (circuit_transport_new(&circuit_cfg, &c->circuit) < 0)
        die("circuit", "no memory");
    struct reservations_config cfg = {.reactor = r,
                                      .host = c->host,
                                      .circuit = c->circuit,
                                      .relays = relay,
                                      .relays_count = 1,
                                      .renew_interval = NSEC_NEVER,
                                      .reserves = true};
    if (reservations_new(&cfg, &why, &c->reservations) < 0)
        die("reservations", why.text);
}

static void count_held(void *user, const struct reservation_info *info) {
    *(uint32_t *)user += info->held;
}

static uint32_t held(const struct client *clients, uint32_t count) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++)
        reservations_each(clients[i].reservations, count_held, &n);
    return n;
}

static void turn_until(struct reactor *r, nsec_t until) {
    while (reactor_now(r) < until)
        if (reactor_turn(r, until) < 0)
            die("reactor", "broken");
}

static walltime_t wall_of_reactor(void *context) {
    return reactor_walltime(context);
}

static unsigned long parse(const char *text, unsigned long max) {
    char *rest;
    unsigned long value = strtoul(text, &rest, 10);
    if (*text == '\0' || *rest != '\0' || value == 0 || value > max)
        die(text, "not a number in range");
    return value;
}

int main(int argc, char **argv) {
    static struct client clients[CLIENTS_MAX];
    struct multiaddr relay;
    struct reactor *r;
    if (argc != 5)
        die("usage", "peerup-bench-reservations MULTIADDR COUNT SECONDS PID");
    if (multiaddr_parse(argv[1], &relay) < 0)
        die(argv[1], "no address");
    uint32_t count = (uint32_t)parse(argv[2], CLIENTS_MAX);
    unsigned long seconds = parse(argv[3], 3600);
    struct reactor_config cfg = {.mem = mem_system()};
    if (reactor_new(&cfg, &r) < 0)
        die("reactor", "none");
    struct wolf_env env = {.rng = reactor_rng(r), .wall = wall_of_reactor, .context = r};
    (void)wolf_env_set(&env);

    long before = resident_kib(argv[4]);
    nsec_t began = reactor_now(r);
    for (uint32_t i = 0; i < count; i++) {
        open_client(&clients[i], r, i, &relay);
        if (i % 16 == 15) /* as machines come: not all in one instant */
            turn_until(r, reactor_now(r) + MSEC(20));
    }
    while (held(clients, count) < count && reactor_now(r) < began + ALL_HELD_WITHIN)
        turn_until(r, reactor_now(r) + MSEC(50));
    double took = (double)(reactor_now(r) - began) / 1e9;
    uint32_t got = held(clients, count);
    long after = resident_kib(argv[4]);
    turn_until(r, reactor_now(r) + SEC(seconds));
    long idle = resident_kib(argv[4]);
    printf("{\"held\": %" PRIu32 ", \"still_held\": %" PRIu32 ", \"seconds\": %.2f, "
           "\"rss_kib_before\": %ld, \"rss_kib_held\": %ld, \"rss_kib_idle\": %ld}\n",
           got, held(clients, count), took, before, after, idle);
    return got == count ? 0 : 1; /* what it holds is left to exit() */
}
