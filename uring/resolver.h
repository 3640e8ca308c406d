/* SPDX-License-Identifier: MIT */
#pragma once

/* Host names to IP addresses.  An interface, so that tests can answer by themselves; the system's
 * own (resolver_system_new) asks getaddrinfo(3) on the reactor's worker thread.
 *
 * Thread: the reactor's.
 */

#include "core/base/net_addr.h"

struct reactor;
struct resolve_request;

enum { RESOLVE_ADDRS_MAX = 8, RESOLVE_HOST_MAX = 256 };

struct resolver {
    /* Ends in done(), never inside this call.
     *   -EAGAIN  too many questions wait already
     *   -ENOMEM, -EINVAL (the name is too long) */
    int (*start)(struct resolver *v, struct resolve_request *r, const char *host);
    void (*cancel)(struct resolver *v, struct resolve_request *r);
};

/* A question in flight, embedded in its owner. */
struct resolve_request {
    struct resolver *resolver;
    /* Exactly once, unless cancelled before: 0 with at least one address in `addrs`, ports 0, or
     *   -ERR_NAME_NOT_FOUND, -EAGAIN (a temporary failure), other errno */
    void (*done)(struct resolve_request *r, int error);
    struct net_addr addrs[RESOLVE_ADDRS_MAX];
    uint32_t count;
    void *lookup; /* the resolver's, while in flight */
};

/* `host` is copied. */
NODISCARD int resolve_start(struct resolver *v, struct resolve_request *r, const char *host,
                            void (*done)(struct resolve_request *r, int error));
/* Harmless when it is not in flight, or was never started and is all zeros. */
void resolve_cancel(struct resolve_request *r);

/* -ENOMEM */
NODISCARD int resolver_system_new(struct reactor *r, struct resolver **ret_resolver);
/* No question may be in flight (cancelled ones may).  Accepts NULL, returns NULL. */
struct resolver *resolver_system_free(struct resolver *v);
