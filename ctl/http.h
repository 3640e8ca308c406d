/* SPDX-License-Identifier: MIT */
#pragma once

/* An HTTP/1.1 server on the reactor, for what a machine's owner asks of a daemon or relay: health,
 * metrics, control.  libmicrohttpd without threads of its own: its epoll descriptor is polled, and
 * requests are answered from a table of routes, each within the turn that its last byte came in.
 *
 *   open -> handle() for each request -> close, and it frees itself
 *
 * Bounds:  connections_max connections, further ones wait in the backlog; HTTP_HEAD_BYTES_MAX of
 *          memory for each, its head in it (longer ones: 414 or 431); body_bytes_max (longer ones:
 *          413, or the connection ends); timeout for each request, from the connection or the
 *          previous answer to the last byte of the answer, however the client drips, and for
 *          silence between requests.
 * HEAD is answered wherever GET is, without a body; another method at a known path: 405; an unknown
 * path: 404.
 * Spec:    daemon-api.md, sections 2 (404, 405, HEAD), 6, 7.
 * Thread:  the reactor's. */

#include "core/base/bytes.h"
#include "core/base/strbuf.h"
#include "core/base/time.h"
#include "uring/sock_addr.h"

struct http_server;
struct problem;
struct reactor;

enum {
    HTTP_HEAD_BYTES_MAX = 16 << 10,
    HTTP_REPLY_BYTES_MAX = 4 << 20,
};

#define HTTP_TEXT "text/plain; charset=utf-8"
#define HTTP_JSON "application/json"

/* Valid during handle(). */
struct http_request {
    const char *method;  /* "GET" for HEAD, too */
    const char *path;    /* decoded, without the query */
    const char *segment; /* what stands in it behind a route that ends in "/"; else "" */
    struct bytes body;
    struct net_addr remote; /* family NET_NONE over a Unix socket */
};

/* As handle() finds it: 200, HTTP_TEXT, empty.  A body beyond HTTP_REPLY_BYTES_MAX: 500. */
struct http_reply {
    unsigned status;
    const char *content_type; /* borrowed until handle() has returned */
    struct strbuf body;
};

typedef void http_fn(void *user, const struct http_request *request, struct http_reply *reply);

struct http_route {
    const char *method;
    const char *path; /* exactly, or one ending in "/" with one segment more behind it */
    http_fn *handle;  /* does not close the server */
};

struct http_config {
    struct reactor *reactor;
    struct sock_addr listen;         /* port 0: any */
    const struct http_route *routes; /* must outlive the server */
    size_t routes_count;
    void *user;
    /* Whether a client may ask for anything at all, by its Authorization header (NULL: none). Asked
     * before its body is read; what may not is answered 401.  NULL: everybody may. */
    bool (*admits)(void *user, const char *authorization);
    void *admits_user;
    uint32_t connections_max;
    uint32_t body_bytes_max; /* 0: requests have none */
    nsec_t timeout;
    bool errors_as_json; /* 401, 413 and 500 as http_fail() makes them */
};

/*   -EADDRINUSE, -EACCES, ...  "listen on 127.0.0.1:9090: ..."
 *   -ENOMEM                                                                                     */
NODISCARD int http_server_open(const struct http_config *cfg, struct http_server **ret_server,
                               struct problem *ret_problem);

/* Makes it {"error":"<text>"} with this status.  The text is one of ours and needs no escapes
 * (asserted). */
void http_fail(struct http_reply *reply, unsigned status, const char *text);

/* Where it listens. */
const struct sock_addr *http_server_addr(const struct http_server *s);

/* Ends all connections at once; the memory goes when the reactor has closed its descriptor.  Not
 * from inside handle().  Accepts NULL, returns NULL. */
struct http_server *http_server_close(struct http_server *s);
