/* SPDX-License-Identifier: MIT */
#pragma once

/* Structured log: an event is a constant message plus typed fields.
 *
 *   log_warn(log, L_DIAL, "dial failed", kv_peer("peer", id_text), kv_err(error));
 *
 * One line a record, as the Go program writes them:
 *   time=2026-11-23T05:39:20.038Z level=INFO msg="service registered" service=ssh topic=stream
 * or as JSON, {"time":...,"level":...,"msg":...,"service":...,"topic":...}.
 *
 * error = the program can't do its work; warn = odd, and what happens instead; info = an owner
 * would want it in a month; debug = per connection; trace = per frame, compiled out of releases.
 * Never keys, cookies, codes or payload.  Values are cut at LOG_VALUE_MAX and escaped: control
 * characters from peers never reach a terminal.  What a peer can cause is rate-limited by
 * log_allow().
 *
 * A `struct log` is handed to whoever logs; there is no global one.  Thread: one writer a struct;
 * a line leaves in one write(2).
 */

#include "core/base/base.h"
#include "core/base/time.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

enum log_topic {
    L_CORE,
    L_REACTOR,
    L_QUIC,
    L_SWARM,
    L_DIAL,
    L_GATE,
    L_STREAM,
    L_PROXY,
    L_RELAY,
    L_NODE,
};

enum { LOG_LINE_MAX = 2048, LOG_VALUE_MAX = 256 };

enum kv_type { KV_END, KV_STR, KV_INT, KV_UINT, KV_ERR, KV_BOOL, KV_NSEC };

struct kv {
    const char *key;
    enum kv_type type;
    union {
        const char *str;
        int64_t i64;
        uint64_t u64;
    } v;
};

#define kv_str(k, s)  ((struct kv){.key = (k), .type = KV_STR, .v.str = (s)})
#define kv_int(k, n)  ((struct kv){.key = (k), .type = KV_INT, .v.i64 = (n)})
#define kv_uint(k, n) ((struct kv){.key = (k), .type = KV_UINT, .v.u64 = (n)})
#define kv_bool(k, b) ((struct kv){.key = (k), .type = KV_BOOL, .v.u64 = (b)})
#define kv_nsec(k, t) ((struct kv){.key = (k), .type = KV_NSEC, .v.u64 = (t)})
#define kv_end()      ((struct kv){.type = KV_END})
/* Field "error" with the sentence of core/base/err.h. */
#define kv_err(e)     ((struct kv){.key = "error", .type = KV_ERR, .v.i64 = (e)})

struct log {
    /* Receives whole lines, LF included. */
    void (*sink)(struct log *l, enum log_level level, const char *line, size_t len);
    /* Milliseconds since 1970 UTC, for the time field; NULL leaves the field out. */
    int64_t (*wall_ms)(struct log *l);
    void *context;
    enum log_level level_max;
    bool json;
    const char *group; /* of JSON: the fields stand in an object of this name, without topic */
};

/* Formats a line and gives it to the sink, whatever the level.  Fields end with KV_END; those that
 * do not fit into LOG_LINE_MAX are left out whole.  A NULL string is logged as "". */
void log_write(struct log *l, enum log_level level, enum log_topic topic, const char *message,
               const struct kv *fields);

/* The fields arrive with their end, for a macro's rest may not be empty in C17. */
#define LOG_AT(l, level, topic, message, ...)                                                  \
    do {                                                                                       \
        struct log *log_at_ = (l);                                                             \
        if (log_at_ != NULL && (level) <= log_at_->level_max)                                  \
            log_write(log_at_, (level), (topic), (message), (const struct kv[]){__VA_ARGS__}); \
    } while (0)
#define log_error(l, topic, ...) LOG_AT(l, LOG_ERROR, topic, __VA_ARGS__, kv_end())
#define log_warn(l, topic, ...)  LOG_AT(l, LOG_WARN, topic, __VA_ARGS__, kv_end())
#define log_info(l, topic, ...)  LOG_AT(l, LOG_INFO, topic, __VA_ARGS__, kv_end())
#define log_debug(l, topic, ...) LOG_AT(l, LOG_DEBUG, topic, __VA_ARGS__, kv_end())
#ifdef NDEBUG_TRACE
#define log_trace(l, topic, ...) ((void)0)
#else
#define log_trace(l, topic, ...) LOG_AT(l, LOG_TRACE, topic, __VA_ARGS__, kv_end())
#endif

/* A token bucket of `burst` lines, refilled by one each `every`. */
struct log_limit {
    nsec_t every;
    nsec_t last;
    uint32_t burst;
    uint32_t left;
    uint64_t dropped;        /* since the last line that was allowed */
    uint64_t dropped_before; /* before that line, which may say so */
};

#define LOG_LIMIT_INIT(burst_, every_) \
    ((struct log_limit){.every = (every_), .burst = (burst_), .left = (burst_)})

/* Whether a line may be written now; counts it as dropped when not. */
bool log_allow(struct log_limit *limit, nsec_t now);
