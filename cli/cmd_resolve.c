/* SPDX-License-Identifier: MIT */
#include "cli/command.h"
#include "cli/out.h"
#include "core/base/problem.h"
#include "core/conf/config.h"
#include "core/conf/names.h"

static const char *const SOURCES[] = {
    [TARGET_NAME] = "local_config",
    [TARGET_PEER_ID] = "peer_id",
    [TARGET_ADDRESS] = "multiaddr",
};

int cmd_resolve(struct cli *cli) {
    SCOPED(config_freep) struct config *c = NULL;
    const char *name = args_positional(&cli->args, 0);
    struct problem why = PROBLEM_INIT;
    struct target target;
    char id[PEER_ID_TEXT_MAX];

    if (name == NULL)
        return cli_usage_error(cli);
    int status = cli_load_config(cli, &c);
    if (status != 0)
        return status;
    if (target_resolve(c, &c->base.arena, name, &target, &why) < 0)
        return out_error("cannot resolve \"%s\": %s", name, why.text);
    (void)peer_id_format(&target.id, id);
    if (args_bool(&cli->args, "json")) {
        const struct out_field fields[] = {
            out_field_text("name", name),
            out_field_text("peer_id", id),
            out_field_text("source", SOURCES[target.source]),
        };
        out_json(fields, ARRAY_COUNT(fields), true);
        return 0;
    }
    out_line(OUT_PLAIN, "%s \u2192 %s", name, id);
    return 0;
}
