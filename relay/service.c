/* SPDX-License-Identifier: MIT */
#include "relay/service.h"

#include <stdio.h>

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/conf/config.h"
#include "core/p2p/protocol_id.h"
#include "relay/service_session.h"
#include "transport/host.h"
#include "uring/reactor.h"

const struct metric_buckets SERVICE_DURATIONS = {{SEC(1), SEC(2), SEC(4), SEC(8), SEC(16), SEC(32),
                                                  SEC(64), SEC(128), SEC(256), SEC(512), SEC(1024),
                                                  SEC(2048)},
                                                 12};

struct services {
    struct services_config cfg;
    struct mem *mem;
    struct list services; /* also removed ones, while streams of theirs run */
    struct deferred close_check;
    void (*closed)(void *user);
    void *closed_user;
    struct log_limit denied_log;
    bool closing;
};

struct service {
    struct protocol_handler handler;
    struct services *owner;
    struct list node;
    struct service_target target;
    struct list sessions;
    struct peer_id *allowed;
    uint32_t allowed_count;
    bool is_restricted;
    bool is_enabled;
    bool is_removed;
    uint64_t denied;
    char name[SERVICE_NAME_MAX + 1];
    char protocol[sizeof(PROTOCOL_SERVICE_PREFIX) + SERVICE_NAME_MAX +
                  sizeof(PROTOCOL_SERVICE_SUFFIX)];
};

static struct service *service_of_node(struct list *node) {
    return LIST_ENTRY(node, struct service, node);
}

static struct service *service_free(struct service *sv) {
    struct mem *mem = sv->owner->mem;

    assert(list_is_empty(&sv->sessions));
    list_remove(&sv->node);
    (void)mem_free(mem, sv->allowed);
    return mem_free(mem, sv);
}

/* --- Streams --- */

static bool is_allowed(const struct service *sv, const struct peer_id *peer) {
    if (!sv->is_restricted)
        return true;
    for (uint32_t i = 0; i < sv->allowed_count; i++)
        if (peer_id_equal(&sv->allowed[i], peer))
            return true;
    return false;
}

static void log_denied(struct service *sv, const struct peer_id *peer) {
    struct services *owner = sv->owner;
    char text[PEER_ID_SHORT_MAX];

    if (!log_allow(&owner->denied_log, reactor_now(owner->cfg.reactor)))
        return;
    (void)peer_id_format_short(peer, text);
    log_warn(owner->cfg.log, L_PROXY, "peer not in service ACL", kv_str("service", sv->name),
             kv_str("peer", text));
    log_warn(owner->cfg.audit, L_PROXY, "service_acl_denied", kv_str("peer", text),
             kv_str("service", sv->name));
}

static void on_session_ended(struct service_target *t) {
    struct service *sv = CONTAINER_OF(t, struct service, target);
    struct services *owner = sv->owner;

    if (owner->closing)
        reactor_defer(owner->cfg.reactor, &owner->close_check);
    else if (sv->is_removed && list_is_empty(&sv->sessions))
        (void)service_free(sv);
}

static void on_accept(struct protocol_handler *h, struct stream *s) {
    struct service *sv = CONTAINER_OF(h, struct service, handler);

    if (!is_allowed(sv, stream_peer(s))) {
        sv->denied++;
        log_denied(sv, stream_peer(s));
        stream_reset(s, STREAM_CODE_GATED);
        (void)stream_release(s);
        return;
    }
    if (service_session_start(&sv->target, &sv->sessions, s) < 0) {
        stream_reset(s, STREAM_CODE_RESOURCE_LIMIT);
        (void)stream_release(s);
    }
}

/* --- The table --- */

static struct service *find(const struct services *s, const char *name) {
    list_for_each (node, &s->services) {
        struct service *sv = service_of_node(node);
        if (!sv->is_removed && strcmp(sv->name, name) == 0)
            return sv;
    }
    return NULL;
}

static uint32_t count(const struct services *s) {
    uint32_t n = 0;
    list_for_each (node, &s->services)
        n++;
    return n;
}

static int check(const struct services *s, const struct service_config *cfg,
                 struct problem *problem) {
    int e = config_service_name_check(cfg->name, problem);
    if (e < 0)
        return e;
    if (cfg->host == NULL || cfg->host[0] == '\0' || strlen(cfg->host) > SERVICE_HOST_MAX ||
        cfg->port == 0)
        return problem_set(problem, -EINVAL, "service %s: no usable local address", cfg->name);
    if (find(s, cfg->name) != NULL)
        return problem_set(problem, -ERR_SERVICE_EXISTS, "service %s: %s", cfg->name,
                           err_text(ERR_SERVICE_EXISTS));
    if (count(s) >= SERVICES_MAX)
        return problem_set(problem, -ERR_LIMIT, "more than %d services", SERVICES_MAX);
    return 0;
}

