/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/base/strbuf.h"
#include "core/conf/yaml.h"
#include "tests/unit/core_conf/support.h"

static struct arena arena_for_test(void) {
    struct arena a;
    arena_init(&a, mem_system());
    return a;
}

static const struct yaml_node *parse(struct arena *a, const char *text) {
    const struct yaml_node *root = NULL;
    struct problem why = PROBLEM_INIT;
    int e = yaml_tree_parse(a, "f.yaml", bytes_of_str(text), &root, &why);
    cr_assert(e == 0, "%s", why.text);
    return root;
}

Test(yaml, nodes_know_where_they_stand) {
    struct arena a = arena_for_test();
    const struct yaml_node *root = parse(&a, "# top\n"
                                             "a: one\n"
                                             "b:\n"
                                             "  - x\n"
                                             "  - \"y z\"\n"
                                             "\n"
                                             "# behind\n"
                                             "c: {d: 1}\n");
    const struct yaml_node *b = yaml_get(root, "b"), *c = yaml_get(root, "c");

    cr_assert(root->kind == YAML_MAP && root->count == 3);
    cr_expect_str_eq(yaml_get(root, "a")->text, "one");
    cr_expect_eq(yaml_line(yaml_get(root, "a")), 2);
    cr_assert(b->kind == YAML_LIST && b->count == 2);
    cr_expect_eq(b->start.line, 4);
    cr_expect_eq(b->start.column, 2);
    cr_expect_eq(b->end.line, 5, "the end is that of the last item, not of the comment behind");
    cr_expect_eq(b->end.column, 9);
    cr_expect_str_eq(b->first->next->text, "y z");
    cr_expect(c->is_flow && c->end.column == 9);
    cr_expect_null(yaml_get(root, "d"));
    cr_expect_null(yaml_get(NULL, "d"));
    arena_done(&a);
}

Test(yaml, nothing_is_null) {
    struct arena a = arena_for_test();
    static const char *const EMPTY[] = {"", "\n\n", "# only a comment\n", "---\n", "~\n"};

    for (size_t i = 0; i < ARRAY_COUNT(EMPTY); i++)
        cr_expect_eq(parse(&a, EMPTY[i])->kind, YAML_NULL, "%s", EMPTY[i]);
    const struct yaml_node *root = parse(&a, "a:\nb: null\nc: \"\"\nd: \"null\"\n");
    cr_expect_eq(yaml_get(root, "a")->kind, YAML_NULL);
    cr_expect_eq(yaml_get(root, "b")->kind, YAML_NULL);
    cr_expect_eq(yaml_get(root, "c")->kind, YAML_TEXT);
    cr_expect_eq(yaml_get(root, "d")->kind, YAML_TEXT);
    arena_done(&a);
}

