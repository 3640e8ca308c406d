/* SPDX-License-Identifier: MIT */

/* libpeerup: our services, names, and what else is a short question to the node. */

#include <stdio.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/conf/config.h"
#include "core/conf/units.h"
#include "ctl/node.h"
#include "ctl/peerup_internal.h"
#include "relay/service.h"

/* --- Services --- */

struct expose_call {
    struct call call;
    struct service_config config;
};

static void start_expose(struct call *c) {
    struct expose_call *x = CONTAINER_OF(c, struct expose_call, call);
    call_finish(c, services_add(node_services(c->p->node), &x->config, NULL));
}

static int parse_allowed(const char *const *texts, size_t count, struct peer_id *out) {
    for (size_t i = 0; i < count; i++) {
        int e = peer_id_parse(texts[i], &out[i]);
        if (e < 0)
            return e;
    }
    return 0;
}

static int expose(struct peerup *p, const char *name, const struct host_port *at,
                  const struct peer_id *allowed, size_t allowed_count) {
    char host[256];
    if (at->host_len >= sizeof(host))
        return -EINVAL;
    memcpy(host, at->host, at->host_len);
    host[at->host_len] = '\0';
    struct expose_call x = {.config = {.name = name,
                                       .host = host,
                                       .port = at->port,
                                       .is_restricted = allowed_count > 0,
                                       .allowed = allowed,
                                       .allowed_count = (uint32_t)allowed_count}};
    return call_run(p, &x.call, start_expose);
}

int peerup_expose(struct peerup *p, const char *name, const char *address,
                  const char *const *allowed, size_t allowed_count) {
    struct host_port at;
    int e = host_port_parse(address, false, &at, NULL);
    if (e < 0)
        return e;
    struct peer_id *ids = NULL;
    if (allowed_count > 0) {
        ids = mem_alloc_array(p->mem, allowed_count, sizeof(*ids));
        if (ids == NULL)
            return -ENOMEM;
        e = parse_allowed(allowed, allowed_count, ids);
    }
    if (e == 0)
        e = expose(p, name, &at, ids, allowed_count);
    (void)mem_free(p->mem, ids);
    return e;
}

struct unexpose_call {
    struct call call;
    const char *name;
};

static void start_unexpose(struct call *c) {
    struct unexpose_call *x = CONTAINER_OF(c, struct unexpose_call, call);
    call_finish(c, services_remove(node_services(c->p->node), x->name));
}

int peerup_unexpose(struct peerup *p, const char *name) {
    struct unexpose_call x = {.name = name};
    return call_run(p, &x.call, start_unexpose);
}

struct list_call {
    struct call call;
    void (*each)(void *user, const struct peerup_service *s);
    void *user;
};

static void on_service(void *user, const struct service_info *info) {
    struct list_call *x = user;
    struct peerup_service s = {
        .name = info->name,
        .host = info->host,
        .port = info->port,
        .is_restricted = info->is_restricted,
        .active = info->active,
        .connections = info->connections,
        .received_bytes = info->rx_bytes,
        .sent_bytes = info->tx_bytes,
    };
    x->each(x->user, &s);
}

static void start_list(struct call *c) {
    services_each(node_services(c->p->node), on_service, CONTAINER_OF(c, struct list_call, call));
    call_finish(c, 0);
}

int peerup_list_services(struct peerup *p, void (*each)(void *user, const struct peerup_service *s),
                         void *user) {
    struct list_call x = {.each = each, .user = user};
    return call_run(p, &x.call, start_list);
}

/* --- Our addresses, our gate --- */

struct address_call {
    struct call call;
    size_t index;
    struct multiaddr addr;
};

static void start_address(struct call *c) {
    struct address_call *x = CONTAINER_OF(c, struct address_call, call);
    struct multiaddr addrs[32];
    size_t count = host_listen_addrs(node_host(c->p->node), addrs, ARRAY_COUNT(addrs));
    if (x->index < count)
        x->addr = addrs[x->index];
    call_finish(c, x->index < count ? 0 : -ENOENT);
}

int peerup_listen_address(struct peerup *p, size_t index, char *out, size_t size) {
    struct address_call x = {.index = index};
    char text[MULTIADDR_TEXT_MAX];
    int e = call_run(p, &x.call, start_address);
    if (e < 0)
        return e;
    int n = snprintf(out, size, "%s/p2p/%s", multiaddr_format(&x.addr, text), p->id);
    return n < 0 || (size_t)n >= size ? -ENOBUFS : 0;
}

struct reload_call {
    struct call call;
    struct problem problem;
};

static void start_reload(struct call *c) {
    struct reload_call *x = CONTAINER_OF(c, struct reload_call, call);
    call_finish(c, node_reload_gate(c->p->node, &x->problem));
}

int peerup_reload_authorized_keys(struct peerup *p, char *problem, size_t problem_size) {
    struct reload_call x = {.problem = PROBLEM_INIT};
    int e = call_run(p, &x.call, start_reload);
    if (e < 0 && problem_size > 0)
        (void)snprintf(problem, problem_size, "%s", x.problem.text);
    return e;
}

/* --- Names --- */

struct name {
    struct list node; /* first: peerup_free() frees by it */
    struct peer_id id;
    uint32_t addrs_count;
    char text[256];
    struct multiaddr addrs[];
};
_Static_assert(offsetof(struct name, node) == 0, "peerup_free() frees names by their link");

