/* SPDX-License-Identifier: MIT */
#include "core/conf/yaml.h"

#include <yaml.h>

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/base/problem.h"
#include "core/base/strbuf.h"

struct level {
    struct yaml_node *node;
    const struct yaml_node **tail;
    struct yaml_node *pending; /* of a map: the item whose key was read, value to come */
};

struct walk {
    struct arena *arena;
    const char *name;
    struct problem *problem;
    struct level levels[YAML_DEPTH_MAX];
    uint32_t depth; /* open lists and maps */
    uint32_t nodes;
    struct yaml_node *root;
};

static struct yaml_place place_of(yaml_mark_t m) {
    return (struct yaml_place){.line = (uint32_t)m.line + 1, .column = (uint32_t)m.column};
}

static int refuse(struct walk *w, yaml_mark_t at, int error, const char *what) {
    (void)problem_set(w->problem, error, "%s:%u: %s", w->name, place_of(at).line, what);
    return error;
}

static bool is_null(const char *text) {
    static const char *const NULLS[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; i < ARRAY_COUNT(NULLS); i++)
        if (strcmp(text, NULLS[i]) == 0)
            return true;
    return false;
}

/* The key of the next item of a map. */
static int take_key(struct walk *w, const yaml_event_t *ev) {
    struct level *l = &w->levels[w->depth - 1];
    const char *key = (const char *)ev->data.scalar.value;

    if (strlen(key) != ev->data.scalar.length)
        return refuse(w, ev->start_mark, -ERR_MALFORMED, "NUL character in a key");
    for (const struct yaml_node *n = l->node->first; n != NULL; n = n->next)
        if (strcmp(n->key, key) == 0)
            return problem_set(w->problem, -ERR_MALFORMED,
                               "%s:%u: mapping key \"%s\" already defined at line %u", w->name,
                               place_of(ev->start_mark).line, key, n->key_at.line);
    if (l->node->count >= YAML_KEYS_MAX)
        return refuse(w, ev->start_mark, -ERR_LIMIT, "too many keys in one mapping");

    struct yaml_node *n = arena_alloc(w->arena, sizeof(*n));
    char *copy = arena_strdup(w->arena, key);
    if (n == NULL || copy == NULL)
        return refuse(w, ev->start_mark, -ENOMEM, err_text(-ENOMEM));
    n->key = copy;
    n->key_at = place_of(ev->start_mark);
    l->pending = n;
    return 0;
}

/* Makes the node of a value and hangs it into its parent. */
static int add_node(struct walk *w, const yaml_event_t *ev, enum yaml_kind kind,
                    struct yaml_node **ret_node) {
    struct level *l = w->depth > 0 ? &w->levels[w->depth - 1] : NULL;
    struct yaml_node *n = l != NULL && l->pending != NULL ? TAKE(l->pending) : NULL;

    if (++w->nodes > YAML_NODES_MAX)
        return refuse(w, ev->start_mark, -ERR_LIMIT, "too many values");
    if (n == NULL && (n = arena_alloc(w->arena, sizeof(*n))) == NULL)
        return refuse(w, ev->start_mark, -ENOMEM, err_text(-ENOMEM));
    n->kind = kind;
    n->text = "";
    n->start = place_of(ev->start_mark);
    n->end = place_of(ev->end_mark);
    if (l == NULL) {
        w->root = n;
    } else {
        *l->tail = n;
        l->tail = &n->next;
        l->node->count++;
    }
    *ret_node = n;
    return 0;
}

static int on_scalar(struct walk *w, const yaml_event_t *ev) {
    const char *text = (const char *)ev->data.scalar.value;
    bool in_map = w->depth > 0 && w->levels[w->depth - 1].node->kind == YAML_MAP;
    bool is_plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    struct yaml_node *n;

    if (ev->data.scalar.anchor != NULL)
        return refuse(w, ev->start_mark, -ERR_MALFORMED, "anchors are not supported");
    if (ev->data.scalar.tag != NULL)
        return refuse(w, ev->start_mark, -ERR_MALFORMED, "tags are not supported");
    if (in_map && w->levels[w->depth - 1].pending == NULL)
        return take_key(w, ev);
    if (strlen(text) != ev->data.scalar.length)
        return refuse(w, ev->start_mark, -ERR_MALFORMED, "NUL character in a value");

    int e = add_node(w, ev, is_plain && is_null(text) ? YAML_NULL : YAML_TEXT, &n);
    if (e < 0 || n->kind == YAML_NULL)
        return e;
    n->text = arena_strdup(w->arena, text);
    return n->text == NULL ? refuse(w, ev->start_mark, -ENOMEM, err_text(-ENOMEM)) : 0;
}

static int on_open(struct walk *w, const yaml_event_t *ev, enum yaml_kind kind, bool is_flow,
                   bool is_marked) {
    struct yaml_node *n;

    if (is_marked)
        return refuse(w, ev->start_mark, -ERR_MALFORMED, "anchors and tags are not supported");
    if (w->depth > 0 && w->levels[w->depth - 1].node->kind == YAML_MAP &&
        w->levels[w->depth - 1].pending == NULL)
        return refuse(w, ev->start_mark, -ERR_MALFORMED, "a mapping key must be a plain text");
    if (w->depth == YAML_DEPTH_MAX)
        return refuse(w, ev->start_mark, -ERR_LIMIT, "nested too deeply");
    int e = add_node(w, ev, kind, &n);
    if (e < 0)
        return e;
    n->is_flow = is_flow;
    w->levels[w->depth++] = (struct level){.node = n, .tail = &n->first};
    return 0;
}

