/* SPDX-License-Identifier: MIT */
#include "ctl/telemetry_http.h"

#include <inttypes.h>

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/problem.h"
#include "ctl/connected_peers.h"
#include "ctl/listen_text.h"
#include "ctl/metrics_text.h"
#include "ctl/process_metrics.h"
#include "ctl/service_metrics.h"
#include "uring/reactor.h"

#define REQUEST_TIMEOUT SEC(5)

enum { CONNECTIONS_MAX = 32 };

static void fail(struct http_reply *reply, unsigned status, const char *text) {
    reply->status = status;
    strbuf_reset(&reply->body);
    strbuf_add(&reply->body, text);
}

static void on_health(void *user, const struct http_request *request, struct http_reply *reply) {
    struct telemetry_http *h = user;
    struct reactor *r = h->cfg.reactor;
    struct connected_peers peers;

    if (!net_addr_is_loopback(&request->remote)) {
        fail(reply, 403, "forbidden\n");
        return;
    }
    if (connected_peers_find(h->cfg.host, reactor_mem(r), &peers) < 0) {
        fail(reply, 500, "out of memory\n");
        return;
    }
    reply->content_type = HTTP_JSON;
    strbuf_addf(&reply->body,
                "{\"connected_peers\":%zu,\"status\":\"ok\",\"uptime_seconds\":%" PRIu64 "}\n",
                peers.count, (uint64_t)((reactor_now(r) - h->opened_at) / SEC(1)));
    connected_peers_done(&peers);
}

static void on_metrics(void *user, const struct http_request *request, struct http_reply *reply) {
    struct telemetry_http *h = user;
    (void)request;

    if (peer_metrics_update(&h->peers, h->cfg.host, reactor_mem(h->cfg.reactor)) < 0) {
        fail(reply, 500, "out of memory\n");
        return;
    }
    if (h->cfg.relay != NULL)
        relay_metrics_update(&h->relay, h->cfg.relay);
    reply->content_type = METRICS_CONTENT_TYPE;
    metrics_text_registry(h->cfg.registry, &reply->body);
    if (h->cfg.services != NULL)
        service_metrics_write(h->cfg.services, &reply->body);
    process_metrics_write(h->start, &reply->body);
}

enum { R_METRICS, R_HEALTH, R_COUNT };

/* A server serves all from one of them to the end, or the first alone. */
static const struct http_route ROUTES[R_COUNT] = {
    [R_METRICS] = {"GET", "/metrics", on_metrics},
    [R_HEALTH] = {"GET", "/healthz", on_health},
};

/* Listens at each address that the text means; whether at any. */
static bool listen_at(struct telemetry_http *h, const char *text, const struct http_route *routes,
                      size_t routes_count) {
    struct net_addr addrs[LISTEN_TEXT_ADDRS_MAX];
    struct problem why = PROBLEM_INIT;
    bool is_listening = false;

    int count = listen_text_parse(text, addrs, &why);
    if (count < 0)
        log_error(h->cfg.log, L_NODE, "HTTP is not served", kv_str("reason", why.text));
    for (int i = 0; i < count; i++) {
        const struct http_config cfg = {
            .reactor = h->cfg.reactor,
            .listen.ip = addrs[i],
            .routes = routes,
            .routes_count = routes_count,
            .user = h,
            .connections_max = CONNECTIONS_MAX,
            .timeout = REQUEST_TIMEOUT,
        };
        if (http_server_open(&cfg, &h->servers[i], &why) < 0)
            log_error(h->cfg.log, L_NODE, "HTTP is not served", kv_str("reason", why.text));
        else
            is_listening = true;
    }
    return is_listening;
}

static void say(const struct telemetry_http *h, const char *format, ...) PRINTF(2, 3);

static void say(const struct telemetry_http *h, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say_v(h->cfg.say, h->cfg.user, format, args);
    va_end(args);
}

void telemetry_http_open(struct telemetry_http *h, const struct telemetry_http_config *cfg) {
    bool has_metrics = cfg->metrics_at != NULL;
    bool has_health = cfg->health_at != NULL;
    const char *at = has_health ? cfg->health_at : cfg->metrics_at;
    size_t first = has_metrics ? R_METRICS : R_HEALTH;
    size_t end = has_health ? R_COUNT : R_HEALTH;

    *h = (struct telemetry_http){.cfg = *cfg, .is_open = true};
    h->opened_at = reactor_now(cfg->reactor);
    h->start = reactor_walltime(cfg->reactor);
    peer_metrics_open(&h->peers, cfg->registry);
    if (cfg->relay != NULL)
        relay_metrics_open(&h->relay, cfg->registry);
    if (first == end || !listen_at(h, at, &ROUTES[first], end - first))
        return;
    if (has_metrics)
        say(h, "Telemetry: metrics enabled on %s", at);
    if (has_health)
        say(h, "Health: http://%s/healthz", at);
}

void telemetry_http_close(struct telemetry_http *h) {
    if (!h->is_open)
        return;
    h->is_open = false;
    for (size_t i = 0; i < ARRAY_COUNT(h->servers); i++)
        h->servers[i] = http_server_close(h->servers[i]);
    peer_metrics_close(&h->peers);
    relay_metrics_close(&h->relay);
}