static int fill(struct service *sv, const struct service_config *cfg) {
    struct services *owner = sv->owner;

    if (cfg->allowed_count > 0) {
        sv->allowed = mem_alloc_array(owner->mem, cfg->allowed_count, sizeof(sv->allowed[0]));
        if (sv->allowed == NULL)
            return -ENOMEM;
        memcpy(sv->allowed, cfg->allowed, cfg->allowed_count * sizeof(sv->allowed[0]));
    }
    sv->allowed_count = cfg->allowed_count;
    sv->is_restricted = cfg->is_restricted;
    (void)snprintf(sv->name, sizeof(sv->name), "%s", cfg->name);
    (void)snprintf(sv->protocol, sizeof(sv->protocol), "%s%s%s", PROTOCOL_SERVICE_PREFIX, sv->name,
                   PROTOCOL_SERVICE_SUFFIX);
    sv->handler = (struct protocol_handler){
        .protocol = sv->protocol, .protocol_class = CLASS_AUTHORIZED, .accept = on_accept};
    list_init(&sv->handler.node);
    service_target_init(&sv->target,
                        &(struct service_target){
                            .reactor = owner->cfg.reactor,
                            .resolver = owner->cfg.resolver,
                            .log = owner->cfg.log,
                            .service = sv->name,
                            .port = cfg->port,
                            .ended = on_session_ended,
                            .buckets = &SERVICE_DURATIONS,
                        },
                        cfg->host);
    return 0;
}

static int set_enabled(struct service *sv, bool enabled) {
    if (sv->is_enabled == enabled)
        return 0;
    if (enabled) {
        int e = host_handle(sv->owner->cfg.host, &sv->handler);
        if (e < 0)
            return e;
    } else {
        host_unhandle(sv->owner->cfg.host, &sv->handler);
    }
    sv->is_enabled = enabled;
    return 0;
}

int services_add(struct services *s, const struct service_config *cfg,
                 struct problem *ret_problem) {
    assert(!s->closing);
    int e = check(s, cfg, ret_problem);
    if (e < 0)
        return e;

    struct service *sv = mem_alloc(s->mem, sizeof(*sv));
    if (sv == NULL)
        return problem_set(ret_problem, -ENOMEM, "%s", err_text(ENOMEM));
    sv->owner = s;
    list_init(&sv->sessions);
    list_init(&sv->node);
    e = fill(sv, cfg);
    if (e == 0)
        e = set_enabled(sv, true);
    if (e < 0) {
        (void)service_free(sv);
        return problem_set(ret_problem, e, "service %s: %s", cfg->name, err_text(e));
    }
    list_push(&s->services, &sv->node);
    log_info(s->cfg.log, L_PROXY, "registered service", kv_str("service", sv->name),
             kv_str("protocol", sv->protocol), kv_str("host", sv->target.host),
             kv_uint("port", sv->target.port));
    return 0;
}

int services_remove(struct services *s, const char *name) {
    struct service *sv = find(s, name);
    if (sv == NULL)
        return -ERR_SERVICE_NOT_FOUND;
    (void)set_enabled(sv, false); /* disabling cannot fail */
    sv->is_removed = true;
    if (list_is_empty(&sv->sessions))
        (void)service_free(sv);
    return 0;
}

int services_enable(struct services *s, const char *name, bool enabled) {
    struct service *sv = find(s, name);
    return sv == NULL ? -ERR_SERVICE_NOT_FOUND : set_enabled(sv, enabled);
}

static struct service_info info_of(const struct service *sv) {
    return (struct service_info){
        .name = sv->name,
        .host = sv->target.host,
        .port = sv->target.port,
        .is_restricted = sv->is_restricted,
        .is_enabled = sv->is_enabled,
        .allowed_count = sv->allowed_count,
        .active = sv->target.active,
        .connections = sv->target.connections,
        .denied = sv->denied,
        .failed = sv->target.failed,
        .rx_bytes = sv->target.totals.rx_bytes,
        .tx_bytes = sv->target.totals.tx_bytes,
        .durations = &sv->target.durations,
    };
}

int services_find(const struct services *s, const char *name, struct service_info *ret_info) {
    const struct service *sv = find(s, name);
    if (sv == NULL)
        return -ERR_SERVICE_NOT_FOUND;
    *ret_info = info_of(sv);
    return 0;
}

void services_each(const struct services *s,
                   void (*each)(void *user, const struct service_info *info), void *user) {
    list_for_each (node, &s->services) {
        const struct service *sv = service_of_node(node);
        if (sv->is_removed)
            continue;
        struct service_info info = info_of(sv);
        each(user, &info);
    }
}

/* --- All of it --- */

static void check_closed(struct deferred *d) {
    struct services *s = CONTAINER_OF(d, struct services, close_check);

    list_for_each_safe (node, &s->services) {
        struct service *sv = service_of_node(node);
        if (list_is_empty(&sv->sessions))
            (void)service_free(sv);
    }
    if (list_is_empty(&s->services))
        s->closed(s->closed_user);
}

int services_new(const struct services_config *cfg, struct services **ret_services) {
    struct mem *mem = reactor_mem(cfg->reactor);
    struct services *s = mem_alloc(mem, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->cfg = *cfg;
    s->mem = mem;
    list_init(&s->services);
    deferred_init(&s->close_check, check_closed);
    s->denied_log = LOG_LIMIT_INIT(10, SEC(1));
    *ret_services = s;
    return 0;
}

void services_close(struct services *s, void (*closed)(void *user), void *user) {
    assert(!s->closing);
    s->closing = true;
    s->closed = closed;
    s->closed_user = user;
    list_for_each (node, &s->services) {
        struct service *sv = service_of_node(node);
        (void)set_enabled(sv, false); /* disabling cannot fail */
        service_sessions_abort(&sv->sessions);
    }
    reactor_defer(s->cfg.reactor, &s->close_check);
}

struct services *services_free(struct services *s) {
    if (s == NULL)
        return NULL;
    assert(list_is_empty(&s->services));
    deferred_cancel(&s->close_check);
    return mem_free(s->mem, s);
}
