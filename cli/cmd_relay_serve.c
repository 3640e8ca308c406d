/* SPDX-License-Identifier: MIT */
#include "cli/command.h"
#include "cli/out.h"
#include "core/base/problem.h"
#include "core/conf/relay_config.h"
#include "ctl/log_stderr.h"
#include "ctl/run_relay.h"

int cmd_relay_serve(struct cli *cli) {
    SCOPED(relay_config_freep) struct relay_config *c = NULL;
    struct problem why = PROBLEM_INIT;
    struct log log, audit;

    int status = cli_load_relay_config(cli, &c);
    if (status != 0)
        return status;
    cli_print_warnings(&c->base);
    log_stderr_init(&log, LOG_INFO);
    log_stderr_init_audit(&audit);
    struct run_relay_config cfg = {
        .mem = cli->mem, .config = c, .log = &log, .audit = &audit, .say = cli_say};
    return run_relay(&cfg, &why) < 0 ? out_failure("%s", why.text) : 0;
}
