/* SPDX-License-Identifier: MIT */
#include "core/conf/schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/conf/schema_internal.h"
#include "core/conf/units.h"

const char SCHEMA_NAME_PART[] = "<name>";

struct reading {
    const struct config_schema *schema;
    struct config_base *base;
    struct problem *problem;
};

/* Where in the file, and whose value. */
struct spot {
    const struct config_option *option;
    const char *key; /* as the user sees it: "services.ssh.enabled" */
    const struct yaml_node *node;
};

static int no_memory(struct reading *r) {
    (void)problem_set(r->problem, -ENOMEM, "%s: %s", r->base->path, err_text(-ENOMEM));
    return -ENOMEM;
}

/* A load error at a node. */
static int PRINTF(3, 4) refuse(struct reading *r, const struct spot *at, const char *format, ...) {
    char text[PROBLEM_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)problem_set(r->problem, -ERR_CONFIG_INVALID, "%s:%u: %s: %s", r->base->path,
                      yaml_line(at->node), at->key, text);
    return -ERR_CONFIG_INVALID;
}

int schema_find(struct config_base *base, bool is_error, uint32_t line, const char *format, ...) {
    char text[PROBLEM_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);

    struct config_finding *f = arena_alloc(&base->arena, sizeof(*f));
    if (f == NULL)
        return -ENOMEM;
    f->is_error = is_error;
    f->text = line == 0 ? arena_printf(&base->arena, "%s: %s", base->path, text)
                        : arena_printf(&base->arena, "%s:%u: %s", base->path, line, text);
    if (f->text == NULL)
        return -ENOMEM;
    *base->findings_tail = f;
    base->findings_tail = &f->next;
    return 0;
}

int schema_check(const struct config_base *base, struct problem *ret_problem) {
    for (const struct config_finding *f = base->findings; f != NULL; f = f->next)
        if (f->is_error)
            return problem_set(ret_problem, -ERR_CONFIG_INVALID, "%s", f->text);
    return 0;
}

/* A finding about one value; bad items of forgiving options are warnings. */
static int PRINTF(3, 4) find_at(struct reading *r, const struct spot *at, const char *format, ...) {
    char text[PROBLEM_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    bool is_error = (at->option->flags & CONFIG_SKIP_BAD) == 0;
    int e = schema_find(r->base, is_error, yaml_line(at->node), "%s: %s", at->key, text);
    return e < 0 ? no_memory(r) : 0;
}

/* Scalars.  Each parser gets the text and where the value goes. */

static int parse_bool(struct reading *r, const struct spot *at, const char *text, void *to) {
    static const struct {
        const char *word;
        bool value;
    } WORDS[] = {{"true", true}, {"false", false}, {"True", true}, {"False", false},
                 {"TRUE", true}, {"FALSE", false}, {"yes", true},  {"no", false},
                 {"on", true},   {"off", false},   {"y", true},    {"n", false},
                 {"Y", true},    {"N", false}};

    for (size_t i = 0; i < ARRAY_COUNT(WORDS); i++)
        if (strcmp(text, WORDS[i].word) == 0) {
            *(bool *)to = WORDS[i].value;
            return 0;
        }
    return refuse(r, at, "must be true or false, not \"%s\"", text);
}

/* Checks bounds, takes the default for 0 where 0 means that, and stores. */
static int store_number(struct reading *r, const struct spot *at, int64_t value, void *to) {
    const struct config_option *o = at->option;
    char low[DURATION_TEXT_MAX];

    if (value == 0 && (o->flags & CONFIG_ZERO_DEFAULT) != 0 && at->node->key != NULL)
        return 0; /* the default was stored before the file was read */
    if (value < o->min && o->type == CONFIG_DURATION)
        return refuse(r, at, "must be at least %s", duration_format(o->min, low));
    if (value < o->min)
        return refuse(r, at, "must be at least %lld", (long long)o->min);
    if (o->max != 0 && value > o->max)
        return refuse(r, at, "must be at most %lld", (long long)o->max);
    memcpy(to, &value, sizeof(value));
    return 0;
}

static int parse_int(struct reading *r, const struct spot *at, const char *text, void *to) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (strspn(text, "-0123456789") != strlen(text) || *text == '\0' || *end != '\0' || errno != 0)
        return refuse(r, at, "must be a whole number, not \"%s\"", text);
    return store_number(r, at, value, to);
}

