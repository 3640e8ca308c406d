/* SPDX-License-Identifier: MIT */
#include "cli/command.h"

#include <stdio.h>
#include <string.h>

#include "cli/out.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/conf/config.h"
#include "core/conf/relay_config.h"

const char *cli_flag_dashes(const struct flag *flag) {
    return strlen(flag->name) == 1 ? "-" : "--";
}

int cli_usage_error(const struct cli *cli) {
    char flags[256] = "";
    size_t len = 0;
    for (const struct flag *f = cli->command->flags; f->name != NULL && len < sizeof(flags); f++) {
        int n =
            snprintf(flags + len, sizeof(flags) - len, " [%s%s%s%s]", cli_flag_dashes(f), f->name,
                     f->value_name == NULL ? "" : " ", f->value_name == NULL ? "" : f->value_name);
        len += n < 0 ? 0 : (size_t)n;
    }
    return out_error("usage: peerup %s%s%s%s", cli->command->name,
                     *cli->command->arguments == '\0' ? "" : " ", cli->command->arguments, flags);
}

int cli_load_config(struct cli *cli, struct config **ret_config) {
    struct problem why = PROBLEM_INIT;
    char *path;

    int e = config_find(cli->mem, args_text(&cli->args, "config"), cli->home, &path, &why);
    if (e < 0)
        return out_error("config error: %s", why.text);
    e = config_load(cli->mem, path, ret_config, &why);
    (void)mem_free(cli->mem, path);
    return e < 0 ? out_error("config error: %s", why.text) : 0;
}

int cli_transport(const struct cli *cli, const struct config *c,
                  enum dial_preference *ret_transport) {
    const char *text = args_text(&cli->args, "transport");
    if (text == NULL)
        text = c->network.transport;
    if (dial_preference_parse(text, ret_transport) < 0)
        return out_failure("Invalid transport \"%s\": must be auto, quic or tcp", text);
    return 0;
}

void cli_print_service(const struct config_service *s, bool with_protocol) {
    bool has_protocol = with_protocol && s->protocol != NULL;
    out_line(OUT_PLAIN, "  %-12s -> %-20s (%s)%s%s", s->item.key,
             s->local.text == NULL ? "(no address)" : s->local.text,
             s->enabled ? "enabled" : "disabled", has_protocol ? "  protocol: " : "",
             has_protocol ? s->protocol : "");
}

const char *cli_relay_config_path(const struct cli *cli) {
    const char *given = args_text(&cli->args, "config");
    return given == NULL ? RELAY_CONFIG_NAME : given;
}

int cli_load_relay_config(struct cli *cli, struct relay_config **ret_config) {
    const char *path = cli_relay_config_path(cli);
    struct problem why = PROBLEM_INIT;

    int e = relay_config_load(cli->mem, path, ret_config, &why);
    if (e == -ENOENT)
        return out_error("config file not found: %s\n\n"
                         "Run 'peerup relay setup' to create one, or use --config <path>",
                         path);
    return e < 0 ? out_error("config error: %s", why.text) : 0;
}

void cli_print_warnings(const struct config_base *base) {
    for (const struct config_finding *f = base->findings; f != NULL; f = f->next)
        if (!f->is_error)
            (void)out_failure("Warning: %s", f->text);
}

void cli_say(void *user, const char *text) {
    (void)user;
    out_text(OUT_PLAIN, "%s\n", text);
}
