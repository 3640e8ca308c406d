/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/log.h"

struct capture {
    struct log log;
    char text[LOG_LINE_MAX + 1];
    size_t len;
    int lines;
};

static void keep(struct log *l, enum log_level level, const char *line, size_t len) {
    struct capture *c = CONTAINER_OF(l, struct capture, log);
    cr_assert_leq(level, LOG_TRACE);
    cr_assert_leq(len, LOG_LINE_MAX);
    cr_assert_eq(line[len - 1], '\n');
    memcpy(c->text, line, len);
    c->text[len] = '\0';
    c->len = len;
    c->lines++;
}

static int64_t noon(struct log *l) {
    (void)l;
    return 1795412360038;
}

static struct capture capture(bool json) {
    return (struct capture){
        .log = {.sink = keep, .wall_ms = noon, .level_max = LOG_DEBUG, .json = json}};
}

Test(log, a_line_is_as_the_go_program_writes_it) {
    struct capture c = capture(false);
    log_info(&c.log, L_STREAM, "service registered", kv_str("service", "ssh"));
    cr_assert_str_eq(c.text, "time=2026-11-23T05:39:20.038Z level=INFO msg=\"service registered\" "
                             "service=ssh topic=stream\n");
}

Test(log, json_has_the_same_fields) {
    struct capture c = capture(true);
    log_warn(&c.log, L_DIAL, "dial \"failed\"", kv_err(-ERR_LIMIT), kv_bool("relayed", true),
             kv_int("n", -5), kv_uint("u", UINT64_MAX), kv_nsec("rtt", MSEC(2)));
    cr_assert_str_eq(c.text,
                     "{\"time\":\"2026-11-23T05:39:20.038Z\",\"level\":\"WARN\","
                     "\"msg\":\"dial \\\"failed\\\"\",\"error\":\"a size limit was exceeded\","
                     "\"relayed\":true,\"n\":-5,\"u\":18446744073709551615,\"rtt\":2000000,"
                     "\"topic\":\"dial\"}\n");
}

/* behaviour.md, 11.2 */
Test(log, json_may_have_its_fields_in_a_group) {
    struct capture c = capture(true);
    c.log.group = "audit";
    log_info(&c.log, L_GATE, "auth_decision", kv_str("peer", "12D3KooWKJRjN8kP..."),
             kv_str("result", "allow"));
    cr_assert_str_eq(c.text, "{\"time\":\"2026-11-23T05:39:20.038Z\",\"level\":\"INFO\","
                             "\"msg\":\"auth_decision\",\"audit\":{"
                             "\"peer\":\"12D3KooWKJRjN8kP...\",\"result\":\"allow\"}}\n");
    c = capture(true);
    c.log.group = "audit";
    log_info(&c.log, L_GATE, "nothing");
    cr_assert_not_null(strstr(c.text, "\"msg\":\"nothing\",\"audit\":{}}\n"), "%s", c.text);
}

Test(log, fields_are_not_even_made_above_the_level) {
    struct capture c = capture(false);
    int evaluated = 0;
    c.log.level_max = LOG_WARN;
    log_info(&c.log, L_CORE, "quiet", kv_int("n", ++evaluated));
    log_error(NULL, L_CORE, "nobody listens", kv_int("n", ++evaluated));
    cr_assert_eq(c.lines, 0);
    cr_assert_eq(evaluated, 0);
    log_error(&c.log, L_CORE, "loud", kv_int("n", ++evaluated));
    cr_assert_eq(c.lines, 1);
}

static const char *value_of(struct capture *c, const char *value) {
    c->log.wall_ms = NULL;
    log_info(&c->log, L_CORE, "m", kv_str("k", value));
    char *end = strstr(c->text, c->log.json ? ",\"topic\"" : " topic=");
    cr_assert_not_null(end);
    *end = '\0';
    return strstr(c->text, c->log.json ? "\"k\":" : "k=") + (c->log.json ? 4 : 2);
}

