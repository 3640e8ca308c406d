/* SPDX-License-Identifier: MIT */
#pragma once

/* One inbound stream of a service: finds the local address, connects, and pumps.  Shared by the
 * files of relay/service. */

#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/metric.h"
#include "core/base/net_addr.h"
#include "relay/pump.h"

struct resolver;
struct stream;

enum { SERVICE_HOST_MAX = 255 };

/* How long connecting to the local address may take, all of a name's addresses together. */
#define SERVICE_CONNECT_TIMEOUT SEC(10)

/* Where the streams of one service go, and what became of them. */
struct service_target {
    struct reactor *reactor;
    struct resolver *resolver;
    struct log *log;
    const char *service;
    /* A session is over and freed. */
    void (*ended)(struct service_target *t);
    struct pump_totals totals;
    struct log_limit failed_log;
    struct metric_histogram durations; /* of what was pumped; in `buckets` */
    const struct metric_buckets *buckets;
    uint64_t connections;
    uint64_t failed;
    uint32_t active;
    uint32_t addrs_count; /* 0: `host` is a name that is resolved each time */
    struct net_addr addrs[2];
    uint16_t port;
    char host[SERVICE_HOST_MAX + 1];
};

/* Copies `from` and finds out whether `host` is an address, localhost or another name. */
void service_target_init(struct service_target *t, const struct service_target *from,
                         const char *host);

/* Takes over the stream and joins `sessions`.  -ENOMEM leaves the stream with the caller. */
NODISCARD int service_session_start(struct service_target *t, struct list *sessions,
                                    struct stream *s);

/* Aborts each; they end later. */
void service_sessions_abort(struct list *sessions);
