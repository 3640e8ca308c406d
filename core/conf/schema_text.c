/* SPDX-License-Identifier: MIT */

/* The option table as text: the resolved config, the nearest key, the document of `init`. */

#include <inttypes.h>

#include "core/base/strbuf.h"
#include "core/conf/schema_internal.h"
#include "core/conf/units.h"

enum { SHOW_INDENT = 4, GENERATE_INDENT = 2, COMMENT_COLUMNS = 80 };

static void add_indent(struct strbuf *out, size_t depth, size_t width) {
    for (size_t i = 0; i < depth * width; i++)
        strbuf_add_char(out, ' ');
}

const char *config_type_name(enum config_type type) {
    switch (type) {
    case CONFIG_BOOL:
        return "bool";
    case CONFIG_INT:
        return "int";
    case CONFIG_DURATION:
        return "duration";
    case CONFIG_SIZE:
        return "size";
    case CONFIG_TEXT:
        return "text";
    case CONFIG_PATH:
        return "path";
    case CONFIG_LABEL:
        return "DNS label";
    case CONFIG_CHOICE:
        return "choice";
    case CONFIG_PROTOCOL:
        return "protocol ID";
    case CONFIG_LISTEN:
    case CONFIG_HOST_PORT:
        return "host:port";
    case CONFIG_ADDRS:
        return "list of multiaddr";
    case CONFIG_PEERS:
        return "list of peer ID";
    case CONFIG_SERVERS:
        return "list of host:port";
    case CONFIG_TARGET:
        return "peer ID, multiaddr with /p2p, or list of those";
    }
    return "";
}

/* config show */

static void show_list_item(struct strbuf *out, size_t depth, const char *text) {
    add_indent(out, depth, SHOW_INDENT);
    strbuf_add(out, "- ");
    yaml_write_scalar(out, text);
    strbuf_add_char(out, '\n');
}

static void show_list_head(struct strbuf *out, size_t count) {
    strbuf_add(out, count == 0 ? " []\n" : "\n");
}

static void show_list(const struct config_option *o, const void *value, size_t depth,
                      struct strbuf *out) {
    char id[PEER_ID_TEXT_MAX];
    const struct config_addrs *addrs = value;
    const struct config_peers *peers = value;
    const struct config_servers *servers = value;
    const struct config_target *target = value;

    if (o->type == CONFIG_ADDRS) {
        show_list_head(out, addrs->count);
        for (uint32_t i = 0; i < addrs->count; i++)
            show_list_item(out, depth, addrs->items[i].text);
    } else if (o->type == CONFIG_PEERS) {
        show_list_head(out, peers->count);
        for (uint32_t i = 0; i < peers->count; i++)
            show_list_item(out, depth, peer_id_format(&peers->items[i], id));
    } else if (o->type == CONFIG_SERVERS) {
        show_list_head(out, servers->count);
        for (uint32_t i = 0; i < servers->count; i++)
            show_list_item(out, depth, servers->items[i].text);
    } else {
        show_list_head(out, target->texts_count);
        for (uint32_t i = 0; i < target->texts_count; i++)
            show_list_item(out, depth, target->texts[i]);
    }
}

/* " value" and LF, or a list below the key at `depth`. */
static void show_value(const struct config_option *o, const void *value, size_t depth,
                       struct strbuf *out) {
    char text[DURATION_TEXT_MAX];
    const struct config_target *target = value;
    const char *word = text;
    int64_t number = 0;

    switch (o->type) {
    case CONFIG_ADDRS:
    case CONFIG_PEERS:
    case CONFIG_SERVERS:
        show_list(o, value, depth + 1, out);
        return;
    case CONFIG_TARGET:
        if (target->texts_count != 1) {
            show_list(o, value, depth + 1, out);
            return;
        }
        word = target->texts[0];
        break;
    case CONFIG_BOOL:
        strbuf_add(out, *(const bool *)value ? " true\n" : " false\n");
        return;
    case CONFIG_INT:
        memcpy(&number, value, sizeof(number));
        strbuf_addf(out, " %" PRId64 "\n", number);
        return;
    case CONFIG_DURATION:
        memcpy(&number, value, sizeof(number));
        duration_format(number, text);
        break;
    case CONFIG_SIZE:
        memcpy(&number, value, sizeof(number));
        size_format(number, text);
        break;
    case CONFIG_HOST_PORT:
        word = ((const struct config_host_port *)value)->text;
        break;
    case CONFIG_TEXT:
    case CONFIG_PATH:
    case CONFIG_LABEL:
    case CONFIG_CHOICE:
    case CONFIG_PROTOCOL:
    case CONFIG_LISTEN:
        memcpy(&word, value, sizeof(word));
        break;
    }
    strbuf_add_char(out, ' ');
    yaml_write_scalar(out, word == NULL ? "" : word);
    strbuf_add_char(out, '\n');
}

