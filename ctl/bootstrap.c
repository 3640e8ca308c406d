/* SPDX-License-Identifier: MIT */
#include "ctl/bootstrap.h"

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/conf/schema.h"
#include "transport/host.h"

#define BOOTSTRAP_TIMEOUT SEC(30)

struct entry {
    struct connect_request request;
    struct bootstrap *owner;
};

struct bootstrap {
    struct reactor *reactor;
    struct log *log;
    void (*told)(void *user, uint32_t connected);
    void *user;
    uint32_t count;
    uint32_t left;
    uint32_t connected;
    struct entry entries[];
};

static void on_connected(struct connect_request *r, const struct multiaddr *remote, int error) {
    struct bootstrap *b = CONTAINER_OF(r, struct entry, request)->owner;
    char id[PEER_ID_SHORT_MAX];
    (void)remote;

    if (error == 0)
        b->connected++;
    else
        log_warn(b->log, L_NODE, "bootstrap peer not reached",
                 kv_str("peer", peer_id_format_short(&r->base.peer, id)),
                 kv_str("reason", r->base.problem.text));
    if (--b->left == 0)
        b->told(b->user, b->connected);
}

/* Several addresses of one peer are dialled together. */
static int add_peer(struct bootstrap *b, struct host *h, const struct config_addrs *peers,
                    uint32_t first) {
    struct multiaddr addrs[HOST_ADDRS_PER_PEER_MAX];
    struct multiaddr transport_addr;
    struct peer_id id, other;
    size_t count = 0;

    int e = multiaddr_split_peer(&peers->items[first].addr, &transport_addr, &id);
    if (e < 0)
        return 0; /* the config's reader has warned about it */
    for (uint32_t i = 0; i < peers->count; i++) {
        bool is_same = multiaddr_split_peer(&peers->items[i].addr, &transport_addr, &other) == 0 &&
                       peer_id_equal(&other, &id);
        if (is_same && i < first)
            return 0;
        if (is_same && count < ARRAY_COUNT(addrs))
            addrs[count++] = transport_addr;
    }
    e = host_add_addrs(h, &id, addrs, count);
    if (e < 0)
        return e;
    struct entry *entry = &b->entries[b->count++];
    entry->owner = b;
    b->left++;
    host_connect_with(h, &entry->request, &id, HOST_REQUEST_BACKGROUND,
                      reactor_now(b->reactor) + BOOTSTRAP_TIMEOUT, on_connected);
    return 0;
}

int bootstrap_start(struct reactor *r, struct host *h, struct log *log,
                    const struct config_addrs *peers, void (*told)(void *user, uint32_t connected),
                    void *user, struct bootstrap **ret_bootstrap) {
    *ret_bootstrap = NULL;
    if (peers->count == 0)
        return 0;
    struct mem *mem = reactor_mem(r);
    struct bootstrap *b = mem_alloc(mem, sizeof(*b) + peers->count * sizeof(b->entries[0]));
    if (b == NULL)
        return -ENOMEM;
    b->reactor = r;
    b->log = log;
    b->told = told;
    b->user = user;
    for (uint32_t i = 0; i < peers->count; i++) {
        int e = add_peer(b, h, peers, i);
        if (e < 0) {
            (void)bootstrap_free(b);
            return e;
        }
    }
    *ret_bootstrap = b;
    return 0;
}

struct bootstrap *bootstrap_free(struct bootstrap *b) {
    if (b == NULL)
        return NULL;
    for (uint32_t i = 0; i < b->count; i++)
        connect_request_cancel(&b->entries[i].request);
    return mem_free(reactor_mem(b->reactor), b);
}
