/* SPDX-License-Identifier: MIT */

/* Goal: only who can read the cookie is answered, whatever else lies about or comes in.
 * Spec: daemon-api.md, sections 1 and 8. */

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/file.h"
#include "core/base/problem.h"
#include "core/conf/config_file.h"
#include "ctl/api_socket.h"
#include "http_client.h"
#include "tests/unit/ctl/folder.h"

struct api {
    struct fixture *t;
    struct folder folder;
    struct sock_addr at;
    struct api_socket_config cfg;
    struct api_socket *socket;
    char cookie[API_COOKIE_LEN + 1];
    int handled;
};

static void on_get(void *user, const struct http_request *request, struct http_reply *reply) {
    struct api *a = user;
    (void)request;
    a->handled++;
    strbuf_add(&reply->body, "got\n");
}

static void on_post(void *user, const struct http_request *request, struct http_reply *reply) {
    struct api *a = user;
    a->handled++;
    strbuf_addf(&reply->body, "%zu bytes\n", request->body.len);
}

static const struct http_route ROUTES[] = {
    {"GET", "/v1/thing", on_get},
    {"POST", "/v1/thing", on_post},
};

static void prepare(struct api *a, struct fixture *t) {
    *a = (struct api){.t = t};
    folder_make(&a->folder);
    (void)snprintf(a->at.unix_path, sizeof(a->at.unix_path), "%s", folder_file(&a->folder, "sock"));
    a->cfg = (struct api_socket_config){
        .reactor = t->reactor,
        .name = "test socket",
        .socket_path = a->at.unix_path,
        .cookie_path = folder_file(&a->folder, "cookie"),
        .routes = ROUTES,
        .routes_count = ARRAY_COUNT(ROUTES),
        .user = a,
        .connections_max = 4,
        .body_bytes_max = 100,
        .timeout = SEC(10),
    };
}

static void open_socket(struct api *a) {
    cr_assert_eq(api_socket_open(&a->cfg, &a->socket, NULL), 0);
    ssize_t n = file_read(folder_file(&a->folder, "cookie"), "cookie", 0077, a->cookie,
                          sizeof(a->cookie), NULL);
    cr_assert_eq(n, API_COOKIE_LEN, "no more, no line feed");
}

static void open_api(struct api *a, struct fixture *t) {
    prepare(a, t);
    open_socket(a);
}

static void close_api(struct api *a) {
    a->socket = api_socket_close(a->socket);
    folder_remove(&a->folder);
}

static bool is_there(const struct api *a, const char *name) {
    struct stat st;
    return lstat(folder_file(&a->folder, name), &st) == 0;
}

/* The answer to a request with these lines between the first and the empty one. */
static const char *ask(struct api *a, const char *first, const char *lines) {
    char request[1024];
    struct client *c = client_connect_to(&a->at);
    (void)snprintf(request, sizeof(request),
                   "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", first, lines);
    client_send(c, request);
    TURN_UNTIL(a->t, client_poll(c));
    client_end(c);
    return c->got;
}

static const char *authorized(const struct api *a) {
    static char line[128];
    (void)snprintf(line, sizeof(line), "Authorization: Bearer %s\r\n", a->cookie);
    return line;
}

static bool is_refused(const char *answer) {
    return strncmp(answer, "HTTP/1.1 401 ", 13) == 0 &&
           strstr(answer, "Content-Type: application/json\r\n") != NULL &&
           strstr(answer, "\r\n\r\n{\"error\":\"unauthorized\"}\n") != NULL;
}

static bool is_served(struct api *a) {
    return strstr(ask(a, "GET /v1/thing", authorized(a)), "\r\n\r\ngot\n") != NULL;
}

/* --- Files --- */

CASE(api_socket, is_for_its_owner_and_leaves_nothing) {
    static struct api a;
    struct stat st;
    open_api(&a, t);
    cr_assert_eq(stat(a.at.unix_path, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600);
    cr_assert_eq(stat(folder_file(&a.folder, "cookie"), &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600);
    cr_assert_eq(strspn(a.cookie, "0123456789abcdef"), API_COOKIE_LEN);
    char before[sizeof(a.cookie)];
    memcpy(before, a.cookie, sizeof(before));
    a.socket = api_socket_close(a.socket);
    cr_assert_not(is_there(&a, "sock"));
    cr_assert_not(is_there(&a, "cookie"));
    open_socket(&a);
    cr_assert_str_neq(a.cookie, before, "a new one each time");
    cr_assert(is_served(&a));
    close_api(&a);
}

static int bound_socket(const char *path, int type) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (const struct sockaddr *)&un, sizeof(un)), 0);
    return fd;
}

