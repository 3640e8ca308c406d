/* SPDX-License-Identifier: MIT */
#pragma once

/* Randomness and wall clock for commands that run without a reactor: making a key, telling what
 * has expired.  Everything that has a reactor takes both from it instead, so that a simulation
 * can repeat a run. */

#include "core/base/rng.h"
#include "core/base/time.h"

/* The kernel's random bytes; aborts if there are none, which Linux 6.1 cannot answer. */
struct rng *sysenv_rng(void);

/* Seconds since 1970 UTC. */
walltime_t sysenv_walltime(void);

/* Milliseconds since 1970 UTC, for the log's time field. */
int64_t sysenv_wall_ms(void);
