/* SPDX-License-Identifier: MIT */
#pragma once

/* A relay over HTTP: GET /healthz, for clients on this machine only, and GET /metrics.  Both at
 * health.listen_address where health is on, else /metrics at telemetry.metrics.listen_address.
 *
 * Spec: daemon-api.md, sections 6 and 7. */

#include "core/base/metric.h"
#include "ctl/http.h"
#include "ctl/network_metrics.h"
#include "ctl/peer_metrics.h"
#include "ctl/say.h"

struct host;
struct log;
struct node;
struct relay_config;

enum { RELAY_HTTP_SERVERS_MAX = 2 };

struct relay_http_config {
    struct reactor *reactor;
    struct host *host;
    const struct node *node;
    struct log *log;
    const struct relay_config *config;
    struct metric_registry *registry; /* what /metrics tells, beside the process's own */
    say_fn *say;
    void *user;
};

struct relay_http {
    struct relay_http_config cfg;
    struct http_server *servers[RELAY_HTTP_SERVERS_MAX];
    struct peer_metrics peers;
    struct network_metrics network;
    nsec_t opened_at;
    walltime_t start;
    bool is_open;
};

/* Opens what the config asks for.  An address that cannot be listened on is logged: a relay does
 * its work without. */
void relay_http_open(struct relay_http *h, const struct relay_http_config *cfg);

/* `h` lives until the reactor has no handles.  Harmless when it is not open. */
void relay_http_close(struct relay_http *h);