/* Writes the sections in which `key` stands and `*last` did not, and moves *last on.  Returns the
 * last part of the key, with its depth. */
static const char *enter_sections(const char **last, const char *key, size_t indent_width,
                                  struct strbuf *out, size_t *ret_depth) {
    const char *part = key;
    size_t depth = 0;
    for (const char *dot; (dot = strchr(part, '.')) != NULL; part = dot + 1, depth++) {
        size_t len = (size_t)(dot - key) + 1;
        if (strncmp(*last, key, len) == 0)
            continue;
        add_indent(out, depth, indent_width);
        strbuf_addf(out, "%.*s:\n", (int)(dot - part), part);
    }
    *last = key;
    *ret_depth = depth;
    return part;
}

static void show_element(const struct config_schema *s, const struct config_group *g,
                         const char *element, struct strbuf *out) {
    size_t prefix_len = strlen(g->key) + 1 + strlen(SCHEMA_NAME_PART);
    struct config_item item;

    memcpy(&item, element, sizeof(item));
    add_indent(out, 1, SHOW_INDENT);
    yaml_write_scalar(out, item.key);
    strbuf_add_char(out, ':');
    bool is_leaf = true;
    for (size_t i = 0; i < s->options_count; i++) {
        const struct config_option *o = &s->options[i];
        if (!schema_key_is_below(o->key, g->key))
            continue;
        if (o->key[prefix_len] == '\0') {
            show_value(o, element + o->offset, 1, out);
            continue;
        }
        if (is_leaf)
            strbuf_add_char(out, '\n');
        is_leaf = false;
        if (schema_value_is_empty(o, element + o->offset))
            continue;
        add_indent(out, 2, SHOW_INDENT);
        strbuf_addf(out, "%s:", o->key + prefix_len + 1);
        show_value(o, element + o->offset, 2, out);
    }
}

static void show_group(const struct config_schema *s, const struct config_group *g,
                       const struct config_base *base, struct strbuf *out) {
    const char *items;
    uint32_t count;

    memcpy(&items, (const char *)base + g->items_offset, sizeof(items));
    memcpy(&count, (const char *)base + g->count_offset, sizeof(count));
    if (count == 0)
        return;
    strbuf_addf(out, "%s:\n", g->key);
    for (uint32_t i = 0; i < count; i++)
        show_element(s, g, items + (size_t)i * g->item_size, out);
}

void schema_show(const struct config_schema *s, const struct config_base *base,
                 struct strbuf *out) {
    const struct config_group *shown = NULL;
    const char *last = "";

    for (size_t i = 0; i < s->options_count; i++) {
        const struct config_option *o = &s->options[i];
        const void *value = (const char *)base + o->offset;
        const struct config_group *g = NULL;
        for (size_t k = 0; k < s->groups_count && g == NULL; k++)
            if (schema_key_is_below(o->key, s->groups[k].key))
                g = &s->groups[k];
        if (g != NULL) {
            if (g != shown)
                show_group(s, g, base, out);
            shown = g;
            continue;
        }
        bool is_list = o->type == CONFIG_ADDRS || o->type == CONFIG_SERVERS;
        if (((o->flags & CONFIG_SHOW_IF_SET) != 0 && base->lines[i] == 0) ||
            (!is_list && schema_value_is_empty(o, value)))
            continue;
        size_t depth;
        const char *leaf = enter_sections(&last, o->key, SHOW_INDENT, out, &depth);
        add_indent(out, depth, SHOW_INDENT);
        strbuf_addf(out, "%s:", leaf);
        show_value(o, value, depth, out);
    }
}

/* The nearest key */

enum { KEY_COMPARED_MAX = 64 };

/* Levenshtein's distance of the first KEY_COMPARED_MAX characters. */
static unsigned edit_distance(const char *a, size_t a_len, const char *b, size_t b_len) {
    unsigned row[KEY_COMPARED_MAX + 1];

    a_len = MIN(a_len, (size_t)KEY_COMPARED_MAX);
    b_len = MIN(b_len, (size_t)KEY_COMPARED_MAX);
    for (size_t j = 0; j <= b_len; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= a_len; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            unsigned added = MIN(row[j], row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = MIN(replaced, added);
        }
    }
    return row[b_len];
}

