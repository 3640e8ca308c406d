/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <ctype.h>
#include <string.h>

#include "cli/command.h"

Test(commands, rows_are_complete_and_names_unique) {
    for (size_t i = 0; i < CLI_COMMANDS_COUNT; i++) {
        const struct command *c = &CLI_COMMANDS[i];
        size_t len = strlen(c->summary);
        cr_expect_not_null(c->run, "%s", c->name);
        cr_expect(isupper((unsigned char)c->summary[0]) && c->summary[len - 1] != '.', "%s",
                  c->name);
        cr_expect((c->arguments_max == 0) == (*c->arguments == '\0'), "%s", c->name);
        for (size_t k = 0; k < i; k++)
            cr_expect_str_neq(c->name, CLI_COMMANDS[k].name);
    }
}

Test(commands, flags_fit_and_none_is_called_help) {
    for (size_t i = 0; i < CLI_COMMANDS_COUNT; i++) {
        uint32_t count = 0;
        for (const struct flag *f = CLI_COMMANDS[i].flags; f->name != NULL; f++, count++) {
            cr_expect_str_neq(f->name, "help");
            cr_expect_str_neq(f->name, "h");
            cr_expect((f->type == FLAG_BOOL) == (f->value_name == NULL), "%s --%s",
                      CLI_COMMANDS[i].name, f->name);
        }
        cr_expect_leq(count, ARGS_FLAGS_MAX, "%s", CLI_COMMANDS[i].name);
    }
}
