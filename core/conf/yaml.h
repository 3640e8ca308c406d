/* SPDX-License-Identifier: MIT */
#pragma once

/* A strict walk over YAML text: one document becomes a tree whose nodes know where they stand.
 *
 * Strict means: a mapping key twice is an error, as are aliases, anchors, tags, a second document
 * and keys that are not scalars; depth and number of nodes are bounded, so hostile text costs
 * little.  The tree says nothing about meaning: a scalar is text, and who wants a number parses it.
 *
 * core/conf/yaml.c is the only file that includes libyaml's header.
 * Memory: nodes and texts live in the arena that the caller gives.
 */

#include "core/base/bytes.h"

struct arena;
struct problem;

enum { YAML_DEPTH_MAX = 16, YAML_NODES_MAX = 16384, YAML_KEYS_MAX = 2048 };

/* Of a character: line from 1, column from 0, counted in characters as libyaml does. */
struct yaml_place {
    uint32_t line;
    uint32_t column;
};

enum yaml_kind { YAML_NULL, YAML_TEXT, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    bool is_flow;     /* a list or map written with [] or {} */
    const char *text; /* YAML_TEXT: the value, else "" */
    const char *key;  /* where the parent is a map, else NULL */
    struct yaml_place key_at;
    struct yaml_place start; /* of the value; of the first item of a block */
    struct yaml_place end;   /* behind the last character of the value or of the last item */
    const struct yaml_node *first;
    const struct yaml_node *next; /* the next item of the same parent */
    uint32_t count;               /* items */
};

/* The line to name when something is wrong with the node. */
static inline uint32_t yaml_line(const struct yaml_node *n) {
    return n->key != NULL ? n->key_at.line : n->start.line;
}

/* Parses one document.  Empty text gives a YAML_NULL.  `name` (the file's) begins the problem:
 * "<name>:<line>: ...".
 *   -ERR_MALFORMED  not YAML, or not the part of it that we take
 *   -ERR_LIMIT      too deep or too many nodes
 *   -ENOMEM                                                                                    */
NODISCARD int yaml_tree_parse(struct arena *a, const char *name, struct bytes text,
                              const struct yaml_node **ret_root, struct problem *ret_problem);

/* The item of a map with this key, or NULL; also when `map` is NULL or no map. */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);

/* Appends the text as a YAML scalar: plain where that is safe, else double-quoted. */
struct strbuf;
void yaml_write_scalar(struct strbuf *out, const char *text);
/* Always double-quoted. */
void yaml_write_quoted(struct strbuf *out, const char *text);
