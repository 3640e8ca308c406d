/* SPDX-License-Identifier: MIT */
#pragma once

/* Exposed services: for each one the protocol /peerup/<name>/1.0.0, whose streams are joined to TCP
 * connections to a local address.
 *
 * Spec:   peerup-protocols, section 4; decision 1 (who may use a service), 7.
 * Limits: streams are bounded by the host, for each connection and peer.
 * Life:   services_new() .. services_close() .. closed() .. services_free().  Removing or disabling
 *         a service refuses new streams; those that run go on.
 * Thread: the reactor's.
 */

#include "core/base/metric.h"
#include "core/p2p/peer_id.h"

struct host;
struct log;
struct problem;
struct reactor;
struct resolver;
struct services;

enum { SERVICE_NAME_MAX = 63, SERVICES_MAX = 1024 };

struct services_config {
    struct reactor *reactor;
    struct host *host;
    struct resolver *resolver; /* for names other than localhost */
    struct log *log;           /* may be NULL */
    struct log *audit;         /* is told whom a list of allowed peers denies; may be NULL */
};

/* All of it is copied. */
struct service_config {
    const char *name;
    const char *host; /* an IP address or a name */
    uint16_t port;
    bool is_restricted;            /* only `allowed` may use it, which may be nobody */
    const struct peer_id *allowed; /* besides, they have to be authorized */
    uint32_t allowed_count;
};

struct service_info {
    const char *name;
    const char *host;
    uint16_t port;
    bool is_restricted;
    bool is_enabled;
    uint32_t allowed_count;
    uint32_t active;      /* streams that run now */
    uint64_t connections; /* that reached the local address */
    uint64_t denied;      /* by the list of allowed peers */
    uint64_t failed;      /* the local address could not be reached */
    uint64_t rx_bytes;    /* from the network */
    uint64_t tx_bytes;
    const struct metric_histogram *durations; /* of streams that are over; SERVICE_DURATIONS */
};

/* 2^k seconds, k = 0 .. 11 */
extern const struct metric_buckets SERVICE_DURATIONS;

/* -ENOMEM */
NODISCARD int services_new(const struct services_config *cfg, struct services **ret_services);
/* Ends every stream with "shutting down" and calls back when all are gone. */
void services_close(struct services *s, void (*closed)(void *user), void *user);
/* Accepts NULL, returns NULL. */
struct services *services_free(struct services *s);

/* Registers and enables.
 *   -EINVAL              the name is no DNS label or is reserved, or there is no host or port
 *   -ERR_SERVICE_EXISTS
 *   -ERR_LIMIT           more than SERVICES_MAX
 *   -ENOMEM */
NODISCARD int services_add(struct services *s, const struct service_config *cfg,
                           struct problem *ret_problem);

/* All of these: -ERR_SERVICE_NOT_FOUND */
NODISCARD int services_remove(struct services *s, const char *name);
NODISCARD int services_enable(struct services *s, const char *name, bool enabled);
NODISCARD int services_find(const struct services *s, const char *name,
                            struct service_info *ret_info);

/* In the order in which they were added; `info` is valid during the call. */
void services_each(const struct services *s,
                   void (*each)(void *user, const struct service_info *info), void *user);
