/* SPDX-License-Identifier: MIT */

/* Prints the tables of the documentation from the tables of the source: docs/generate.py puts them
 * into the files.  usage: docs-tables options|relay-options|commands|errors md|man */

#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "core/base/err.h"
#include "core/conf/config.h"
#include "core/conf/relay_config.h"

/* A table cell must not end early, nor begin HTML. */
static void print_cell(const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '|' || *text == '<')
            (void)putchar('\\');
        (void)putchar(*text);
    }
}

/* In man pages a backslash, a leading dot and a plain hyphen mean something else. */
static void print_man(const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '\\' || *text == '-')
            (void)putchar('\\');
        (void)putchar(*text);
    }
}

static const char *default_of(const struct config_option *o) {
    if (o->fallback != NULL)
        return o->fallback;
    return (o->flags & CONFIG_REQUIRED) != 0 ? "required" : "none";
}

static void print_options_md(const struct config_schema *s) {
    printf("| Key | Type | Default | Meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < s->options_count; i++) {
        const struct config_option *o = &s->options[i];
        const char *quote = o->fallback != NULL ? "`" : "";
        printf("| `%s` | %s | %s%s%s | ", o->key, config_type_name(o->type), quote, default_of(o),
               quote);
        print_cell(o->help);
        printf(" |\n");
    }
}

static void print_options_man(const struct config_schema *s) {
    for (size_t i = 0; i < s->options_count; i++) {
        const struct config_option *o = &s->options[i];
        printf(".TP\n.B ");
        print_man(o->key);
        printf("\n(%s; default: ", config_type_name(o->type));
        print_man(default_of(o));
        printf(")\n");
        print_man(o->help);
        printf("\n");
    }
}

static void print_commands_md(void) {
    printf("| Command | Flags | What it does |\n|---|---|---|\n");
    for (size_t i = 0; i < CLI_COMMANDS_COUNT; i++) {
        const struct command *c = &CLI_COMMANDS[i];
        printf("| `%s`", c->name);
        if (*c->arguments != '\0')
            printf(" `%s`", c->arguments);
        printf(" | ");
        for (const struct flag *f = c->flags; f->name != NULL; f++)
            printf("%s`%s%s%s%s`", f == c->flags ? "" : " ", cli_flag_dashes(f), f->name,
                   f->value_name == NULL ? "" : " ", f->value_name == NULL ? "" : f->value_name);
        printf(" | ");
        print_cell(c->summary);
        printf(" |\n");
    }
}

static void print_commands_man(void) {
    for (size_t i = 0; i < CLI_COMMANDS_COUNT; i++) {
        const struct command *c = &CLI_COMMANDS[i];
        printf(".SS \"peerup ");
        print_man(c->name);
        printf("%s", *c->arguments == '\0' ? "" : " ");
        print_man(c->arguments);
        printf("\"\n");
        print_man(c->summary);
        printf(".\n");
        for (const struct flag *f = c->flags; f->name != NULL; f++) {
            printf(".TP\n.B %s", strlen(f->name) == 1 ? "\\-" : "\\-\\-");
            print_man(f->name);
            printf("%s%s\n", f->value_name == NULL ? "" : " ",
                   f->value_name == NULL ? "" : f->value_name);
            print_man(f->help);
            printf("\n");
        }
    }
}

static void print_errors_md(void) {
    printf("| Name | Number | Exit status | HTTP status | Sentence |\n|---|---|---|---|---|\n");
    for (int number = ERR_TRUNCATED; number < ERR_END; number++) {
        printf("| `%s` | %d | %d | %d | ", err_name(number), number, err_exit_code(number),
               err_http_status(number));
        print_cell(err_text(number));
        printf(" |\n");
    }
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "", *form = argc > 2 ? argv[2] : "";
    bool is_man = strcmp(form, "man") == 0;
    const struct config_schema *s = strcmp(what, "options") == 0         ? &CONFIG_SCHEMA
                                    : strcmp(what, "relay-options") == 0 ? &RELAY_CONFIG_SCHEMA
                                                                         : NULL;
    if (s != NULL)
        (is_man ? print_options_man : print_options_md)(s);
    else if (strcmp(what, "commands") == 0)
        (is_man ? print_commands_man : print_commands_md)();
    else if (strcmp(what, "errors") == 0 && !is_man)
        print_errors_md();
    else
        return 2;
    return ferror(stdout) != 0 || fflush(stdout) != 0;
}
