/* SPDX-License-Identifier: MIT */
#pragma once

/* Which two boxes let their hosts meet, as it follows from the words of RFC 4787: each host knows
 * where a third one sees the other, and both send there.  The host that dials may be behind either.
 *
 * What is taken for granted: packets are dropped rather than answered, and nobody has sent to the
 * other before. */

#include "tests/sim/nat.h"

/* Its mapping for the other is where the third host saw it. */
bool nat_is_predictable(const struct sim_nat_config *cfg);

/* Who gets something answers to where it came from: by UDP, or by TCP where both listen, too. */
bool nat_meet(const struct sim_nat_config *a, const struct sim_nat_config *b);
/* By TCP where nobody listens: both ends are where the other dials. */
bool nat_meet_half_way(const struct sim_nat_config *a, const struct sim_nat_config *b);
