/* SPDX-License-Identifier: MIT */
#pragma once

/* Names of the simulated world: "localhost.test", "host<n>.test" for the addresses of host n, and
 * the texts of "_dnsaddr.host<n>.test", which the zone knows.  An answer takes a while; now and
 * then there is none (-EAGAIN), when `fails_ppm` says so. */

#include "core/base/list.h"
#include "tests/sim/net.h"
#include "uring/resolver.h"

struct reactor;

struct sim_zone {
    /* Returns the count. */
    uint32_t (*texts)(const struct sim_zone *z, uint32_t host, const char **out, uint32_t max);
};

struct sim_resolver {
    struct resolver resolver;
    struct sim_host *host;
    struct reactor *reactor; /* whose requests they are; set before the first one */
    struct list lookups;
    const struct sim_zone *zone; /* may be NULL */
    uint32_t fails_ppm;
};

void sim_resolver_init(struct sim_resolver *r, struct sim_host *h);
/* The reactor is gone; no request is in flight (cancelled ones may). */
void sim_resolver_done(struct sim_resolver *r);