static const char *leaf_of(const char *key) {
    const char *dot = strrchr(key, '.');
    return dot == NULL ? key : dot + 1;
}

static int parse_duration(struct reading *r, const struct spot *at, const char *text, void *to) {
    struct problem why = PROBLEM_INIT;
    int64_t ns;
    if (duration_parse(text, &ns, &why) < 0)
        return refuse(r, at, "invalid %s: %s", leaf_of(at->key), why.text);
    return store_number(r, at, ns, to);
}

static int parse_size(struct reading *r, const struct spot *at, const char *text, void *to) {
    struct problem why = PROBLEM_INIT;
    int64_t bytes;
    if (size_parse(text, &bytes, &why) < 0)
        return refuse(r, at, "%s", why.text);
    return store_number(r, at, bytes, to);
}

/* Empty text is as good as none. */
static void store_text(const char *text, void *to) {
    const char *value = *text == '\0' ? NULL : text;
    memcpy(to, &value, sizeof(value));
}

static int parse_path(struct reading *r, const char *text, void *to) {
    const char *slash = strrchr(r->base->path, '/');
    if (*text == '\0' || *text == '/' || slash == NULL || !r->schema->paths_follow_file) {
        store_text(text, to);
        return 0;
    }
    while (strncmp(text, "./", 2) == 0)
        text += 2;
    char *full =
        arena_printf(&r->base->arena, "%.*s/%s", (int)(slash - r->base->path), r->base->path, text);
    if (full == NULL)
        return no_memory(r);
    store_text(full, to);
    return 0;
}

static int parse_label(struct reading *r, const struct spot *at, const char *text, void *to) {
    if (*text != '\0' && !dns_label_is_valid(text))
        return find_at(r, at, "invalid network name: \"%s\" %s", text, DNS_LABEL_RULE);
    store_text(text, to);
    return 0;
}

static bool is_choice(const char *choices, const char *text) {
    size_t len = strlen(text);
    for (const char *c = choices; *c != '\0'; c += strspn(c, " ")) {
        size_t word = strcspn(c, " ");
        if (word == len && memcmp(c, text, len) == 0)
            return true;
        c += word;
    }
    return false;
}

static int parse_choice(struct reading *r, const struct spot *at, const char *text, void *to) {
    if (*text == '\0')
        return 0; /* the default was stored before the file was read */
    if (!is_choice(at->option->choices, text))
        return refuse(r, at, "must be one of: %s; not \"%s\"", at->option->choices, text);
    store_text(text, to);
    return 0;
}

static int parse_protocol(struct reading *r, const struct spot *at, const char *text, void *to) {
    if (*text != '\0' && *text != '/')
        return find_at(r, at, "invalid protocol ID \"%s\": must begin with /", text);
    store_text(text, to);
    return 0;
}

/* False: bad, and a finding was made or memory is out (*ret_error). */
static bool split_host_port(struct reading *r, const struct spot *at, const char *text,
                            bool host_may_be_empty, struct config_host_port *ret_hp,
                            int *ret_error) {
    struct problem why = PROBLEM_INIT;
    struct host_port hp;
    if (host_port_parse(text, host_may_be_empty, &hp, &why) < 0) {
        *ret_error =
            find_at(r, at, "invalid address \"%s\": must be host:port: %s", text, why.text);
        return false;
    }
    const char *host = arena_strndup(&r->base->arena, hp.host, hp.host_len);
    if (host == NULL) {
        *ret_error = no_memory(r);
        return false;
    }
    *ret_error = 0;
    *ret_hp = (struct config_host_port){.text = text, .host = host, .port = hp.port};
    return true;
}

static int parse_listen(struct reading *r, const struct spot *at, const char *text, void *to) {
    struct config_host_port hp;
    int e = 0;
    if (*text == '\0' || split_host_port(r, at, text, true, &hp, &e))
        store_text(text, to);
    return e;
}

