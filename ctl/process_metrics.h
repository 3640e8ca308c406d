/* SPDX-License-Identifier: MIT */
#pragma once

/* What every process exports: peerup_info, and process_* as other programs' exporters name them.
 * What the system does not tell is left out.
 *
 * Spec: behaviour.md, section 11.3. */

#include "core/base/time.h"

struct strbuf;

/* In Prometheus' text format.  `start`: when the process began to serve. */
void process_metrics_write(walltime_t start, struct strbuf *out);
