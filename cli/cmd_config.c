/* SPDX-License-Identifier: MIT */
#include <unistd.h>

#include "cli/command.h"
#include "cli/out.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/base/strbuf.h"
#include "core/conf/archive.h"
#include "core/conf/config.h"
#include "core/conf/config_file.h"

/* Four times the largest file: indentation and quotes grow it. */
enum { SHOWN_BYTES_MAX = 4 * CONFIG_BYTES_MAX };

int cmd_config_validate(struct cli *cli) {
    SCOPED(config_freep) struct config *c = NULL;
    struct problem why = PROBLEM_INIT;
    bool has_errors = false;
    char *path;

    if (config_find(cli->mem, args_text(&cli->args, "config"), cli->home, &path, &why) < 0)
        return out_error("config error: %s", why.text);
    int e = config_load(cli->mem, path, &c, &why);
    (void)mem_free(cli->mem, path);
    if (e < 0) {
        out_line(OUT_FAILURE, "FAIL: %s", why.text);
        return out_error("invalid config");
    }
    for (const struct config_finding *f = c->base.findings; f != NULL; f = f->next) {
        has_errors = has_errors || f->is_error;
        if (f->is_error)
            out_line(OUT_FAILURE, "FAIL: %s", f->text);
    }
    cli_print_warnings(&c->base);
    if (has_errors)
        return out_error("validation failed");
    out_line(OUT_SUCCESS, "OK: %s is valid", c->base.path);
    return 0;
}

static void print_archive_line(struct config *c) {
    const char *archive = config_sibling_path(&c->base.arena, c->base.path, CONFIG_LAST_GOOD);
    if (archive != NULL && access(archive, F_OK) == 0)
        out_line(OUT_PLAIN, "\n# Last-known-good archive: %s", archive);
    else
        out_line(OUT_PLAIN,
                 "\n# No last-known-good archive (will be created on next successful serve)");
}

int cmd_config_show(struct cli *cli) {
    SCOPED(config_freep) struct config *c = NULL;
    SCOPED(strbuf_free) struct strbuf text = STRBUF_INIT(SHOWN_BYTES_MAX);
    struct problem why = PROBLEM_INIT;
    char *path;

    if (config_find(cli->mem, args_text(&cli->args, "config"), cli->home, &path, &why) < 0)
        return out_error("failed to load config: %s", why.text);
    int e = config_load(cli->mem, path, &c, &why);
    (void)mem_free(cli->mem, path);
    if (e < 0)
        return out_error("failed to load config: %s", why.text);
    cli_print_warnings(&c->base);
    if (config_check(c, &why) < 0)
        (void)out_failure("WARNING: config has validation errors: %s", why.text);
    schema_show(&CONFIG_SCHEMA, &c->base, &text);
    out_line(OUT_PLAIN, "# Resolved config from %s", c->base.path);
    out_text(OUT_PLAIN, "%s", strbuf_text(&text));
    print_archive_line(c);
    return 0;
}
