/* SPDX-License-Identifier: MIT */
#include "cli/args.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/problem.h"
#include "core/conf/units.h"

static bool parse_bool(const char *text, bool *ret_value) {
    static const char *const TRUE_WORDS[] = {"true", "1", "t", "T", "TRUE", "True"};
    static const char *const FALSE_WORDS[] = {"false", "0", "f", "F", "FALSE", "False"};
    for (size_t i = 0; i < ARRAY_COUNT(TRUE_WORDS); i++) {
        if (strcmp(text, TRUE_WORDS[i]) == 0) {
            *ret_value = true;
            return true;
        }
        if (strcmp(text, FALSE_WORDS[i]) == 0) {
            *ret_value = false;
            return true;
        }
    }
    return false;
}

static bool parse_int(const char *text, int64_t *ret_value) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (*text == '\0' || strspn(text, "-+0123456789") != strlen(text) || *end != '\0' || errno != 0)
        return false;
    *ret_value = value;
    return true;
}

static int check_value(const struct flag *f, const char *value, struct problem *ret_problem) {
    struct problem why = PROBLEM_INIT;
    int64_t number;
    bool yes;

    switch (f->type) {
    case FLAG_TEXT:
        return 0;
    case FLAG_BOOL:
        if (parse_bool(value, &yes))
            return 0;
        return problem_set(ret_problem, -EINVAL,
                           "invalid boolean value \"%s\" for -%s: parse error", value, f->name);
    case FLAG_INT:
        if (parse_int(value, &number))
            return 0;
        return problem_set(ret_problem, -EINVAL, "invalid value \"%s\" for flag -%s: parse error",
                           value, f->name);
    case FLAG_DURATION:
        if (parse_int(value, &number) || duration_parse(value, &number, &why) == 0)
            return 0;
        return problem_set(ret_problem, -EINVAL, "invalid value \"%s\" for flag -%s: %s", value,
                           f->name, why.text);
    }
    return 0;
}

/* The index of a flag by the first `len` characters of `name`; -ENOENT. */
static int find_flag(const struct flag *flags, const char *name, size_t len) {
    for (int i = 0; flags[i].name != NULL; i++)
        if (strlen(flags[i].name) == len && memcmp(flags[i].name, name, len) == 0)
            return i;
    return -ENOENT;
}

/* Takes the flag at argv[*at] and its value, if that is another argument. */
static int take_flag(struct args *a, int argc, char **argv, int *at, struct problem *ret_problem) {
    const char *name = argv[*at] + (argv[*at][1] == '-' ? 2 : 1);
    size_t len = strcspn(name, "=");

    if ((len == 1 && *name == 'h') || (len == 4 && memcmp(name, "help", 4) == 0)) {
        a->wants_help = true;
        return 0;
    }
    int i = find_flag(a->flags, name, len);
    if (len == 0 || *name == '-')
        return problem_set(ret_problem, -EINVAL, "bad flag syntax: %s", argv[*at]);
    if (i < 0)
        return problem_set(ret_problem, -EINVAL, "flag provided but not defined: -%.*s", (int)len,
                           name);
    if (name[len] == '=')
        a->values[i] = name + len + 1;
    else if (a->flags[i].type == FLAG_BOOL)
        a->values[i] = "true";
    else if (*at + 1 < argc)
        a->values[i] = argv[++*at];
    else
        return problem_set(ret_problem, -EINVAL, "flag needs an argument: -%s", a->flags[i].name);
    return check_value(&a->flags[i], a->values[i], ret_problem);
}

int args_parse(const struct flag *flags, int argc, char **argv, struct args *ret_args,
               struct problem *ret_problem) {
    struct args a = {.flags = flags};
    bool flags_ended = false;

    a.wants_help = argc == 1 && strcmp(argv[0], "help") == 0;
    for (int i = 0; i < argc && !a.wants_help; i++) {
        if (!flags_ended && strcmp(argv[i], "--") == 0) {
            flags_ended = true;
        } else if (!flags_ended && argv[i][0] == '-' && argv[i][1] != '\0') {
            int e = take_flag(&a, argc, argv, &i, ret_problem);
            if (e < 0)
                return e;
        } else if (a.positionals_count == ARGS_POSITIONALS_MAX) {
            return problem_set(ret_problem, -EINVAL, "too many arguments");
        } else {
            a.positionals[a.positionals_count++] = argv[i];
        }
    }
    *ret_args = a;
    return 0;
}

const char *args_text(const struct args *a, const char *name) {
    int i = find_flag(a->flags, name, strlen(name));
    assert(i >= 0);
    assert(i < ARGS_FLAGS_MAX);
    return a->values[i];
}

bool args_has(const struct args *a, const char *name) {
    return args_text(a, name) != NULL;
}

bool args_bool(const struct args *a, const char *name) {
    const char *text = args_text(a, name);
    bool value = false;
    return text != NULL && parse_bool(text, &value) && value;
}

int64_t args_int(const struct args *a, const char *name, int64_t otherwise) {
    const char *text = args_text(a, name);
    int64_t value;
    return text != NULL && parse_int(text, &value) ? value : otherwise;
}

int64_t args_duration_ns(const struct args *a, const char *name, int64_t otherwise) {
    const char *text = args_text(a, name);
    int64_t value;
    if (text == NULL)
        return otherwise;
    if (strcmp(text, "0") != 0 && parse_int(text, &value) &&
        !__builtin_mul_overflow(value, 1000000, &value))
        return value;
    return duration_parse(text, &value, NULL) == 0 ? value : otherwise;
}

const char *args_positional(const struct args *a, uint32_t index) {
    return index < a->positionals_count ? a->positionals[index] : NULL;
}
