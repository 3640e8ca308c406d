/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/codec.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/version.h"
#include "tests/interop/node/batch.h"
#include "tests/interop/node/flow.h"
#include "tests/interop/node/node.h"
#include "transport/upgrade.h"

enum { LISTEN_MAX = 4 };

struct flags {
    uint8_t seed[ED25519_SEED_BYTES];
    const char *stack;
    const char *agent;
    struct multiaddr listen[LISTEN_MAX];
    size_t listen_count;
    bool circuits;
    bool punches;
    const char *relay; /* its limits; NULL: none */
    const char *autonat;
};

static void fatal(const char *what, int error, const char *why) {
    fprintf(stderr, "interop-node: %s: %s %s\n", what, err_text(error), why);
    exit(1);
}

void *node_alloc(size_t size) {
    void *p = calloc(1, size);
    if (p == NULL)
        abort();
    return p;
}

void node_write(json_t *line) {
    if (json_dumpf(line, stdout, JSON_COMPACT) < 0 || putchar('\n') < 0 || fflush(stdout) < 0)
        exit(1); /* the runner is gone */
    json_decref(line);
}

static void parse_flags(int argc, char **argv, struct flags *ret_flags) {
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},    {"stack", required_argument, NULL, 't'},
        {"agent", required_argument, NULL, 'a'},   {"listen", required_argument, NULL, 'l'},
        {"limits", required_argument, NULL, 'm'},  {"circuit", required_argument, NULL, 'c'},
        {"relay", required_argument, NULL, 'r'},   {"dcutr", required_argument, NULL, 'd'},
        {"autonat", required_argument, NULL, 'n'}, {0},
    };
    *ret_flags = (struct flags){.stack = "quic", .agent = "interop/peerup", .autonat = "off"};
    int c;
    while ((c = getopt_long_only(argc, argv, "", options, NULL)) != -1) {
        if (c == 's' && codec_decode(CODEC_HEX, bytes_of_str(optarg), ret_flags->seed,
                                     ED25519_SEED_BYTES) == ED25519_SEED_BYTES)
            continue;
        if (c == 't')
            ret_flags->stack = optarg;
        else if (c == 'a')
            ret_flags->agent = optarg;
        else if (c == 'l' && ret_flags->listen_count < LISTEN_MAX &&
                 multiaddr_parse(optarg, &ret_flags->listen[ret_flags->listen_count]) == 0)
            ret_flags->listen_count++;
        else if (c == 'c')
            ret_flags->circuits = strcmp(optarg, "on") == 0;
        else if (c == 'd')
            ret_flags->punches = strcmp(optarg, "on") == 0;
        else if (c == 'r')
            ret_flags->relay = optarg;
        else if (c == 'n')
            ret_flags->autonat = optarg;
        else if (c != 'm') /* ours are the same */
            fatal("bad flag", -EINVAL, optarg == NULL ? "" : optarg);
    }
}

/* --- The host --- */

static void log_line(struct log *l, enum log_level level, const char *line, size_t len) {
    (void)l;
    (void)level;
    (void)!write(STDERR_FILENO, line, len);
}

/* "any": as it ships. */
static unsigned securities_of(const char *stack) {
    if (strcmp(stack, "any") == 0)
        return 0;
    return strcmp(stack, "tcp-tls") == 0 ? UPGRADE_TLS : UPGRADE_NOISE;
}

static void open_host(struct node *n, const struct flags *flags) {
    struct identity identity;
    struct problem problem = PROBLEM_INIT;
    int e = identity_from_seed(flags->seed, &identity);
    if (e < 0)
        fatal("the seed", e, "");
    struct host_config cfg = {
        .reactor = n->reactor,
        .identity = &identity,
        .agent = flags->agent,
        .listen = flags->listen,
        .listen_count = flags->listen_count,
        .securities = securities_of(flags->stack),
        .serve_perf = true,
    };
    e = host_new(&cfg, &problem, &n->host);
    identity_done(&identity);
    if (e < 0)
        fatal("the host", e, problem.text);
    if (flags->circuits)
        node_use_circuits(n, cfg.securities);
    if (flags->punches)
        node_punch_holes(n);
    if (flags->relay != NULL)
        e = node_serve_relay(n, flags->relay);
    if (e < 0)
        fatal("the relay", e, flags->relay);
    e = node_use_autonat(n, flags->autonat);
    if (e < 0)
        fatal("AutoNAT", e, flags->autonat);
}

