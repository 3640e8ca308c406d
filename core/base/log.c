/* SPDX-License-Identifier: MIT */
#include "core/base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/base/bytes.h"
#include "core/base/err.h"

enum { LINE_TAIL = 3 /* "}}" and LF always fit */ };

struct line {
    char text[LOG_LINE_MAX];
    size_t len;
    bool is_full;
    bool json;
};

static const char *const level_names[] = {
    [LOG_ERROR] = "ERROR", [LOG_WARN] = "WARN",   [LOG_INFO] = "INFO",
    [LOG_DEBUG] = "DEBUG", [LOG_TRACE] = "TRACE",
};

static const char *const topic_names[] = {
    [L_CORE] = "core",   [L_REACTOR] = "reactor", [L_QUIC] = "quic",     [L_SWARM] = "swarm",
    [L_DIAL] = "dial",   [L_GATE] = "gate",       [L_STREAM] = "stream", [L_PROXY] = "proxy",
    [L_RELAY] = "relay", [L_NODE] = "node",
};

static void add(struct line *n, const char *text, size_t len) {
    if (n->is_full || len > sizeof(n->text) - LINE_TAIL - n->len) {
        n->is_full = true;
        return;
    }
    memcpy(n->text + n->len, text, len);
    n->len += len;
}

static void add_str(struct line *n, const char *text) {
    add(n, text, strlen(text));
}

/* "\x1b", "\u202e", "\U000e0001". */
static void add_escape(struct line *n, char kind, int digits, uint32_t value) {
    char escape[12];
    (void)snprintf(escape, sizeof(escape), "\\%c%0*x", kind, digits, value);
    add_str(n, escape);
}

/* Length of the well-formed UTF-8 sequence at the start, with its code point; 0 for none. */
static size_t utf8_decode(struct bytes b, uint32_t *ret_point) {
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t lead = b.data[0];
    size_t len = 0;
    if (lead < 0x80)
        len = 1;
    else if (lead >> 5 == 0x06)
        len = 2;
    else if (lead >> 4 == 0x0e)
        len = 3;
    else if (lead >> 3 == 0x1e)
        len = 4;
    if (len == 0 || len > b.len)
        return 0;
    uint32_t point = len == 1 ? lead : lead & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if (b.data[i] >> 6 != 2)
            return 0;
        point = point << 6 | (b.data[i] & 0x3f);
    }
    bool surrogate = point >= 0xd800 && point <= 0xdfff;
    if (point < smallest[len] || point > 0x10ffff || surrogate)
        return 0;
    *ret_point = point;
    return len;
}

/* What must not reach a terminal: controls, line separators, and what reorders or hides text. */
static bool is_unprintable(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
           c >= 0xe0000;
}

static void add_point(struct line *n, uint32_t point, const char *bytes, size_t len) {
    switch (point) {
    case '"':
    case '\\':
        add(n, "\\", 1);
        add(n, bytes, len);
        return;
    case '\n':
        add_str(n, "\\n");
        return;
    case '\r':
        add_str(n, "\\r");
        return;
    case '\t':
        add_str(n, "\\t");
        return;
    default:
        break;
    }
    if (!is_unprintable(point))
        add(n, bytes, len);
    else if (point <= 0xffff)
        add_escape(n, 'u', 4, point);
    else if (n->json) /* only in planes that JSON needs a pair for; nobody misses the exact one */
        add_str(n, "\\ufffd");
    else
        add_escape(n, 'U', 8, point);
}

static void add_quoted(struct line *n, struct bytes b, const char *ellipsis) {
    add(n, "\"", 1);
    while (b.len > 0) {
        uint32_t point;
        size_t len = utf8_decode(b, &point);
        if (len > 0) {
            add_point(n, point, (const char *)b.data, len);
        } else {
            len = 1;
            if (n->json)
                add_str(n, "\\ufffd");
            else
                add_escape(n, 'x', 2, b.data[0]);
        }
        b = bytes_skip(b, len);
    }
    add_str(n, ellipsis);
    add(n, "\"", 1);
}

static bool needs_quotes(struct bytes b) {
    for (size_t i = 0; i < b.len; i++) {
        uint8_t c = b.data[i];
        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f)
            return true;
    }
    return b.len == 0;
}

static void add_text(struct line *n, const char *text) {
    struct bytes b = bytes_of_str(text == NULL ? "" : text);
    const char *ellipsis = "";
    if (b.len > LOG_VALUE_MAX) {
        b.len = LOG_VALUE_MAX;
        while ((b.data[b.len] & 0xc0) == 0x80 && b.len > LOG_VALUE_MAX - 4)
            b.len--; /* not within a character */
        ellipsis = "...";
    }
    if (n->json || needs_quotes(b)) {
        add_quoted(n, b, ellipsis);
        return;
    }
    add(n, (const char *)b.data, b.len);
    add_str(n, ellipsis);
}

