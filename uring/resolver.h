/* SPDX-License-Identifier: MIT */
#pragma once

/* Host names to IP addresses, and names to texts.  An interface, so that tests and the simulation
 * can answer by themselves; the system's own (resolver_system_new) asks c-ares: the hosts file and
 * the name servers of resolv.conf, read anew for each burst of questions.  Its sockets stand in one
 * epoll descriptor that the reactor polls; nothing blocks, and there is no thread.
 *
 * Thread: the reactor's.
 */

#include "core/base/net_addr.h"
#include "core/base/time.h"

struct reactor;
struct resolve_request;

enum {
    RESOLVE_ADDRS_MAX = 8,
    RESOLVE_TEXTS_MAX = 100,
    RESOLVE_HOST_MAX = 256,
    RESOLVE_QUESTIONS_MAX = 256, /* in flight */
};

enum resolve_kind {
    RESOLVE_ADDRS, /* of both families */
    RESOLVE_IP4,
    RESOLVE_IP6,
    RESOLVE_TEXTS, /* TXT records */
};

struct resolver {
    /* Ends in done(), never inside this call.  The request says what kind of answer it wants; a
     * resolver without texts finds none.
     *   -EAGAIN  too many questions wait already
     *   -ENOMEM, -EINVAL (the name is too long) */
    int (*start)(struct resolver *v, struct resolve_request *r, const char *host);
    void (*cancel)(struct resolver *v, struct resolve_request *r);
};

/* A question in flight, embedded in its owner. */
struct resolve_request {
    struct resolver *resolver;
    enum resolve_kind kind;
    /* Exactly once, unless cancelled before: 0 with at least one answer, or
     *   -ERR_NAME_NOT_FOUND, -EAGAIN (a temporary failure), other errno */
    void (*done)(struct resolve_request *r, int error);
    struct net_addr addrs[RESOLVE_ADDRS_MAX]; /* ports 0 */
    uint32_t count;
    const char *const *texts; /* valid during done() */
    uint32_t texts_count;
    void *lookup; /* the resolver's, while in flight */
};

/* `host` is copied.  resolve_start() asks for addresses. */
NODISCARD int resolve_start_kind(struct resolver *v, struct resolve_request *r,
                                 enum resolve_kind kind, const char *host,
                                 void (*done)(struct resolve_request *r, int error));
NODISCARD int resolve_start(struct resolver *v, struct resolve_request *r, const char *host,
                            void (*done)(struct resolve_request *r, int error));
/* Harmless when it is not in flight, or was never started and is all zeros. */
void resolve_cancel(struct resolve_request *r);

/* For tests; zeros are the system's. */
struct resolver_options {
    const char *servers; /* "127.0.0.1:5353,..." instead of those of resolv.conf; borrowed */
    int timeout_ms;      /* of the first attempt; each round doubles it */
    int attempts;
};

/* -ENOMEM */
NODISCARD int resolver_system_new(struct reactor *r, const struct resolver_options *options,
                                  struct resolver **ret_resolver);
/* No question may be in flight (cancelled ones may).  Its descriptor closes in the reactor's next
 * turns, if it is open.  Accepts NULL, returns NULL. */
struct resolver *resolver_system_free(struct resolver *v);