Test(log, values_are_quoted_when_they_must_be_and_never_reach_the_terminal_raw) {
    static const struct {
        const char *value;
        const char *text;
        const char *json;
    } rows[] = {
        {"plain", "plain", "\"plain\""},
        {"/ip4/1.2.3.4/udp/1", "/ip4/1.2.3.4/udp/1", "\"/ip4/1.2.3.4/udp/1\""},
        {"", "\"\"", "\"\""},
        {NULL, "\"\"", "\"\""},
        {"a b", "\"a b\"", "\"a b\""},
        {"a=b", "\"a=b\"", "\"a=b\""},
        {"a\"b", "\"a\\\"b\"", "\"a\\\"b\""},
        {"a\\b", "\"a\\\\b\"", "\"a\\\\b\""},
        {"a\nlevel=ERROR", "\"a\\nlevel=ERROR\"", "\"a\\nlevel=ERROR\""},
        {"\r\t", "\"\\r\\t\"", "\"\\r\\t\""},
        {"\x1b[2J", "\"\\u001b[2J\"", "\"\\u001b[2J\""},
        {"\x7f", "\"\\u007f\"", "\"\\u007f\""},
        {"K\xc3\xb6ln", "\"K\xc3\xb6ln\"", "\"K\xc3\xb6ln\""},
        {"\xe2\x80\xae", "\"\\u202e\"", "\"\\u202e\""},       /* right-to-left override */
        {"\xc2\x9b", "\"\\u009b\"", "\"\\u009b\""},           /* CSI in one character */
        {"\xff", "\"\\xff\"", "\"\\ufffd\""},                 /* not UTF-8 */
        {"\xc0\xaf", "\"\\xc0\\xaf\"", "\"\\ufffd\\ufffd\""}, /* overlong */
        {"\xed\xa0\x80", "\"\\xed\\xa0\\x80\"", "\"\\ufffd\\ufffd\\ufffd\""}, /* surrogate */
        {"\xf3\xa0\x80\x81", "\"\\U000e0001\"", "\"\\ufffd\""},               /* invisible tag */
        {"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"", "\"\xf0\x9f\x98\x80\""},
        {"\xe2\x82", "\"\\xe2\\x82\"", "\"\\ufffd\\ufffd\""}, /* cut off */
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct capture text = capture(false);
        struct capture json = capture(true);
        cr_assert_str_eq(value_of(&text, rows[i].value), rows[i].text, "row %zu", i);
        cr_assert_str_eq(value_of(&json, rows[i].value), rows[i].json, "row %zu", i);
    }
}

Test(log, long_values_are_cut_between_characters) {
    struct capture c = capture(false);
    char value[400];
    char expected[300];
    memset(value, 'a', sizeof(value));
    value[LOG_VALUE_MAX - 1] = '\xc3';
    value[LOG_VALUE_MAX] = '\xb6';
    value[sizeof(value) - 1] = '\0';
    (void)snprintf(expected, sizeof(expected), "%.*s...", LOG_VALUE_MAX - 1, value);
    cr_assert_str_eq(value_of(&c, value), expected);
}

Test(log, what_does_not_fit_is_left_out_whole) {
    for (int json = 0; json < 2; json++) {
        struct capture c = capture(json != 0);
        char value[LOG_VALUE_MAX + 1];
        memset(value, '\x01', LOG_VALUE_MAX); /* six characters each when escaped */
        value[LOG_VALUE_MAX] = '\0';
        log_info(&c.log, L_CORE, "m", kv_str("a", value), kv_str("b", value), kv_str("c", "x"));
        cr_assert_leq(c.len, LOG_LINE_MAX);
        cr_assert_not_null(strstr(c.text, "\\u0001"));
        cr_assert_null(strstr(c.text, json ? "\"b\":" : " b="));
        cr_assert_str_eq(c.text + c.len - (json ? 3 : 2), json ? "\"}\n" : "\"\n");
    }
}

Test(log, durations_are_readable) {
    static const struct {
        nsec_t nsec;
        const char *text;
    } rows[] = {{0, "0ns"},       {999, "999ns"},         {USEC(1), "1us"},
                {1500, "1.5us"},  {MSEC(250), "250ms"},   {SEC(1) + MSEC(5), "1.005s"},
                {SEC(90), "90s"}, {12345678, "12.345ms"}, {NSEC_NEVER, "never"}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct capture c = capture(false);
        char expected[40];
        c.log.wall_ms = NULL;
        log_info(&c.log, L_CORE, "m", kv_nsec("t", rows[i].nsec));
        (void)snprintf(expected, sizeof(expected), "level=INFO msg=m t=%s topic=core\n",
                       rows[i].text);
        cr_assert_str_eq(c.text, expected);
    }
}

static int64_t before_1970(struct log *l) {
    (void)l;
    return -1;
}

Test(log, a_clock_before_1970_prints_its_beginning) {
    struct capture c = capture(false);
    c.log.wall_ms = before_1970;
    log_info(&c.log, L_CORE, "m");
    cr_assert_str_eq(c.text, "time=1970-01-01T00:00:00.000Z level=INFO msg=m topic=core\n");
}

Test(log, a_limit_lets_a_burst_pass_and_then_its_rate) {
    struct log_limit limit = LOG_LIMIT_INIT(3, SEC(1));
    nsec_t now = SEC(1000);
    for (int i = 0; i < 3; i++)
        cr_assert(log_allow(&limit, now), "%d", i);
    cr_assert_not(log_allow(&limit, now));
    cr_assert_not(log_allow(&limit, now + SEC(1) - 1));
    cr_assert(log_allow(&limit, now + SEC(1)));
    cr_assert_eq(limit.dropped_before, 2);
    cr_assert_eq(limit.dropped, 0);
    cr_assert_not(log_allow(&limit, now + SEC(1)));
    now += SEC(100);
    for (int i = 0; i < 3; i++)
        cr_assert(log_allow(&limit, now), "%d", i);
    cr_assert_not(log_allow(&limit, now));
}
