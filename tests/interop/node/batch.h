/* SPDX-License-Identifier: MIT */
#pragma once

/* The exchanges of one command: how many are left, what they came to, and the reply. */

#include "tests/interop/node/flow.h"

struct batch;

/* Answers `reply` (whose reference it takes) when `count` flows by `plan` are done, or the error of
 * the first that failed.  With plan->held none goes beyond its head before all have sent theirs.
 * With `queue` a flow that the peer refuses is started again when another has ended well. */
void batch_start(struct node *n, const struct flow_plan *plan, uint32_t count, bool queue,
                 nsec_t deadline, json_t *reply);

/* From its flows.  The flow is the batch's again, which may end by this. */
void batch_flow_ended(struct batch *b, struct flow *f, int error);
/* The head is sent. */
void batch_flow_ready(struct batch *b);
void batch_note_rtt(struct batch *b, nsec_t rtt);
void batch_note_bytes(struct batch *b, uint64_t bytes);
void batch_note_early(struct batch *b);

/* Ends all without a reply. */
void batch_stop_all(struct node *n);
