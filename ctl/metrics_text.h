/* SPDX-License-Identifier: MIT */
#pragma once

/* Metrics in Prometheus' text format, 0.0.4. */

#include "core/base/metric.h"

struct strbuf;

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* All samples of a registry, in its order. */
void metrics_text_registry(const struct metric_registry *r, struct strbuf *out);

/* What stands before the samples of one name. */
void metrics_text_head(const char *name, enum metric_type type, const char *help,
                       struct strbuf *out);

/* The samples of one histogram, in seconds.  `labels` as in struct metric_info. */
void metrics_text_histogram(const char *name, const char *labels, const struct metric_buckets *b,
                            const struct metric_histogram *h, struct strbuf *out);
