/* SPDX-License-Identifier: MIT */
#pragma once

/* A command: one row in the table of commands.c and one function in a file of its own. */

#include "cli/args.h"
#include "ctl/client_config.h"

struct config;
struct config_base;
struct config_service;
struct mem;
struct relay_config;

/* What a bad flag costs: cli.md, section 1.2. */
enum command_style {
    STYLE_C, /* "Error: ..." and status 1 */
    STYLE_X, /* the text, the list of flags, and status 2 */
};

struct cli;

struct command {
    const char *name;            /* "auth add" */
    int (*run)(struct cli *cli); /* returns the exit status */
    const char *arguments;       /* "<peer-id>", for the help; "" for none */
    uint32_t arguments_max;      /* more positionals are an error */
    const char *summary;         /* one line, without a full stop */
    const struct flag *flags;    /* ended by a NULL name */
    enum command_style style;
};

/* In the order in which the usage shows them. */
extern const struct command CLI_COMMANDS[];
extern const size_t CLI_COMMANDS_COUNT;

/* What a command is given. */
struct cli {
    const struct command *command;
    struct args args;
    struct mem *mem;
    const char *home; /* $HOME, or NULL */
};

/* "-" before a flag of one letter, else "--". */
const char *cli_flag_dashes(const struct flag *flag);

/* "usage: peerup auth add <peer-id> [--comment TEXT] ..." as an error; returns 1. */
int cli_usage_error(const struct cli *cli);

/* The config that --config names, or the first of the search order.  0, or the exit status after
 * an error was printed. */
NODISCARD int cli_load_config(struct cli *cli, struct config **ret_config);

/* --transport, or what the config says.  0, or the exit status after an error was printed. */
NODISCARD int cli_transport(const struct cli *cli, const struct config *c,
                            enum dial_preference *ret_transport);

/* The relay's config: what --config names, or relay-server.yaml in the working directory. */
const char *cli_relay_config_path(const struct cli *cli);
/* Loads it.  0, or the exit status after an error was printed. */
NODISCARD int cli_load_relay_config(struct cli *cli, struct relay_config **ret_config);

/* Prints what a config's reader had to warn about, on standard error. */
void cli_print_warnings(const struct config_base *base);

/* "  ssh          -> localhost:22         (enabled)", and its protocol where that is asked. */
void cli_print_service(const struct config_service *s, bool with_protocol);

/* A line of what runs in the foreground.  Flushed line by line, for service managers and for who
 * waits for a line.  The signature is ctl/say.h's. */
void cli_say(void *user, const char *text);

/* The commands */
int cmd_auth_add(struct cli *cli);
int cmd_auth_list(struct cli *cli);
int cmd_auth_remove(struct cli *cli);
int cmd_auth_validate(struct cli *cli);
int cmd_config_show(struct cli *cli);
int cmd_config_validate(struct cli *cli);
int cmd_daemon(struct cli *cli);
int cmd_init(struct cli *cli);
int cmd_ping(struct cli *cli);
int cmd_proxy(struct cli *cli);
int cmd_relay_add(struct cli *cli);
int cmd_relay_authorize(struct cli *cli);
int cmd_relay_config_rollback(struct cli *cli);
int cmd_relay_config_validate(struct cli *cli);
int cmd_relay_deauthorize(struct cli *cli);
int cmd_relay_info(struct cli *cli);
int cmd_relay_list(struct cli *cli);
int cmd_relay_list_peers(struct cli *cli);
int cmd_relay_remove(struct cli *cli);
int cmd_relay_serve(struct cli *cli);
int cmd_relay_setup(struct cli *cli);
int cmd_relay_version(struct cli *cli);
int cmd_resolve(struct cli *cli);
int cmd_service_add(struct cli *cli);
int cmd_service_disable(struct cli *cli);
int cmd_service_enable(struct cli *cli);
int cmd_service_list(struct cli *cli);
int cmd_service_remove(struct cli *cli);
int cmd_status(struct cli *cli);
int cmd_version(struct cli *cli);
int cmd_whoami(struct cli *cli);