static int parse_host_port(struct reading *r, const struct spot *at, const char *text, void *to) {
    int e = 0;
    if (*text != '\0')
        (void)split_host_port(r, at, text, false, to, &e); /* the error is in e */
    return e;
}

/* Lists */

/* The items of a list as texts, in the arena; nothing for a missing value. */
static int list_texts(struct reading *r, const struct spot *at, const char *const **ret_texts,
                      uint32_t *ret_count) {
    const struct yaml_node *list = at->node;
    uint32_t count = 0;

    if (list->kind != YAML_LIST && list->kind != YAML_NULL)
        return refuse(r, at, "must be a list");
    const char **texts = arena_alloc_array(&r->base->arena, list->count, sizeof(*texts));
    if (texts == NULL)
        return no_memory(r);
    for (const struct yaml_node *n = list->first; n != NULL; n = n->next) {
        if (n->kind != YAML_TEXT) {
            struct spot item = {.option = at->option, .key = at->key, .node = n};
            return refuse(r, &item, "each item must be a text");
        }
        texts[count++] = n->text;
    }
    *ret_texts = texts;
    *ret_count = count;
    return 0;
}

/* NULL, or what is wrong with an address. */
static const char *addr_fault(const struct config_option *o, const char *text,
                              struct multiaddr *ret_addr) {
    struct multiaddr transport;
    struct peer_id id;

    if (multiaddr_parse(text, ret_addr) < 0)
        return "invalid multiaddr";
    if ((o->flags & CONFIG_NEEDS_PEER) == 0)
        return NULL;
    if (multiaddr_split_peer(ret_addr, &transport, &id) < 0)
        return "must end in /p2p/<peer id>:";
    return transport.len == 0 ? "has no address before /p2p:" : NULL;
}

static int parse_addrs(struct reading *r, const struct spot *at, void *to) {
    const char *const *texts = NULL;
    uint32_t texts_count = 0;
    int e = list_texts(r, at, &texts, &texts_count);
    if (e < 0)
        return e;

    struct config_addrs addrs = {.is_set = at->node->kind == YAML_LIST};
    struct config_addr *items = arena_alloc_array(&r->base->arena, texts_count, sizeof(*items));
    if (items == NULL)
        return no_memory(r);
    const struct yaml_node *n = at->node->first;
    for (uint32_t i = 0; i < texts_count; i++, n = n->next) {
        struct spot item = {.option = at->option, .key = at->key, .node = n};
        const char *fault = addr_fault(at->option, texts[i], &items[addrs.count].addr);
        if (fault != NULL) {
            if ((e = find_at(r, &item, "%s \"%s\"", fault, texts[i])) < 0)
                return e;
            addrs.bad_count++;
            continue;
        }
        items[addrs.count].text = texts[i];
        items[addrs.count].line = n->start.line;
        addrs.count++;
    }
    addrs.items = items;
    memcpy(to, &addrs, sizeof(addrs));
    return 0;
}

static int parse_peers(struct reading *r, const struct spot *at, void *to) {
    const char *const *texts = NULL;
    uint32_t texts_count = 0;
    int e = list_texts(r, at, &texts, &texts_count);
    if (e < 0)
        return e;

    struct config_peers peers = {.is_set = texts_count > 0};
    struct peer_id *items = arena_alloc_array(&r->base->arena, texts_count, sizeof(*items));
    if (items == NULL)
        return no_memory(r);
    const struct yaml_node *n = at->node->first;
    for (uint32_t i = 0; i < texts_count; i++, n = n->next) {
        struct spot item = {.option = at->option, .key = at->key, .node = n};
        if (peer_id_parse(texts[i], &items[peers.count]) == 0)
            peers.count++;
        else if ((e = find_at(r, &item, "invalid peer ID \"%s\"", texts[i])) < 0)
            return e;
    }
    peers.items = items;
    memcpy(to, &peers, sizeof(peers));
    return 0;
}

