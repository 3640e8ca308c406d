/* SPDX-License-Identifier: MIT */
#pragma once

/* A daemon or relay over HTTP: GET /healthz, for clients on this machine only, and GET /metrics.
 * Both at the address of health where it has one, else /metrics at an address of its own.
 *
 * Spec: daemon-api.md, sections 6 and 7. */

#include "core/base/metric.h"
#include "ctl/http.h"
#include "ctl/peer_metrics.h"
#include "ctl/relay_metrics.h"
#include "ctl/say.h"

struct host;
struct log;
struct services;

enum { TELEMETRY_HTTP_SERVERS_MAX = 2 };

struct telemetry_http_config {
    struct reactor *reactor;
    struct host *host;
    struct log *log;
    const char *metrics_at;           /* as the config has it; NULL: no metrics */
    const char *health_at;            /* NULL: no health */
    struct metric_registry *registry; /* what /metrics tells, beside the process's own ... */
    const struct services *services;  /* ... and these; may be NULL ... */
    const struct hop_service *relay;  /* ... and this one's; may be NULL; outlives it */
    say_fn *say;
    void *user;
};

struct telemetry_http {
    struct telemetry_http_config cfg;
    struct http_server *servers[TELEMETRY_HTTP_SERVERS_MAX];
    struct peer_metrics peers;
    struct relay_metrics relay; /* of a relay */
    nsec_t opened_at;
    walltime_t start;
    bool is_open;
};

/* Opens what the config asks for.  An address that cannot be listened on is logged: a node does
 * its work without. */
void telemetry_http_open(struct telemetry_http *h, const struct telemetry_http_config *cfg);

/* `h` lives until the reactor has no handles.  Harmless when it is not open. */
void telemetry_http_close(struct telemetry_http *h);
