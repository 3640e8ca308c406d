/* SPDX-License-Identifier: MIT */
#pragma once

/* The allocator interface.  Whatever allocates takes a `struct mem *`, so that a test can make
 * the n-th allocation fail.  core/base/mem.c is the only file that calls malloc.
 *
 * Thread: mem_system() may be used by any thread; other allocators say so themselves.
 */

#include "core/base/base.h"

struct mem {
    /* As realloc(3); size 0 frees and returns NULL.  Memory is not cleared. */
    void *(*resize)(struct mem *m, void *p, size_t size);
};

/* The C library's heap. */
struct mem *mem_system(void);

/* Zeroed memory, or NULL. */
NODISCARD void *mem_alloc(struct mem *m, size_t size);

/* Zeroed array, or NULL; also when count * size overflows. */
NODISCARD void *mem_alloc_array(struct mem *m, size_t count, size_t size);

/* NULL leaves `p` as it was.  New bytes are not cleared. */
NODISCARD void *mem_resize(struct mem *m, void *p, size_t size);

/* Frees; accepts NULL; returns NULL. */
void *mem_free(struct mem *m, void *p);

/* A copy of a string, or NULL. */
NODISCARD char *mem_strdup(struct mem *m, const char *s);

/* Overwrites secrets in a way that the compiler keeps. */
void mem_wipe(void *p, size_t size);

/* Whether secrets are equal, in a time that depends on their size alone. */
bool mem_equal_secret(const void *a, const void *b, size_t size);
