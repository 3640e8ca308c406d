/* SPDX-License-Identifier: MIT */
/* The YAML reader, raw: bounds and places of every node; and what is written as a scalar reads
 * back as the same text. */

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/base/strbuf.h"
#include "core/conf/yaml.h"
#include "tests/fuzz/fuzz.h"

static size_t check_node(const struct yaml_node *n, size_t depth) {
    assert(depth <= YAML_DEPTH_MAX);
    assert(n->start.line >= 1);
    assert(n->end.line >= n->start.line);
    if (n->kind == YAML_TEXT || n->kind == YAML_NULL) {
        assert(n->count == 0 && n->first == NULL);
        return 1;
    }
    size_t nodes_count = 1;
    uint32_t items_count = 0;
    for (const struct yaml_node *item = n->first; item != NULL; item = item->next) {
        assert((item->key != NULL) == (n->kind == YAML_MAP));
        if (item->key != NULL)
            assert(yaml_get(n, item->key) == item);
        nodes_count += check_node(item, depth + 1);
        items_count++;
    }
    assert(items_count == n->count);
    return nodes_count;
}

static void check_tree(struct bytes in) {
    struct arena arena;
    struct problem problem = PROBLEM_INIT;
    const struct yaml_node *root;
    arena_init(&arena, mem_system());
    int e = yaml_tree_parse(&arena, "f", in, &root, &problem);
    assert(e == 0 || e == -ERR_MALFORMED || e == -ERR_LIMIT);
    if (e == 0)
        assert(check_node(root, 0) <= YAML_NODES_MAX);
    else
        assert(strncmp(problem.text, "f:", 2) == 0);
    arena_done(&arena);
}

static bool is_utf8_text(const char *text) {
    for (; *text != '\0'; text++)
        if ((uint8_t)*text >= 0x80)
            return false; /* YAML's own rules begin there */
    return true;
}

static void check_scalar(const char *text, void (*write)(struct strbuf *out, const char *text)) {
    struct arena arena;
    struct problem problem = PROBLEM_INIT;
    const struct yaml_node *root;
    SCOPED(strbuf_free) struct strbuf out = STRBUF_INIT(1 << 20);
    strbuf_add(&out, "a: ");
    write(&out, text);
    strbuf_add(&out, "\nb: [");
    write(&out, text);
    strbuf_add(&out, "]\n");
    assert(strbuf_error(&out) == 0);

    arena_init(&arena, mem_system());
    assert(yaml_tree_parse(&arena, "f", strbuf_bytes(&out), &root, &problem) == 0);
    const struct yaml_node *a = yaml_get(root, "a"), *b = yaml_get(root, "b");
    assert(a->kind == YAML_TEXT && strcmp(a->text, text) == 0);
    assert(b->kind == YAML_LIST && b->count == 1 && strcmp(b->first->text, text) == 0);
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes in = bytes_of(data, size);
    check_tree(in);
    char *text = fuzz_text(in);
    if (is_utf8_text(text)) {
        check_scalar(text, yaml_write_scalar);
        check_scalar(text, yaml_write_quoted);
    }
    free(text);
    return 0;
}
