/* SPDX-License-Identifier: MIT */
#include "cli/command.h"
#include "cli/out.h"
#include "core/base/problem.h"
#include "core/conf/config.h"
#include "core/conf/edit.h"
#include "core/conf/units.h"

static void print_restart_hint(const struct config *c) {
    out_line(OUT_DETAIL, "Config: %s", c->base.path);
    out_line(OUT_PLAIN, "\nRestart 'peerup daemon' to apply.");
}

int cmd_service_add(struct cli *cli) {
    SCOPED(config_freep) struct config *c = NULL;
    const struct config_edit edit = {
        .kind = EDIT_SERVICE_ADD,
        .name = args_positional(&cli->args, 0),
        .value = args_positional(&cli->args, 1),
        .note = args_text(&cli->args, "protocol"),
    };
    struct problem why = PROBLEM_INIT;
    struct host_port address;

    if (edit.value == NULL)
        return cli_usage_error(cli);
    if (config_service_name_check(edit.name, &why) < 0)
        return out_error("%s", why.text);
    if (host_port_parse(edit.value, false, &address, &why) < 0)
        return out_error("invalid address \"%s\": must be host:port (e.g., localhost:22): %s",
                         edit.value, why.text);
    int status = cli_load_config(cli, &c);
    if (status != 0)
        return status;
    int e = config_edit_file(cli->mem, c->base.path, &edit, &why);
    if (e == -EEXIST) {
        out_line(OUT_NOTICE, "Service already configured: %s", edit.name);
        return 0;
    }
    if (e < 0)
        return out_error("%s", why.text);
    out_line(OUT_SUCCESS, "Added service: %s -> %s", edit.name, edit.value);
    print_restart_hint(c);
    return 0;
}

/* Changes a service by name: `done` and `is_so` are the words for "Enabled", "enabled". */
static int change_service(struct cli *cli, enum config_edit_kind kind, const char *done,
                          const char *is_so) {
    SCOPED(config_freep) struct config *c = NULL;
    const struct config_edit edit = {.kind = kind, .name = args_positional(&cli->args, 0)};
    struct problem why = PROBLEM_INIT;

    if (edit.name == NULL)
        return cli_usage_error(cli);
    int status = cli_load_config(cli, &c);
    if (status != 0)
        return status;
    int e = config_edit_file(cli->mem, c->base.path, &edit, &why);
    if (e == -EALREADY) {
        out_line(OUT_NOTICE, "Service %s is already %s", edit.name, is_so);
        return 0;
    }
    if (e < 0)
        return out_error("%s", why.text);
    out_line(OUT_SUCCESS, "%s service: %s", done, edit.name);
    print_restart_hint(c);
    return 0;
}

int cmd_service_remove(struct cli *cli) {
    return change_service(cli, EDIT_SERVICE_REMOVE, "Removed", "removed");
}

int cmd_service_enable(struct cli *cli) {
    return change_service(cli, EDIT_SERVICE_ENABLE, "Enabled", "enabled");
}

int cmd_service_disable(struct cli *cli) {
    return change_service(cli, EDIT_SERVICE_DISABLE, "Disabled", "disabled");
}

int cmd_service_list(struct cli *cli) {
    SCOPED(config_freep) struct config *c = NULL;
    int status = cli_load_config(cli, &c);
    if (status != 0)
        return status;
    if (c->services_count == 0) {
        out_line(OUT_PLAIN, "No services configured.");
        out_line(OUT_DETAIL, "Config: %s", c->base.path);
        return 0;
    }
    out_line(OUT_PLAIN, "Services (%u):\n", c->services_count);
    for (uint32_t i = 0; i < c->services_count; i++)
        cli_print_service(&c->services[i], true);
    out_line(OUT_DETAIL, "\nConfig: %s", c->base.path);
    return 0;
}