static void on_close(struct walk *w, const yaml_event_t *ev) {
    assert(w->depth > 0);
    struct yaml_node *n = w->levels[--w->depth].node;

    /* The end of a block is where libyaml saw the next token, behind blank lines and comments:
     * what an editor wants is the end of the last item. */
    if (n->is_flow)
        n->end = place_of(ev->end_mark);
    else
        for (const struct yaml_node *c = n->first; c != NULL; c = c->next)
            n->end = c->end;
}

static int on_event(struct walk *w, const yaml_event_t *ev) {
    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT:
        return w->root == NULL
                   ? 0
                   : refuse(w, ev->start_mark, -ERR_MALFORMED, "more than one document");
    case YAML_ALIAS_EVENT:
        return refuse(w, ev->start_mark, -ERR_MALFORMED, "aliases are not supported");
    case YAML_SCALAR_EVENT:
        return on_scalar(w, ev);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(w, ev, YAML_LIST, ev->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE,
                       ev->data.sequence_start.anchor != NULL ||
                           ev->data.sequence_start.tag != NULL);
    case YAML_MAPPING_START_EVENT:
        return on_open(w, ev, YAML_MAP, ev->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE,
                       ev->data.mapping_start.anchor != NULL || ev->data.mapping_start.tag != NULL);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        on_close(w, ev);
        return 0;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return 0;
    }
    return 0;
}

static int parser_problem(struct walk *w, const yaml_parser_t *p) {
    if (p->error == YAML_MEMORY_ERROR)
        return problem_set(w->problem, -ENOMEM, "%s: %s", w->name, err_text(-ENOMEM));
    return problem_set(w->problem, -ERR_MALFORMED, "%s:%u: %s", w->name,
                       place_of(p->problem_mark).line,
                       p->problem == NULL ? "not YAML" : p->problem);
}

static int walk_events(struct walk *w, yaml_parser_t *p) {
    bool at_end = false;
    while (!at_end) {
        yaml_event_t ev;
        if (yaml_parser_parse(p, &ev) == 0)
            return parser_problem(w, p);
        at_end = ev.type == YAML_STREAM_END_EVENT;
        int e = on_event(w, &ev);
        yaml_event_delete(&ev);
        if (e < 0)
            return e;
    }
    assert(w->depth == 0);
    return 0;
}

int yaml_tree_parse(struct arena *a, const char *name, struct bytes text,
                    const struct yaml_node **ret_root, struct problem *ret_problem) {
    struct walk w = {.arena = a, .name = name, .problem = ret_problem};
    yaml_parser_t p;

    if (yaml_parser_initialize(&p) == 0)
        return problem_set(ret_problem, -ENOMEM, "%s: %s", name, err_text(-ENOMEM));
    yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p, text.len == 0 ? (const unsigned char *)"" : text.data,
                                 text.len);
    int e = walk_events(&w, &p);
    yaml_parser_delete(&p);
    if (e < 0)
        return e;
    if (w.root == NULL) {
        w.root = arena_alloc(a, sizeof(*w.root));
        if (w.root == NULL)
            return problem_set(ret_problem, -ENOMEM, "%s: %s", name, err_text(-ENOMEM));
        w.root->text = "";
        w.root->start.line = w.root->end.line = 1;
    }
    *ret_root = w.root;
    return 0;
}

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key) {
    if (map == NULL || map->kind != YAML_MAP)
        return NULL;
    for (const struct yaml_node *n = map->first; n != NULL; n = n->next)
        if (strcmp(n->key, key) == 0)
            return n;
    return NULL;
}

/* Only texts of these characters, beginning with a letter or a slash, and none of the words that
 * YAML 1.1 or 1.2 read as something else, are written plain.  Digits begin numbers, dates and
 * octal surprises, but "127.0.0.1:9090" is so common that two dots are proof enough. */
static bool is_safe_plain(const char *text) {
    static const char *const WORDS[] = {"true", "false", "yes", "no",   "on",  "off",
                                        "y",    "n",     "",    "null", "nan", "inf"};
    static const char SAFE[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "0123456789/._-:";
    size_t len = strlen(text);

    for (size_t i = 0; i < ARRAY_COUNT(WORDS); i++)
        if (strcasecmp(text, WORDS[i]) == 0)
            return false;
    if (strspn(text, SAFE) != len || text[len - 1] == ':' || strchr("-.:_", text[0]) != NULL)
        return false;
    if (text[0] < '0' || text[0] > '9')
        return true;
    const char *dot = strchr(text, '.');
    bool has_two_dots = dot != NULL && strchr(dot + 1, '.') != NULL;
    bool has_letter = strpbrk(text, "ghijklmnpqrstuvwyzGHIJKLMNPQRSTUVWYZ") != NULL;
    return has_two_dots || has_letter;
}

void yaml_write_quoted(struct strbuf *out, const char *text) {
    strbuf_add_char(out, '"');
    for (const char *p = text; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\') {
            strbuf_add_char(out, '\\');
            strbuf_add_char(out, *p);
        } else if (c < 0x20 || c == 0x7f) {
            strbuf_addf(out, "\\x%02x", c);
        } else {
            strbuf_add_char(out, *p);
        }
    }
    strbuf_add_char(out, '"');
}

void yaml_write_scalar(struct strbuf *out, const char *text) {
    if (is_safe_plain(text))
        strbuf_add(out, text);
    else
        yaml_write_quoted(out, text);
}
