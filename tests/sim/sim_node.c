/* SPDX-License-Identifier: MIT */
#include "tests/sim/sim_node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/problem.h"
#include "core/conf/authkeys.h"
#include "core/conf/schema.h"
#include "ctl/node.h"
#include "relay/proxy.h"
#include "relay/service.h"
#include "transport/host.h"
#include "uring/reactor.h"

/* Of one process; what it may ever need is far less. */
#define NODE_BYTES_MAX MIB(64)

/* --- Memory --- */

enum { MEM_HEADER = 16 };

static void *counting_resize(struct mem *m, void *p, size_t size) {
    struct counting_mem *c = CONTAINER_OF(m, struct counting_mem, mem);
    uint8_t *base = p == NULL ? NULL : (uint8_t *)p - MEM_HEADER;
    size_t before = 0;
    if (base != NULL)
        memcpy(&before, base, sizeof(before));
    c->bytes += size - before;
    c->bytes_max = MAX(c->bytes_max, c->bytes);
    c->blocks += (size > 0) - (size_t)(base != NULL);
    if (size == 0) {
        sim_free(base);
        return NULL;
    }
    base = sim_resize(base, MEM_HEADER + size);
    memcpy(base, &size, sizeof(size));
    return base + MEM_HEADER;
}

/* --- What its process does --- */

static void on_log(struct log *l, enum log_level level, const char *line, size_t len) {
    struct sim_node *n = l->context;
    (void)level;
    world_trace(n->world, "node %u: %.*s", n->index, (int)len - 1, line);
}

static void open_services(struct sim_node *n) {
    struct problem why = PROBLEM_INIT;
    for (uint32_t i = 0; i < n->services_count; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "s%u", i);
        struct service_config cfg = {
            .name = name, .host = n->services_host, .port = (uint16_t)(SERVICE_PORT_FIRST + i)};
        if (services_add(node_services(n->node), &cfg, &why) < 0)
            world_fail(n->world, "node %u: service %s: %s", n->index, name, why.text);
    }
}

static int open_proxy(struct sim_node *n, struct sim_proxy *p, struct problem *why) {
    struct net_addr listen[2];
    char name[16];
    (void)snprintf(name, sizeof(name), "s%u", p->service);
    proxy_listen_localhost(p->port, listen);
    struct proxy_config cfg = {
        .reactor = node_reactor(n->node),
        .host = node_host(n->node),
        .log = &n->log,
        .peer = p->to->identity.id,
        .service = name,
        .listen = listen,
        .listen_count = ARRAY_COUNT(listen),
    };
    p->closed = false;
    int e = p->to->dialled_count == 0 ? 0
                                      : host_add_addrs(node_host(n->node), &p->to->identity.id,
                                                       p->to->dialled, p->to->dialled_count);
    return e < 0 ? e : proxy_open(&cfg, why, &p->proxy);
}

static void open_proxies(struct sim_node *n) {
    struct problem why = PROBLEM_INIT;
    for (uint32_t i = 0; i < n->proxies_count; i++) {
        int e = open_proxy(n, &n->proxies[i], &why);
        if (e < 0)
            world_fail(n->world, "node %u: proxy %u: %d %s", n->index, i, e, why.text);
    }
}

static void on_proxy_closed(void *user) {
    struct sim_proxy *p = user;
    p->closed = true;
    node_stop(p->owner->node);
}

static void close_proxies(struct sim_node *n) {
    for (uint32_t i = 0; i < n->proxies_count; i++) {
        struct sim_proxy *p = &n->proxies[i];
        if (p->proxy == NULL)
            continue;
        proxy_close(p->proxy, on_proxy_closed, p);
        while (!p->closed && node_run(n->node) == 0)
            ;
        p->proxy = proxy_free(p->proxy);
    }
}

/* What the node's config says. */
static void listen_addrs(const struct sim_node *n, struct multiaddr *out) {
    for (uint32_t i = 0; i < n->listen_count; i++) {
        struct net_addr at;
        out[i] = n->listen[i];
        if (!n->listens_everywhere || multiaddr_to_net_addr(&out[i], &at) < 0)
            continue;
        memset(at.ip, 0, sizeof(at.ip));
        multiaddr_from_net_addr(&at, multiaddr_kind(&n->listen[i]), &out[i]);
    }
}

