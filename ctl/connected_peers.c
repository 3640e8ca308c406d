/* SPDX-License-Identifier: MIT */
#include "ctl/connected_peers.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/p2p/peer_id.h"
#include "transport/host.h"

static void count_conn(void *user, const struct conn_info *info) {
    (void)info;
    (*(size_t *)user)++;
}

static void add_peer(void *user, const struct conn_info *info) {
    struct connected_peers *p = user;
    p->ids[p->count++] = info->peer;
}

static int compare(const void *a, const void *b) {
    const struct peer_id *x = a, *y = b;
    return x->len != y->len ? x->len - y->len : memcmp(x->bytes, y->bytes, x->len);
}

int connected_peers_find(struct host *h, struct mem *mem, struct connected_peers *ret_peers) {
    size_t conns_count = 0, kept = 0;
    host_each_conn(h, count_conn, &conns_count);
    struct connected_peers p = {.mem = mem};
    p.ids = mem_alloc_array(mem, MAX(conns_count, (size_t)1), sizeof(*p.ids));
    if (p.ids == NULL)
        return -ENOMEM;
    host_each_conn(h, add_peer, &p);
    qsort(p.ids, p.count, sizeof(*p.ids), compare);
    for (size_t i = 0; i < p.count; i++)
        if (kept == 0 || !peer_id_equal(&p.ids[kept - 1], &p.ids[i]))
            p.ids[kept++] = p.ids[i];
    p.count = kept;
    *ret_peers = p;
    return 0;
}

void connected_peers_done(struct connected_peers *p) {
    p->ids = mem_free(p->mem, p->ids);
}

size_t connected_peers_index(const struct connected_peers *p, const struct peer_id *id) {
    const struct peer_id *found = bsearch(id, p->ids, p->count, sizeof(*p->ids), compare);
    assert(found != NULL);
    return (size_t)(found - p->ids);
}
