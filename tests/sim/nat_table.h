/* SPDX-License-Identifier: MIT */
#pragma once

/* The pairs that nat-matrix runs: every kind of box with every other one, and some that are worth a
 * name. */

#include "tests/sim/pair.h"

enum { CELL_NAME_MAX = 96, CELLS_MAX = 1100, GROUPS_MAX = 8, KINDS_MAX = 18, KIND_NAME_MAX = 16 };

struct nat_cell {
    char name[CELL_NAME_MAX];
    struct pair_plan plan;
};

/* Cells of one title: of all pairs of its kinds, rows who dials; or a list. */
struct nat_group {
    const char *title;
    char kinds[KINDS_MAX][KIND_NAME_MAX];
    uint32_t kinds_count; /* 0: a list */
    uint32_t cells_first;
    uint32_t cells_count;
};

struct nat_table {
    struct nat_group groups[GROUPS_MAX];
    uint32_t groups_count;
    struct nat_cell cells[CELLS_MAX];
    uint32_t cells_count;
};

void nat_table_make(struct nat_table *ret_table);