static void node_main(void *user) {
    static const struct config_servers the_relays = {.is_set = false};
    struct sim_node *n = user;
    struct problem why = PROBLEM_INIT;
    struct multiaddr listen[NODE_LISTEN_MAX];
    struct node_config cfg = {
        .mem = &n->mem.mem,
        .log = &n->log,
        .key_file = n->key_file,
        .listen = listen,
        .listen_count = n->listen_count,
        .transport = n->transport,
        .security = n->security,
        .authorized_keys_file = n->gate_file[0] == '\0' ? NULL : n->gate_file,
        .relays = n->relays,
        .reserves = n->relays != NULL,
        .punches = true,
        .splices = n->relays != NULL,
        .relay_service = n->is_relay ? &n->relay_service : NULL,
        .stun_servers = &the_relays,
        .serves_stun = n->is_relay,
        .serves_autonat = n->is_relay,
        .serves_autonat_v1 = n->is_relay,
        .is_exclusive = true,
        .backend = &backend_sim,
        .backend_context = &n->io,
        .resolver = &n->resolver.resolver,
        .netwatch = &n->netwatch.netwatch,
    };
    listen_addrs(n, listen);
    sim_resolver_init(&n->resolver, n->host);
    sim_netwatch_init(&n->netwatch, n->host);
    n->resolver.zone = n->zone;
    int e = node_open(&cfg, &n->node, &why);
    if (e < 0) {
        world_fail(n->world, "node %u does not start: %s", n->index, why.text);
        return;
    }
    if (n->world->sabotage == SABOTAGE_LEAK && mem_strdup(&n->mem.mem, "forgotten") == NULL)
        return;
    n->resolver.reactor = node_reactor(n->node);
    n->netwatch.reactor = node_reactor(n->node);
    open_services(n);
    open_proxies(n);
    n->is_up = true;
    if (!n->stop_wanted)
        e = node_run(n->node);
    if (e < 0)
        world_fail(n->world, "node %u: the reactor broke: %d", n->index, e);
    n->is_up = false;
    close_proxies(n);
    n->node = node_free(n->node);
    sim_resolver_done(&n->resolver);
    sim_netwatch_done(&n->netwatch);
}

static void on_ended(struct sim_proc *p) {
    struct sim_node *n = CONTAINER_OF(p, struct sim_node, proc);
    n->is_running = false;
    world_trace(n->world, "node %u has ended, most memory %zu", n->index, n->mem.bytes_max);
    if (n->mem.blocks != 0)
        world_fail(n->world, "node %u left %zu blocks (%zu bytes) behind", n->index, n->mem.blocks,
                   n->mem.bytes);
    if (n->mem.bytes_max > NODE_BYTES_MAX)
        world_fail(n->world, "node %u had %zu bytes at once", n->index, n->mem.bytes_max);
    if (!list_is_empty(&p->handles))
        world_fail(n->world, "node %u left sockets open", n->index);
    else
        proc_done(p);
}

/* --- Its life --- */

static void write_key(const struct sim_node *n) {
    uint8_t key[PRIVATE_KEY_BYTES];
    identity_encode(&n->identity, key);
    FILE *f = fopen(n->key_file, "w");
    if (f == NULL || fchmod(fileno(f), 0600) < 0 || fwrite(key, sizeof(key), 1, f) != 1 ||
        fclose(f) != 0)
        abort();
}

void sim_node_init(struct sim_node *n, struct world *w, struct sim_host *h, const char *folder) {
    struct sim_rand r;
    memset(n, 0, sizeof(*n));
    n->world = w;
    n->host = h;
    n->index = h->index;
    n->mem.mem.resize = counting_resize;
    n->services_host = "127.0.0.1";
    n->log = (struct log){.sink = on_log, .context = n, .level_max = LOG_INFO};
    sim_rand_init(&r, w->seed, "identity", n->index);
    if (identity_generate(&r.rng, &n->identity) < 0)
        abort();
    (void)snprintf(n->key_file, sizeof(n->key_file), "%s/key-%u", folder, n->index);
    write_key(n);
}

void sim_node_done(struct sim_node *n) {
    char lock[NODE_PATH_MAX + 8];
    (void)unlink(n->key_file);
    (void)snprintf(lock, sizeof(lock), "%s.lock", n->key_file);
    (void)unlink(lock);
    if (n->gate_file[0] != '\0')
        (void)unlink(n->gate_file);
    identity_done(&n->identity);
}

struct sim_proxy *sim_node_add_proxy(struct sim_node *n, const struct sim_node *to,
                                     uint32_t service) {
    assert(n->proxies_count < NODE_PROXIES_MAX);
    struct sim_proxy *p = &n->proxies[n->proxies_count];
    *p = (struct sim_proxy){.owner = n, .to = to, .service = service};
    p->port = (uint16_t)(PROXY_PORT_FIRST + n->proxies_count++);
    return p;
}

void sim_node_start(struct sim_node *n) {
    assert(!n->is_running);
    world_trace(n->world, "node %u starts", n->index);
    n->is_running = true;
    n->stop_wanted = false;
    n->mem.bytes_max = 0;
    n->io.proc = &n->proc;
    proc_start(&n->proc, n->host, n->incarnation++, node_main, n, on_ended);
}

void sim_node_stop(struct sim_node *n) {
    if (!n->is_running || n->stop_wanted)
        return;
    world_trace(n->world, "node %u is told to stop", n->index);
    n->stop_wanted = true;
    if (n->is_up)
        node_stop(n->node);
    proc_wake(&n->proc);
}

void sim_node_kill(struct sim_node *n, bool silently) {
    if (!n->is_running)
        return;
    world_trace(n->world, "node %u is killed%s", n->index, silently ? " silently" : "");
    n->stop_wanted = true;
    proc_kill(&n->proc, silently);
    if (n->is_up)
        node_stop(n->node);
    proc_run(&n->proc);
    assert(!n->is_running);
}
