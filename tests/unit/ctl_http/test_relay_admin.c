/* SPDX-License-Identifier: MIT */

/* Spec: daemon-api.md, section 8. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/conf/relay_config.h"
#include "ctl/relay_admin.h"
#include "http_client.h"
#include "tests/unit/ctl/folder.h"

struct sink {
    struct log log;
    char text[4096];
    size_t len;
};

static void on_line(struct log *l, enum log_level level, const char *line, size_t len) {
    struct sink *s = CONTAINER_OF(l, struct sink, log);
    (void)level;
    len = MIN(len, sizeof(s->text) - 1 - s->len);
    memcpy(s->text + s->len, line, len);
    s->len += len;
}

static const char *ask(struct fixture *t, const struct folder *f, const char *first,
                       const char *cookie) {
    struct sock_addr at = {.ip.family = NET_NONE};
    char request[256];
    (void)snprintf(at.unix_path, sizeof(at.unix_path), "%s", folder_file(f, ".relay-admin.sock"));
    struct client *c = client_connect_to(&at);
    (void)snprintf(request, sizeof(request),
                   "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                   "Authorization: Bearer %s\r\n\r\n",
                   first, cookie);
    client_send(c, request);
    TURN_UNTIL(t, client_poll(c));
    client_end(c);
    return c->got;
}

CASE(relay_admin, lists_no_groups_and_finds_none) {
    static struct folder f;
    struct relay_admin admin;
    char cookie[65] = "";
    char config[96];
    folder_make(&f);
    (void)snprintf(config, sizeof(config), "%s/relay-server.yaml", f.path);
    const struct relay_config c = {.base.path = config};
    relay_admin_open(&admin, t->reactor, NULL, &c);
    cr_assert_not_null(admin.api);
    cr_assert_eq(
        file_read(folder_file(&f, ".relay-admin.cookie"), "cookie", 0077, cookie, 65, NULL), 64);
    const char *got = ask(t, &f, "GET /v1/pair", cookie);
    cr_assert_not_null(strstr(got, "Content-Type: application/json\r\n"), "%s", got);
    cr_assert_not_null(strstr(got, "\r\n\r\n[]\n"), "%s", got);
    got = ask(t, &f, "DELETE /v1/pair/4248c4ca", cookie);
    cr_assert_eq(strncmp(got, "HTTP/1.1 404 ", 13), 0, "%s", got);
    cr_assert_not_null(strstr(got, "\r\n\r\n{\"error\":\"group not found\"}\n"), "%s", got);
    got = ask(t, &f, "GET /v1/pair", "");
    cr_assert_not_null(strstr(got, "{\"error\":\"unauthorized\"}\n"), "%s", got);
    relay_admin_close(&admin);
    folder_remove(&f);
}

/* A relay does its work without. */
CASE(relay_admin, that_cannot_be_opened_is_logged) {
    struct sink sink = {.log = {.sink = on_line, .level_max = LOG_INFO}};
    const struct relay_config c = {.base.path = "/nowhere/relay-server.yaml"};
    struct relay_admin admin;
    relay_admin_open(&admin, t->reactor, &sink.log, &c);
    cr_assert_null(admin.api);
    cr_assert_not_null(strstr(sink.text, "the relay admin socket is not served"), "%s", sink.text);
    cr_assert_not_null(strstr(sink.text, "/nowhere/"), "%s", sink.text);
    relay_admin_close(&admin);
}
