/* SPDX-License-Identifier: MIT */

/* The table of commands: it dispatches, parses flags, prints help and makes the tables of
 * docs/cli.md and peerup(1). */

#include "cli/command.h"

#define NO_MORE_FLAGS \
    { NULL, FLAG_BOOL, NULL, NULL }
#define NO_FLAGS   ((const struct flag[]){NO_MORE_FLAGS})
#define FLAGS(...) ((const struct flag[]){__VA_ARGS__, NO_MORE_FLAGS})

#define F_CONFIG \
    { "config", FLAG_TEXT, "PATH", "config file to use instead of the first one found" }
#define F_RELAY_CONFIG \
    { "config", FLAG_TEXT, "PATH", "config file to use instead of relay-server.yaml" }
#define F_FILE \
    { "file", FLAG_TEXT, "PATH", "authorized_keys file to use instead of the config's" }
#define F_JSON \
    { "json", FLAG_BOOL, NULL, "print JSON" }

#define F_TRANSPORT                                                                                \
    {                                                                                              \
        "transport", FLAG_TEXT, "NAME",                                                            \
            "auto, quic or tcp: what to connect over, with the other as a fallback (the config's)" \
    }

/* clang-format off */
const struct command CLI_COMMANDS[] = {
    {"init", cmd_init, "", 0, "Create a config, a key and an empty list of authorized peers",
     FLAGS({"dir", FLAG_TEXT, "DIR", "directory to create them in (~/.config/peerup)"},
           {"network", FLAG_TEXT, "NAME", "private DHT namespace"},
           {"relay", FLAG_TEXT, "ADDR", "relay as multiaddr, IP or IP:PORT; asks nothing"},
           {"peer-id", FLAG_TEXT, "ID", "the relay's peer ID, where ADDR lacks it"},
           {"no-relay", FLAG_BOOL, NULL, "use no relay; asks nothing"}), STYLE_C},
    {"whoami", cmd_whoami, "", 0, "Print this node's peer ID", FLAGS(F_CONFIG), STYLE_C},
    {"status", cmd_status, "", 0, "Show this node's settings", FLAGS(F_CONFIG), STYLE_C},
    {"auth add", cmd_auth_add, "<peer-id>", 1, "Authorize a peer",
     FLAGS({"comment", FLAG_TEXT, "TEXT", "label for the peer"}, F_FILE, F_CONFIG), STYLE_C},
    {"auth list", cmd_auth_list, "", 0, "List authorized peers", FLAGS(F_FILE, F_CONFIG), STYLE_C},
    {"auth remove", cmd_auth_remove, "<peer-id>", 1, "Revoke a peer",
     FLAGS(F_FILE, F_CONFIG), STYLE_C},
    {"auth validate", cmd_auth_validate, "[file]", 1, "Check the list of authorized peers",
     FLAGS(F_FILE, F_CONFIG), STYLE_C},
    {"service add", cmd_service_add, "<name> <host:port>", 2, "Offer a local TCP service to peers",
     FLAGS({"protocol", FLAG_TEXT, "ID", "note to keep with the service"}, F_CONFIG), STYLE_C},
    {"service list", cmd_service_list, "", 0, "List services", FLAGS(F_CONFIG), STYLE_C},
    {"service remove", cmd_service_remove, "<name>", 1, "Remove a service",
     FLAGS(F_CONFIG), STYLE_C},
    {"service enable", cmd_service_enable, "<name>", 1, "Offer a service again",
     FLAGS(F_CONFIG), STYLE_C},
    {"service disable", cmd_service_disable, "<name>", 1, "Keep a service but do not offer it",
     FLAGS(F_CONFIG), STYLE_C},
    {"config validate", cmd_config_validate, "", 0, "Check the config", FLAGS(F_CONFIG), STYLE_C},
    {"config show", cmd_config_show, "", 0, "Print the config with all defaults filled in",
     FLAGS(F_CONFIG), STYLE_C},
    {"relay setup", cmd_relay_setup, "", 0, "Create a relay's config and list of peers",
     FLAGS({"dir", FLAG_TEXT, "DIR", "directory to create them in (the working directory)"},
           {"fresh", FLAG_BOOL, NULL, "replace files that are there, after a snapshot; asks nothing"},
           {"non-interactive", FLAG_BOOL, NULL, "fail instead of asking"}), STYLE_C},
    {"relay serve", cmd_relay_serve, "", 0, "Run the relay in the foreground",
     FLAGS(F_RELAY_CONFIG), STYLE_X},
    {"relay info", cmd_relay_info, "", 0, "Print the relay's peer ID and addresses",
     FLAGS(F_RELAY_CONFIG), STYLE_C},
    {"relay authorize", cmd_relay_authorize, "<peer-id> [comment...]", ARGS_POSITIONALS_MAX,
     "Let a peer use the relay",
     FLAGS({"comment", FLAG_TEXT, "TEXT", "label for the peer"}, F_RELAY_CONFIG), STYLE_C},
    {"relay deauthorize", cmd_relay_deauthorize, "<peer-id>", 1, "Shut a peer out of the relay",
     FLAGS(F_RELAY_CONFIG), STYLE_C},
    {"relay list-peers", cmd_relay_list_peers, "", 0, "List the peers that may use the relay",
     FLAGS(F_RELAY_CONFIG), STYLE_C},
    {"relay config validate", cmd_relay_config_validate, "", 0, "Check the relay's config",
     FLAGS(F_RELAY_CONFIG), STYLE_C},
    {"relay config rollback", cmd_relay_config_rollback, "", 0,
     "Go back to the config with which the relay last started", FLAGS(F_RELAY_CONFIG), STYLE_C},
    {"relay version", cmd_relay_version, "", 0, "Print the version", NO_FLAGS, STYLE_C},
    {"relay add", cmd_relay_add, "<addr>...", ARGS_POSITIONALS_MAX, "Use one or more relays",
     FLAGS({"peer-id", FLAG_TEXT, "ID", "the relay's peer ID, for addresses that lack it"},
           F_CONFIG), STYLE_C},
    {"relay list", cmd_relay_list, "", 0, "List the relays that are used", FLAGS(F_CONFIG),
     STYLE_C},
    {"relay remove", cmd_relay_remove, "<addr>", 1, "Do without a relay",
     FLAGS({"force", FLAG_BOOL, NULL, "remove even the last one"},
           {"f", FLAG_BOOL, NULL, "the same as --force"}, F_CONFIG), STYLE_C},
    {"resolve", cmd_resolve, "<name>", 1, "Print the peer ID behind a name",
     FLAGS(F_JSON, F_CONFIG), STYLE_C},
    {"daemon", cmd_daemon, "", 0, "Run the node in the foreground", FLAGS(F_CONFIG), STYLE_X},
    {"daemon start", cmd_daemon, "", 0, "The same as daemon", FLAGS(F_CONFIG), STYLE_X},
    {"proxy", cmd_proxy, "<target> <service> <local-port>", 3,
     "Lead a local port to a peer's service", FLAGS(F_TRANSPORT, F_CONFIG), STYLE_X},
    {"ping", cmd_ping, "<target>", 1, "Measure the way to a peer and back",
     FLAGS({"c", FLAG_INT, "N", "how often; 0, the default: until Ctrl-C"},
           {"n", FLAG_INT, "N", "the same as -c"},
           {"interval", FLAG_DURATION, "TIME", "from one to the next (1s)"}, F_TRANSPORT, F_JSON,
           F_CONFIG),
     STYLE_X},
    {"version", cmd_version, "", 0, "Print the version and the licence", NO_FLAGS, STYLE_C},
};
/* clang-format on */

const size_t CLI_COMMANDS_COUNT = ARRAY_COUNT(CLI_COMMANDS);
