/* SPDX-License-Identifier: MIT */
#include "transport/half_open.h"

#include <string.h>

void half_open_book_init(struct half_open_book *b, uint32_t per_ip_max) {
    *b = (struct half_open_book){.per_ip_max = per_ip_max};
    list_init(&b->list);
}

void half_open_init(struct half_open *h, void (*evict)(struct half_open *h)) {
    *h = (struct half_open){.remote.family = NET_NONE, .evict = evict};
    list_init(&h->node);
}

void half_open_add(struct half_open_book *b, struct half_open *h, const struct net_addr *remote) {
    assert(!list_is_linked(&h->node));
    h->remote = *remote;
    list_push(&b->list, &h->node);
    b->count++;
}

void half_open_leave(struct half_open_book *b, struct half_open *h) {
    if (!list_is_linked(&h->node))
        return;
    list_remove(&h->node);
    assert(b->count > 0);
    b->count--;
}

/* Somebody with IPv6 has a /64 to choose from. */
static bool same_origin(const struct net_addr *a, const struct net_addr *b) {
    size_t bytes = a->family == NET_IP6 ? 8 : 4;
    return a->family == b->family && memcmp(a->ip, b->ip, bytes) == 0;
}

bool half_open_is_full_for(const struct half_open_book *b, const struct net_addr *remote) {
    uint32_t count = 0;
    if (b->count < b->per_ip_max || net_addr_is_loopback(remote))
        return false;
    list_for_each (node, &b->list) {
        count += same_origin(&LIST_ENTRY(node, const struct half_open, node)->remote, remote);
    }
    return count >= b->per_ip_max;
}

void half_open_evict(struct half_open_book *b) {
    uint32_t before = b->count;
    assert(!list_is_empty(&b->list));
    struct half_open *oldest = LIST_ENTRY(b->list.next, struct half_open, node);
    oldest->evict(oldest);
    assert(b->count < before);
}
