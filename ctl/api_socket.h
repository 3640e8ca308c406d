/* SPDX-License-Identifier: MIT */
#pragma once

/* A control API: HTTP on a Unix socket for whoever can read the cookie file beside it.  Each
 * request must say "Authorization: Bearer <cookie>"; what does not is answered 401 and reaches no
 * route.
 *
 * Both files have mode 0600 from the moment they are there.  The cookie is new each time: 32 random
 * bytes, as 64 hexadecimal digits without a line feed; it is written when the socket listens, so
 * that whoever finds the one finds the other.  A socket that is there already is replaced when the
 * kernel says that nobody listens on it: it was left by a process that was killed.  Nothing else
 * is.  Of several that start at once, one gets the place.
 *
 * Bounds:  as ctl/http.h.
 * Spec:    daemon-api.md, sections 1 and 8.
 * Thread:  the reactor's. */

#include "ctl/http.h"

struct api_socket;
struct log;
struct mem;

enum { API_COOKIE_BYTES = 32, API_COOKIE_LEN = 2 * API_COOKIE_BYTES };

struct api_socket_config {
    struct reactor *reactor;
    struct log *log;         /* may be NULL */
    const char *name;        /* "relay admin socket", for people */
    const char *socket_path; /* copied, both; shorter than UNIX_PATH_MAX */
    const char *cookie_path;
    const struct http_route *routes; /* must outlive it */
    size_t routes_count;
    void *user; /* of the routes */
    uint32_t connections_max;
    uint32_t body_bytes_max;
    nsec_t timeout;
};

/*   -EADDRINUSE    somebody listens there: "relay admin socket already in use: <path>"
 *   -EEXIST        what is there is no socket
 *   -ENAMETOOLONG  the path does not fit into a socket's address
 *   -errno         of removing, listening and writing the cookie; nothing is left then
 *   -ENOMEM                                                                                     */
NODISCARD int api_socket_open(const struct api_socket_config *cfg, struct api_socket **ret_api,
                              struct problem *ret_problem);

/* Ends all connections and removes both files.  Not from inside a route.  Accepts NULL, returns
 * NULL. */
struct api_socket *api_socket_close(struct api_socket *a);
