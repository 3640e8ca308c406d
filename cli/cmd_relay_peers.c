/* SPDX-License-Identifier: MIT */
#include "cli/command.h"
#include "cli/out.h"
#include "core/base/problem.h"
#include "core/base/strbuf.h"
#include "core/conf/authkeys.h"
#include "core/conf/relay_config.h"

enum { COMMENT_BYTES_MAX = 4096 };

/* The relay's list.  0, or the exit status after an error was printed.  The path lives as long as
 * the config. */
static int find_list(struct cli *cli, struct relay_config **ret_config, const char **ret_path) {
    int status = cli_load_relay_config(cli, ret_config);
    if (status != 0)
        return status;
    *ret_path = (*ret_config)->security.authorized_keys_file;
    if (*ret_path == NULL)
        return out_error("no security.authorized_keys_file in %s", (*ret_config)->base.path);
    return 0;
}

static void print_hint(const struct relay_config *c) {
    if (c->security.enable_connection_gating)
        out_line(OUT_PLAIN, "\nA running relay applies this at once.");
    else
        out_line(OUT_NOTICE, "\nConnection gating is off in %s: the list has no effect.",
                 c->base.path);
}

/* --comment, or the words behind the peer ID. */
static int read_comment(const struct cli *cli, struct strbuf *out) {
    const char *given = args_text(&cli->args, "comment");

    if (given != NULL && cli->args.positionals_count > 1)
        return out_error("unexpected argument: %s", args_positional(&cli->args, 1));
    strbuf_add(out, given == NULL ? "" : given);
    for (uint32_t i = 1; i < cli->args.positionals_count; i++)
        strbuf_addf(out, "%s%s", i == 1 ? "" : " ", args_positional(&cli->args, i));
    return strbuf_error(out) < 0
               ? out_error("the comment is longer than %d bytes", COMMENT_BYTES_MAX)
               : 0;
}

int cmd_relay_authorize(struct cli *cli) {
    SCOPED(relay_config_freep) struct relay_config *c = NULL;
    SCOPED(strbuf_free) struct strbuf comment = STRBUF_INIT(COMMENT_BYTES_MAX);
    const char *text = args_positional(&cli->args, 0), *path;
    struct problem why = PROBLEM_INIT;
    char id_short[PEER_ID_SHORT_MAX];
    struct peer_id id;

    if (text == NULL)
        return cli_usage_error(cli);
    int status = read_comment(cli, &comment);
    if (status == 0)
        status = find_list(cli, &c, &path);
    if (status != 0)
        return status;
    if (peer_id_parse(text, &id) < 0)
        return out_error("failed to authorize peer: invalid peer ID: failed to parse peer ID: %s",
                         text);
    if (authkeys_add(cli->mem, path, &id, strbuf_text(&comment), &why) < 0)
        return out_error("failed to authorize peer: %s", why.text);
    out_line(OUT_SUCCESS, "Authorized: %s", peer_id_format_short(&id, id_short));
    if (comment.len > 0)
        out_line(OUT_DETAIL, "Comment:    %s", strbuf_text(&comment));
    out_line(OUT_DETAIL, "File:       %s", path);
    print_hint(c);
    return 0;
}

int cmd_relay_deauthorize(struct cli *cli) {
    SCOPED(relay_config_freep) struct relay_config *c = NULL;
    const char *text = args_positional(&cli->args, 0), *path;
    struct problem why = PROBLEM_INIT;
    char id_short[PEER_ID_SHORT_MAX];
    struct peer_id id;

    if (text == NULL)
        return cli_usage_error(cli);
    int status = find_list(cli, &c, &path);
    if (status != 0)
        return status;
    if (peer_id_parse(text, &id) < 0)
        return out_error("failed to deauthorize peer: invalid peer ID: failed to parse peer ID: %s",
                         text);
    if (authkeys_remove(cli->mem, path, &id, &why) < 0)
        return out_error("failed to deauthorize peer: %s", why.text);
    out_line(OUT_SUCCESS, "Deauthorized: %s", peer_id_format_short(&id, id_short));
    print_hint(c);
    return 0;
}

int cmd_relay_list_peers(struct cli *cli) {
    SCOPED(relay_config_freep) struct relay_config *c = NULL;
    SCOPED(authkeys_freep) struct authkeys *keys = NULL;
    struct problem why = PROBLEM_INIT;
    const struct authkey *items = NULL;
    char id[PEER_ID_TEXT_MAX];
    const char *path;
    uint32_t count = 0;

    int status = find_list(cli, &c, &path);
    if (status != 0)
        return status;
    int e = authkeys_load_readable(cli->mem, path, &keys, &why);
    if (e < 0 && e != -ENOENT)
        return out_error("%s", why.text);
    if (e == 0)
        items = authkeys_items(keys, &count);
    out_line(OUT_PLAIN, "Authorized peers (%s):\n", path);
    for (uint32_t i = 0; i < count; i++)
        out_line(OUT_PLAIN, "  %s%s%s", peer_id_format(&items[i].id, id),
                 *items[i].comment == '\0' ? "" : "  # ", items[i].comment);
    if (count == 0)
        out_line(OUT_PLAIN, "  (none)");
    out_line(OUT_PLAIN, "\nTotal: %u peer(s)", count);
    return 0;
}
