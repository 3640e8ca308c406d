/* SPDX-License-Identifier: MIT */
#include "ctl/metrics_text.h"

#include <inttypes.h>
#include <string.h>

#include "core/base/strbuf.h"

void metrics_text_head(const char *name, enum metric_type type, const char *help,
                       struct strbuf *out) {
    strbuf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                type == METRIC_COUNTER ? "counter" : "gauge");
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
        strbuf_add(out, info->name);
        if (*info->labels != '\0')
            strbuf_addf(out, "{%s}", info->labels);
        if (info->type == METRIC_COUNTER)
            strbuf_addf(out, " %" PRIu64 "\n", sample.value);
        else
            strbuf_addf(out, " %" PRId64 "\n", (int64_t)sample.value);
    }
}
