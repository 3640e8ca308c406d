/* SPDX-License-Identifier: MIT */
#include "cli/command.h"
#include "cli/out.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/base/version.h"
#include "core/conf/authkeys.h"
#include "core/conf/config.h"
#include "core/p2p/identity.h"
#include "ctl/sysenv.h"

static void print_identity(const struct config *c) {
    SCOPED(identity_done) struct identity me = {.id = PEER_ID_NONE};
    const char *key_file = c->identity.key_file;
    struct problem why = PROBLEM_INIT;
    char id[PEER_ID_TEXT_MAX];

    int e = key_file == NULL ? -ENOENT : identity_load(key_file, &me, &why);
    if (e == 0)
        out_line(OUT_PLAIN, "Peer ID:  %s", peer_id_format(&me.id, id));
    else if (e == -ENOENT)
        out_line(OUT_PLAIN, "Peer ID:  (no key yet: 'peerup whoami' or the first start makes it)");
    else
        out_line(OUT_FAILURE, "Peer ID:  error (%s)", why.text);
    out_line(OUT_PLAIN, "Config:   %s", c->base.path);
    out_line(OUT_PLAIN, "Key file: %s", key_file == NULL ? "(none)" : key_file);
    out_line(OUT_PLAIN, "Network:  %s",
             c->discovery.network == NULL ? "global (default)" : c->discovery.network);
}

static void print_relays(const struct config *c) {
    if (c->relay.addresses.count == 0) {
        out_line(OUT_PLAIN, "\nRelay addresses: (none configured)");
        return;
    }
    out_line(OUT_PLAIN, "\nRelay addresses:");
    for (uint32_t i = 0; i < c->relay.addresses.count; i++)
        out_line(OUT_PLAIN, "  %s", c->relay.addresses.items[i].text);
}

static void print_peer(const struct authkey *k, walltime_t now) {
    char id_short[PEER_ID_SHORT_MAX];
    const char *badge = *authkey_attribute(k, "verified") == '\0' ? "UNVERIFIED" : "VERIFIED";
    if (!authkey_is_valid_at(k, now))
        badge = "EXPIRED";
    out_line(OUT_PLAIN, "  [%s] %s%s%s", badge, peer_id_format_short(&k->id, id_short),
             *k->comment == '\0' ? "" : "  # ", k->comment);
}

static void print_peers(struct cli *cli, const struct config *c) {
    SCOPED(authkeys_freep) struct authkeys *keys = NULL;
    struct problem why = PROBLEM_INIT;
    uint32_t count;

    if (!c->security.enable_connection_gating) {
        out_line(OUT_NOTICE, "\nAuthorized peers: connection gating disabled");
        return;
    }
    if (c->security.authorized_keys_file == NULL) {
        out_line(OUT_FAILURE, "\nAuthorized peers: error (no authorized_keys_file in config)");
        return;
    }
    if (authkeys_load(cli->mem, c->security.authorized_keys_file, &keys, &why) < 0) {
        out_line(OUT_FAILURE, "\nAuthorized peers: error (%s)", why.text);
        return;
    }
    const struct authkey *items = authkeys_items(keys, &count);
    if (count == 0) {
        out_line(OUT_PLAIN, "\nAuthorized peers: (none)");
        return;
    }
    out_line(OUT_PLAIN, "\nAuthorized peers (%u):", count);
    for (uint32_t i = 0; i < count; i++)
        print_peer(&items[i], sysenv_walltime());
}

static void print_services(const struct config *c) {
    if (c->services_count == 0) {
        out_line(OUT_PLAIN, "\nServices: (none configured)");
        return;
    }
    out_line(OUT_PLAIN, "\nServices:");
    for (uint32_t i = 0; i < c->services_count; i++)
        cli_print_service(&c->services[i], false);
}

static void print_names(const struct config *c) {
    char id_short[PEER_ID_SHORT_MAX];

    if (c->names_count == 0) {
        out_line(OUT_PLAIN, "\nNames: (none configured)");
        return;
    }
    out_line(OUT_PLAIN, "\nNames:");
    for (uint32_t i = 0; i < c->names_count; i++) {
        const struct config_name *n = &c->names[i];
        if (peer_id_is_none(&n->target.id))
            out_line(OUT_FAILURE, "  %-12s -> error (%s)", n->item.key,
                     n->target.error_text == NULL ? "no value" : n->target.error_text);
        else
            out_line(OUT_PLAIN, "  %-12s -> %s", n->item.key,
                     peer_id_format_short(&n->target.id, id_short));
    }
}

int cmd_status(struct cli *cli) {
    SCOPED(config_freep) struct config *c = NULL;

    out_line(OUT_PLAIN, "peerup %s (%s) built %s\n", version_release(), version_commit(),
             version_date());
    int status = cli_load_config(cli, &c);
    if (status != 0)
        return status;
    cli_print_warnings(&c->base);
    print_identity(c);
    print_relays(c);
    print_peers(cli, c);
    print_services(c);
    print_names(c);
    return 0;
}
