/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "cli/command.h"
#include "cli/out.h"
#include "core/base/err.h"
#include "core/base/problem.h"
#include "core/conf/config.h"
#include "core/conf/names.h"
#include "core/p2p/multiaddr.h"
#include "ctl/log_stderr.h"
#include "ctl/run_proxy.h"

struct request {
    const char *target_text;
    const char *service;
    uint16_t port;
    struct target target;
    enum dial_preference transport;
};

/* Each is flushed: who starts a proxy from a program waits for its lines. */
static void on_identified(void *user, const struct peer_id *own) {
    const struct request *q = user;
    char id[PEER_ID_TEXT_MAX];

    out_text(OUT_PLAIN, "Client Peer ID: %s\n", peer_id_format(own, id));
    out_text(OUT_PLAIN, "Target Peer: %s\n", peer_id_format(&q->target.id, id));
    if (q->target.source == TARGET_NAME)
        out_text(OUT_PLAIN, "   (resolved from name \"%s\")\n", q->target_text);
    out_text(OUT_PLAIN, "\nConnecting to target peer...\n");
}

static void on_connected(void *user, const struct multiaddr *remote, nsec_t took) {
    char text[MULTIADDR_TEXT_MAX];
    (void)user;

    out_text(OUT_SUCCESS, "Connected [%s] via %s (%llums)",
             multiaddr_is_relayed(remote) ? "RELAYED" : "DIRECT", multiaddr_format(remote, text),
             (unsigned long long)(took / MSEC(1)));
    out_text(OUT_PLAIN, "\n\n");
}

static void on_listening(void *user, uint16_t port) {
    const struct request *q = user;

    out_text(OUT_PLAIN,
             "TCP proxy listening on localhost:%u\n\n"
             "Connect to the service:\n"
             "   localhost:%u -> %s service on target\n\n"
             "Press Ctrl+C to stop.\n",
             port, port, q->service);
}

static void on_refused(void *user, int error) {
    const struct request *q = user;

    if (error == -ERR_PROTOCOL_NOT_SUPPORTED)
        (void)out_failure("The peer offers no service \"%s\"", q->service);
    else
        (void)out_failure("Connection refused: %s", err_text(error));
}

static void on_limit_met(void *user, int error, const char *limit) {
    (void)user;
    (void)out_failure("Connection ended: %s: %s", err_text(error), limit);
}

static int fail(enum run_proxy_stage stage, const struct problem *why) {
    switch (stage) {
    case RUN_PROXY_CONNECT:
        return out_failure("Failed to connect to target: %s", why->text);
    case RUN_PROXY_LISTEN:
        return out_failure("Failed to create listener: %s", why->text);
    case RUN_PROXY_START:
        break;
    }
    return out_failure("P2P network error: %s", why->text);
}

static int parse_port(const char *text, uint16_t *ret_port) {
    char *end;
    errno = 0;
    long port = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || port < 0 || port > 65535)
        return -EINVAL;
    *ret_port = (uint16_t)port;
    return 0;
}

static int run(struct cli *cli, const struct config *c, struct request *q) {
    struct problem why = PROBLEM_INIT;
    enum run_proxy_stage stage;
    struct log log;

    log_stderr_init(&log, LOG_WARN);
    struct run_proxy_config cfg = {
        .client = {.mem = cli->mem,
                   .config = c,
                   .log = &log,
                   .target = &q->target,
                   .transport = q->transport,
                   .punches = true},
        .service = q->service,
        .port = q->port,
        .identified = on_identified,
        .connected = on_connected,
        .listening = on_listening,
        .refused = on_refused,
        .limit_met = on_limit_met,
        .user = q,
    };
    out_text(OUT_PLAIN, "=== TCP Proxy via P2P ===\nConfig: %s\nService: %s\n\n", c->base.path,
             q->service);
    if (run_proxy(&cfg, &stage, &why) < 0)
        return fail(stage, &why);
    out_line(OUT_PLAIN, "\nShutting down...");
    return 0;
}

int cmd_proxy(struct cli *cli) {
    SCOPED(config_freep) struct config *c = NULL;
    struct request q = {.target_text = args_positional(&cli->args, 0),
                        .service = args_positional(&cli->args, 1)};
    const char *port = args_positional(&cli->args, 2);
    struct problem why = PROBLEM_INIT;

    if (port == NULL) {
        out_line(OUT_PLAIN, "Usage: peerup proxy [--transport NAME] [--config PATH] <target> "
                            "<service> <local-port>");
        return 1;
    }
    if (parse_port(port, &q.port) < 0)
        return out_failure("Invalid local port \"%s\": must be a number from 0 to 65535", port);
    int status = cli_load_config(cli, &c);
    if (status == 0)
        status = cli_transport(cli, c, &q.transport);
    if (status != 0)
        return status;
    if (config_service_name_check(q.service, &why) < 0)
        return out_failure("%s", why.text);
    if (target_resolve(c, &c->base.arena, q.target_text, &q.target, &why) < 0)
        return out_failure("Cannot resolve target \"%s\": %s", q.target_text, why.text);
    return run(cli, c, &q);
}
