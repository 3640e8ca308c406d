/* SPDX-License-Identifier: MIT */
#pragma once

/* Time as values.  Reading a clock is the reactor's business (uring/reactor.h). */

#include <stdint.h>

/* Monotonic nanoseconds; the origin is the reactor's.  Never compared with wall time. */
typedef uint64_t nsec_t;

/* Wall-clock seconds since 1970-01-01 UTC.  For certificates, expiry dates and logs only. */
typedef int64_t walltime_t;

#define NSEC_NEVER ((nsec_t)UINT64_MAX)
#define USEC(n)    ((nsec_t)(n)*1000u)
#define MSEC(n)    ((nsec_t)(n)*1000000u)
#define SEC(n)     ((nsec_t)(n)*1000000000u)
