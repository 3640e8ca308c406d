/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdio.h>

#include "bench/emulator/lane.h"

/* One line a packet:
 *
 *   IN OUT FROM FATE PROTOCOL SOURCE-PORT DESTINATION-PORT BYTES PAYLOAD FLAGS
 *
 * IN and OUT are nanoseconds of the monotonic clock, OUT is 0 for a packet that does not come out;
 * FROM is the side, a or b; PROTOCOL is tcp, udp or a number; PAYLOAD counts the bytes behind the
 * transport's header; FLAGS are those of TCP (SFRPA), or -. */
void packet_log_write(FILE *log, char from, enum lane_fate fate, nsec_t in, nsec_t out,
                      const uint8_t *packet, size_t bytes);

extern const char *const packet_fate_names[LANE_FATES];
