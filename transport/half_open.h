/* SPDX-License-Identifier: MIT */
#pragma once

/* Inbound connections whose handshake is not done: what strangers can make us hold.  One book a
 * transport, which asks it before it accepts.  The oldest comes first. */

#include "core/base/list.h"
#include "core/base/net_addr.h"

/* Embedded by its owner. */
struct half_open {
    struct list node;
    struct net_addr remote;
    /* Another one needs the place: its owner leaves the book in this call. */
    void (*evict)(struct half_open *h);
};

struct half_open_book {
    struct list list;
    uint32_t count;
    uint32_t per_ip_max; /* of one IPv4 address or IPv6 /64; loopback is not counted */
};

void half_open_book_init(struct half_open_book *b, uint32_t per_ip_max);

void half_open_init(struct half_open *h, void (*evict)(struct half_open *h));
void half_open_add(struct half_open_book *b, struct half_open *h, const struct net_addr *remote);
/* Harmless when it is in no book. */
void half_open_leave(struct half_open_book *b, struct half_open *h);

/* Whether where this client comes from has as many as it may. */
bool half_open_is_full_for(const struct half_open_book *b, const struct net_addr *remote);
/* The oldest one goes; there is one (asserted). */
void half_open_evict(struct half_open_book *b);