Test(yaml, what_is_refused_names_its_line) {
    static const struct {
        const char *text;
        const char *problem;
    } ROWS[] = {
        {"a: 1\nb: 2\na: 3\n", "f.yaml:3: mapping key \"a\" already defined at line 1"},
        {"x:\n  k: 1\n  \"k\": 2\n", "f.yaml:3: mapping key \"k\" already defined at line 2"},
        {"a: &x 1\n", "f.yaml:1: anchors are not supported"},
        {"a: &x [1]\n", "f.yaml:1: anchors and tags are not supported"},
        {"a: *x\n", "f.yaml:1: aliases are not supported"},
        {"a: !!str 1\n", "f.yaml:1: tags are not supported"},
        {"? [a]\n: 1\n", "f.yaml:1: a mapping key must be a plain text"},
        {"a: 1\n---\nb: 2\n", "f.yaml:2: more than one document"},
        {"a: \"\\0\"\n", "f.yaml:1: NUL character in a value"},
        {"\"\\0\": 1\n", "f.yaml:1: NUL character in a key"},
        {"a: [1\nb: 2\n", "f.yaml:2: did not find expected ',' or ']'"},
        {"a: \"open\n", "f.yaml:2: found unexpected end of stream"},
        {"a: 1\n  b: 2\n", "f.yaml:2: mapping values are not allowed in this context"},
        {"\ta: 1\n", "f.yaml:1: found character that cannot start any token"},
        {"a: \xff\n", "f.yaml:1: invalid leading UTF-8 octet"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct arena a = arena_for_test();
        struct problem why = PROBLEM_INIT;
        const struct yaml_node *root = NULL;
        int e = yaml_tree_parse(&a, "f.yaml", bytes_of_str(ROWS[i].text), &root, &why);
        cr_expect_eq(e, -ERR_MALFORMED, "%s", ROWS[i].text);
        cr_expect_str_eq(why.text, ROWS[i].problem);
        cr_expect_null(root);
        arena_done(&a);
    }
}

Test(yaml, depth_nodes_and_keys_are_bounded) {
    struct strbuf text = STRBUF_INIT(MIB(1));
    struct arena a = arena_for_test();
    struct problem why = PROBLEM_INIT;
    const struct yaml_node *root;

    for (int i = 0; i < YAML_DEPTH_MAX; i++)
        strbuf_add_char(&text, '[');
    for (int i = 0; i < YAML_DEPTH_MAX; i++)
        strbuf_add_char(&text, ']');
    cr_expect(yaml_tree_parse(&a, "f", strbuf_bytes(&text), &root, &why) == 0, "%s", why.text);
    strbuf_reset(&text);
    for (int i = 0; i < 100000; i++)
        strbuf_add_char(&text, '[');
    cr_expect_eq(yaml_tree_parse(&a, "f", strbuf_bytes(&text), &root, &why), -ERR_LIMIT);
    cr_expect_str_eq(why.text, "f:1: nested too deeply");

    strbuf_reset(&text);
    for (int i = 0; i <= YAML_NODES_MAX; i++)
        strbuf_add(&text, "- 1\n");
    cr_expect_eq(yaml_tree_parse(&a, "f", strbuf_bytes(&text), &root, &why), -ERR_LIMIT);
    cr_expect_str_eq(why.text, "f:16384: too many values");

    strbuf_reset(&text);
    for (int i = 0; i <= YAML_KEYS_MAX; i++)
        strbuf_addf(&text, "k%d: 1\n", i);
    cr_expect_eq(yaml_tree_parse(&a, "f", strbuf_bytes(&text), &root, &why), -ERR_LIMIT);
    cr_expect_str_eq(why.text, "f:2049: too many keys in one mapping");
    strbuf_free(&text);
    arena_done(&a);
}

Test(yaml, every_allocation_may_fail) {
    struct strbuf text = STRBUF_INIT(MIB(1));
    int e = -ENOMEM;
    uint32_t n = 0;

    for (int i = 0; i < 300; i++)
        strbuf_addf(&text, "key%d:\n  - a value of some length\n  - {a: b}\n", i);
    while (e == -ENOMEM) {
        struct failing_mem f = FAILING_MEM_INIT(++n);
        struct arena a;
        const struct yaml_node *root;
        arena_init(&a, &f.mem);
        e = yaml_tree_parse(&a, "f", strbuf_bytes(&text), &root, NULL);
        arena_done(&a);
        cr_assert(e == 0 || e == -ENOMEM);
    }
    cr_expect_gt(n, 5, "nothing was made to fail");
    strbuf_free(&text);
}

Test(yaml, scalars_are_quoted_when_they_would_read_as_something_else) {
    static const struct {
        const char *text;
        const char *yaml;
    } ROWS[] = {
        {"ssh", "ssh"},
        {"localhost:22", "localhost:22"},
        {"/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/tcp/0"},
        {"127.0.0.1:9091", "127.0.0.1:9091"},
        {"12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB",
         "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"},
        {"2m0s", "2m0s"},
        {"", "\"\""},
        {"true", "\"true\""},
        {"No", "\"No\""},
        {"12", "\"12\""},
        {"1:30", "\"1:30\""},
        {"0x1f", "\"0x1f\""},
        {"1e3", "\"1e3\""},
        {"a b", "\"a b\""},
        {"a: b", "\"a: b\""},
        {"-x", "\"-x\""},
        {"a:", "\"a:\""},
        {"q\"\\", "\"q\\\"\\\\\""},
        {"\n", "\"\\x0a\""},
        {"[::1]:22", "\"[::1]:22\""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct strbuf out = STRBUF_INIT(200), doc = STRBUF_INIT(200);
        struct arena a = arena_for_test();
        yaml_write_scalar(&out, ROWS[i].text);
        cr_expect_str_eq(strbuf_text(&out), ROWS[i].yaml);
        strbuf_addf(&doc, "k: %s\n", strbuf_text(&out));
        cr_expect_str_eq(yaml_get(parse(&a, strbuf_text(&doc)), "k")->text, ROWS[i].text);
        arena_done(&a);
        strbuf_free(&out);
        strbuf_free(&doc);
    }
}
