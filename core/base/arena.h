/* SPDX-License-Identifier: MIT */
#pragma once

/* Memory for things that end together: one parsed file, one lookup, one request.
 *
 * Pieces are never freed one by one; arena_done() returns all.  Thread: one at a time.
 */

#include "core/base/bytes.h"

struct mem;
struct arena_chunk;

struct arena {
    struct mem *mem;
    struct arena_chunk *chunks; /* the newest first; only this one is filled */
};

void arena_init(struct arena *a, struct mem *mem);

/* Frees everything.  The arena is empty afterwards and can be used again. */
void arena_done(struct arena *a);

/* Zeroed memory, aligned for any type, or NULL.  Size 0 gives a pointer that must not be read. */
NODISCARD void *arena_alloc(struct arena *a, size_t size);

/* Zeroed array, or NULL; also when count * size overflows. */
NODISCARD void *arena_alloc_array(struct arena *a, size_t count, size_t size);

/* A NUL-terminated copy, or NULL. */
NODISCARD char *arena_strdup(struct arena *a, const char *s);
NODISCARD char *arena_strndup(struct arena *a, const char *s, size_t len);

/* Formatted text, or NULL. */
NODISCARD char *arena_printf(struct arena *a, const char *format, ...) PRINTF(2, 3);
