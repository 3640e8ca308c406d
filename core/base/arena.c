/* SPDX-License-Identifier: MIT */
#include "core/base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/base/mem.h"

enum { ARENA_CHUNK_BYTES = 4096 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t used;
    size_t size;
    alignas(max_align_t) uint8_t data[];
};

void arena_init(struct arena *a, struct mem *mem) {
    *a = (struct arena){.mem = mem};
}

void arena_done(struct arena *a) {
    while (a->chunks != NULL) {
        struct arena_chunk *c = a->chunks;
        a->chunks = c->next;
        (void)mem_free(a->mem, c);
    }
}

void *arena_alloc(struct arena *a, size_t size) {
    const size_t align = alignof(max_align_t);

    if (size > SIZE_MAX - sizeof(struct arena_chunk) - align)
        return NULL;
    size = (size + align - 1) / align * align;
    if (a->chunks == NULL || a->chunks->size - a->chunks->used < size) {
        size_t chunk_size = MAX(size, (size_t)ARENA_CHUNK_BYTES - sizeof(struct arena_chunk));
        struct arena_chunk *c = mem_alloc(a->mem, sizeof(*c) + chunk_size);
        if (c == NULL)
            return NULL;
        c->size = chunk_size;
        c->next = a->chunks;
        a->chunks = c;
    }
    void *p = a->chunks->data + a->chunks->used;
    a->chunks->used += size;
    return p;
}

void *arena_alloc_array(struct arena *a, size_t count, size_t size) {
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    return arena_alloc(a, total);
}

char *arena_strdup(struct arena *a, const char *s) {
    return arena_strndup(a, s, strlen(s));
}

char *arena_strndup(struct arena *a, const char *s, size_t len) {
    if (len == SIZE_MAX)
        return NULL;
    char *copy = arena_alloc(a, len + 1);
    if (copy != NULL && len > 0)
        memcpy(copy, s, len);
    return copy;
}

char *arena_printf(struct arena *a, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        return NULL;

    char *text = arena_alloc(a, (size_t)len + 1);
    if (text == NULL)
        return NULL;
    va_start(args, format);
    (void)vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return text;
}
