/* SPDX-License-Identifier: MIT */
#include "core/base/mem.h"

#include <stdlib.h>
#include <string.h>

static void *system_resize(struct mem *m, void *p, size_t size) {
    (void)m; /* the heap is the process's */
    if (size == 0) {
        free(p);
        return NULL;
    }
    return realloc(p, size);
}

struct mem *mem_system(void) {
    /* Not const since the interface isn't, but never written. */
    static struct mem system = {.resize = system_resize};
    return &system;
}

void *mem_alloc(struct mem *m, size_t size) {
    assert(size > 0);
    void *p = m->resize(m, NULL, size);
    if (p != NULL)
        memset(p, 0, size);
    return p;
}

void *mem_alloc_array(struct mem *m, size_t count, size_t size) {
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    return mem_alloc(m, total);
}

void *mem_resize(struct mem *m, void *p, size_t size) {
    assert(size > 0);
    return m->resize(m, p, size);
}

void *mem_free(struct mem *m, void *p) {
    if (p != NULL)
        (void)m->resize(m, p, 0); /* NULL by contract */
    return NULL;
}

char *mem_strdup(struct mem *m, const char *s) {
    size_t size = strlen(s) + 1;
    char *copy = mem_resize(m, NULL, size);
    if (copy != NULL)
        memcpy(copy, s, size);
    return copy;
}

void mem_wipe(void *p, size_t size) {
    if (size > 0)
        explicit_bzero(p, size);
}

bool mem_equal_secret(const void *a, const void *b, size_t size) {
    const volatile uint8_t *x = a, *y = b; /* else the compiler may stop at the first difference */
    uint8_t difference = 0;
    for (size_t i = 0; i < size; i++)
        difference |= (uint8_t)(x[i] ^ y[i]);
    return difference == 0;
}