static int parse_servers(struct reading *r, const struct spot *at, void *to) {
    const char *const *texts = NULL;
    uint32_t texts_count = 0;
    int e = list_texts(r, at, &texts, &texts_count);
    if (e < 0)
        return e;

    struct config_servers servers = {.is_set = at->node->kind == YAML_LIST};
    struct config_host_port *items =
        arena_alloc_array(&r->base->arena, texts_count, sizeof(*items));
    if (items == NULL)
        return no_memory(r);
    const struct yaml_node *n = at->node->first;
    for (uint32_t i = 0; i < texts_count; i++, n = n->next) {
        struct spot item = {.option = at->option, .key = at->key, .node = n};
        if (split_host_port(r, &item, texts[i], false, &items[servers.count], &e))
            servers.count++;
        if (e < 0)
            return e;
    }
    servers.items = items;
    memcpy(to, &servers, sizeof(servers));
    return 0;
}

/* Targets: a peer ID, an address that ends in /p2p/ID, or a list of such addresses. */

int schema_target_parse(struct arena *a, const char *const *texts, uint32_t count,
                        struct config_target *ret_target, struct problem *ret_problem) {
    struct config_target t = {.texts = texts, .texts_count = count};
    struct multiaddr *addrs = arena_alloc_array(a, count, sizeof(*addrs));
    if (addrs == NULL)
        return -ENOMEM;

    for (uint32_t i = 0; i < count; i++) {
        struct multiaddr whole;
        struct peer_id id;
        if (texts[i][0] != '/') {
            if (peer_id_parse(texts[i], &id) < 0)
                return problem_set(ret_problem, -ERR_BAD_PEER_ID, "failed to parse peer ID: \"%s\"",
                                   texts[i]);
        } else if (multiaddr_parse(texts[i], &whole) < 0) {
            return problem_set(ret_problem, -ERR_BAD_MULTIADDR, "invalid multiaddr \"%s\"",
                               texts[i]);
        } else if (multiaddr_split_peer(&whole, &addrs[t.addrs_count], &id) < 0) {
            return problem_set(ret_problem, -ERR_BAD_PEER_ID,
                               "the address must end in /p2p/<peer id>: \"%s\"", texts[i]);
        } else if (addrs[t.addrs_count].len > 0) {
            t.addrs_count++;
        }
        if (i > 0 && !peer_id_equal(&id, &t.id))
            return problem_set(ret_problem, -ERR_BAD_PEER_ID,
                               "the addresses belong to different peers: \"%s\"", texts[i]);
        t.id = id;
    }
    t.addrs = addrs;
    *ret_target = t;
    return 0;
}

static int parse_target(struct reading *r, const struct spot *at, void *to) {
    const char *const *texts = NULL;
    uint32_t count = 0;

    if (at->node->kind == YAML_TEXT) {
        const char **one = arena_alloc(&r->base->arena, sizeof(*one));
        if (one == NULL)
            return no_memory(r);
        one[0] = at->node->text;
        texts = one;
        count = 1;
    } else {
        int e = list_texts(r, at, &texts, &count);
        if (e < 0)
            return e;
    }

    struct config_target target = {.texts = texts, .texts_count = count};
    struct problem why = PROBLEM_INIT;
    int e = count == 0 ? problem_set(&why, -ERR_BAD_PEER_ID, "no peer ID and no address is given")
                       : schema_target_parse(&r->base->arena, texts, count, &target, &why);
    if (e == -ENOMEM)
        return no_memory(r);
    if (e < 0) {
        target.error_text = arena_strdup(&r->base->arena, why.text);
        if (target.error_text == NULL)
            return no_memory(r);
        e = find_at(r, at, "%s", why.text);
        if (e < 0)
            return e;
    }
    memcpy(to, &target, sizeof(target));
    return 0;
}

