/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "cli/command.h"
#include "cli/out.h"
#include "core/base/problem.h"
#include "core/base/strbuf.h"
#include "core/conf/authkeys.h"
#include "core/conf/config.h"
#include "core/conf/units.h"

enum { FAULTS_SHOWN_MAX = 64 };

/* The list to work on: --file, or the config's.  0, or the exit status after an error was printed.
 * The path lives as long as *ret_config, which may stay NULL. */
static int find_list(struct cli *cli, struct config **ret_config, const char **ret_path) {
    *ret_path = args_text(&cli->args, "file");
    if (*ret_path != NULL)
        return 0;
    int status = cli_load_config(cli, ret_config);
    if (status != 0)
        return status;
    *ret_path = (*ret_config)->security.authorized_keys_file;
    if (*ret_path == NULL)
        return out_error("no authorized_keys_file in config. Use --file to specify path");
    return 0;
}

int cmd_auth_add(struct cli *cli) {
    SCOPED(config_freep) struct config *c = NULL;
    const char *text = args_positional(&cli->args, 0), *path;
    const char *comment = args_text(&cli->args, "comment");
    struct problem why = PROBLEM_INIT;
    char id_short[PEER_ID_SHORT_MAX];
    struct peer_id id;

    if (text == NULL)
        return cli_usage_error(cli);
    int status = find_list(cli, &c, &path);
    if (status != 0)
        return status;
    if (peer_id_parse(text, &id) < 0)
        return out_error("failed to add peer: invalid peer ID: failed to parse peer ID: %s", text);
    if (authkeys_add(cli->mem, path, &id, comment, &why) < 0)
        return out_error("failed to add peer: %s", why.text);
    out_line(OUT_SUCCESS, "Authorized peer: %s", peer_id_format_short(&id, id_short));
    if (comment != NULL && *comment != '\0')
        out_line(OUT_DETAIL, "  Comment: %s", comment);
    out_line(OUT_DETAIL, "  File: %s", path);
    return 0;
}

int cmd_auth_remove(struct cli *cli) {
    SCOPED(config_freep) struct config *c = NULL;
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
        return out_error("failed to remove peer: invalid peer ID: failed to parse peer ID: %s",
                         text);
    if (authkeys_remove(cli->mem, path, &id, &why) < 0)
        return out_error("failed to remove peer: %s", why.text);
    out_line(OUT_SUCCESS, "Revoked peer: %s", peer_id_format_short(&id, id_short));
    out_line(OUT_DETAIL, "  File: %s", path);
    return 0;
}

/* " [group=abcd1234] [verified=sha256:aabbccdd] [expires=2027-01-02]" */
static void add_attributes(const struct authkey *k, struct strbuf *out) {
    const char *group = authkey_attribute(k, "group");
    const char *verified = authkey_attribute(k, "verified");
    char date[RFC3339_TEXT_MAX];

    if (*group != '\0')
        strbuf_addf(out, " [group=%s]", group);
    if (*verified != '\0')
        strbuf_addf(out, " [verified=%s]", verified);
    else
        strbuf_add(out, " [UNVERIFIED]");
    if (k->expires != AUTHKEY_NO_EXPIRY)
        strbuf_addf(out, " [expires=%.10s]", rfc3339_format(k->expires, date));
}

static void print_entry(uint32_t number, const struct authkey *k) {
    SCOPED(strbuf_free) struct strbuf line = STRBUF_INIT(AUTHKEYS_BYTES_MAX);
    char id[PEER_ID_TEXT_MAX], id_short[PEER_ID_SHORT_MAX];

    out_line(OUT_PLAIN, "  %u. %s%s%s", number, peer_id_format_short(&k->id, id_short),
             *k->comment == '\0' ? "" : "  # ", k->comment);
    strbuf_add(&line, peer_id_format(&k->id, id));
    add_attributes(k, &line);
    out_line(OUT_DETAIL, "     %s", strbuf_text(&line));
}

int cmd_auth_list(struct cli *cli) {
    SCOPED(config_freep) struct config *c = NULL;
    SCOPED(authkeys_freep) struct authkeys *keys = NULL;
    struct problem why = PROBLEM_INIT;
    const struct authkey *items = NULL;
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
    if (count == 0) {
        out_line(OUT_PLAIN, "No authorized peers.");
        out_line(OUT_DETAIL, "File: %s", path);
        return 0;
    }
    out_line(OUT_PLAIN, "Authorized peers (%u):\n", count);
    for (uint32_t i = 0; i < count; i++)
        print_entry(i + 1, &items[i]);
    out_line(OUT_DETAIL, "\nFile: %s", path);
    return 0;
}

int cmd_auth_validate(struct cli *cli) {
    SCOPED(config_freep) struct config *c = NULL;
    struct authkeys_fault faults[FAULTS_SHOWN_MAX];
    uint32_t faults_count, valid_count;
    struct problem why = PROBLEM_INIT;
    const char *path = args_positional(&cli->args, 0);

    int status = path == NULL ? find_list(cli, &c, &path) : 0;
    if (status != 0)
        return status;
    if (authkeys_validate(cli->mem, path, faults, FAULTS_SHOWN_MAX, &faults_count, &valid_count,
                          &why) < 0)
        return out_error("%s", why.text);
    if (faults_count == 0) {
        out_line(OUT_SUCCESS, "Validation passed");
        out_line(OUT_DETAIL, "  Valid peer IDs: %u", valid_count);
        out_line(OUT_DETAIL, "  File: %s", path);
        return 0;
    }
    out_line(OUT_FAILURE, "Validation failed with %u error(s):", faults_count);
    for (uint32_t i = 0; i < MIN(faults_count, (uint32_t)FAULTS_SHOWN_MAX); i++)
        out_line(OUT_PLAIN, "  Line %u: %s", faults[i].line, faults[i].text);
    return out_error("validation failed with %u error(s)", faults_count);
}