static struct name *find_name(struct peerup *p, const char *text) {
    list_for_each (node, &p->names) {
        struct name *n = LIST_ENTRY(node, struct name, node);
        if (strcmp(n->text, text) == 0)
            return n;
    }
    return NULL;
}

static int name_new(struct peerup *p, const char *text, const struct peer_id *id,
                    const struct multiaddr *addrs, uint32_t count, struct name **ret_name) {
    if (strlen(text) >= sizeof((*ret_name)->text) || text[0] == '\0')
        return -EINVAL;
    struct name *n = mem_alloc(p->mem, sizeof(*n) + count * sizeof(n->addrs[0]));
    if (n == NULL)
        return -ENOMEM;
    list_init(&n->node);
    n->id = *id;
    n->addrs_count = count;
    if (count > 0)
        memcpy(n->addrs, addrs, count * sizeof(n->addrs[0]));
    (void)snprintf(n->text, sizeof(n->text), "%s", text);
    *ret_name = n;
    return 0;
}

/* Takes over the name. */
static void put_name(struct peerup *p, struct name *n) {
    struct name *old = find_name(p, n->text);
    if (old != NULL) {
        list_remove(&old->node);
        (void)mem_free(p->mem, old);
    }
    list_push(&p->names, &n->node);
}

int peerup_find_peer(struct peerup *p, const char *target, struct peer_id *ret_id) {
    const struct name *n = find_name(p, target);
    SCOPED(arena_done) struct arena arena;
    struct target t;

    arena_init(&arena, p->mem);
    if (n != NULL) {
        t = (struct target){.id = n->id, .addrs = n->addrs, .addrs_count = n->addrs_count};
    } else {
        int e = target_resolve(NULL, &arena, target, &t, NULL);
        if (e < 0)
            return e;
    }
    *ret_id = t.id;
    /* An ID alone keeps the addresses that are known. */
    return t.addrs_count == 0 ? 0
                              : host_add_addrs(node_host(p->node), &t.id, t.addrs, t.addrs_count);
}

struct name_call {
    struct call call;
    struct list names; /* to be taken over */
    const char *target;
    struct peer_id id;
};

static void start_names(struct call *c) {
    struct name_call *x = CONTAINER_OF(c, struct name_call, call);
    struct list *node;
    while ((node = list_shift(&x->names)) != NULL)
        put_name(c->p, LIST_ENTRY(node, struct name, node));
    call_finish(c, 0);
}

static void drop_names(struct peerup *p, struct list *names) {
    struct list *node;
    while ((node = list_shift(names)) != NULL)
        (void)mem_free(p->mem, LIST_ENTRY(node, struct name, node));
}

static int put_names(struct peerup *p, struct list *names) {
    struct name_call x = {0};
    list_init(&x.names);
    list_splice(&x.names, names);
    int e = call_run(p, &x.call, start_names);
    drop_names(p, &x.names);
    return e;
}

int peerup_set_name(struct peerup *p, const char *name, const char *target) {
    SCOPED(arena_done) struct arena arena;
    struct target t;
    struct name *n;
    struct list names;

    arena_init(&arena, p->mem);
    list_init(&names);
    int e = target_resolve(NULL, &arena, target, &t, NULL);
    if (e < 0)
        return e;
    e = name_new(p, name, &t.id, t.addrs, t.addrs_count, &n);
    if (e < 0)
        return e;
    list_push(&names, &n->node);
    return put_names(p, &names);
}

static int names_of(struct peerup *p, const struct config *c, struct list *names) {
    for (uint32_t i = 0; i < c->names_count; i++) {
        const struct config_target *t = &c->names[i].target;
        struct name *n;
        if (peer_id_is_none(&t->id))
            return -ERR_BAD_PEER_ID;
        int e = name_new(p, c->names[i].item.key, &t->id, t->addrs, t->addrs_count, &n);
        if (e < 0)
            return e;
        list_push(names, &n->node);
    }
    return 0;
}

int peerup_load_names(struct peerup *p, const char *config_file, char *problem,
                      size_t problem_size) {
    SCOPED(config_freep) struct config *c = NULL;
    struct problem why = PROBLEM_INIT;
    struct list names;

    list_init(&names);
    int e = config_load(p->mem, config_file, &c, &why);
    if (e == 0) {
        e = names_of(p, c, &names);
        if (e == 0)
            return put_names(p, &names);
        (void)problem_set(&why, e, "%s: names: %s", config_file, err_text(e));
    }
    drop_names(p, &names);
    if (problem_size > 0)
        (void)snprintf(problem, problem_size, "%s", why.text);
    return e;
}

static void start_resolve(struct call *c) {
    struct name_call *x = CONTAINER_OF(c, struct name_call, call);
    call_finish(c, peerup_find_peer(c->p, x->target, &x->id));
}

_Static_assert((int)PEERUP_ID_SIZE >= (int)PEER_ID_TEXT_MAX, "an ID's text fits");

int peerup_resolve(struct peerup *p, const char *target, char ret_id[PEERUP_ID_SIZE]) {
    struct name_call x = {.target = target};
    int e = call_run(p, &x.call, start_resolve);
    if (e == 0)
        (void)peer_id_format(&x.id, ret_id);
    return e;
}
