/* SPDX-License-Identifier: MIT */
#include "cli/command.h"
#include "cli/out.h"
#include "core/base/problem.h"
#include "core/conf/config.h"
#include "core/p2p/identity.h"
#include "ctl/sysenv.h"

/* Creates the key when there is none, as every command that needs one does: so that a peer's ID
 * can be told before its first start. */
int cmd_whoami(struct cli *cli) {
    SCOPED(config_freep) struct config *c = NULL;
    SCOPED(identity_done) struct identity me = {.id = PEER_ID_NONE};
    struct problem why = PROBLEM_INIT;
    char id[PEER_ID_TEXT_MAX];

    int status = cli_load_config(cli, &c);
    if (status != 0)
        return status;
    if (c->identity.key_file == NULL)
        return out_error("config error: %s: identity.key_file is required", c->base.path);
    if (identity_load_or_create(c->identity.key_file, sysenv_rng(), &me, NULL, &why) < 0)
        return out_error("%s", why.text);
    out_line(OUT_PLAIN, "%s", peer_id_format(&me.id, id));
    return 0;
}