/* As a process leaves it that is killed. */
static void leave_socket(const char *path) {
    close(bound_socket(path, SOCK_STREAM));
}

CASE(api_socket, what_is_left_there_is_replaced) {
    static struct api a;
    prepare(&a, t);
    leave_socket(a.at.unix_path);
    folder_write(&a.folder, "cookie", "an old cookie");
    open_socket(&a);
    cr_assert(is_served(&a));
    close_api(&a);
}

CASE(api_socket, what_is_no_socket_is_left_alone) {
    static struct api a;
    prepare(&a, t);
    for (int i = 0; i < 3; i++) {
        struct problem why = PROBLEM_INIT;
        char wanted[256];
        if (i == 0)
            folder_write(&a.folder, "sock", "no socket");
        else if (i == 1)
            cr_assert_eq(symlink("/nowhere", a.at.unix_path), 0);
        else
            cr_assert_eq(mkdir(a.at.unix_path, 0700), 0);
        cr_assert_eq(api_socket_open(&a.cfg, &a.socket, &why), -EEXIST, "%d", i);
        (void)snprintf(wanted, sizeof(wanted), "%s is in the way: it is no socket", a.at.unix_path);
        cr_assert_str_eq(why.text, wanted);
        cr_assert(is_there(&a, "sock"));
        cr_assert_not(is_there(&a, "cookie"));
        cr_assert_eq(i == 2 ? rmdir(a.at.unix_path) : unlink(a.at.unix_path), 0);
    }
    close_api(&a);
}

/* Somebody may receive there; connect() says that it is of another type. */
CASE(api_socket, a_socket_of_which_it_cannot_be_told_is_left_alone) {
    static struct api a;
    struct problem why = PROBLEM_INIT;
    prepare(&a, t);
    int fd = bound_socket(a.at.unix_path, SOCK_DGRAM);
    cr_assert_eq(api_socket_open(&a.cfg, &a.socket, &why), -EPROTOTYPE);
    cr_assert_not_null(strstr(why.text, "cannot tell whether "), "%s", why.text);
    cr_assert(is_there(&a, "sock"));
    close(fd);
    close_api(&a);
}

/* Whoever looks at a path while another one takes it would find a socket that nobody listens on. */
CASE(api_socket, it_leaves_the_place_to_another_one_that_takes_it) {
    static struct api a;
    struct problem why = PROBLEM_INIT;
    int lock = -EBADF;
    prepare(&a, t);
    leave_socket(a.at.unix_path);
    cr_assert_eq(file_lock(a.at.unix_path, &lock, NULL), 0);
    cr_assert_eq(api_socket_open(&a.cfg, &a.socket, &why), -EWOULDBLOCK);
    cr_assert_not_null(strstr(why.text, ": another program keeps it locked"), "%s", why.text);
    cr_assert(is_there(&a, "sock"));
    file_unlock(&lock);
    open_socket(&a);
    cr_assert(is_served(&a));
    close_api(&a);
}

CASE(api_socket, one_that_somebody_listens_on_is_left_alone) {
    static struct api a;
    struct problem why = PROBLEM_INIT;
    struct api_socket *second = NULL;
    char wanted[256];
    open_api(&a, t);
    cr_assert_eq(api_socket_open(&a.cfg, &second, &why), -EADDRINUSE);
    (void)snprintf(wanted, sizeof(wanted), "test socket already in use: %s", a.at.unix_path);
    cr_assert_str_eq(why.text, wanted);
    cr_assert(is_served(&a), "by the first one, with its cookie");
    close_api(&a);
}

CASE(api_socket, what_cannot_be_opened_leaves_nothing) {
    static struct api a;
    struct problem why = PROBLEM_INIT;
    char path[UNIX_PATH_MAX + 1];
    prepare(&a, t);
    memset(path, 'x', UNIX_PATH_MAX);
    path[UNIX_PATH_MAX] = '\0';
    a.cfg.socket_path = path;
    cr_assert_eq(api_socket_open(&a.cfg, &a.socket, &why), -ENAMETOOLONG);
    cr_assert_not_null(strstr(why.text, " is too long for a socket: 108 bytes, at most 107"));
    a.cfg.socket_path = "/nowhere/sock";
    cr_assert_eq(api_socket_open(&a.cfg, &a.socket, &why), -ENOENT);
    a.cfg.socket_path = a.at.unix_path;
    a.cfg.cookie_path = "/nowhere/cookie";
    cr_assert_eq(api_socket_open(&a.cfg, &a.socket, &why), -ENOENT);
    cr_assert_not(is_there(&a, "sock"));
    close_api(&a);
}

