/* SPDX-License-Identifier: MIT */
#include "core/conf/units.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <strings.h>

#include "core/base/problem.h"

const char DNS_LABEL_RULE[] = "must be 1-63 lowercase alphanumeric characters or hyphens, "
                              "starting and ending with alphanumeric";

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Durations */

static const struct {
    const char *name;
    int64_t ns;
} DURATION_UNITS[] = {
    {"ns", 1},
    {"us", 1000},
    {"\xc2\xb5s", 1000}, /* U+00B5, the micro sign */
    {"\xce\xbcs", 1000}, /* U+03BC, the Greek letter */
    {"ms", 1000000},
    {"s", 1000000000},
    {"m", INT64_C(60) * 1000000000},
    {"h", INT64_C(3600) * 1000000000},
};

static int64_t unit_ns(const char *unit, size_t len) {
    for (size_t i = 0; i < ARRAY_COUNT(DURATION_UNITS); i++) {
        const char *name = DURATION_UNITS[i].name;
        if (strlen(name) == len && memcmp(name, unit, len) == 0)
            return DURATION_UNITS[i].ns;
    }
    return 0;
}

/* "12.5" at *s: the whole part, and the fraction as digits/scale.  False when there is no digit
 * or too many.  Digits of the fraction that do not fit change nothing as large as a nanosecond. */
static bool parse_decimal(const char **s, int64_t *ret_whole, int64_t *ret_fraction,
                          double *ret_scale) {
    int64_t whole = 0, fraction = 0;
    double scale = 1;
    const char *p = *s;
    bool any = false;

    for (; is_digit(*p); p++, any = true)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, *p - '0', &whole))
            return false;
    if (*p == '.')
        for (p++; is_digit(*p); p++, any = true)
            if (fraction <= (INT64_MAX - 9) / 10) {
                fraction = fraction * 10 + (*p - '0');
                scale *= 10;
            }
    *s = p;
    *ret_whole = whole;
    *ret_fraction = fraction;
    *ret_scale = scale;
    return any;
}

static int duration_add_part(const char **s, int64_t *total, const char *text,
                             struct problem *ret_problem) {
    int64_t whole, fraction, part;
    double scale;
    if (!parse_decimal(s, &whole, &fraction, &scale))
        return problem_set(ret_problem, -EINVAL, "time: invalid duration \"%s\"", text);

    size_t unit_len = strcspn(*s, ".0123456789");
    if (unit_len == 0)
        return problem_set(ret_problem, -EINVAL, "time: missing unit in duration \"%s\"", text);
    int64_t unit = unit_ns(*s, unit_len);
    if (unit == 0)
        return problem_set(ret_problem, -EINVAL, "time: unknown unit \"%.*s\" in duration \"%s\"",
                           (int)MIN(unit_len, (size_t)64), *s, text);
    *s += unit_len;
    if (__builtin_mul_overflow(whole, unit, &part) ||
        __builtin_add_overflow(part, (int64_t)((double)fraction * ((double)unit / scale)), &part) ||
        __builtin_add_overflow(*total, part, total))
        return problem_set(ret_problem, -EINVAL, "time: invalid duration \"%s\"", text);
    return 0;
}

int duration_parse(const char *text, int64_t *ret_ns, struct problem *ret_problem) {
    const char *s = text;
    bool negative = *s == '-';
    int64_t total = 0;

    if (*s == '-' || *s == '+')
        s++;
    if (strcmp(s, "0") == 0) {
        *ret_ns = 0;
        return 0;
    }
    if (*s == '\0')
        return problem_set(ret_problem, -EINVAL, "time: invalid duration \"%s\"", text);
    while (*s != '\0') {
        int e = duration_add_part(&s, &total, text, ret_problem);
        if (e < 0)
            return e;
    }
    *ret_ns = negative ? -total : total;
    return 0;
}

/* "1.5" of units, without trailing zeros. */
static void format_fraction(char *out, size_t size, uint64_t value, uint64_t unit,
                            const char *name) {
    uint64_t rest = value % unit;
    int digits = 0;
    for (uint64_t u = unit; u > 1; u /= 10)
        digits++;
    while (rest > 0 && rest % 10 == 0) {
        rest /= 10;
        digits--;
    }
    if (rest == 0)
        (void)snprintf(out, size, "%" PRIu64 "%s", value / unit, name);
    else
        (void)snprintf(out, size, "%" PRIu64 ".%0*" PRIu64 "%s", value / unit, digits, rest, name);
}

