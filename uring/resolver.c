/* SPDX-License-Identifier: MIT */
#include "uring/resolver.h"

#include <netdb.h>
#include <stdio.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "uring/reactor.h"
#include "uring/sock.h"

int resolve_start(struct resolver *v, struct resolve_request *r, const char *host,
                  void (*done)(struct resolve_request *r, int error)) {
    assert(r->lookup == NULL);
    r->resolver = v;
    r->done = done;
    r->count = 0;
    return v->start(v, r, host);
}

void resolve_cancel(struct resolve_request *r) {
    if (r->lookup != NULL)
        r->resolver->cancel(r->resolver, r);
}

/* --- The system's --- */

struct system_resolver {
    struct resolver resolver;
    struct reactor *reactor;
};

/* Lives until the worker is done with it, also when nobody wants the answer any more. */
struct lookup {
    struct offload_job job;
    struct mem *mem;
    struct resolve_request *request; /* NULL: cancelled */
    struct net_addr addrs[RESOLVE_ADDRS_MAX];
    uint32_t count;
    int error;
    char host[RESOLVE_HOST_MAX];
};

static int error_of(int gai_error) {
    switch (gai_error) {
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM:
        return errno != 0 ? -errno : -EIO;
    default:
        return -ERR_NAME_NOT_FOUND;
    }
}

static void take_addrs(struct lookup *l, const struct addrinfo *list) {
    for (const struct addrinfo *i = list; i != NULL && l->count < RESOLVE_ADDRS_MAX;
         i = i->ai_next) {
        union sock_name name = {0};
        struct sock_addr addr;
        if (i->ai_addrlen > sizeof(name))
            continue;
        memcpy(&name, i->ai_addr, i->ai_addrlen);
        sock_name_to(&name, i->ai_addrlen, &addr);
        if (addr.ip.family != NET_NONE)
            l->addrs[l->count++] = addr.ip;
    }
}

/* On the worker. */
static void work(struct offload_job *j) {
    struct lookup *l = CONTAINER_OF(j, struct lookup, job);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;

    int e = getaddrinfo(l->host, NULL, &hints, &list);
    if (e != 0) {
        l->error = error_of(e);
        return;
    }
    take_addrs(l, list);
    freeaddrinfo(list);
    l->error = l->count > 0 ? 0 : -ERR_NAME_NOT_FOUND;
}

static void done(struct offload_job *j) {
    struct lookup *l = CONTAINER_OF(j, struct lookup, job);
    struct resolve_request *r = l->request;
    int error = l->error;

    if (r != NULL) {
        memcpy(r->addrs, l->addrs, sizeof(r->addrs));
        r->count = l->count;
        r->lookup = NULL;
    }
    (void)mem_free(l->mem, l);
    if (r != NULL)
        r->done(r, error);
}

static int system_start(struct resolver *v, struct resolve_request *r, const char *host) {
    struct system_resolver *s = CONTAINER_OF(v, struct system_resolver, resolver);
    if (strlen(host) >= RESOLVE_HOST_MAX)
        return -EINVAL;

    struct lookup *l = mem_alloc(reactor_mem(s->reactor), sizeof(*l));
    if (l == NULL)
        return -ENOMEM;
    l->mem = reactor_mem(s->reactor);
    l->request = r;
    l->job = (struct offload_job){.work = work, .done = done};
    (void)snprintf(l->host, sizeof(l->host), "%s", host);
    int e = reactor_offload(s->reactor, &l->job);
    if (e < 0) {
        (void)mem_free(l->mem, l);
        return e;
    }
    r->lookup = l;
    return 0;
}

static void system_cancel(struct resolver *v, struct resolve_request *r) {
    struct lookup *l = r->lookup;
    (void)v;

    l->request = NULL;
    r->lookup = NULL;
}

int resolver_system_new(struct reactor *r, struct resolver **ret_resolver) {
    struct system_resolver *s = mem_alloc(reactor_mem(r), sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->reactor = r;
    s->resolver = (struct resolver){.start = system_start, .cancel = system_cancel};
    *ret_resolver = &s->resolver;
    return 0;
}

struct resolver *resolver_system_free(struct resolver *v) {
    if (v == NULL)
        return NULL;
    struct system_resolver *s = CONTAINER_OF(v, struct system_resolver, resolver);
    (void)mem_free(reactor_mem(s->reactor), s);
    return NULL;
}
