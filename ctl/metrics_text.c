/* SPDX-License-Identifier: MIT */
#include "ctl/metrics_text.h"

#include <inttypes.h>
#include <string.h>

#include "core/base/strbuf.h"

static const char *type_name(enum metric_type type) {
    switch (type) {
    case METRIC_COUNTER:
        return "counter";
    case METRIC_GAUGE:
        return "gauge";
    case METRIC_HISTOGRAM:
        return "histogram";
    }
    return "untyped";
}

void metrics_text_head(const char *name, enum metric_type type, const char *help,
                       struct strbuf *out) {
    strbuf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type_name(type));
}

/* Exactly, and no digit more than is needed. */
static void add_seconds(nsec_t t, struct strbuf *out) {
    nsec_t fraction = t % SEC(1);
    int digits = 9;
    strbuf_addf(out, "%" PRIu64, (uint64_t)(t / SEC(1)));
    if (fraction == 0)
        return;
    for (; fraction % 10 == 0; fraction /= 10)
        digits--;
    strbuf_addf(out, ".%0*" PRIu64, digits, (uint64_t)fraction);
}

static void add_bucket(const char *name, const char *labels, const nsec_t *bound, uint64_t count,
                       struct strbuf *out) {
    strbuf_addf(out, "%s_bucket{%s%sle=\"", name, labels, *labels == '\0' ? "" : ",");
    if (bound == NULL)
        strbuf_add(out, "+Inf");
    else
        add_seconds(*bound, out);
    strbuf_addf(out, "\"} %" PRIu64 "\n", count);
}

static void add_name(const char *name, const char *suffix, const char *labels, struct strbuf *out) {
    strbuf_addf(out, "%s%s", name, suffix);
    if (*labels != '\0')
        strbuf_addf(out, "{%s}", labels);
    strbuf_add_char(out, ' ');
}

void metrics_text_histogram(const char *name, const char *labels, const struct metric_buckets *b,
                            const struct metric_histogram *h, struct strbuf *out) {
    uint64_t count = 0; /* buckets are told with all below them */
    for (uint32_t i = 0; i <= b->count; i++) {
        count += h->counts[i];
        add_bucket(name, labels, i < b->count ? &b->bounds[i] : NULL, count, out);
    }
    add_name(name, "_sum", labels, out);
    add_seconds(h->sum, out);
    strbuf_add_char(out, '\n');
    add_name(name, "_count", labels, out);
    strbuf_addf(out, "%" PRIu64 "\n", count);
}

void metrics_text_registry(const struct metric_registry *r, struct strbuf *out) {
    struct metric_cursor cursor = {0};
    struct metric_sample sample;
    const char *last = "";

    while (metric_next(r, &cursor, &sample)) {
        const struct metric_info *info = sample.info;
        if (strcmp(info->name, last) != 0)
            metrics_text_head(info->name, info->type, info->help, out);
        last = info->name;
        if (info->type == METRIC_HISTOGRAM) {
            metrics_text_histogram(info->name, info->labels, info->buckets, sample.histogram, out);
            continue;
        }
        add_name(info->name, "", info->labels, out);
        if (info->type == METRIC_COUNTER)
            strbuf_addf(out, "%" PRIu64 "\n", sample.value);
        else
            strbuf_addf(out, "%" PRId64 "\n", (int64_t)sample.value);
    }
}