static void tell_ready(const struct node *n) {
    struct multiaddr addrs[LISTEN_MAX];
    size_t count = host_listen_addrs(n->host, addrs, LISTEN_MAX);
    char id[PEER_ID_TEXT_MAX], text[MULTIADDR_TEXT_MAX];
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, json_string(multiaddr_format(&addrs[i], text)));
    (void)snprintf(text, sizeof(text), "peerup %s", version_release());
    node_write(json_pack("{s:s, s:s, s:o, s:s, s:b, s:{s:s}}", "event", "ready", "peer",
                         peer_id_format(&host_identity(n->host)->id, id), "addrs", list, "version",
                         text, "limits_raised", true, "lacks", "unlimited",
                         "our relay tells of a limit also where it has none"));
}

/* --- The loop --- */

/* A line of standard input on its way to the reactor; NULL: the end. */
struct line_msg {
    struct mailbox_msg msg;
    struct node *node;
    char *line;
};

static void on_line(struct mailbox_msg *m) {
    struct line_msg *l = CONTAINER_OF(m, struct line_msg, msg);
    if (l->line == NULL)
        l->node->ending = true;
    else if (!l->node->ending)
        node_execute(l->node, l->line);
    free(l->line);
    free(l);
}

static void post_line(struct node *n, char *line) {
    struct line_msg *l = node_alloc(sizeof(*l));
    l->msg.deliver = on_line;
    l->node = n;
    l->line = line;
    reactor_post(n->reactor, &l->msg);
}

static void *read_lines(void *user) {
    struct node *n = user;
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) > 0) {
        post_line(n, TAKE(line));
        size = 0;
    }
    free(line);
    post_line(n, NULL);
    return NULL;
}

static void run(struct node *n) {
    while (!n->ending) {
        int e = reactor_turn(n->reactor, reactor_now(n->reactor) + SEC(1));
        if (e < 0)
            fatal("the reactor", e, "");
        node_report_conns(n);
        node_report_reservations(n);
    }
}

static void on_host_closed(void *user) {
    ((struct node *)user)->closed = true;
}

static void close_all(struct node *n) {
    batch_stop_all(n);
    flow_stop_served(n);
    node_forget_conns(n);
    node_stop_reserving(n);
    node_stop_punching(n);
    node_stop_autonat(n);
    node_close_relay(n);
    host_close(n->host, on_host_closed, n);
    while (!n->closed || reactor_has_handles(n->reactor))
        if (reactor_turn(n->reactor, reactor_now(n->reactor) + SEC(1)) < 0)
            exit(1);
    n->host = host_free(n->host);
    n->reactor = reactor_free(n->reactor);
}

int main(int argc, char **argv) {
    struct flags flags;
    struct node n = {0};
    struct log log = {.sink = log_line, .level_max = LOG_INFO};
    struct reactor_config cfg = {.mem = mem_system(), .log = &log};
    pthread_t reader;
    parse_flags(argc, argv, &flags);
    list_init(&n.batches);
    list_init(&n.flows);
    list_init(&n.conns);
    list_init(&n.reservings);
    list_init(&n.askings);
    int e = reactor_new(&cfg, &n.reactor);
    if (e < 0)
        fatal("the reactor", e, "");
    reactor_make_current(n.reactor);
    open_host(&n, &flags);
    node_watch_conns(&n);
    flow_serve(&n);
    tell_ready(&n);
    if (pthread_create(&reader, NULL, read_lines, &n) != 0)
        abort();
    run(&n);
    (void)pthread_join(reader, NULL);
    close_all(&n);
    return 0;
}