static const char *leaf_of(const char *key, size_t len) {
    const char *leaf = key;
    for (size_t i = 0; i < len; i++)
        if (key[i] == '.')
            leaf = key + i + 1;
    return leaf;
}

/* A key in the wrong section is nearer than one that is spelled like it: the last part counts
 * alone too, at the price of one edit. */
static unsigned key_distance(const char *key, const char *known, size_t known_len) {
    size_t len = strlen(key);
    const char *leaf = leaf_of(key, len), *known_leaf = leaf_of(known, known_len);
    unsigned whole = edit_distance(key, len, known, known_len);
    unsigned last = 1 + edit_distance(leaf, (size_t)(key + len - leaf), known_leaf,
                                      (size_t)(known + known_len - known_leaf));
    return MIN(whole, last);
}

const char *schema_nearest_key(const struct config_schema *s, struct arena *a, const char *key) {
    const char *best = s->options[0].key;
    size_t best_len = strlen(best);
    unsigned best_distance = UINT32_MAX;

    for (size_t i = 0; i < s->options_count; i++) {
        const char *known = s->options[i].key;
        size_t known_len = strlen(known);
        for (size_t end = 1; end <= known_len; end++) {
            /* Each section is a candidate too, when only the section is misspelled. */
            if (known[end] != '.' && known[end] != '\0')
                continue;
            unsigned distance = key_distance(key, known, end);
            if (known[end - 1] != '>' && distance < best_distance) {
                best = known;
                best_len = end;
                best_distance = distance;
            }
        }
    }
    const char *copy = arena_strndup(a, best, best_len);
    return copy == NULL ? best : copy;
}

/* The document of init and join */

/* Sentences as a comment, wrapped. */
static void generate_comment(struct strbuf *out, size_t depth, const char *text) {
    size_t room = COMMENT_COLUMNS - depth * GENERATE_INDENT - 2;
    while (*text != '\0') {
        size_t len = strlen(text);
        if (len > room)
            for (len = room; len > 1 && text[len] != ' ';)
                len--;
        add_indent(out, depth, GENERATE_INDENT);
        strbuf_addf(out, "# %.*s\n", (int)len, text);
        text += len;
        while (*text == ' ')
            text++;
    }
}

static void generate_value(struct strbuf *out, const struct config_option *o, size_t depth,
                           const char *value) {
    bool is_list = o->type == CONFIG_ADDRS || o->type == CONFIG_SERVERS;
    bool is_bare = o->type == CONFIG_BOOL || o->type == CONFIG_INT;

    if (!is_list || *value == '\0') {
        strbuf_add_char(out, ' ');
        if (is_list || is_bare)
            strbuf_add(out, is_list ? "[]" : value);
        else
            yaml_write_quoted(out, value);
        strbuf_add_char(out, '\n');
        return;
    }
    strbuf_add_char(out, '\n');
    while (*value != '\0') {
        size_t len = strcspn(value, "\n");
        add_indent(out, depth + 1, GENERATE_INDENT);
        strbuf_addf(out, "- \"%.*s\"\n", (int)len, value);
        value += len + (value[len] == '\n' ? 1 : 0);
    }
}

void schema_generate(const struct config_schema *s, const struct schema_override *overrides,
                     size_t overrides_count, struct strbuf *out) {
    const char *last = "";

    for (size_t i = 0; i < s->options_count; i++) {
        const struct config_option *o = &s->options[i];
        const char *value = o->generated;
        for (size_t k = 0; k < overrides_count; k++)
            if (strcmp(overrides[k].key, o->key) == 0)
                value = overrides[k].value;
        if (value == NULL)
            continue;

        size_t depth;
        const char *before = last;
        size_t section_len = strcspn(o->key, ".");
        if (*before != '\0' && strncmp(before, o->key, section_len + 1) != 0)
            strbuf_add_char(out, '\n');
        const char *leaf = enter_sections(&last, o->key, GENERATE_INDENT, out, &depth);
        generate_comment(out, depth, o->help);
        add_indent(out, depth, GENERATE_INDENT);
        strbuf_addf(out, "%s:", leaf);
        generate_value(out, o, depth, value);
    }
}
