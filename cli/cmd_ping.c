/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "cli/command.h"
#include "cli/out.h"
#include "core/base/err.h"
#include "core/base/problem.h"
#include "core/conf/config.h"
#include "core/conf/names.h"
#include "ctl/log_stderr.h"
#include "ctl/run_ping.h"

struct request {
    const char *target_text;
    struct target target;
    enum dial_preference transport;
    bool json;
};

static void print_reply_json(const struct request *q, const struct ping_reply *reply,
                             const char *error) {
    char id[PEER_ID_TEXT_MAX];
    const struct out_field fields[] = {
        out_field_int("seq", (int64_t)reply->seq),
        out_field_text("peer_id", peer_id_format(&q->target.id, id)),
        out_field_real("rtt_ms", ping_ms(reply->rtt)),
        out_field_text("path", reply->is_relayed ? "RELAYED" : "DIRECT"),
        out_field_text("error", error),
    };
    out_json(fields, ARRAY_COUNT(fields), false);
    out_text(OUT_PLAIN, "%s", ""); /* flushes */
}

static void on_connected(void *user) {
    const struct request *q = user;
    if (!q->json)
        out_text(OUT_PLAIN, "\n");
}

static void on_answered(void *user, const struct ping_reply *reply) {
    const struct request *q = user;
    char error[256] = "";

    if (reply->error != 0)
        (void)snprintf(error, sizeof(error), "%s: %s", reply->phase, err_text(reply->error));
    if (q->json)
        print_reply_json(q, reply, error);
    else if (reply->error != 0)
        out_text(OUT_PLAIN, "seq=%llu error=%s\n", (unsigned long long)reply->seq, error);
    else
        out_text(OUT_PLAIN, "seq=%llu rtt=%.1fms path=[%s]\n", (unsigned long long)reply->seq,
                 ping_ms(reply->rtt), reply->is_relayed ? "RELAYED" : "DIRECT");
}

static void print_stats(const struct request *q, const struct ping_stats *s) {
    if (q->json) {
        const struct out_field fields[] = {
            out_field_int("sent", (int64_t)s->sent),
            out_field_int("received", (int64_t)s->received),
            out_field_int("lost", (int64_t)(s->sent - s->received)),
            out_field_real("loss_pct", ping_stats_loss(s)),
            out_field_real("min_ms", ping_ms(s->min)),
            out_field_real("avg_ms", ping_stats_avg_ms(s)),
            out_field_real("max_ms", ping_ms(s->max)),
        };
        out_json(fields, ARRAY_COUNT(fields), false);
        return;
    }
    out_line(OUT_PLAIN, "\n--- %s ping statistics ---", q->target_text);
    out_line(OUT_PLAIN,
             "%llu sent, %llu received, %.0f%% loss, rtt min/avg/max = %.1f/%.1f/%.1f ms",
             (unsigned long long)s->sent, (unsigned long long)s->received, ping_stats_loss(s),
             ping_ms(s->min), ping_stats_avg_ms(s), ping_ms(s->max));
}

static int run(struct cli *cli, const struct config *c, struct request *q, int64_t count) {
    struct problem why = PROBLEM_INIT;
    struct ping_stats stats;
    char id[PEER_ID_SHORT_MAX];
    struct log log;

    log_stderr_init(&log, LOG_WARN);
    struct run_ping_config cfg = {
        .client = {.mem = cli->mem,
                   .config = c,
                   .log = &log,
                   .target = &q->target,
                   .transport = q->transport},
        .count = (uint64_t)count,
        .interval = (nsec_t)args_duration_ns(&cli->args, "interval", SEC(1)),
        .connected = on_connected,
        .answered = on_answered,
        .user = q,
    };
    if (!q->json)
        out_text(OUT_PLAIN, "PING %s (%s)\nConnecting...\n", q->target_text,
                 peer_id_format_short(&q->target.id, id));
    if (run_ping(&cfg, &stats, &why) < 0)
        return out_failure("Failed to connect: %s", why.text);
    print_stats(q, &stats);
    return 0;
}

int cmd_ping(struct cli *cli) {
    SCOPED(config_freep) struct config *c = NULL;
    struct request q = {.target_text = args_positional(&cli->args, 0),
                        .json = args_bool(&cli->args, "json")};
    int64_t count = args_int(&cli->args, args_has(&cli->args, "n") ? "n" : "c", 0);
    struct problem why = PROBLEM_INIT;

    if (q.target_text == NULL)
        return cli_usage_error(cli);
    if (count < 0)
        return out_failure("Invalid count %lld: must not be negative", (long long)count);
    if (args_duration_ns(&cli->args, "interval", SEC(1)) <= 0)
        return out_failure("Invalid interval \"%s\": must be more than 0",
                           args_text(&cli->args, "interval"));
    int status = cli_load_config(cli, &c);
    if (status == 0)
        status = cli_transport(cli, c, &q.transport);
    if (status != 0)
        return status;
    if (target_resolve(c, &c->base.arena, q.target_text, &q.target, &why) < 0)
        return out_failure("Cannot resolve target \"%s\": %s", q.target_text, why.text);
    return run(cli, c, &q, count);
}
