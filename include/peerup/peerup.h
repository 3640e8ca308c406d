/* SPDX-License-Identifier: MIT */
#pragma once

/* libpeerup: services of this machine for authorized peers, and theirs for this machine, over
 * encrypted and mutually authenticated connections that speak libp2p.
 *
 *   struct peerup_options o = PEERUP_OPTIONS_INIT;
 *   o.key_file = "identity.key";
 *   struct peerup *p;
 *   int e = peerup_open(&o, &p, problem, sizeof(problem));
 *   e = peerup_expose(p, "web", "127.0.0.1:80", NULL, 0);
 *   e = peerup_connect(p, "/ip4/192.0.2.7/udp/7777/quic-v1/p2p/12D3KooW...", "ssh", 0, &stream);
 *   peerup_close(p);
 *
 * Threads: by default the library has a thread of its own, and every function may be called by any
 *          thread and returns when it is done.  With PEERUP_CALLERS_LOOP nothing runs but while the
 *          caller is inside the library: all calls come from the one thread that opened it, the
 *          descriptor of peerup_poll_fd() goes into the caller's loop, and peerup_run() is called
 *          when it is readable or peerup_poll_timeout_ms() has passed.  Functions that wait turn
 *          the loop meanwhile.
 * Errors:  0 or more is success; negative is an errno value, or one of PEERUP_E_..., negated.
 *          peerup_error_text() gives the sentence.  `problem`, where a function has it, may be NULL
 *          with size 0, and is written on failure only.
 * Callbacks run on the library's thread, or inside the call; they must not call the library.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef PEERUP_API
#define PEERUP_API __attribute__((visibility("default")))
#endif

enum peerup_error {
    PEERUP_E_BAD_PEER_ID = 4101,
    PEERUP_E_BAD_ADDRESS = 4102,
    PEERUP_E_BAD_KEY = 4103,
    PEERUP_E_WRONG_PEER = 4106,    /* another peer than the expected one answered */
    PEERUP_E_NOT_OFFERED = 4110,   /* the peer has no such service, or not for us */
    PEERUP_E_LIMIT_OF_PEER = 4112, /* no further stream to this peer now */
    PEERUP_E_NO_ADDRESS = 4113,    /* no address is known for the peer */
    PEERUP_E_NAME_NOT_FOUND = 4114,
    PEERUP_E_SERVICE_EXISTS = 4115,
    PEERUP_E_SERVICE_NOT_FOUND = 4116,
    PEERUP_E_FILE_MODE = 4119,    /* a file with secrets is open to others */
    PEERUP_E_STREAM_RESET = 4122, /* the far end broke the stream off */
    PEERUP_E_CONNECTION_CLOSED = 4123,
    PEERUP_E_REFUSED_BY_PEER = 4124, /* we are not authorized there */
    PEERUP_E_SHUTDOWN = 4125,
    PEERUP_E_IN_USE = 4126 /* another process runs a node with this identity */
};

/* Never NULL; takes either sign. */
PEERUP_API const char *peerup_error_text(int error);

/* "0.1.0" */
PEERUP_API const char *peerup_version(void);

struct peerup;
struct peerup_stream;

enum peerup_flags {
    PEERUP_CALLERS_LOOP = 1, /* no thread: see "Threads" above */
    PEERUP_EXCLUSIVE = 2     /* refuse to open an identity that a daemon runs with; hold it */
};

struct peerup_options {
    size_t size;                         /* set by PEERUP_OPTIONS_INIT */
    const char *key_file;                /* made, with mode 0600, when there is none */
    const char *const *listen_addresses; /* "/ip4/0.0.0.0/udp/7777/quic-v1"; NULL: dial only */
    size_t listen_addresses_count;
    /* Who may use our services: the peers of this file, or those that allow() admits.  With
     * neither, nobody: set allow_everybody to open them to all. */
    const char *authorized_keys_file;
    bool (*allow)(void *user, const char *peer_id);
    bool allow_everybody;
    const char *user_agent;    /* NULL: "peerup/<version>" */
    const char *ping_protocol; /* NULL: "/pingpong/1.0.0"; "": not served */
    /* Lines of the log, LF included; NULL: none. */
    void (*log)(void *user, const char *line);
    void *user; /* handed to allow() and log() */
    unsigned flags;
};

