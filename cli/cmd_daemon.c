/* SPDX-License-Identifier: MIT */
#include "cli/command.h"
#include "cli/out.h"
#include "core/base/problem.h"
#include "core/conf/config.h"
#include "ctl/log_stderr.h"
#include "ctl/run_daemon.h"

int cmd_daemon(struct cli *cli) {
    SCOPED(config_freep) struct config *c = NULL;
    struct problem why = PROBLEM_INIT;
    struct log log, audit;

    int status = cli_load_config(cli, &c);
    if (status != 0)
        return status;
    cli_print_warnings(&c->base);
    log_stderr_init(&log, LOG_INFO);
    log_stderr_init_audit(&audit);
    struct run_daemon_config cfg = {
        .mem = cli->mem, .config = c, .log = &log, .audit = &audit, .say = cli_say};
    if (run_daemon(&cfg, &why) < 0)
        return out_failure("Failed to start: %s", why.text);
    return 0;
}
