/* SPDX-License-Identifier: MIT */
#include "uring/resolver.h"

int resolve_start_kind(struct resolver *v, struct resolve_request *r, enum resolve_kind kind,
                       const char *host, void (*done)(struct resolve_request *r, int error)) {
    assert(r->lookup == NULL);
    r->resolver = v;
    r->kind = kind;
    r->done = done;
    r->count = 0;
    r->texts = NULL;
    r->texts_count = 0;
    return v->start(v, r, host);
}

int resolve_start(struct resolver *v, struct resolve_request *r, const char *host,
                  void (*done)(struct resolve_request *r, int error)) {
    return resolve_start_kind(v, r, RESOLVE_ADDRS, host, done);
}

void resolve_cancel(struct resolve_request *r) {
    if (r->lookup != NULL)
        r->resolver->cancel(r->resolver, r);
}