const char *duration_format(int64_t ns, char *out) {
    const uint64_t second = UINT64_C(1000000000), minute = 60 * second;
    uint64_t u = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
    char seconds[DURATION_TEXT_MAX / 2];
    const char *sign = ns < 0 ? "-" : "";

    if (u == 0) {
        (void)snprintf(out, DURATION_TEXT_MAX, "0s");
        return out;
    }
    if (u < 1000)
        format_fraction(seconds, sizeof(seconds), u, 1, "ns");
    else if (u < 1000000)
        format_fraction(seconds, sizeof(seconds), u, 1000, "\xc2\xb5s");
    else if (u < second)
        format_fraction(seconds, sizeof(seconds), u, 1000000, "ms");
    else
        format_fraction(seconds, sizeof(seconds), u % minute, second, "s");

    if (u < minute)
        (void)snprintf(out, DURATION_TEXT_MAX, "%s%s", sign, seconds);
    else if (u < 60 * minute)
        (void)snprintf(out, DURATION_TEXT_MAX, "%s%" PRIu64 "m%s", sign, u / minute, seconds);
    else
        (void)snprintf(out, DURATION_TEXT_MAX, "%s%" PRIu64 "h%" PRIu64 "m%s", sign,
                       u / (60 * minute), u / minute % 60, seconds);
    return out;
}

/* Sizes */

static const struct {
    const char *suffix;
    int64_t bytes;
} SIZE_UNITS[] = {{"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}, {"B", 1}, {"", 1}};

int size_parse(const char *text, int64_t *ret_bytes, struct problem *ret_problem) {
    const char *s = text;
    bool negative = *s == '-';
    int64_t value = 0;

    if (negative)
        s++;
    if (!is_digit(*s))
        return problem_set(ret_problem, -EINVAL, "invalid data size \"%s\": not a number", text);
    for (; is_digit(*s); s++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *s - '0', &value))
            return problem_set(ret_problem, -EINVAL, "invalid data size \"%s\": too large", text);
    while (*s == ' ')
        s++;
    for (size_t i = 0; i < ARRAY_COUNT(SIZE_UNITS); i++) {
        if (strcasecmp(s, SIZE_UNITS[i].suffix) != 0)
            continue;
        if (negative)
            return problem_set(ret_problem, -EINVAL, "data size must be non-negative: %s", text);
        if (__builtin_mul_overflow(value, SIZE_UNITS[i].bytes, &value))
            return problem_set(ret_problem, -EINVAL, "invalid data size \"%s\": too large", text);
        *ret_bytes = value;
        return 0;
    }
    return problem_set(ret_problem, -EINVAL,
                       "invalid data size \"%s\": must be an integer with B, KB, MB or GB", text);
}

const char *size_format(int64_t bytes, char *out) {
    size_t i = 0;
    while (SIZE_UNITS[i].bytes > 1 && (bytes == 0 || bytes % SIZE_UNITS[i].bytes != 0))
        i++;
    (void)snprintf(out, SIZE_TEXT_MAX, "%" PRId64 "%s", bytes / SIZE_UNITS[i].bytes,
                   SIZE_UNITS[i].suffix);
    return out;
}

/* Labels and host:port */

static bool is_label_char(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z');
}

bool dns_label_is_valid(const char *text) {
    size_t len = strlen(text);
    if (len == 0 || len > 63 || !is_label_char(text[0]) || !is_label_char(text[len - 1]))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_label_char(text[i]) && text[i] != '-')
            return false;
    return true;
}

static bool parse_port(const char *text, uint16_t *ret_port) {
    uint32_t port = 0;
    size_t len = strlen(text);
    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!is_digit(text[i]))
            return false;
        port = port * 10 + (uint32_t)(text[i] - '0');
    }
    if (port == 0 || port > UINT16_MAX)
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

