/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/problem.h"
#include "core/conf/units.h"

Test(units, durations_follow_go) {
    /* Goal: the syntax of time.ParseDuration.  Spec: config.md section 3. */
    static const struct {
        const char *text;
        int64_t ns;
    } ROWS[] = {
        {"0", 0},
        {"+0", 0},
        {"-0", 0},
        {"5s", 5000000000},
        {"30s", 30000000000},
        {"1478s", 1478000000000},
        {"-5s", -5000000000},
        {"5.0s", 5000000000},
        {"5.6s", 5600000000},
        {"5.s", 5000000000},
        {".5s", 500000000},
        {"100.00100s", 100001000000},
        {"10ns", 10},
        {"11us", 11000},
        {"12\xc2\xb5s", 12000},
        {"12\xce\xbcs", 12000},
        {"13ms", 13000000},
        {"14s", 14000000000},
        {"15m", 900000000000},
        {"16h", 57600000000000},
        {"3h30m", 12600000000000},
        {"10.5s4m", 250500000000},
        {"1h2m3s4ms5us6ns", 3723004005006},
        {"9223372036854775807ns", INT64_MAX},
        {"0.3333333333333333333h", 1200000000000},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        int64_t ns = -1;
        cr_expect(duration_parse(ROWS[i].text, &ns, NULL) == 0, "%s", ROWS[i].text);
        cr_expect_eq(ns, ROWS[i].ns, "%s gave %lld", ROWS[i].text, (long long)ns);
    }
}

