/* SPDX-License-Identifier: MIT */
#include "ctl/relay_admin.h"

#include <string.h>

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/problem.h"
#include "core/base/strbuf.h"
#include "core/conf/relay_config.h"
#include "ctl/api_socket.h"

#define REQUEST_TIMEOUT SEC(10)

enum { CONNECTIONS_MAX = 16, BODY_BYTES_MAX = 4096, PATH_BYTES_MAX = 4096 };

static void on_list(void *user, const struct http_request *request, struct http_reply *reply) {
    (void)user;
    (void)request;
    reply->content_type = HTTP_JSON;
    strbuf_add(&reply->body, "[]\n");
}

static void on_revoke(void *user, const struct http_request *request, struct http_reply *reply) {
    (void)user;
    (void)request;
    http_fail(reply, 404, "group not found");
}

static const struct http_route ROUTES[] = {
    {"GET", "/v1/pair", on_list},
    {"DELETE", "/v1/pair/", on_revoke},
};

/* In the config's directory, which may be the working one. */
static void path_of(const struct relay_config *config, const char *name, struct strbuf *out) {
    const char *slash = strrchr(config->base.path, '/');
    if (slash != NULL)
        strbuf_add_bytes(out, bytes_of(config->base.path, (size_t)(slash + 1 - config->base.path)));
    strbuf_add(out, name);
}

void relay_admin_open(struct relay_admin *a, struct reactor *r, struct log *log,
                      const struct relay_config *config) {
    SCOPED(strbuf_free) struct strbuf socket = STRBUF_INIT(PATH_BYTES_MAX);
    SCOPED(strbuf_free) struct strbuf cookie = STRBUF_INIT(PATH_BYTES_MAX);
    struct problem why = PROBLEM_INIT;

    *a = (struct relay_admin){.api = NULL};
    path_of(config, ".relay-admin.sock", &socket);
    path_of(config, ".relay-admin.cookie", &cookie);
    const struct api_socket_config cfg = {
        .reactor = r,
        .log = log,
        .name = "relay admin socket",
        .socket_path = strbuf_text(&socket),
        .cookie_path = strbuf_text(&cookie),
        .routes = ROUTES,
        .routes_count = ARRAY_COUNT(ROUTES),
        .connections_max = CONNECTIONS_MAX,
        .body_bytes_max = BODY_BYTES_MAX,
        .timeout = REQUEST_TIMEOUT,
    };
    int e = MIN(strbuf_error(&socket), strbuf_error(&cookie));
    if (e < 0)
        (void)problem_set(&why, e, "%s", err_text(e));
    else
        e = api_socket_open(&cfg, &a->api, &why);
    if (e < 0)
        log_error(log, L_NODE, "the relay admin socket is not served", kv_str("reason", why.text));
    else
        log_info(log, L_NODE, "relay admin socket", kv_str("socket", cfg.socket_path));
}

void relay_admin_close(struct relay_admin *a) {
    a->api = api_socket_close(a->api);
}
