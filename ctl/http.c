/* SPDX-License-Identifier: MIT */
#include "ctl/http.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "uring/foreign_socket.h"
#include "uring/reactor.h"

/* One connection, from accept to close; the library knows it as its socket's context. */
struct http_conn {
    struct list node; /* in one of the server's lists */
    nsec_t deadline;
    bool is_overdue; /* ended; the library will find out */
    int fd;
    struct net_addr remote;
    struct strbuf body;
};

struct http_server {
    struct http_config cfg;
    struct MHD_Daemon *daemon;
    struct fd_watch watch;
    struct timer timer;
    struct sock_addr addr;
    struct list free;
    struct list busy; /* the earliest deadline first: all get the same time */
    struct list overdue;
    bool has_room_again; /* a connection has closed: the library listens at its next turn only */
    struct http_conn conns[]; /* connections_max */
};

/* --- Turns --- */

/* Lets the library work, and sees to it that it is asked again when there is more. */
static void run(struct http_server *s) {
    nsec_t now = reactor_now(s->cfg.reactor), next = NSEC_NEVER;
    MHD_UNSIGNED_LONG_LONG wait_ms;

    s->has_room_again = false;
    (void)MHD_run(s->daemon); /* fails only where threads run it */
    if (s->has_room_again)
        next = now;
    else if (MHD_get_timeout(s->daemon, &wait_ms) == MHD_YES)
        next = now + MSEC((nsec_t)wait_ms);
    if (!list_is_empty(&s->busy))
        next = MIN(next, LIST_ENTRY(s->busy.next, struct http_conn, node)->deadline);
    timer_start(&s->timer, next);
}

static void on_readable(struct fd_watch *w) {
    run(CONTAINER_OF(w, struct http_server, watch));
}

/* The library's own time limit starts anew with each byte, so a client could drip for ever. */
static void end_overdue(struct http_server *s) {
    while (!list_is_empty(&s->busy)) {
        struct http_conn *c = LIST_ENTRY(s->busy.next, struct http_conn, node);
        if (c->deadline > reactor_now(s->cfg.reactor))
            return;
        foreign_shutdown(c->fd);
        c->is_overdue = true;
        list_remove(&c->node);
        list_push(&s->overdue, &c->node);
    }
}

static void on_timer(struct timer *t) {
    struct http_server *s = CONTAINER_OF(t, struct http_server, timer);
    end_overdue(s);
    run(s);
}

/* --- Connections --- */

static void await_request(struct http_server *s, struct http_conn *c) {
    c->deadline = reactor_now(s->cfg.reactor) + s->cfg.timeout;
    list_remove(&c->node);
    list_push(&s->busy, &c->node);
}

static void on_connection(void *user, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what) {
    struct http_server *s = user;
    struct sock_addr remote;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        struct list *node = list_shift(&s->free);
        assert(node != NULL); /* MHD_OPTION_CONNECTION_LIMIT */
        struct http_conn *c = LIST_ENTRY(node, struct http_conn, node);
        c->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        c->is_overdue = false;
        c->remote = (struct net_addr){.family = NET_NONE};
        if (foreign_remote_addr(c->fd, &remote) == 0)
            c->remote = remote.ip;
        await_request(s, c);
        *context = c;
        return;
    }
    struct http_conn *c = *context;
    s->has_room_again = true;
    strbuf_free(&c->body);
    list_remove(&c->node);
    list_push(&s->free, &c->node);
}