static int parse_scalar(struct reading *r, const struct spot *at, void *to) {
    const char *text = at->node->text;
    switch (at->option->type) {
    case CONFIG_BOOL:
        return parse_bool(r, at, text, to);
    case CONFIG_INT:
        return parse_int(r, at, text, to);
    case CONFIG_DURATION:
        return parse_duration(r, at, text, to);
    case CONFIG_SIZE:
        return parse_size(r, at, text, to);
    case CONFIG_TEXT:
        store_text(text, to);
        return 0;
    case CONFIG_PATH:
        return parse_path(r, text, to);
    case CONFIG_LABEL:
        return parse_label(r, at, text, to);
    case CONFIG_CHOICE:
        return parse_choice(r, at, text, to);
    case CONFIG_PROTOCOL:
        return parse_protocol(r, at, text, to);
    case CONFIG_LISTEN:
        return parse_listen(r, at, text, to);
    case CONFIG_HOST_PORT:
        return parse_host_port(r, at, text, to);
    case CONFIG_ADDRS:
    case CONFIG_PEERS:
    case CONFIG_SERVERS:
    case CONFIG_TARGET:
        break;
    }
    return 0; /* lists: parse_value() has them */
}

static int parse_value(struct reading *r, const struct spot *at, void *to) {
    if (at->option->type == CONFIG_ADDRS)
        return parse_addrs(r, at, to);
    if (at->option->type == CONFIG_PEERS)
        return parse_peers(r, at, to);
    if (at->option->type == CONFIG_SERVERS)
        return parse_servers(r, at, to);
    if (at->option->type == CONFIG_TARGET)
        return parse_target(r, at, to);
    if (at->node->kind == YAML_NULL)
        return 0; /* as if the key were missing: the default stays */
    if (at->node->kind != YAML_TEXT)
        return refuse(r, at, "must be a single value");
    return parse_scalar(r, at, to);
}

/* The walk */

static const struct config_option *option_by_key(const struct config_schema *s, const char *key) {
    for (size_t i = 0; i < s->options_count; i++)
        if (strcmp(s->options[i].key, key) == 0)
            return &s->options[i];
    return NULL;
}

static const struct config_group *group_by_key(const struct config_schema *s, const char *key) {
    for (size_t i = 0; i < s->groups_count; i++)
        if (strcmp(s->groups[i].key, key) == 0)
            return &s->groups[i];
    return NULL;
}

bool schema_key_is_below(const char *key, const char *prefix) {
    size_t len = strlen(prefix);
    return strncmp(key, prefix, len) == 0 && (len == 0 || key[len] == '.');
}

static bool is_section(const struct config_schema *s, const char *key) {
    for (size_t i = 0; i < s->options_count; i++)
        if (schema_key_is_below(s->options[i].key, key))
            return true;
    return false;
}

/* Stores the defaults of all options below a prefix into `to`.  At the top those of groups are
 * not meant. */
static int store_defaults(struct reading *r, const char *prefix, void *to) {
    bool in_group = *prefix != '\0';
    for (size_t i = 0; i < r->schema->options_count; i++) {
        const struct config_option *o = &r->schema->options[i];
        bool is_groups = strstr(o->key, SCHEMA_NAME_PART) != NULL;
        if (o->fallback == NULL || is_groups != in_group || !schema_key_is_below(o->key, prefix))
            continue;
        struct yaml_node text = {.kind = YAML_TEXT, .text = o->fallback};
        struct spot at = {.option = o, .key = o->key, .node = &text};
        int e = parse_value(r, &at, (char *)to + o->offset);
        if (e < 0)
            return e;
    }
    return 0;
}

static char *join_key(struct reading *r, const char *prefix, const char *key) {
    return *prefix == '\0' ? arena_strdup(&r->base->arena, key)
                           : arena_printf(&r->base->arena, "%s.%s", prefix, key);
}

static int warn_unknown(struct reading *r, const struct yaml_node *n, const char *key,
                        const char *shown) {
    const char *nearest = schema_nearest_key(r->schema, &r->base->arena, key);
    int e = schema_find(r->base, false, yaml_line(n),
                        "unknown key \"%s\" is ignored; the nearest known key is \"%s\"", shown,
                        nearest);
    return e < 0 ? no_memory(r) : 0;
}

static int read_group(struct reading *r, const struct config_group *g, const struct yaml_node *n,
                      void *to);

/* Reads a map into `to`.  `prefix` is the path as the table has it, `shown` as the user wrote it:
 * they differ below a group. */