Test(units, bad_durations_are_refused_with_gos_words) {
    static const struct {
        const char *text;
        const char *problem;
    } ROWS[] = {
        {"", "time: invalid duration \"\""},
        {"-", "time: invalid duration \"-\""},
        {"s", "time: invalid duration \"s\""},
        {".", "time: invalid duration \".\""},
        {".s", "time: invalid duration \".s\""},
        {"3", "time: missing unit in duration \"3\""},
        {"2 m", "time: unknown unit \" m\" in duration \"2 m\""},
        {"1d", "time: unknown unit \"d\" in duration \"1d\""},
        {"3000000h", "time: invalid duration \"3000000h\""},
        {"9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\""},
        {"abc", "time: invalid duration \"abc\""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct problem why = PROBLEM_INIT;
        int64_t ns = 77;
        cr_expect_eq(duration_parse(ROWS[i].text, &ns, &why), -EINVAL, "%s", ROWS[i].text);
        cr_expect_str_eq(why.text, ROWS[i].problem);
        cr_expect_eq(ns, 77, "the result was touched");
    }
}

Test(units, durations_print_as_go_prints_them) {
    static const struct {
        int64_t ns;
        const char *text;
    } ROWS[] = {
        {0, "0s"},
        {1, "1ns"},
        {1100, "1.1\xc2\xb5s"},
        {2200000, "2.2ms"},
        {100000000, "100ms"},
        {3300000000, "3.3s"},
        {120000000000, "2m0s"},
        {90000000000, "1m30s"},
        {245000000000, "4m5s"},
        {245001000000, "4m5.001s"},
        {18367001000000, "5h6m7.001s"},
        {480000000001, "8m0.000000001s"},
        {3600000000000, "1h0m0s"},
        {-1500000000, "-1.5s"},
        {INT64_MAX, "2562047h47m16.854775807s"},
        {INT64_MIN, "-2562047h47m16.854775808s"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        char text[DURATION_TEXT_MAX];
        cr_expect_str_eq(duration_format(ROWS[i].ns, text), ROWS[i].text);
    }
}

Test(units, sizes_take_suffixes_and_no_fractions) {
    static const struct {
        const char *text;
        int64_t bytes; /* -1: refused */
        const char *problem;
    } ROWS[] = {
        {"64MB", 64 << 20, ""},
        {"64mb", 64 << 20, ""},
        {"1 GB", 1 << 30, ""},
        {"2KB", 2048, ""},
        {"512", 512, ""},
        {"512B", 512, ""},
        {"0", 0, ""},
        {"-1MB", -1, "data size must be non-negative: -1MB"},
        {"1.5MB", -1, "invalid data size \"1.5MB\": must be an integer with B, KB, MB or GB"},
        {"lots", -1, "invalid data size \"lots\": not a number"},
        {"", -1, "invalid data size \"\": not a number"},
        {"9999999999GB", -1, "invalid data size \"9999999999GB\": too large"},
        {"99999999999999999999", -1, "invalid data size \"99999999999999999999\": too large"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct problem why = PROBLEM_INIT;
        int64_t bytes = -1;
        int e = size_parse(ROWS[i].text, &bytes, &why);
        cr_expect_eq(e, ROWS[i].bytes < 0 ? -EINVAL : 0, "%s", ROWS[i].text);
        cr_expect_eq(bytes, ROWS[i].bytes, "%s", ROWS[i].text);
        cr_expect_str_eq(why.text, ROWS[i].problem);
    }
    char text[SIZE_TEXT_MAX];
    cr_expect_str_eq(size_format(64 << 20, text), "64MB");
    cr_expect_str_eq(size_format(1500, text), "1500B");
    cr_expect_str_eq(size_format(0, text), "0B");
}

Test(units, labels_are_dns_labels) {
    static const char *const GOOD[] = {"a", "0", "ssh", "my-web", "a--b", "x1"};
    static const char *const BAD[] = {"", "-a", "a-", "A", "a_b", "a.b", "\xc3\xa4"};
    char text[65];

    for (size_t i = 0; i < ARRAY_COUNT(GOOD); i++)
        cr_expect(dns_label_is_valid(GOOD[i]), "%s", GOOD[i]);
    for (size_t i = 0; i < ARRAY_COUNT(BAD); i++)
        cr_expect(!dns_label_is_valid(BAD[i]), "%s", BAD[i]);
    memset(text, 'a', sizeof(text));
    text[63] = '\0';
    cr_expect(dns_label_is_valid(text));
    text[63] = 'a';
    text[64] = '\0';
    cr_expect(!dns_label_is_valid(text));
}

Test(units, host_and_port_split_as_in_go) {
    struct host_port hp;
    struct problem why = PROBLEM_INIT;

    cr_assert(host_port_parse("localhost:22", false, &hp, &why) == 0);
    cr_expect(hp.host_len == 9 && memcmp(hp.host, "localhost", 9) == 0 && hp.port == 22);
    cr_assert(host_port_parse("[::1]:65535", false, &hp, &why) == 0);
    cr_expect(hp.host_len == 3 && memcmp(hp.host, "::1", 3) == 0 && hp.port == 65535);
    cr_assert(host_port_parse(":9091", true, &hp, &why) == 0);
    cr_expect(hp.host_len == 0 && hp.port == 9091);

    static const struct {
        const char *text;
        const char *problem;
    } ROWS[] = {
        {"localhost", "address localhost: missing port in address"},
        {"::1", "address ::1: too many colons in address"},
        {"[::1]", "address [::1]: missing port in address"},
        {"[::1:22", "address [::1:22: missing ']' in address"},
        {":22", "address :22: missing host in address"},
        {"host:0", "address host:0: invalid port"},
        {"host:65536", "address host:65536: invalid port"},
        {"host:ssh", "address host:ssh: invalid port"},
        {"host:", "address host:: invalid port"},
        {"a b:22", "address a b:22: invalid host"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        cr_expect_eq(host_port_parse(ROWS[i].text, false, &hp, &why), -EINVAL, "%s", ROWS[i].text);
        cr_expect_str_eq(why.text, ROWS[i].problem);
    }
}

Test(units, dates_convert_both_ways) {
    static const struct {
        const char *text;
        walltime_t t;
        const char *back;
    } ROWS[] = {
        {"1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"},
        {"2027-01-02T03:04:05Z", 1798859045, "2027-01-02T03:04:05Z"},
        {"2027-01-02T03:04:05.999Z", 1798859045, "2027-01-02T03:04:05Z"},
        {"2027-01-02T05:04:05+02:00", 1798859045, "2027-01-02T03:04:05Z"},
        {"2024-02-29T12:00:00Z", 1709208000, "2024-02-29T12:00:00Z"},
        {"2000-12-31T23:59:59Z", 978307199, "2000-12-31T23:59:59Z"},
        {"1969-12-31T23:59:59Z", -1, "1969-12-31T23:59:59Z"},
        {"0001-01-01T00:00:00Z", -62135596800, "0001-01-01T00:00:00Z"},
        {"9999-12-31T23:59:59Z", 253402300799, "9999-12-31T23:59:59Z"},
    };
    static const char *const BAD[] = {
        "",
        "2027-01-02",
        "2027-01-02 03:04:05Z",
        "2027-13-02T03:04:05Z",
        "2027-02-29T03:04:05Z",
        "2027-01-02T24:04:05Z",
        "2027-01-02T03:04:60Z",
        "2027-01-02T03:04:05",
        "2027-01-02T03:04:05.Z",
        "2027-01-02T03:04:05+2:00",
        "2027-01-02T03:04:05Zx",
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        char text[RFC3339_TEXT_MAX];
        walltime_t t = 0;
        cr_expect(rfc3339_parse(ROWS[i].text, &t) == 0, "%s", ROWS[i].text);
        cr_expect_eq(t, ROWS[i].t, "%s gave %lld", ROWS[i].text, (long long)t);
        cr_expect_str_eq(rfc3339_format(ROWS[i].t, text), ROWS[i].back);
    }
    for (size_t i = 0; i < ARRAY_COUNT(BAD); i++) {
        walltime_t t;
        cr_expect_eq(rfc3339_parse(BAD[i], &t), -EINVAL, "%s", BAD[i]);
    }
}
