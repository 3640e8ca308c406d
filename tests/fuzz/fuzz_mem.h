/* SPDX-License-Identifier: MIT */
#pragma once

/* The heap for fuzz targets: with a bound that is an oracle, a count of what is still held, and a
 * failure on demand. */

#include <malloc.h>
#include <stdlib.h>

#include "core/base/mem.h"

struct fuzz_mem {
    struct mem mem;
    size_t used;
    size_t used_max;
    uint32_t calls_left; /* the call that counts it down to 0 fails; 0 from the start: none */
    bool failed;
};

static inline void *fuzz_mem_resize(struct mem *mem, void *p, size_t size) {
    struct fuzz_mem *m = CONTAINER_OF(mem, struct fuzz_mem, mem);
    size_t before = p == NULL ? 0 : malloc_usable_size(p);
    if (size == 0) {
        m->used -= before;
        free(p);
        return NULL;
    }
    if (m->calls_left > 0 && --m->calls_left == 0) {
        m->failed = true;
        return NULL;
    }
    void *q = realloc(p, size);
    assert(q != NULL);
    m->used += malloc_usable_size(q) - before;
    assert(m->used <= m->used_max);
    return q;
}

/* failing_call counts from 1; 0: none fails. */
static inline struct fuzz_mem fuzz_mem_make(size_t used_max, uint32_t failing_call) {
    return (struct fuzz_mem){
        .mem = {.resize = fuzz_mem_resize}, .used_max = used_max, .calls_left = failing_call};
}