static struct http_conn *conn_of(struct MHD_Connection *connection) {
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void on_completed(void *user, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode how) {
    struct http_conn *c = conn_of(connection);
    (void)context;
    (void)how;

    strbuf_reset(&c->body);
    if (!c->is_overdue)
        await_request(user, c);
}

/* --- Answers --- */

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned status,
                               const char *content_type, struct bytes body, const char *allow) {
    /* The library takes a plain pointer, and copies. */
    void *data = (void *)(uintptr_t)body.data;
    struct MHD_Response *r = MHD_create_response_from_buffer(body.len, data, MHD_RESPMEM_MUST_COPY);
    if (r == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_add_response_header(r, "Content-Type", content_type);
    if (result == MHD_YES && allow != NULL)
        result = MHD_add_response_header(r, "Allow", allow);
    if (result == MHD_YES)
        result = MHD_queue_response(connection, status, r);
    MHD_destroy_response(r);
    return result;
}

void http_fail(struct http_reply *reply, unsigned status, const char *text) {
    assert(strpbrk(text, "\"\\\n") == NULL);
    reply->status = status;
    reply->content_type = HTTP_JSON;
    strbuf_reset(&reply->body);
    strbuf_addf(&reply->body, "{\"error\":\"%s\"}\n", text);
}

/* In the server's form. */
static enum MHD_Result refuse(const struct http_server *s, struct MHD_Connection *connection,
                              unsigned status, const char *text) {
    struct http_reply reply = {
        .status = status, .content_type = HTTP_TEXT, .body = STRBUF_INIT(256)};
    if (s->cfg.errors_as_json)
        http_fail(&reply, status, text);
    else
        strbuf_addf(&reply.body, "%s\n", text);
    enum MHD_Result result =
        strbuf_error(&reply.body) < 0
            ? MHD_NO
            : respond(connection, status, reply.content_type, strbuf_bytes(&reply.body), NULL);
    strbuf_free(&reply.body);
    return result;
}

/* The rest of the path behind the route's; NULL: it is another one. */
static const char *match(const struct http_route *route, const char *path) {
    size_t len = strlen(route->path);
    if (strncmp(route->path, path, len) != 0)
        return NULL;
    const char *rest = path + len;
    bool takes_segment = route->path[len - 1] == '/';
    bool is_segment = *rest != '\0' && strchr(rest, '/') == NULL;
    return takes_segment == is_segment && (takes_segment || *rest == '\0') ? rest : NULL;
}

/* Nothing at the path: 404.  Nothing for the method: 405, with those that there are. */
static enum MHD_Result refuse_route(const struct http_server *s, struct MHD_Connection *connection,
                                    const char *path) {
    SCOPED(strbuf_free) struct strbuf allow = STRBUF_INIT(1024);
    for (size_t i = 0; i < s->cfg.routes_count; i++) {
        const struct http_route *route = &s->cfg.routes[i];
        if (match(route, path) == NULL)
            continue;
        strbuf_addf(&allow, "%s%s%s", allow.len == 0 ? "" : ", ", route->method,
                    strcmp(route->method, "GET") == 0 ? ", HEAD" : "");
    }
    if (allow.len == 0)
        return respond(connection, MHD_HTTP_NOT_FOUND, HTTP_TEXT,
                       bytes_of_str("404 page not found\n"), NULL);
    return respond(connection, MHD_HTTP_METHOD_NOT_ALLOWED, HTTP_TEXT,
                   bytes_of_str("Method Not Allowed\n"), strbuf_text(&allow));
}

static enum MHD_Result call(struct http_server *s, const struct http_route *route,
                            struct MHD_Connection *connection, const struct http_request *request) {
    struct http_reply reply = {.status = MHD_HTTP_OK,
                               .content_type = HTTP_TEXT,
                               .body = STRBUF_INIT(HTTP_REPLY_BYTES_MAX)};
    route->handle(s->cfg.user, request, &reply);
    enum MHD_Result result =
        strbuf_error(&reply.body) < 0
            ? refuse(s, connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "Internal Server Error")
            : respond(connection, reply.status, reply.content_type, strbuf_bytes(&reply.body),
                      NULL);
    strbuf_free(&reply.body);
    return result;
}

static enum MHD_Result answer(struct http_server *s, struct MHD_Connection *connection,
                              const char *method, const char *path) {
    const struct http_conn *c = conn_of(connection);
    struct http_request request = {
        .method = strcmp(method, "HEAD") == 0 ? "GET" : method,
        .path = path,
        .body = strbuf_bytes(&c->body),
        .remote = c->remote,
    };
    for (size_t i = 0; i < s->cfg.routes_count; i++) {
        const struct http_route *route = &s->cfg.routes[i];
        request.segment = match(route, path);
        if (request.segment != NULL && strcmp(route->method, request.method) == 0)
            return call(s, route, connection, &request);
    }
    return refuse_route(s, connection, path);
}

static bool is_admitted(const struct http_server *s, struct MHD_Connection *connection) {
    return s->cfg.admits == NULL ||
           s->cfg.admits(s->cfg.admits_user,
                         MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                                     MHD_HTTP_HEADER_AUTHORIZATION));
}

static bool is_announced_too_long(const struct http_server *s, struct MHD_Connection *connection) {
    const char *text = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    return text != NULL && strtoull(text, NULL, 10) > s->cfg.body_bytes_max;
}

