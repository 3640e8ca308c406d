/* SPDX-License-Identifier: MIT */
#pragma once

#include "bench/emulator/lane.h"

/* Reads "delay=30ms,jitter=1ms,rate=1gbit,queue=8mb,loss=0.1%,reorder=1%,reorder-by=2ms,
 * duplicate=0.1%,seed=7"; every part may be missing.  Times have ns, us, ms or s, rates kbit, mbit
 * or gbit, sizes b, kb or mb (of 1,000).  Without `queue` it holds what the link carries in a round
 * trip, at least SPEC_QUEUE_BYTES_MIN.  Returns NULL, or the part that it does not understand. */
const char *spec_parse(char *text, struct lane_config *ret_cfg);

enum { SPEC_QUEUE_BYTES_MIN = 256000 };