/* Texts as Go's net.SplitHostPort has them. */
int host_port_parse(const char *text, bool host_may_be_empty, struct host_port *ret_hp,
                    struct problem *ret_problem) {
    struct host_port hp = {.host = text};
    const char *colon = strrchr(text, ':');

    if (colon == NULL)
        return problem_set(ret_problem, -EINVAL, "address %s: missing port in address", text);
    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        if (end == NULL)
            return problem_set(ret_problem, -EINVAL, "address %s: missing ']' in address", text);
        if (end + 1 != colon)
            return problem_set(ret_problem, -EINVAL, "address %s: missing port in address", text);
        hp.host = text + 1;
        hp.host_len = (size_t)(end - hp.host);
    } else {
        hp.host_len = (size_t)(colon - text);
        if (memchr(text, ':', hp.host_len) != NULL)
            return problem_set(ret_problem, -EINVAL, "address %s: too many colons in address",
                               text);
    }
    if (hp.host_len == 0 && !host_may_be_empty)
        return problem_set(ret_problem, -EINVAL, "address %s: missing host in address", text);
    for (size_t i = 0; i < hp.host_len; i++)
        if ((unsigned char)hp.host[i] <= ' ' || strchr("[]/", hp.host[i]) != NULL)
            return problem_set(ret_problem, -EINVAL, "address %s: invalid host", text);
    if (!parse_port(colon + 1, &hp.port))
        return problem_set(ret_problem, -EINVAL, "address %s: invalid port", text);
    *ret_hp = hp;
    return 0;
}

/* Dates.  Days since 1970 from a civil date and back: eras of 400 years that begin in March, so
 * that the leap day is the last of its year. */

enum { DAYS_PER_ERA = 146097, DAYS_TO_1970 = 719468 };

static int64_t days_of_date(int64_t year, int month, int day) {
    if (month <= 2)
        year--;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_PER_ERA + day_of_era - DAYS_TO_1970;
}

static int days_in_month(int year, int month) {
    static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* `digits` decimal digits at *s; -1 when there are fewer. */
static int take_number(const char **s, int digits) {
    int value = 0;
    for (int i = 0; i < digits; i++, (*s)++) {
        if (!is_digit(**s))
            return -1;
        value = value * 10 + (**s - '0');
    }
    return value;
}

static bool take_char(const char **s, const char *set) {
    if (**s == '\0' || strchr(set, **s) == NULL)
        return false;
    (*s)++;
    return true;
}

/* "Z", "+02:00": seconds east of UTC. */
static bool take_offset(const char **s, int *ret_seconds) {
    if (take_char(s, "Zz")) {
        *ret_seconds = 0;
        return true;
    }
    int sign = **s == '-' ? -1 : 1;
    if (!take_char(s, "+-"))
        return false;
    int hours = take_number(s, 2);
    if (hours < 0 || hours > 23 || !take_char(s, ":"))
        return false;
    int minutes = take_number(s, 2);
    if (minutes < 0 || minutes > 59)
        return false;
    *ret_seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

int rfc3339_parse(const char *text, walltime_t *ret_time) {
    const char *s = text;
    int offset = 0;
    int year = take_number(&s, 4);
    if (year < 0 || !take_char(&s, "-"))
        return -EINVAL;
    int month = take_number(&s, 2);
    if (month < 1 || month > 12 || !take_char(&s, "-"))
        return -EINVAL;
    int day = take_number(&s, 2);
    if (day < 1 || day > days_in_month(year, month) || !take_char(&s, "Tt"))
        return -EINVAL;
    int hour = take_number(&s, 2);
    if (hour < 0 || hour > 23 || !take_char(&s, ":"))
        return -EINVAL;
    int minute = take_number(&s, 2);
    if (minute < 0 || minute > 59 || !take_char(&s, ":"))
        return -EINVAL;
    int second = take_number(&s, 2);
    if (second < 0 || second > 59)
        return -EINVAL;
    if (take_char(&s, ".")) {
        if (!is_digit(*s))
            return -EINVAL;
        while (is_digit(*s))
            s++;
    }
    if (!take_offset(&s, &offset) || *s != '\0')
        return -EINVAL;
    int seconds = hour * 3600 + minute * 60 + second - offset;
    *ret_time = days_of_date(year, month, day) * 86400 + seconds;
    return 0;
}

const char *rfc3339_format(walltime_t t, char *out) {
    int64_t days = (t >= 0 ? t : t - 86399) / 86400;
    int rest = (int)(t - days * 86400);

    days += DAYS_TO_1970;
    int64_t era = (days >= 0 ? days : days - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
    int64_t day_of_era = days - era * DAYS_PER_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int month_index = (int)((5 * day_of_year + 2) / 153);
    int day = (int)(day_of_year - (153 * month_index + 2) / 5) + 1;
    int month = month_index < 10 ? month_index + 3 : month_index - 9;
    int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);

    (void)snprintf(out, RFC3339_TEXT_MAX, "%04" PRId64 "-%02d-%02dT%02d:%02d:%02dZ", year, month,
                   day, rest / 3600, rest / 60 % 60, rest % 60);
    return out;
}
