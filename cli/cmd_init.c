/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/out.h"
#include "cli/prompt.h"
#include "cli/qr.h"
#include "cli/relay_address.h"
#include "core/base/err.h"
#include "core/base/file.h"
#include "core/base/problem.h"
#include "core/base/strbuf.h"
#include "core/conf/config.h"
#include "core/conf/config_file.h"
#include "core/conf/units.h"
#include "core/p2p/identity.h"
#include "ctl/sysenv.h"

static const char EMPTY_LIST[] =
    "# Peers that may connect to this node, one a line: <peer-id>  # comment\n"
    "# Add one with: peerup auth add <peer-id> --comment \"label\"\n";

struct paths {
    char dir[PATH_MAX];
    char config[PATH_MAX + 32];
    char key[PATH_MAX + 32];
    char list[PATH_MAX + 32];
};

static int find_paths(const struct cli *cli, struct paths *ret_paths) {
    const char *dir = args_text(&cli->args, "dir");
    struct paths *p = ret_paths;
    int n;

    if (dir == NULL && cli->home == NULL)
        return out_error("HOME is not set. Use --dir to say where to put the config");
    n = dir != NULL ? snprintf(p->dir, sizeof(p->dir), "%s", dir)
                    : snprintf(p->dir, sizeof(p->dir), "%s/.config/peerup", cli->home);
    if (n <= 0 || (size_t)n >= sizeof(p->dir))
        return out_error("invalid --dir value");
    while (n > 1 && p->dir[n - 1] == '/')
        p->dir[--n] = '\0';
    (void)snprintf(p->config, sizeof(p->config), "%s/config.yaml", p->dir);
    (void)snprintf(p->key, sizeof(p->key), "%s/identity.key", p->dir);
    (void)snprintf(p->list, sizeof(p->list), "%s/authorized_keys", p->dir);
    return 0;
}

static int add_peer(struct relay_address *relay, const char *peer_id) {
    struct problem why = PROBLEM_INIT;
    return relay_address_add_peer(relay, peer_id, &why) < 0 ? out_error("%s", why.text) : 0;
}

/* Asks for the relay.  An empty line: none, and relay->text stays empty. */
static int ask_relay(struct relay_address *relay) {
    char line[PROMPT_LINE_MAX] = "";
    struct problem why = PROBLEM_INIT;

    int status = prompt_line("Relay address (IP:PORT, IP, or multiaddr; empty for none)\n> ", line);
    if (status != 0 || *line == '\0')
        return status;
    if (relay_address_parse(line, relay, &why) < 0)
        return out_error("%s", why.text);
    if (relay->has_peer)
        return 0;
    line[0] = '\0';
    if ((status = prompt_line("Relay Peer ID\n> ", line)) != 0)
        return status;
    if (*line == '\0')
        return out_error("relay Peer ID is required");
    if ((status = add_peer(relay, line)) == 0)
        out_line(OUT_PLAIN, "Relay: %s", relay->text);
    return status;
}

/* The relay from the flags, or from the prompt when no flag says. */
static int choose_relay(const struct args *args, struct relay_address *relay) {
    const char *address = args_text(args, "relay"), *peer_id = args_text(args, "peer-id");
    struct problem why = PROBLEM_INIT;

    if (args_bool(args, "no-relay"))
        return address == NULL && peer_id == NULL
                   ? 0
                   : out_error("--no-relay excludes --relay and --peer-id");
    if (address == NULL)
        return peer_id == NULL ? ask_relay(relay) : out_error("--peer-id needs --relay");
    if (relay_address_parse(address, relay, &why) < 0)
        return out_error("%s", why.text);
    if (relay->has_peer)
        return peer_id == NULL ? 0
                               : out_error("--relay has a peer ID already: leave --peer-id out");
    return peer_id == NULL ? out_error("relay Peer ID is required: add --peer-id ID")
                           : add_peer(relay, peer_id);
}

static int write_files(const struct cli *cli, const struct paths *p,
                       const struct relay_address *relay, struct identity *ret_me) {
    SCOPED(strbuf_free) struct strbuf text = STRBUF_INIT(CONFIG_BYTES_MAX);
    struct problem why = PROBLEM_INIT;
    const struct config_generate generate = {
        .generator = "peerup init",
        .relay = *relay->text == '\0' ? NULL : relay->text,
        .network = args_text(&cli->args, "network"),
    };

    if (identity_load_or_create(p->key, sysenv_rng(), ret_me, NULL, &why) < 0)
        return out_error("%s", why.text);
    int e = file_write(p->list, BYTES_LIT(EMPTY_LIST), 0600, FILE_NEW_ONLY, &why);
    if (e < 0 && e != -EEXIST)
        return out_error("%s", why.text);
    config_generate(&generate, &text);
    if ((e = strbuf_error(&text)) < 0)
        return out_error("%s", err_text(e));
    if (file_write(p->config, strbuf_bytes(&text), 0600, FILE_NEW_ONLY, &why) < 0)
        return out_error("%s", why.text);
    return 0;
}

static void print_result(const struct paths *p, const struct identity *me) {
    char id[PEER_ID_TEXT_MAX];
    (void)peer_id_format(&me->id, id);
    out_line(OUT_SUCCESS, "Your Peer ID: %s", id);
    out_line(OUT_DETAIL, "(Share this with peers who need to authorize you)\n");
    out_line(OUT_PLAIN, "Config written to:  %s", p->config);
    out_line(OUT_PLAIN, "Identity saved to:  %s\n", p->key);
    qr_print("Your Peer ID (scan to share):", id);
    out_line(OUT_PLAIN, "Next steps:\n"
                        "  1. Authorize a peer:   peerup auth add <peer-id> --comment \"label\"\n"
                        "  2. Offer a service:    peerup service add ssh localhost:22\n"
                        "  3. Run the daemon:     peerup daemon");
}

int cmd_init(struct cli *cli) {
    SCOPED(identity_done) struct identity me = {.id = PEER_ID_NONE};
    const char *network = args_text(&cli->args, "network");
    struct relay_address relay = {.text = ""};
    struct problem why = PROBLEM_INIT;
    struct paths paths;

    if (network != NULL && !dns_label_is_valid(network))
        return out_error("invalid --network value: invalid network name: \"%s\" %s", network,
                         DNS_LABEL_RULE);
    int status = find_paths(cli, &paths);
    if (status != 0)
        return status;
    out_line(OUT_PLAIN, "Welcome to peerup!\n");
    if (access(paths.config, F_OK) == 0)
        return out_error("config already exists: %s\nDelete it first if you want to reinitialize",
                         paths.config);
    out_line(OUT_PLAIN, "Creating config directory: %s\n", paths.dir);
    if (directory_make(paths.dir, 0700, &why) < 0)
        return out_error("%s", why.text);
    if ((status = choose_relay(&cli->args, &relay)) != 0)
        return status;
    out_line(OUT_PLAIN, "Generating identity...");
    if ((status = write_files(cli, &paths, &relay, &me)) != 0)
        return status;
    print_result(&paths, &me);
    return 0;
}
