/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "cli/command.h"
#include "cli/out.h"
#include "cli/relay_address.h"
#include "core/base/problem.h"
#include "core/conf/config.h"
#include "core/conf/edit.h"

/* Longer addresses are shown with their peer ID cut to its first characters. */
enum { SHOWN_WHOLE_MAX = 60, SHOWN_ID_CHARS = 16 };

static void print_added(const char *address) {
    const char *id = strstr(address, "/p2p/");
    id = id == NULL ? address + strlen(address) : id + strlen("/p2p/");
    if (strlen(address) > SHOWN_WHOLE_MAX && strlen(id) > SHOWN_ID_CHARS)
        out_line(OUT_SUCCESS, "Added relay: %.*s%.*s...", (int)(id - address), address,
                 SHOWN_ID_CHARS, id);
    else
        out_line(OUT_SUCCESS, "Added relay: %s", address);
}

/* An address as it stands in the config, however it is spelled there; NULL when it does not. */
static const char *find_relay(const struct config *c, const char *text) {
    struct multiaddr wanted;
    bool is_multiaddr = multiaddr_parse(text, &wanted) == 0;

    for (uint32_t i = 0; i < c->relay.addresses.count; i++) {
        const struct config_addr *a = &c->relay.addresses.items[i];
        if (strcmp(a->text, text) == 0 || (is_multiaddr && multiaddr_equal(&a->addr, &wanted)))
            return a->text;
    }
    return NULL;
}

/* Whether the address ends in this peer. */
static bool names(const struct relay_address *relay, const struct peer_id *peer) {
    struct peer_id id;
    return peer_id_parse(strrchr(relay->text, '/') + 1, &id) == 0 && peer_id_equal(&id, peer);
}

/* One argument of `relay add`.  0, or the exit status after an error. */
static int read_address(const struct cli *cli, const char *text, struct relay_address *relay) {
    const char *peer_id = args_text(&cli->args, "peer-id");
    struct problem why = PROBLEM_INIT;
    struct peer_id wanted;

    if (relay_address_parse(text, relay, &why) < 0)
        return *text == '/' ? out_error("%s", why.text)
                            : out_error("invalid address: %s\n%s", text, why.text);
    if (peer_id != NULL && peer_id_parse(peer_id, &wanted) < 0) /* `init` spells it otherwise */
        return out_error("invalid peer ID: failed to parse peer ID: %s", peer_id);
    if (relay->has_peer && peer_id != NULL && !names(relay, &wanted))
        return out_error("%s names another peer than --peer-id %s", text, peer_id);
    if (relay->has_peer)
        return 0;
    if (peer_id == NULL && *text == '/')
        return out_error("%s does not end in /p2p/<peer-id>. Add that, or use --peer-id.", text);
    if (peer_id == NULL)
        return out_error("short address format requires --peer-id flag.\n"
                         "Example: peerup relay add %s --peer-id 12D3KooW...",
                         text);
    if (relay_address_add_peer(relay, peer_id, &why) < 0)
        return out_error("%s", why.text);
    return 0;
}

/* 1 when it was added, 0 when it is there already, or an error that was printed. */
static int add_relay(struct cli *cli, const struct config *c, const char *address) {
    const struct config_edit edit = {.kind = EDIT_RELAY_ADD, .value = address};
    struct problem why = PROBLEM_INIT;

    int e = find_relay(c, address) != NULL ? -EEXIST
                                           : config_edit_file(cli->mem, c->base.path, &edit, &why);
    if (e == -EEXIST) {
        out_line(OUT_NOTICE, "Already configured: %s", address);
        return 0;
    }
    if (e < 0) {
        (void)out_error("%s", why.text);
        return e;
    }
    print_added(address);
    return 1;
}

int cmd_relay_add(struct cli *cli) {
    SCOPED(config_freep) struct config *c = NULL;
    const uint32_t count = cli->args.positionals_count;
    struct relay_address relay;
    int added = 0;

    if (count == 0)
        return cli_usage_error(cli);
    int status = cli_load_config(cli, &c);
    for (uint32_t i = 0; i < count && status == 0; i++)
        status = read_address(cli, args_positional(&cli->args, i), &relay);
    if (status != 0)
        return status; /* before anything is written */
    for (uint32_t i = 0; i < count; i++) {
        if (read_address(cli, args_positional(&cli->args, i), &relay) != 0)
            return 1;
        int n = add_relay(cli, c, relay.text);
        if (n < 0)
            return 1;
        added += n;
    }
    if (added == 0)
        out_line(OUT_PLAIN, "No new relay addresses to add.");
    else
        out_line(OUT_DETAIL, "Config: %s", c->base.path);
    return 0;
}

int cmd_relay_list(struct cli *cli) {
    SCOPED(config_freep) struct config *c = NULL;
    int status = cli_load_config(cli, &c);
    if (status != 0)
        return status;
    if (c->relay.addresses.count == 0) {
        out_line(OUT_PLAIN, "No relay addresses configured.");
        return 0;
    }
    out_line(OUT_PLAIN, "Relay addresses (%u):\n", c->relay.addresses.count);
    for (uint32_t i = 0; i < c->relay.addresses.count; i++)
        out_line(OUT_PLAIN, "  %u. %s", i + 1, c->relay.addresses.items[i].text);
    out_line(OUT_DETAIL, "\nConfig: %s", c->base.path);
    return 0;
}

int cmd_relay_remove(struct cli *cli) {
    SCOPED(config_freep) struct config *c = NULL;
    const char *address = args_positional(&cli->args, 0);
    struct problem why = PROBLEM_INIT;

    if (address == NULL)
        return cli_usage_error(cli);
    int status = cli_load_config(cli, &c);
    if (status != 0)
        return status;
    const char *found = find_relay(c, address);
    if (found == NULL)
        return out_error("relay address not found in config: %s", address);
    if (c->relay.addresses.count == 1 && !args_bool(&cli->args, "force") &&
        !args_bool(&cli->args, "f"))
        return out_error("cannot remove the last relay address (without one, only peers whose "
                         "addresses are known and open can be reached).\n"
                         "Use --force (-f) to override.");
    const struct config_edit edit = {.kind = EDIT_RELAY_REMOVE, .value = found};
    if (config_edit_file(cli->mem, c->base.path, &edit, &why) < 0)
        return out_error("%s", why.text);
    out_line(OUT_SUCCESS, "Removed relay: %s", found);
    out_line(OUT_DETAIL, "Config: %s", c->base.path);
    return 0;
}
