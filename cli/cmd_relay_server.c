/* SPDX-License-Identifier: MIT */
#include "cli/command.h"
#include "cli/out.h"
#include "cli/qr.h"
#include "core/base/mem.h"
#include "core/base/net_addr.h"
#include "core/base/problem.h"
#include "core/base/version.h"
#include "core/conf/archive.h"
#include "core/conf/authkeys.h"
#include "core/conf/relay_config.h"
#include "core/p2p/identity.h"
#include "core/p2p/multiaddr.h"
#include "ctl/public_addrs.h"
#include "ctl/sysenv.h"

enum { SHOWN_ADDRS_MAX = 32 };

/* --- relay info --- */

static void print_gating(struct cli *cli, const struct relay_config *c) {
    SCOPED(authkeys_freep) struct authkeys *keys = NULL;
    const char *path = c->security.authorized_keys_file;
    struct problem why = PROBLEM_INIT;
    uint32_t count;

    if (!c->security.enable_connection_gating) {
        out_line(OUT_NOTICE, "Connection gating: disabled");
        return;
    }
    out_line(OUT_PLAIN, "Connection gating: enabled");
    if (path == NULL) {
        out_line(OUT_FAILURE, "Authorized peers: error (no authorized_keys_file in config)");
    } else if (authkeys_load(cli->mem, path, &keys, &why) < 0) {
        out_line(OUT_FAILURE, "Authorized peers: error (%s)", why.text);
    } else {
        (void)authkeys_items(keys, &count);
        out_line(OUT_PLAIN, "Authorized peers: %u", count);
    }
}

/* What the config's listen addresses come to on this machine; with the peer ID.  Returns how many
 * there are. */
static size_t find_addrs(struct cli *cli, const struct relay_config *c, const struct peer_id *id,
                         struct multiaddr *out) {
    const struct config_addrs *addrs = &c->network.listen_addresses;
    struct multiaddr *listen = config_addrs_array(cli->mem, addrs);
    size_t count = 0, kept = 0;

    if (listen != NULL)
        count = public_addrs(listen, addrs->count, out, SHOWN_ADDRS_MAX);
    (void)mem_free(cli->mem, listen);
    for (size_t i = 0; i < count; i++) {
        out[kept] = out[i];
        kept += multiaddr_add_peer(&out[kept], id) == 0;
    }
    return kept;
}

/* How to tell a node of this relay: as IP:PORT where that is enough. */
static void print_quick_setup(const struct multiaddr *primary, const char *id) {
    char text[MULTIADDR_TEXT_MAX];
    struct net_addr at;

    (void)multiaddr_format(primary, text);
    qr_print("\nPrimary address (scan to share):", text);
    if (multiaddr_kind(primary) == MULTIADDR_KIND_TCP && multiaddr_to_net_addr(primary, &at) == 0)
        (void)net_addr_format(&at, text);
    out_line(OUT_PLAIN, "\nQuick setup:\n  peerup init  →  enter: %s\n  Peer ID: %s", text, id);
}

int cmd_relay_info(struct cli *cli) {
    SCOPED(relay_config_freep) struct relay_config *c = NULL;
    SCOPED(identity_done) struct identity me = {.id = PEER_ID_NONE};
    struct multiaddr addrs[SHOWN_ADDRS_MAX];
    struct problem why = PROBLEM_INIT;
    char id[PEER_ID_TEXT_MAX], text[MULTIADDR_TEXT_MAX];

    int status = cli_load_relay_config(cli, &c);
    if (status != 0)
        return status;
    cli_print_warnings(&c->base);
    if (c->identity.key_file == NULL)
        return out_error("config error: %s: identity.key_file is required", c->base.path);
    /* Made here before the first start, so that nodes can be told of the relay. */
    if (identity_load_or_create(c->identity.key_file, sysenv_rng(), &me, NULL, &why) < 0)
        return out_error("%s", why.text);
    out_line(OUT_PLAIN, "Peer ID: %s", peer_id_format(&me.id, id));
    print_gating(cli, c);
    size_t count = find_addrs(cli, c, &me.id, addrs);
    if (count == 0) {
        out_line(OUT_NOTICE, "\nMultiaddrs: could not detect public IPs");
        return 0;
    }
    out_line(OUT_PLAIN, "\nMultiaddrs:");
    for (size_t i = 0; i < count; i++)
        out_line(OUT_PLAIN, "  %s", multiaddr_format(&addrs[i], text));
    print_quick_setup(&addrs[0], id);
    return 0;
}

/* --- relay config, relay version --- */

int cmd_relay_config_validate(struct cli *cli) {
    SCOPED(relay_config_freep) struct relay_config *c = NULL;
    struct problem why = PROBLEM_INIT;
    const char *path = cli_relay_config_path(cli);

    if (relay_config_load(cli->mem, path, &c, &why) < 0)
        return out_failure("FAIL: %s", why.text);
    cli_print_warnings(&c->base);
    if (relay_config_check(c, &why) < 0) {
        for (const struct config_finding *f = c->base.findings; f != NULL; f = f->next)
            if (f->is_error)
                (void)out_failure("FAIL: %s", f->text);
        return 1;
    }
    out_line(OUT_SUCCESS, "OK: %s is valid", path);
    return 0;
}

int cmd_relay_config_rollback(struct cli *cli) {
    const char *path = cli_relay_config_path(cli);
    struct problem why = PROBLEM_INIT;

    if (config_rollback(cli->mem, path, &why) < 0)
        return out_error("%s", why.text);
    out_line(OUT_SUCCESS, "Restored %s from last-known-good archive", path);
    out_line(OUT_PLAIN, "\nRestart 'peerup relay serve' to apply.");
    return 0;
}

int cmd_relay_version(struct cli *cli) {
    (void)cli;
    out_line(OUT_PLAIN, "peerup relay %s (%s) built %s", version_release(), version_commit(),
             version_date());
    out_line(OUT_PLAIN, "%s", version_toolchain());
    return 0;
}