static int read_map(struct reading *r, const struct yaml_node *map, const char *prefix,
                    const char *shown, void *to) {
    struct spot at_map = {.key = *shown == '\0' ? "the file" : shown, .node = map};
    if (map->kind == YAML_NULL)
        return 0;
    if (map->kind != YAML_MAP)
        return refuse(r, &at_map, "must be a mapping of keys to values");

    for (const struct yaml_node *n = map->first; n != NULL; n = n->next) {
        struct spot at = {.node = n, .key = join_key(r, shown, n->key)};
        const char *key = join_key(r, prefix, n->key);
        bool is_part = strpbrk(n->key, ".<") == NULL; /* else it could pass for a path */
        const struct config_group *g;
        int e = 0;
        if (at.key == NULL || key == NULL)
            return no_memory(r);
        if (is_part && (at.option = option_by_key(r->schema, key)) != NULL) {
            e = parse_value(r, &at, (char *)to + at.option->offset);
            if (n->kind != YAML_NULL) /* below a group the last element's line, which nobody asks */
                r->base->lines[at.option - r->schema->options] = yaml_line(n);
        } else if (is_part && (g = group_by_key(r->schema, key)) != NULL) {
            e = read_group(r, g, n, to);
        } else if (is_part && is_section(r->schema, key)) {
            e = read_map(r, n, key, at.key, to);
        } else {
            e = warn_unknown(r, n, key, at.key);
        }
        if (e < 0)
            return e;
    }
    return 0;
}

static int compare_items(const void *a, const void *b) {
    const struct config_item *x = a, *y = b;
    return strcmp(x->key, y->key);
}

static int check_name(struct reading *r, const struct config_group *g, const struct yaml_node *n) {
    if (g->what == NULL || dns_label_is_valid(n->key))
        return 0;
    int e = *n->key == '\0' ? schema_find(r->base, true, yaml_line(n),
                                          "%s: invalid %s: name cannot be empty", g->key, g->what)
                            : schema_find(r->base, true, yaml_line(n), "%s: invalid %s: \"%s\" %s",
                                          g->key, g->what, n->key, DNS_LABEL_RULE);
    return e < 0 ? no_memory(r) : 0;
}

static int read_element(struct reading *r, const struct config_group *g, const struct yaml_node *n,
                        void *element) {
    struct config_item item = {.key = n->key, .line = yaml_line(n)};
    char *prefix = join_key(r, g->key, SCHEMA_NAME_PART);
    char *shown = join_key(r, g->key, n->key);
    if (prefix == NULL || shown == NULL)
        return no_memory(r);

    memcpy(element, &item, sizeof(item));
    int e = check_name(r, g, n);
    if (e < 0)
        return e;
    const struct config_option *o = option_by_key(r->schema, prefix);
    if (o != NULL) {
        struct spot at = {.option = o, .key = shown, .node = n};
        return parse_value(r, &at, (char *)element + o->offset);
    }
    e = store_defaults(r, prefix, element);
    return e < 0 ? e : read_map(r, n, prefix, shown, element);
}

static int read_group(struct reading *r, const struct config_group *g, const struct yaml_node *n,
                      void *to) {
    struct spot at = {.key = g->key, .node = n};
    if (n->kind == YAML_NULL)
        return 0;
    if (n->kind != YAML_MAP)
        return refuse(r, &at, "must be a mapping of keys to values");

    char *items = arena_alloc_array(&r->base->arena, n->count, g->item_size);
    if (items == NULL)
        return no_memory(r);
    uint32_t i = 0;
    for (const struct yaml_node *c = n->first; c != NULL; c = c->next, i++) {
        int e = read_element(r, g, c, items + (size_t)i * g->item_size);
        if (e < 0)
            return e;
    }
    qsort(items, n->count, g->item_size, compare_items);
    memcpy((char *)to + g->items_offset, &items, sizeof(items));
    memcpy((char *)to + g->count_offset, &n->count, sizeof(n->count));
    return 0;
}

