/* SPDX-License-Identifier: MIT */
#pragma once

/* A protocol that we serve: what the host keeps of it, and a stream becomes part of. */

#include "core/base/list.h"

struct conn;
struct stream;

/* Who may use a protocol (decisions.md, 1). */
enum protocol_class {
    CLASS_ANY,        /* identify, ping */
    CLASS_AUTHORIZED, /* checked at each use, expiry too */
    CLASS_OWN,        /* whom the handler's admits() lets in */
    CLASS_COUNT
};

/* Embedded by its owner; registered with host_handle(). */
struct protocol_handler {
    const char *protocol; /* must outlive the handler */
    enum protocol_class protocol_class;
    bool (*admits)(struct protocol_handler *h, const struct conn *c); /* CLASS_OWN alone */
    /* A new inbound stream; the callee sets events and becomes its owner. */
    void (*accept)(struct protocol_handler *h, struct stream *s);
    struct list node;
};
