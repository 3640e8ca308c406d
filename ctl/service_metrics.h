/* SPDX-License-Identifier: MIT */
#pragma once

/* What a daemon tells of the services that it exposes, in Prometheus' text format: by name, of
 * which the owner has given so many.
 *
 * Spec: behaviour.md, section 11.3. */

struct services;
struct strbuf;

void service_metrics_write(const struct services *s, struct strbuf *out);
