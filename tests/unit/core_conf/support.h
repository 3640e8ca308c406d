/* SPDX-License-Identifier: MIT */
#pragma once

/* What the tests of core/conf share: peers, small files, memory that runs out. */

#include <sys/stat.h>

#include "core/base/mem.h"

/* Of peerup-protocols, section 1.1. */
#define PEER_A "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"
#define PEER_B "12D3KooWCd3eX8r5ihRvzK7P1yPq5aakaBJhG5GNj18YTztPhoCa"
#define PEER_R "12D3KooWCKq9ZvccjmCqhBbPsrgpAKBHWQpgB61ruM19CyAvH1Cp"

/* The system's memory, whose n-th allocation fails, once. */
struct failing_mem {
    struct mem mem;
    uint32_t countdown;
};

void *failing_resize(struct mem *m, void *p, size_t size);

#define FAILING_MEM_INIT(n) \
    ((struct failing_mem){.mem = {.resize = failing_resize}, .countdown = (n)})

/* Writes a file with this mode, whatever the umask is. */
void put_file(const char *path, const char *text, mode_t mode);

/* The whole file, in a static buffer of 64 KiB that the next call reuses. */
const char *get_file(const char *path);

/* The permission bits, or 0 when there is no such file. */
mode_t mode_of(const char *path);

/* The number of entries of a directory, hidden ones too. */
uint32_t count_entries(const char *dir);

/* Removes a directory of the tests below /tmp with all that is in it. */
void remove_tree(const char *dir);