CASE(api_socket, without_memory_it_is_not_open) {
    static struct api a;
    prepare(&a, t);
    int e;
    int n = 0;
    do {
        t->mem.fail_at = ++n;
        e = api_socket_open(&a.cfg, &a.socket, NULL);
        bool is_over = t->mem.fail_at > 0;
        t->mem.fail_at = 0;
        cr_assert(e == 0 || e == -ENOMEM, "%d", e);
        cr_assert(e == 0 || !is_there(&a, "sock"));
        if (e == 0 && !is_over)
            a.socket = api_socket_close(a.socket);
    } while (a.socket == NULL);
    cr_assert_gt(n, 3);
    close_api(&a);
}

/* --- Who is answered --- */

CASE(api_socket, only_the_cookie_itself_opens_it) {
    static struct api a;
    char line[256];
    open_api(&a, t);
    cr_assert(is_refused(ask(&a, "GET /v1/thing", "")));
    cr_assert(is_refused(ask(&a, "GET /v1/thing", "Authorization: \r\n")));
    cr_assert(is_refused(ask(&a, "GET /v1/thing", "Authorization: Bearer \r\n")));
    static const char *const FORMS[] = {"bearer %s", "Bearer %s0",   "Bearer  %s",   "%s",
                                        "Basic %s",  "Bearer %.63s", "Bearer %.63sg"};
    for (size_t i = 0; i < ARRAY_COUNT(FORMS); i++) {
        char value[128];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(value, sizeof(value), FORMS[i], a.cookie);
#pragma GCC diagnostic pop
        (void)snprintf(line, sizeof(line), "Authorization: %s\r\n", value);
        cr_assert(is_refused(ask(&a, "GET /v1/thing", line)), "%s", value);
    }
    cr_assert_eq(a.handled, 0);
    cr_assert(is_served(&a));
    cr_assert_eq(a.handled, 1);
    close_api(&a);
}

/* Who may not ask does not learn what there is either, nor has a body taken. */
CASE(api_socket, asks_for_the_cookie_before_anything_else) {
    static struct api a;
    open_api(&a, t);
    cr_assert(is_refused(ask(&a, "GET /v1/none", "")));
    cr_assert(is_refused(ask(&a, "PATCH /v1/thing", "")));
    cr_assert(is_refused(ask(&a, "POST /v1/thing", "Content-Length: 5000000\r\n")));
    cr_assert(is_refused(ask(&a, "POST /v1/thing", "Content-Length: 10\r\n")));
    const char *got = ask(&a, "GET /v1/none", authorized(&a));
    cr_assert_not_null(strstr(got, "\r\n\r\n404 page not found\n"), "%s", got);
    got = ask(&a, "PATCH /v1/thing", authorized(&a));
    cr_assert_not_null(strstr(got, "Allow: GET, HEAD, POST\r\n"), "%s", got);
    char lines[256];
    (void)snprintf(lines, sizeof(lines), "%sContent-Length: 101\r\n", authorized(&a));
    got = ask(&a, "POST /v1/thing", lines);
    cr_assert_eq(strncmp(got, "HTTP/1.1 413 ", 13), 0, "%s", got);
    cr_assert_not_null(strstr(got, "\r\n\r\n{\"error\":\"Content Too Large\"}\n"), "%s", got);
    cr_assert_eq(a.handled, 0);
    close_api(&a);
}

/* --- Clients that do not behave; those of ctl/http.h have tests of their own --- */

CASE(api_socket, strangers_cannot_keep_it_from_its_owner) {
    static struct api a;
    struct client *silent[4];
    prepare(&a, t);
    a.cfg.timeout = MSEC(80);
    open_socket(&a);
    for (size_t i = 0; i < ARRAY_COUNT(silent); i++) {
        silent[i] = client_connect_to(&a.at);
        client_send(silent[i], i % 2 == 0 ? "" : "POST /v1/thing HTTP/1.1\r\nHost: x\r\n");
    }
    turn_for(t, MSEC(5));
    for (size_t i = 0; i < ARRAY_COUNT(silent); i++)
        TURN_UNTIL(t, client_poll(silent[i]));
    for (size_t i = 0; i < ARRAY_COUNT(silent); i++)
        client_end(silent[i]);
    cr_assert(is_served(&a), "when their time is over");
    close_api(&a);
}

CASE(api_socket, half_a_body_is_never_handled) {
    static struct api a;
    char request[512];
    open_api(&a, t);
    struct client *c = client_connect_to(&a.at);
    (void)snprintf(request, sizeof(request),
                   "POST /v1/thing HTTP/1.1\r\nHost: x\r\n%sContent-Length: 50\r\n\r\nhalf",
                   authorized(&a));
    client_send(c, request);
    turn_for(t, MSEC(5));
    client_end(c);
    cr_assert(is_served(&a));
    cr_assert_eq(a.handled, 1);
    close_api(&a);
}