/* As Go prints durations below a minute: "1.5s", "250ms", "12.345us". */
static void add_duration(struct line *n, nsec_t t) {
    static const struct {
        const char *unit;
        nsec_t nsec;
    } units[] = {{"s", SEC(1)}, {"ms", MSEC(1)}, {"us", USEC(1)}, {"ns", 1}};
    size_t i = 0;
    while (i < ARRAY_COUNT(units) - 1 && t < units[i].nsec)
        i++;
    nsec_t thousandths = units[i].nsec == 1 ? 0 : t % units[i].nsec / (units[i].nsec / 1000);
    char text[40];
    int len =
        snprintf(text, sizeof(text), "%" PRIu64 ".%03" PRIu64, t / units[i].nsec, thousandths);
    while (text[len - 1] == '0')
        len--;
    if (text[len - 1] == '.')
        len--;
    add(n, text, (size_t)len);
    add_str(n, units[i].unit);
}

static void add_number(struct line *n, const struct kv *field) {
    char text[24];
    if (field->type == KV_INT)
        (void)snprintf(text, sizeof(text), "%" PRId64, field->v.i64);
    else
        (void)snprintf(text, sizeof(text), "%" PRIu64, field->v.u64);
    add_str(n, text);
}

static void add_value(struct line *n, const struct kv *field) {
    switch (field->type) {
    case KV_STR:
        add_text(n, field->v.str);
        return;
    case KV_ERR:
        add_text(n, err_text((int)field->v.i64));
        return;
    case KV_BOOL:
        add_str(n, field->v.u64 != 0 ? "true" : "false");
        return;
    case KV_NSEC:
        if (n->json)
            add_number(n, field);
        else if (field->v.u64 == NSEC_NEVER)
            add_str(n, "never");
        else
            add_duration(n, field->v.u64);
        return;
    case KV_INT:
    case KV_UINT:
        add_number(n, field);
        return;
    case KV_END:
        break;
    }
    assert(false);
}

/* A whole field or nothing. */
static void add_field(struct line *n, const struct kv *field) {
    size_t len = n->len;
    if (n->json) {
        add_str(n, n->text[len - 1] == '{' ? "\"" : ",\"");
        add_str(n, field->key);
        add_str(n, "\":");
    } else {
        add_str(n, len == 0 ? "" : " ");
        add_str(n, field->key);
        add_str(n, "=");
    }
    add_value(n, field);
    if (n->is_full)
        n->len = len;
}

static void format_time(int64_t wall_ms, char *out, size_t size) {
    time_t seconds = (time_t)(MAX(wall_ms, 0) / 1000); /* a clock before 1970 is no clock */
    struct tm tm;
    const struct tm *done = gmtime_r(&seconds, &tm);
    assert(done != NULL); /* milliseconds in 64 bits end before years in 32 do */
    size_t len = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(out + len, size - len, ".%03dZ", (int)(MAX(wall_ms, 0) % 1000));
}

void log_write(struct log *l, enum log_level level, enum log_topic topic, const char *message,
               const struct kv *fields) {
    struct line n = {.json = l->json};
    if (n.json)
        add(&n, "{", 1);
    if (l->wall_ms != NULL) {
        char time_text[40];
        format_time(l->wall_ms(l), time_text, sizeof(time_text));
        add_field(&n, &kv_str("time", time_text));
    }
    add_field(&n, &kv_str("level", level_names[level]));
    add_field(&n, &kv_str("msg", message));
    bool is_grouped = n.json && l->group != NULL;
    if (is_grouped) {
        add_str(&n, ",\"");
        add_str(&n, l->group);
        add_str(&n, "\":{");
    }
    for (const struct kv *field = fields; field->type != KV_END; field++)
        add_field(&n, field);
    if (is_grouped)
        n.text[n.len++] = '}';
    else
        add_field(&n, &kv_str("topic", topic_names[topic]));
    if (n.json)
        n.text[n.len++] = '}';
    n.text[n.len++] = '\n';
    assert(n.len <= sizeof(n.text));
    l->sink(l, level, n.text, n.len);
}

bool log_allow(struct log_limit *limit, nsec_t now) {
    assert(limit->every > 0);
    uint64_t refill = (now - limit->last) / limit->every;
    if (refill > 0) {
        limit->left = (uint32_t)MIN(limit->burst, limit->left + refill);
        limit->last += refill * limit->every;
    }
    if (limit->left == 0) {
        limit->dropped++;
        return false;
    }
    limit->left--;
    limit->dropped_before = limit->dropped;
    limit->dropped = 0;
    return true;
}
