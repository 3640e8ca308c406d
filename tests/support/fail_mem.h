/* SPDX-License-Identifier: MIT */
#pragma once

/* An allocator that says no, to walk every out-of-memory path:
 *
 *   for (fail_mem_start(&f);; fail_mem_again(&f)) {
 *       ... run with &f.mem, which must fail in order or pass ...
 *       if (!f.failed)
 *           break;
 *   }
 *
 * The n-th call fails: n = 1, 2, ... first a single time, then it and all after it.  It counts what
 * is allocated, so that a run that lost something shows: cr_assert_eq(f.blocks, 0).
 */

#include "core/base/mem.h"

struct fail_mem {
    struct mem mem;
    long fail_at; /* the call that fails; 0 for none */
    long calls;
    long blocks; /* allocated and not freed */
    bool for_good;
    bool failed; /* whether a call failed in this run */
};

static inline void *fail_mem_resize(struct mem *m, void *p, size_t size) {
    struct fail_mem *f = CONTAINER_OF(m, struct fail_mem, mem);
    if (size == 0) {
        f->blocks -= p != NULL;
        return mem_free(mem_system(), p);
    }
    f->calls++;
    if (f->fail_at > 0 && (f->calls == f->fail_at || (f->for_good && f->calls > f->fail_at))) {
        f->failed = true;
        return NULL;
    }
    void *q = mem_resize(mem_system(), p, size);
    f->blocks += p == NULL && q != NULL;
    return q;
}

static inline void fail_mem_start(struct fail_mem *f) {
    *f = (struct fail_mem){.mem = {.resize = fail_mem_resize}, .fail_at = 1};
}

static inline void fail_mem_again(struct fail_mem *f) {
    f->fail_at += f->for_good;
    f->for_good = !f->for_good;
    f->calls = 0;
    f->failed = false;
}
