/* SPDX-License-Identifier: MIT */

/* How a command is chosen from the table in commands.c.  Spec: cli.md, section 1. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/out.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"

/* Whether the command's name begins with the words of `group` and goes on. */
static bool is_in_group(const struct command *c, const char *group) {
    size_t len = strlen(group);
    return strncmp(c->name, group, len) == 0 && c->name[len] == ' ';
}

static bool is_group(const char *words) {
    for (size_t i = 0; i < CLI_COMMANDS_COUNT; i++)
        if (is_in_group(&CLI_COMMANDS[i], words))
            return true;
    return false;
}

static const struct command *command_by_name(const char *name) {
    for (size_t i = 0; i < CLI_COMMANDS_COUNT; i++)
        if (strcmp(CLI_COMMANDS[i].name, name) == 0)
            return &CLI_COMMANDS[i];
    return NULL;
}

static bool is_help(const char *word) {
    return strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-help") == 0 ||
           strcmp(word, "-h") == 0;
}

/* Usage of the program, or of one group. */
static void print_usage(const char *group) {
    out_line(OUT_PLAIN, "Usage: peerup %s%s<command> [arguments]\n", group == NULL ? "" : group,
             group == NULL ? "" : " ");
    out_line(OUT_PLAIN, "Commands:");
    for (size_t i = 0; i < CLI_COMMANDS_COUNT; i++) {
        const struct command *c = &CLI_COMMANDS[i];
        char call[64];
        if (group != NULL && !is_in_group(c, group))
            continue;
        (void)snprintf(call, sizeof(call), "%s %s", c->name, c->arguments);
        out_line(OUT_PLAIN, "  %-32s %s", call, c->summary);
    }
    out_line(OUT_PLAIN, "\nRun 'peerup <command> --help' for its flags.");
}

static void print_flags(const struct command *c, FILE *f) {
    (void)fprintf(f, "Usage: peerup %s%s%s%s\n", c->name, *c->arguments == '\0' ? "" : " ",
                  c->arguments, c->flags[0].name == NULL ? "" : " [flags]");
    for (const struct flag *flag = c->flags; flag->name != NULL; flag++) {
        char call[64];
        (void)snprintf(call, sizeof(call), "%s%s%s%s", cli_flag_dashes(flag), flag->name,
                       flag->value_name == NULL ? "" : " ",
                       flag->value_name == NULL ? "" : flag->value_name);
        (void)fprintf(f, "  %-24s %s\n", call, flag->help);
    }
}

static int unknown(const char *what, const char *word, const char *group) {
    (void)out_failure("Unknown %s: %s\n", what, word);
    print_usage(group);
    return 1;
}

static int run_command(const struct command *c, int argc, char **argv) {
    struct cli cli = {.command = c, .mem = mem_system(), .home = getenv("HOME")};
    struct problem why = PROBLEM_INIT;

    if (cli.home != NULL && *cli.home == '\0')
        cli.home = NULL;
    int e = args_parse(c->flags, argc, argv, &cli.args, &why);
    if (e == 0 && cli.args.wants_help) {
        out_line(OUT_PLAIN, "%s.\n", c->summary);
        print_flags(c, stdout);
        return 0;
    }
    if (e == 0 && cli.args.positionals_count > c->arguments_max)
        e = problem_set(&why, -EINVAL, "unexpected argument: %s",
                        cli.args.positionals[c->arguments_max]);
    if (e == 0)
        return c->run(&cli);
    if (c->style == STYLE_C)
        return out_error("%s", why.text);
    (void)out_failure("%s", why.text);
    print_flags(c, stderr);
    return 2;
}

/* Whether a flag of the group's commands takes its value from the next argument. */
static bool flag_takes_value(const char *group, const char *flag) {
    const char *name = flag + (flag[1] == '-' ? 2 : 1);
    for (size_t i = 0; i < CLI_COMMANDS_COUNT; i++)
        for (const struct flag *f = CLI_COMMANDS[i].flags; f->name != NULL; f++)
            if (is_in_group(&CLI_COMMANDS[i], group) && strcmp(f->name, name) == 0)
                return f->type != FLAG_BOOL;
    return false;
}

/* Moves the first word that is no flag, and no flag's value, to the front.  False when there is
 * none. */
static bool bring_subcommand_forward(const char *group, int argc, char **argv) {
    int at = 0;
    while (at < argc && argv[at][0] == '-')
        at += flag_takes_value(group, argv[at]) ? 2 : 1;
    if (at >= argc)
        return false;
    char *word = argv[at];
    memmove(argv + 1, argv, (size_t)at * sizeof(*argv));
    argv[0] = word;
    return true;
}

/* Behind the name of a group: one of its commands, a group in it, its usage, or the command that
 * has the group's own name ("daemon").  Flags may stand before the command's last word, too. */
static int run_group(const char *group, int argc, char **argv) {
    const struct command *own = command_by_name(group);
    char name[64], what[64];

    if (argc > 0 && is_help(argv[0])) {
        print_usage(group);
        return 0;
    }
    bool has_word = bring_subcommand_forward(group, argc, argv);
    (void)snprintf(name, sizeof(name), "%s %s", group, has_word ? argv[0] : "");
    if (has_word && is_group(name))
        return run_group(name, argc - 1, argv + 1);
    const struct command *c = command_by_name(name);
    if (c != NULL)
        return run_command(c, argc - 1, argv + 1);
    if (argc > 0 && (own == NULL || has_word)) {
        const char *space = strrchr(group, ' ');
        (void)snprintf(what, sizeof(what), "%s %s", space == NULL ? group : space + 1,
                       own == NULL ? "command" : "subcommand");
        return unknown(what, argv[0], group);
    }
    if (own != NULL)
        return run_command(own, argc, argv);
    print_usage(group);
    return 1;
}

static int dispatch(int argc, char **argv) {
    if (argc < 1) {
        print_usage(NULL);
        return 1;
    }
    if (is_help(argv[0])) {
        if (argc == 1 || is_help(argv[1])) {
            print_usage(NULL);
            return 0;
        }
        char help[] = "--help"; /* "help auth add" is "auth add --help" */
        memmove(argv, argv + 1, ((size_t)argc - 1) * sizeof(*argv));
        argv[argc - 1] = help;
        return dispatch(argc, argv);
    }
    const char *word = strcmp(argv[0], "--version") == 0 ? "version" : argv[0];
    if (is_group(word))
        return run_group(word, argc - 1, argv + 1);
    const struct command *c = command_by_name(word);
    return c == NULL ? unknown("command", argv[0], NULL) : run_command(c, argc - 1, argv + 1);
}

int main(int argc, char **argv) {
    int status = dispatch(argc - 1, argv + 1);
    int e = out_finish();
    if (e < 0)
        return out_error("cannot write output: %s", err_text(e));
    return status;
}
