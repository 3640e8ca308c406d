/* SPDX-License-Identifier: MIT */
#include "transport/swarm_names.h"

#include <stdio.h>

#include "core/base/mem.h"

struct query {
    struct list node;
    struct resolve_request request;
    struct names *names;
    struct multiaddr addr;
    uint32_t depth;
};

static const char DNSADDR_HOST[] = "_dnsaddr.";
static const char DNSADDR_TEXT[] = "dnsaddr=";

/* The first part, and what follows it. */
static struct multiaddr_part first_of(const struct multiaddr *a, struct bytes *ret_rest) {
    struct multiaddr_part part = {.code = 0};
    *ret_rest = multiaddr_bytes(a);
    (void)multiaddr_next(ret_rest, &part);
    return part;
}

bool names_is_name(const struct multiaddr *a) {
    struct bytes rest;
    switch (first_of(a, &rest).code) {
    case MULTIADDR_DNS:
    case MULTIADDR_DNS4:
    case MULTIADDR_DNS6:
    case MULTIADDR_DNSADDR:
        return true;
    default:
        return false;
    }
}

void names_init(struct names *n) {
    list_init(&n->queries);
    n->queries_count = 0;
    n->results_count = 0;
}

static void query_free(struct query *q) {
    resolve_cancel(&q->request);
    list_remove(&q->node);
    (void)mem_free(q->names->mem, q);
}

void names_done(struct names *n) {
    while (names_is_asking(n))
        query_free(LIST_ENTRY(n->queries.next, struct query, node));
}

static void add_result(struct names *n, const struct multiaddr *a) {
    if (n->results_count < n->results_max)
        n->results[n->results_count++] = *a;
}

/* --- Answers --- */

/* Where the name stood stands an IP address. */
static void add_ip(struct names *n, const struct multiaddr *named, const struct net_addr *ip) {
    char ip_text[NET_ADDR_TEXT_MAX];
    char name_text[MULTIADDR_TEXT_MAX];
    char text[MULTIADDR_TEXT_MAX + 2 * NET_ADDR_TEXT_MAX + RESOLVE_HOST_MAX];
    struct multiaddr a;
    struct multiaddr_part name;
    uint16_t port;
    const char *family = ip->family == NET_IP4 ? "ip4" : "ip6";
    (void)net_addr_format_ip(ip, ip_text);
    if (multiaddr_kind(named) == MULTIADDR_KIND_WSS && !multiaddr_has(named, MULTIADDR_SNI)) {
        if (multiaddr_to_host(named, &name, &port) < 0)
            return;
        (void)snprintf(text, sizeof(text), "/%s/%s/tcp/%u/tls/sni/%.*s/ws", family, ip_text, port,
                       (int)name.value.len, (const char *)name.value.data);
    } else {
        const char *rest = multiaddr_format(named, name_text) + 1; /* behind the first slash */
        rest = strchr(rest, '/');
        rest = rest == NULL ? NULL : strchr(rest + 1, '/');
        (void)snprintf(text, sizeof(text), "/%s/%s%s", family, ip_text, rest == NULL ? "" : rest);
    }
    if (multiaddr_parse(text, &a) == 0)
        add_result(n, &a);
}

static void add_at(struct names *n, const struct multiaddr *a, uint32_t depth);

/* A record of another form, or for another peer, is none of ours. */
static void add_text(struct names *n, const char *text, uint32_t depth) {
    struct multiaddr a;
    struct multiaddr transport;
    struct peer_id id;
    if (strncmp(text, DNSADDR_TEXT, sizeof(DNSADDR_TEXT) - 1) != 0 ||
        multiaddr_parse(text + sizeof(DNSADDR_TEXT) - 1, &a) < 0)
        return;
    int e = multiaddr_split_peer(&a, &transport, &id);
    if (e == 0 && peer_id_equal(&id, &n->peer))
        add_at(n, &transport, depth);
    else if (e == -ENOENT)
        add_at(n, &a, depth);
}

static void on_resolved(struct resolve_request *r, int error) {
    struct query *q = CONTAINER_OF(r, struct query, request);
    struct names *n = q->names;
    for (uint32_t i = 0; error == 0 && i < r->count && r->kind != RESOLVE_TEXTS; i++)
        add_ip(n, &q->addr, &r->addrs[i]);
    for (uint32_t i = 0; error == 0 && i < r->texts_count; i++)
        add_text(n, r->texts[i], q->depth + 1);
    query_free(q);
    if (!names_is_asking(n))
        n->done(n);
}

/* --- Questions --- */

static enum resolve_kind kind_of(uint32_t code) {
    switch (code) {
    case MULTIADDR_DNS4:
        return RESOLVE_IP4;
    case MULTIADDR_DNS6:
        return RESOLVE_IP6;
    case MULTIADDR_DNSADDR:
        return RESOLVE_TEXTS;
    default:
        return RESOLVE_ADDRS;
    }
}

static void add_at(struct names *n, const struct multiaddr *a, uint32_t depth) {
    char host[RESOLVE_HOST_MAX + sizeof(DNSADDR_HOST)];
    struct bytes rest;
    if (!names_is_name(a)) {
        add_result(n, a);
        return;
    }
    struct query *q = NULL;
    if (depth < NAMES_DEPTH_MAX && n->queries_count < NAMES_QUERIES_MAX)
        q = mem_alloc(n->mem, sizeof(*q));
    if (q == NULL)
        return;
    struct multiaddr_part first = first_of(a, &rest);
    enum resolve_kind kind = kind_of(first.code);
    q->names = n;
    q->addr = *a;
    q->depth = depth;
    list_init(&q->node);
    (void)snprintf(host, sizeof(host), "%s%.*s", kind == RESOLVE_TEXTS ? DNSADDR_HOST : "",
                   (int)MIN(first.value.len, (size_t)RESOLVE_HOST_MAX),
                   (const char *)first.value.data);
    if (resolve_start_kind(n->resolver, &q->request, kind, host, on_resolved) < 0) {
        query_free(q);
        return;
    }
    n->queries_count++;
    list_push(&n->queries, &q->node);
}

void names_add(struct names *n, const struct multiaddr *a) {
    add_at(n, a, 0);
}