bool schema_value_is_empty(const struct config_option *o, const void *value) {
    const char *text = NULL;
    switch (o->type) {
    case CONFIG_BOOL:
    case CONFIG_INT:
    case CONFIG_DURATION:
    case CONFIG_SIZE:
        return false;
    case CONFIG_TEXT:
    case CONFIG_PATH:
    case CONFIG_LABEL:
    case CONFIG_CHOICE:
    case CONFIG_PROTOCOL:
    case CONFIG_LISTEN:
        memcpy(&text, value, sizeof(text));
        return text == NULL;
    case CONFIG_HOST_PORT:
        return ((const struct config_host_port *)value)->text == NULL;
    case CONFIG_ADDRS:
        return ((const struct config_addrs *)value)->count == 0 &&
               ((const struct config_addrs *)value)->bad_count == 0;
    case CONFIG_PEERS:
        return ((const struct config_peers *)value)->count == 0;
    case CONFIG_SERVERS:
        return ((const struct config_servers *)value)->count == 0;
    case CONFIG_TARGET:
        return ((const struct config_target *)value)->texts_count == 0;
    }
    return false;
}

static int check_presence(struct reading *r) {
    for (size_t i = 0; i < r->schema->options_count; i++) {
        const struct config_option *o = &r->schema->options[i];
        if ((o->flags & (CONFIG_REQUIRED | CONFIG_WANTED)) == 0 ||
            !schema_value_is_empty(o, (const char *)r->base + o->offset))
            continue;
        bool is_error = (o->flags & CONFIG_REQUIRED) != 0;
        const char *text =
            o->type == CONFIG_ADDRS ? "must contain at least one address" : "is required";
        int e = is_error
                    ? schema_find(r->base, true, r->base->lines[i], "%s %s", o->key, text)
                    : schema_find(r->base, false, r->base->lines[i], "%s: %s", o->key, o->advice);
        if (e < 0)
            return no_memory(r);
    }
    return 0;
}

/* Too new a version is told before anything else: the rest may look different there. */
static int check_version(struct reading *r, const struct yaml_node *root) {
    const struct yaml_node *n = yaml_get(root, "version");
    int64_t version = 1;
    if (n == NULL || n->kind == YAML_NULL)
        return 0;
    const struct config_option *o = option_by_key(r->schema, "version");
    struct spot at = {.option = o, .key = o->key, .node = n};
    int e = parse_value(r, &at, &version);
    if (e < 0 || version <= 1)
        return e;
    return problem_set(r->problem, -ERR_CONFIG_INVALID,
                       "%s:%u: config version too new: version %lld is newer than supported "
                       "version 1; please upgrade %s",
                       r->base->path, yaml_line(n), (long long)version, r->schema->program);
}

int schema_read(const struct config_schema *s, struct config_base *base, struct bytes text,
                struct problem *ret_problem) {
    struct reading r = {.schema = s, .base = base, .problem = ret_problem};
    const struct yaml_node *root;
    struct problem why = PROBLEM_INIT;

    base->findings_tail = &base->findings;
    base->lines = arena_alloc_array(&base->arena, s->options_count, sizeof(*base->lines));
    if (base->lines == NULL)
        return no_memory(&r);
    int e = yaml_tree_parse(&base->arena, base->path, text, &root, &why);
    if (e < 0)
        return problem_set(ret_problem, e, "failed to parse YAML: %s", why.text);
    if ((e = check_version(&r, root)) < 0 || (e = store_defaults(&r, "", base)) < 0 ||
        (e = read_map(&r, root, "", "", base)) < 0)
        return e;
    return check_presence(&r);
}

uint32_t schema_line(const struct config_schema *s, const struct config_base *base,
                     const char *key) {
    const struct config_option *o = option_by_key(s, key);
    assert(o != NULL);
    return base->lines[o - s->options];
}

struct multiaddr *config_addrs_array(struct mem *mem, const struct config_addrs *a) {
    struct multiaddr *array = mem_alloc_array(mem, MAX(a->count, 1u), sizeof(*array));
    for (uint32_t i = 0; array != NULL && i < a->count; i++)
        array[i] = a->items[i].addr;
    return array;
}
