/* SPDX-License-Identifier: MIT */
#include "ctl/api_socket.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/codec.h"
#include "core/base/err.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/conf/config_file.h"
#include "uring/foreign_socket.h"
#include "uring/reactor.h"

#define SCHEME "Bearer "

enum { SCHEME_LEN = sizeof(SCHEME) - 1, HEADER_LEN = SCHEME_LEN + API_COOKIE_LEN };

struct api_socket {
    struct api_socket_config cfg;
    struct http_server *http;
    struct sock_addr at;
    char *cookie_path;
    char header[HEADER_LEN + 1]; /* what a request must say */
};

/* --- The cookie --- */

static void make_cookie(struct api_socket *a) {
    uint8_t random[API_COOKIE_BYTES];
    reactor_random(a->cfg.reactor, random, sizeof(random));
    memcpy(a->header, SCHEME, SCHEME_LEN);
    (void)codec_encode(CODEC_HEX, BYTES_OF(random), a->header + SCHEME_LEN);
    mem_wipe(random, sizeof(random));
}

static int write_cookie(const struct api_socket *a, struct problem *problem) {
    struct bytes cookie = bytes_of(a->header + SCHEME_LEN, API_COOKIE_LEN);
    return file_write(a->cookie_path, cookie, 0600, FILE_REPLACE, problem);
}

/* That its length is wrong is no secret. */
static bool admits(void *user, const char *authorization) {
    const struct api_socket *a = user;
    return authorization != NULL && strlen(authorization) == HEADER_LEN &&
           mem_equal_secret(authorization, a->header, HEADER_LEN);
}

/* --- The socket --- */

/* Makes way, if what is there is a socket that nobody listens on. */
static int clear_path(const struct api_socket *a, struct problem *problem) {
    const char *path = a->at.unix_path;
    struct stat st;
    if (lstat(path, &st) < 0)
        return 0; /* what else is wrong with it, bind() will find out */
    if (!S_ISSOCK(st.st_mode))
        return problem_set(problem, -EEXIST, "%s is in the way: it is no socket", path);
    int e = foreign_is_listening(&a->at);
    if (e == 1)
        return problem_set(problem, -EADDRINUSE, "%s already in use: %s", a->cfg.name, path);
    if (e < 0)
        return problem_set(problem, e, "cannot tell whether %s is in use: %s", path, err_text(e));
    log_info(a->cfg.log, L_NODE, "removing a stale socket", kv_str("socket", path));
    if (unlink(path) < 0 && errno != ENOENT)
        return problem_set(problem, -errno, "remove %s: %s", path, err_text(errno));
    return 0;
}

static int listen_there(struct api_socket *a, struct problem *problem) {
    const struct http_config cfg = {
        .reactor = a->cfg.reactor,
        .listen = a->at,
        .routes = a->cfg.routes,
        .routes_count = a->cfg.routes_count,
        .user = a->cfg.user,
        .admits = admits,
        .admits_user = a,
        .connections_max = a->cfg.connections_max,
        .body_bytes_max = a->cfg.body_bytes_max,
        .timeout = a->cfg.timeout,
        .errors_as_json = true,
    };
    return http_server_open(&cfg, &a->http, problem);
}

/* In this order: as long as the socket is there and listens, it is nobody else's. */
static void close_both(struct api_socket *a) {
    (void)unlink(a->cookie_path);
    (void)unlink(a->at.unix_path);
    a->http = http_server_close(a->http);
}

/* Under a lock, since what another process has bound and does not listen on yet looks like left
 * behind, and so does what it has bound since we looked. */
static int open_both(struct api_socket *a, struct problem *problem) {
    SCOPED(file_unlock) int lock = -EBADF;
    int e = file_lock(a->at.unix_path, &lock, problem);
    if (e == 0)
        e = clear_path(a, problem);
    if (e == 0)
        e = listen_there(a, problem);
    if (e < 0)
        return e;
    e = write_cookie(a, problem);
    if (e < 0)
        close_both(a);
    return e;
}

/* --- Life --- */

static struct api_socket *free_socket(struct api_socket *a) {
    struct mem *mem = reactor_mem(a->cfg.reactor);
    mem_wipe(a->header, sizeof(a->header));
    (void)mem_free(mem, a->cookie_path);
    return mem_free(mem, a);
}

int api_socket_open(const struct api_socket_config *cfg, struct api_socket **ret_api,
                    struct problem *ret_problem) {
    struct mem *mem = reactor_mem(cfg->reactor);
    if (strlen(cfg->socket_path) >= UNIX_PATH_MAX)
        return problem_set(ret_problem, -ENAMETOOLONG,
                           "%s is too long for a socket: %zu bytes, at most %d are possible",
                           cfg->socket_path, strlen(cfg->socket_path), UNIX_PATH_MAX - 1);
    struct api_socket *a = mem_alloc(mem, sizeof(*a));
    if (a == NULL)
        return problem_set(ret_problem, -ENOMEM, "%s", err_text(ENOMEM));
    a->cfg = *cfg;
    (void)snprintf(a->at.unix_path, sizeof(a->at.unix_path), "%s", cfg->socket_path);
    a->cookie_path = mem_strdup(mem, cfg->cookie_path);
    make_cookie(a);
    int e = a->cookie_path == NULL ? problem_set(ret_problem, -ENOMEM, "%s", err_text(ENOMEM))
                                   : open_both(a, ret_problem);
    if (e < 0) {
        (void)free_socket(a);
        return e;
    }
    *ret_api = a;
    return 0;
}

struct api_socket *api_socket_close(struct api_socket *a) {
    if (a == NULL)
        return NULL;
    close_both(a);
    return free_socket(a);
}
