/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "cli/args.h"
#include "core/base/problem.h"

static const struct flag FLAGS[] = {
    {"json", FLAG_BOOL, NULL, "h"}, {"config", FLAG_TEXT, "PATH", "h"},
    {"c", FLAG_INT, "N", "h"},      {"interval", FLAG_DURATION, "TIME", "h"},
    {NULL, FLAG_BOOL, NULL, NULL},
};

/* Parses the words behind the first, which only makes the array non-empty. */
#define PARSE(a, why, ...)                                                                    \
    ({                                                                                        \
        char *words_[] = {__VA_ARGS__ __VA_OPT__(, ) NULL};                                   \
        args_parse(FLAGS, (int)(sizeof(words_) / sizeof(words_[0])) - 1, words_, (a), (why)); \
    })

Test(args, flags_stand_anywhere) {
    /* Spec: cli.md 1.2, with the traps of the Go program mended. */
    struct args a;

    cr_assert_eq(PARSE(&a, NULL, "home", "--json", "ssh", "-config", "x", "-c=3", "2222"), 0);
    cr_expect_eq(a.positionals_count, 3);
    cr_expect_str_eq(args_positional(&a, 0), "home");
    cr_expect_str_eq(args_positional(&a, 2), "2222");
    cr_expect_null(args_positional(&a, 3));
    cr_expect(args_bool(&a, "json"));
    cr_expect_str_eq(args_text(&a, "config"), "x");
    cr_expect_eq(args_int(&a, "c", 9), 3);
    cr_expect(!args_has(&a, "interval"));
    cr_expect_eq(args_duration_ns(&a, "interval", 77), 77);
}

Test(args, values_may_be_empty_or_look_like_flags) {
    struct args a;
    cr_assert_eq(PARSE(&a, NULL, "--config=", "-c", "-5", "--", "--json", "-"), 0);
    cr_expect_str_eq(args_text(&a, "config"), "");
    cr_expect_eq(args_int(&a, "c", 9), -5);
    cr_expect(!args_bool(&a, "json"));
    cr_expect_eq(a.positionals_count, 2);
    cr_expect_str_eq(args_positional(&a, 0), "--json");
    cr_assert_eq(PARSE(&a, NULL, "-", "-json=false"), 0);
    cr_expect(a.positionals_count == 1 && !args_bool(&a, "json") && args_has(&a, "json"));
}

Test(args, an_interval_is_a_duration_or_milliseconds) {
    static const struct {
        char *text;
        int64_t ns;
    } ROWS[] = {
        {"1s", 1000000000}, {"250ms", 250000000}, {"250", 250000000},
        {"0", 0},           {"1.5s", 1500000000},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct args a;
        cr_assert_eq(PARSE(&a, NULL, "--interval", ROWS[i].text), 0);
        cr_expect_eq(args_duration_ns(&a, "interval", -1), ROWS[i].ns, "%s", ROWS[i].text);
    }
}

Test(args, help_is_seen_and_ends_the_reading) {
    struct args a;
    cr_assert(PARSE(&a, NULL, "-h") == 0 && a.wants_help);
    cr_assert(PARSE(&a, NULL, "x", "--help", "--bogus") == 0 && a.wants_help);
    cr_assert(PARSE(&a, NULL, "help") == 0 && a.wants_help);
    cr_assert(PARSE(&a, NULL, "help", "x") == 0 && !a.wants_help);
    cr_assert(PARSE(&a, NULL, "--", "-h") == 0 && !a.wants_help);
    cr_assert(PARSE(&a, NULL) == 0 && !a.wants_help);
}

Test(args, errors_are_gos_and_leave_the_result_alone) {
    static const struct {
        char *words[2];
        const char *problem;
    } ROWS[] = {
        {{"--nope", "x"}, "flag provided but not defined: -nope"},
        {{"-jso", "x"}, "flag provided but not defined: -jso"},
        {{"-jsonx=1", "x"}, "flag provided but not defined: -jsonx"},
        {{"x", "-config"}, "flag needs an argument: -config"},
        {{"-json=x", "x"}, "invalid boolean value \"x\" for -json: parse error"},
        {{"-c", "1.5"}, "invalid value \"1.5\" for flag -c: parse error"},
        {{"-c", "99999999999999999999"},
         "invalid value \"99999999999999999999\" for flag -c: parse error"},
        {{"-interval", "soon"},
         "invalid value \"soon\" for flag -interval: time: invalid duration \"soon\""},
        {{"-=x", "x"}, "bad flag syntax: -=x"},
        {{"---json", "x"}, "bad flag syntax: ---json"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct problem why = PROBLEM_INIT;
        struct args a = {.positionals_count = 99};
        cr_expect_eq(PARSE(&a, &why, ROWS[i].words[0], ROWS[i].words[1]), -EINVAL);
        cr_expect_str_eq(why.text, ROWS[i].problem);
        cr_expect_eq(a.positionals_count, 99);
    }
}