#define PEERUP_OPTIONS_INIT \
    { sizeof(struct peerup_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* Opens a node.  All options are copied. */
PEERUP_API int peerup_open(const struct peerup_options *options, struct peerup **ret_peerup,
                           char *problem, size_t problem_size);

/* Ends services, streams and connections, and frees.  Streams that are still open read an error;
 * they must be closed nevertheless, before or after.  No other call may be under way.  Accepts
 * NULL. */
PEERUP_API void peerup_close(struct peerup *p);

/* Our peer ID, as text; lives as long as the node. */
PEERUP_API const char *peerup_host_id(const struct peerup *p);

/* Writes the index-th address that we listen on, with /p2p/<our ID>.  -ENOENT beyond the last,
 * -ENOBUFS when it does not fit. */
PEERUP_API int peerup_listen_address(struct peerup *p, size_t index, char *out, size_t size);

/* Reads authorized_keys again; connections of peers that are no longer in it end. */
PEERUP_API int peerup_reload_authorized_keys(struct peerup *p, char *problem, size_t problem_size);

/* --- Services of ours --- */

/* Leads streams for /peerup/<name>/1.0.0 to a local TCP address "host:port".  With `allowed`, only
 * these of the authorized peers may use it.
 *   -PEERUP_E_SERVICE_EXISTS, -PEERUP_E_BAD_PEER_ID, -EINVAL (name or address) */
PEERUP_API int peerup_expose(struct peerup *p, const char *name, const char *address,
                             const char *const *allowed, size_t allowed_count);

/* New streams are refused; those that run go on.  -PEERUP_E_SERVICE_NOT_FOUND */
PEERUP_API int peerup_unexpose(struct peerup *p, const char *name);

struct peerup_service {
    const char *name;
    const char *host;
    uint16_t port;
    bool is_restricted; /* has a list of allowed peers */
    uint32_t active;
    uint64_t connections;
    uint64_t received_bytes; /* from peers */
    uint64_t sent_bytes;
};

/* Calls each() for every service, in the order in which they were exposed. */
PEERUP_API int peerup_list_services(struct peerup *p,
                                    void (*each)(void *user, const struct peerup_service *s),
                                    void *user);

/* --- Names --- */

/* Names a peer: its ID, or an address that ends in /p2p/<ID>.  A name that exists gets the new
 * value.  Several addresses of one peer may be given one after the other under several names. */
PEERUP_API int peerup_set_name(struct peerup *p, const char *name, const char *target);

/* All names of a config file.  Nothing is taken on failure. */
PEERUP_API int peerup_load_names(struct peerup *p, const char *config_file, char *problem,
                                 size_t problem_size);

enum { PEERUP_ID_SIZE = 64 };

/* The peer ID of a name, an address or a peer ID, as text.  -PEERUP_E_NAME_NOT_FOUND */
PEERUP_API int peerup_resolve(struct peerup *p, const char *target, char ret_id[PEERUP_ID_SIZE]);

/* --- Services of peers --- */

enum { PEERUP_CONNECT_TIMEOUT_MS = 30000 };

/* Opens a stream to a peer's service.  `target` is a name, a peer ID or an address.  A timeout of 0
 * means PEERUP_CONNECT_TIMEOUT_MS.  A peer that lacks the service may be noticed only when the
 * stream is read. */
PEERUP_API int peerup_connect(struct peerup *p, const char *target, const char *service,
                              int timeout_ms, struct peerup_stream **ret_stream);

/* A connected socket that carries the stream's bytes, for poll(2) and for reading and writing;
 * shutdown(2) half-closes.  What it cannot tell is whether an end was a break: the functions below
 * do.  It belongs to the stream.  Blocking, but not with PEERUP_CALLERS_LOOP. */
PEERUP_API int peerup_stream_fd(const struct peerup_stream *s);

/* As read(2) and write(2), without SIGPIPE.  Reading gives 0 at the peer's end, and
 * -PEERUP_E_STREAM_RESET, -PEERUP_E_NOT_OFFERED, -PEERUP_E_CONNECTION_CLOSED, -ETIMEDOUT and others
 * when the stream broke.  One thread may read while another one writes. */
PEERUP_API ssize_t peerup_stream_read(struct peerup_stream *s, void *out, size_t size);
PEERUP_API ssize_t peerup_stream_write(struct peerup_stream *s, const void *data, size_t size);

/* The peer reads an end; reading goes on. */
PEERUP_API int peerup_stream_shutdown_write(struct peerup_stream *s);

/* What was written is still delivered.  Accepts NULL. */
PEERUP_API void peerup_stream_close(struct peerup_stream *s);

/* --- Ping --- */

struct peerup_ping {
    uint64_t seq; /* from 1 */
    double rtt_ms;
    bool is_relayed;
    int error; /* 0, or why no answer came */
};

struct peerup_ping_stats {
    uint64_t sent;
    uint64_t received;
    double loss_percent;
    double min_ms;
    double avg_ms;
    double max_ms;
};

/* Connects and asks `count` times (at least once), `interval_ms` apart.  each() may be NULL and
 * ends the series by returning false.  Lost answers are no error of the call. */
PEERUP_API int peerup_ping(struct peerup *p, const char *target, uint64_t count, int interval_ms,
                           bool (*each)(void *user, const struct peerup_ping *ping), void *user,
                           struct peerup_ping_stats *ret_stats);

/* --- With PEERUP_CALLERS_LOOP --- */

/* -EINVAL without that flag. */
PEERUP_API int peerup_poll_fd(const struct peerup *p);
/* Milliseconds until peerup_run() has something to do in any case; -1: not before the descriptor is
 * readable. */
PEERUP_API int peerup_poll_timeout_ms(const struct peerup *p);
/* Does what there is to do, without waiting. */
PEERUP_API int peerup_run(struct peerup *p);

#ifdef __cplusplus
}
#endif