/* The library calls this when the head is there, for each piece of the body, and at the end. */
static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *piece,
                                  size_t *piece_len, void **context) {
    struct http_server *s = user;
    struct http_conn *c = conn_of(connection);
    (void)version;

    if (*context == NULL) {
        *context = c;
        if (!is_admitted(s, connection))
            return refuse(s, connection, MHD_HTTP_UNAUTHORIZED, "unauthorized");
        if (is_announced_too_long(s, connection))
            return refuse(s, connection, MHD_HTTP_CONTENT_TOO_LARGE, "Content Too Large");
        return MHD_YES;
    }
    if (*piece_len == 0)
        return answer(s, connection, method, path);
    strbuf_add_bytes(&c->body, bytes_of((const uint8_t *)piece, *piece_len));
    *piece_len = 0;
    return strbuf_error(&c->body) < 0 ? MHD_NO : MHD_YES; /* in chunks, and too long */
}

/* --- Life --- */

static void on_closed(struct fd_watch *w) {
    struct http_server *s = CONTAINER_OF(w, struct http_server, watch);
    (void)mem_free(reactor_mem(s->cfg.reactor), s);
}

static const struct fd_watch_events watch_events = {.readable = on_readable, .closed = on_closed};

/* The listening socket becomes the library's, also when this fails. */
static int start(struct http_server *s, int listening) {
    s->daemon =
        MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, s,                     /* */
                         MHD_OPTION_LISTEN_SOCKET, listening,                             /* */
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned)s->cfg.connections_max,   /* */
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_HEAD_BYTES_MAX, /* */
                         MHD_OPTION_STRICT_FOR_CLIENT, 1,                                 /* */
                         MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,                  /* */
                         MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_END);
    if (s->daemon == NULL)
        return -ENOMEM;
    /* The library closes its own descriptor, and the reactor what it watches. */
    int epoll = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    int watched = fcntl(epoll, F_DUPFD_CLOEXEC, 0);
    if (watched < 0) {
        int e = -errno;
        MHD_stop_daemon(s->daemon);
        return e;
    }
    fd_watch_open(&s->watch, s->cfg.reactor, watched, &watch_events);
    return 0;
}

static int open_socket(struct http_server *s) {
    int e = timer_init(&s->timer, s->cfg.reactor, on_timer);
    if (e < 0)
        return e;
    int listening = foreign_listen(&s->cfg.listen);
    if (listening < 0) {
        timer_done(&s->timer);
        return listening;
    }
    e = foreign_local_addr(listening, &s->addr);
    assert(e == 0); /* a socket that is bound */
    e = start(s, listening);
    if (e < 0)
        timer_done(&s->timer);
    return e;
}

static int fail(const struct http_config *cfg, int error, struct problem *problem) {
    char text[NET_ADDR_TEXT_MAX];
    bool is_unix = cfg->listen.ip.family == NET_NONE;
    return problem_set(problem, error, "listen on %s: %s",
                       is_unix ? cfg->listen.unix_path : net_addr_format(&cfg->listen.ip, text),
                       err_text(error));
}

int http_server_open(const struct http_config *cfg, struct http_server **ret_server,
                     struct problem *ret_problem) {
    struct mem *mem = reactor_mem(cfg->reactor);
    struct http_server *s = mem_alloc(mem, sizeof(*s) + cfg->connections_max * sizeof(s->conns[0]));
    if (s == NULL)
        return fail(cfg, -ENOMEM, ret_problem);
    s->cfg = *cfg;
    list_init(&s->free);
    list_init(&s->busy);
    list_init(&s->overdue);
    for (uint32_t i = 0; i < cfg->connections_max; i++) {
        s->conns[i].body = STRBUF_INIT(cfg->body_bytes_max);
        list_init(&s->conns[i].node);
        list_push(&s->free, &s->conns[i].node);
    }
    int e = open_socket(s);
    if (e < 0) {
        (void)mem_free(mem, s);
        return fail(cfg, e, ret_problem);
    }
    *ret_server = s;
    return 0;
}

const struct sock_addr *http_server_addr(const struct http_server *s) {
    return &s->addr;
}

struct http_server *http_server_close(struct http_server *s) {
    if (s == NULL)
        return NULL;
    timer_done(&s->timer);
    MHD_stop_daemon(s->daemon);
    fd_watch_close(&s->watch);
    return NULL;
}
