/* SPDX-License-Identifier: MIT */
#include "core/conf/edit.h"

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/base/strbuf.h"
#include "core/conf/config.h"
#include "core/conf/config_file.h"
#include "core/conf/yaml.h"

enum { STEP = 2 }; /* columns of one level in what we write */

/* One piece of text takes the place of [from, to). */
struct patch {
    size_t from;
    size_t to;
    struct strbuf text;
};

struct editing {
    struct arena *arena;
    const char *path;
    struct bytes text;
    const struct yaml_node *root;
    const struct config_edit *edit;
    struct patch patches[2]; /* in the order of the text */
    size_t patches_count;
};

/* Places */

/* Where line `line` (from 1) begins; the text's end when there are fewer. */
static size_t line_offset(struct bytes text, uint32_t line) {
    size_t at = 0;
    for (uint32_t i = 1; i < line && at < text.len; i++) {
        const uint8_t *lf = memchr(text.data + at, '\n', text.len - at);
        at = lf == NULL ? text.len : (size_t)(lf - text.data) + 1;
    }
    return at;
}

static size_t place_offset(struct bytes text, struct yaml_place p) {
    size_t at = line_offset(text, p.line);
    for (uint32_t i = 0; i < p.column && at < text.len; i++)
        do
            at++;
        while (at < text.len && (text.data[at] & 0xc0) == 0x80); /* UTF-8 continuation */
    return at;
}

/* Where the line behind a value begins.  The end of a block scalar is there already. */
static size_t line_behind(struct bytes text, struct yaml_place end) {
    return line_offset(text, end.column == 0 ? end.line : end.line + 1);
}

/* Patches */

static struct strbuf *add_patch(struct editing *ed, size_t from, size_t to) {
    assert(ed->patches_count < ARRAY_COUNT(ed->patches));
    struct patch *p = &ed->patches[ed->patches_count++];
    *p = (struct patch){.from = from, .to = to, .text = STRBUF_INIT(CONFIG_BYTES_MAX)};
    return &p->text;
}

/* A patch of whole lines at `at`: begins on a line of its own even where the file lacks the last
 * LF. */
static struct strbuf *add_lines(struct editing *ed, size_t at) {
    struct strbuf *s = add_patch(ed, at, at);
    if (at == ed->text.len && at > 0 && ed->text.data[at - 1] != '\n')
        strbuf_add_char(s, '\n');
    return s;
}

static void add_spaces(struct strbuf *s, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        strbuf_add_char(s, ' ');
}

static int apply_patches(struct editing *ed, struct strbuf *out) {
    size_t at = 0;
    int e = 0;
    for (size_t i = 0; i < ed->patches_count; i++) {
        struct patch *p = &ed->patches[i];
        assert(p->to >= p->from);
        if (p->from < at) { /* two places in one line, as "? key" and ": value" make them */
            e = -ERR_UNSUPPORTED;
        } else {
            strbuf_add_bytes(out, bytes_of(ed->text.data + at, p->from - at));
            strbuf_add_bytes(out, strbuf_bytes(&p->text));
            at = p->to;
        }
        if (e == 0)
            e = strbuf_error(&p->text);
        strbuf_free(&p->text);
    }
    strbuf_add_bytes(out, bytes_skip(ed->text, at));
    return e < 0 ? e : strbuf_error(out);
}

/* What is written */

static void write_entry(const struct config_edit *edit, struct strbuf *s, uint32_t indent) {
    add_spaces(s, indent);
    if (edit->kind == EDIT_RELAY_ADD) {
        strbuf_add(s, "- ");
        yaml_write_quoted(s, edit->value);
        strbuf_add_char(s, '\n');
        return;
    }
    yaml_write_scalar(s, edit->name);
    strbuf_add_char(s, ':');
    if (edit->kind == EDIT_NAME_ADD) {
        strbuf_add_char(s, ' ');
        yaml_write_quoted(s, edit->value);
        strbuf_add_char(s, '\n');
        return;
    }
    strbuf_add_char(s, '\n');
    add_spaces(s, indent + STEP);
    strbuf_add(s, "enabled: true\n");
    add_spaces(s, indent + STEP);
    strbuf_add(s, "local_address: ");
    yaml_write_quoted(s, edit->value);
    strbuf_add_char(s, '\n');
    if (edit->note != NULL) {
        add_spaces(s, indent + STEP);
        strbuf_add(s, "protocol: ");
        yaml_write_quoted(s, edit->note);
        strbuf_add_char(s, '\n');
    }
}

static void write_flow_entry(const struct config_edit *edit, struct strbuf *s) {
    if (edit->kind != EDIT_RELAY_ADD) {
        yaml_write_scalar(s, edit->name);
        strbuf_add(s, ": ");
    }
    if (edit->kind == EDIT_SERVICE_ADD)
        strbuf_add(s, "{enabled: true, local_address: ");
    yaml_write_quoted(s, edit->value);
    if (edit->kind != EDIT_SERVICE_ADD)
        return;
    if (edit->note != NULL) {
        strbuf_add(s, ", protocol: ");
        yaml_write_quoted(s, edit->note);
    }
    strbuf_add_char(s, '}');
}

/* Adding */

/* The value of a key that is missing, null, {} or [] becomes a block with the new entry; what
 * stood behind it on the line (a comment) stays there. */
static void open_empty(struct editing *ed, const struct yaml_node *n) {
    size_t start = place_offset(ed->text, n->start), end = place_offset(ed->text, n->end);
    size_t next = line_behind(ed->text, n->end);
    while (start > 0 && start < end && ed->text.data[start - 1] == ' ')
        start--;
    struct strbuf *s = add_patch(ed, start, next);
    strbuf_add_bytes(s, bytes_of(ed->text.data + end, next - end));
    if (next == ed->text.len && (next == 0 || ed->text.data[next - 1] != '\n'))
        strbuf_add_char(s, '\n');
    write_entry(ed->edit, s, n->key_at.column + STEP);
}

/* Adds the entry to a list or map that is there. */
static void add_entry(struct editing *ed, const struct yaml_node *n) {
    if (n->count == 0) {
        open_empty(ed, n);
    } else if (n->is_flow) {
        size_t last = place_offset(ed->text, n->end) - 1;
        while (ed->text.data[last - 1] == ' ')
            last--;
        struct strbuf *s = add_patch(ed, last, last);
        strbuf_add(s, ", ");
        write_flow_entry(ed->edit, s);
    } else if (ed->edit->kind == EDIT_NAME_ADD) {
        size_t at = line_offset(ed->text, n->first->key_at.line);
        write_entry(ed->edit, add_lines(ed, at), n->first->key_at.column);
    } else {
        size_t at = line_behind(ed->text, n->end);
        uint32_t column = n->kind == YAML_LIST ? n->start.column : n->first->key_at.column;
        write_entry(ed->edit, add_lines(ed, at), column);
    }
}

/* Adds a section with the entry at the end of the file. */
static void add_section(struct editing *ed, const char *head, uint32_t depth) {
    struct strbuf *s = add_lines(ed, ed->text.len);
    if (ed->text.len > 0)
        strbuf_add_char(s, '\n');
    strbuf_add(s, head);
    write_entry(ed->edit, s, depth * STEP);
}

static int add_to_section(struct editing *ed, const char *section, const char *head) {
    const struct yaml_node *n = yaml_get(ed->root, section);
    if (n == NULL)
        add_section(ed, head, 1);
    else
        add_entry(ed, n);
    return 0;
}

static int relay_add(struct editing *ed) {
    const struct yaml_node *relay = yaml_get(ed->root, "relay");
    const struct yaml_node *list = yaml_get(relay, "addresses");

    if (relay == NULL) {
        add_section(ed, "relay:\n  addresses:\n", 2);
    } else if (list != NULL) {
        add_entry(ed, list);
    } else if (relay->kind == YAML_MAP && relay->count > 0 && !relay->is_flow) {
        uint32_t column = relay->first->key_at.column;
        struct strbuf *s = add_lines(ed, line_offset(ed->text, relay->first->key_at.line));
        add_spaces(s, column);
        strbuf_add(s, "addresses:\n");
        write_entry(ed->edit, s, column + STEP);
    } else {
        return -ERR_UNSUPPORTED;
    }
    return 0;
}

/* Removing */

/* Where the text of an item begins: at its key if it has one. */
static struct yaml_place item_start(const struct yaml_node *n) {
    return n->key != NULL ? n->key_at : n->start;
}

static bool is_blank_line(struct bytes text, size_t at, size_t *ret_next) {
    size_t i = at;
    while (i < text.len && (text.data[i] == ' ' || text.data[i] == '\r'))
        i++;
    *ret_next = i + 1;
    return i < text.len && text.data[i] == '\n';
}

static void remove_from_flow(struct editing *ed, const struct yaml_node *prev,
                             const struct yaml_node *n) {
    if (n->next != NULL)
        (void)add_patch(ed, place_offset(ed->text, item_start(n)),
                        place_offset(ed->text, item_start(n->next)));
    else
        (void)add_patch(ed, place_offset(ed->text, prev == NULL ? item_start(n) : prev->end),
                        place_offset(ed->text, n->end));
}

/* Takes one item out of a list or map. */
static int remove_entry(struct editing *ed, const struct yaml_node *parent,
                        const struct yaml_node *n) {
    const struct yaml_node *prev = NULL;
    for (const struct yaml_node *c = parent->first; c != n; c = c->next)
        prev = c;
    if (parent->is_flow) {
        remove_from_flow(ed, prev, n);
        return 0;
    }
    if (parent->count == 1) { /* "services:" alone would be null */
        size_t at = place_offset(ed->text, parent->key_at);
        const uint8_t *colon = memchr(ed->text.data + at, ':', ed->text.len - at);
        if (colon == NULL) /* lines that end in another way than ours */
            return -ERR_UNSUPPORTED;
        at = (size_t)(colon - ed->text.data) + 1;
        strbuf_add(add_patch(ed, at, at), parent->kind == YAML_LIST ? " []" : " {}");
    }
    size_t from = line_offset(ed->text, item_start(n).line), next;
    size_t to = line_behind(ed->text, n->end);
    while (n->next != NULL && parent->kind == YAML_MAP && is_blank_line(ed->text, to, &next))
        to = next;
    (void)add_patch(ed, from, to);
    return 0;
}

static int service_remove(struct editing *ed) {
    const struct yaml_node *services = yaml_get(ed->root, "services");
    return remove_entry(ed, services, yaml_get(services, ed->edit->name));
}

static int relay_remove(struct editing *ed) {
    const struct yaml_node *list = yaml_get(yaml_get(ed->root, "relay"), "addresses");
    const struct yaml_node *n = list->first;
    while (n != NULL && strcmp(n->text, ed->edit->value) != 0)
        n = n->next;
    if (n == NULL)
        return -ENOENT;
    return remove_entry(ed, list, n);
}

static int service_set_enabled(struct editing *ed) {
    const char *word = ed->edit->kind == EDIT_SERVICE_ENABLE ? "true" : "false";
    const struct yaml_node *s = yaml_get(yaml_get(ed->root, "services"), ed->edit->name);
    const struct yaml_node *enabled = yaml_get(s, "enabled");

    if (enabled != NULL && enabled->kind == YAML_TEXT) {
        strbuf_add(add_patch(ed, place_offset(ed->text, enabled->start),
                             place_offset(ed->text, enabled->end)),
                   word);
    } else if (enabled == NULL && s->count > 0 && !s->is_flow) {
        struct strbuf *p = add_lines(ed, line_offset(ed->text, s->first->key_at.line));
        add_spaces(p, s->first->key_at.column);
        strbuf_addf(p, "enabled: %s\n", word);
    } else {
        return -ERR_UNSUPPORTED;
    }
    return 0;
}

/* Before and after */

static bool has_relay(const struct config *c, const char *address) {
    for (uint32_t i = 0; i < c->relay.addresses.count; i++)
        if (strcmp(c->relay.addresses.items[i].text, address) == 0)
            return true;
    return false;
}

/* 0, or why there is nothing to do. */
static int check_before(const struct config *c, const struct config_edit *edit,
                        struct problem *ret_problem) {
    const struct config_service *service =
        edit->name == NULL ? NULL : config_service_find(c, edit->name);
    const struct config_name *name = edit->name == NULL ? NULL : config_name_find(c, edit->name);

    switch (edit->kind) {
    case EDIT_SERVICE_ADD:
        return service == NULL ? 0
                               : problem_set(ret_problem, -EEXIST, "service already configured: %s",
                                             edit->name);
    case EDIT_SERVICE_REMOVE:
    case EDIT_SERVICE_ENABLE:
    case EDIT_SERVICE_DISABLE:
        if (service == NULL)
            return problem_set(ret_problem, -ENOENT, "service not found: %s", edit->name);
        if (edit->kind != EDIT_SERVICE_REMOVE &&
            service->enabled == (edit->kind == EDIT_SERVICE_ENABLE))
            return -EALREADY;
        return 0;
    case EDIT_RELAY_ADD:
        return has_relay(c, edit->value)
                   ? problem_set(ret_problem, -EEXIST, "already configured: %s", edit->value)
                   : 0;
    case EDIT_RELAY_REMOVE:
        return has_relay(c, edit->value)
                   ? 0
                   : problem_set(ret_problem, -ENOENT, "relay address not found in config: %s",
                                 edit->value);
    case EDIT_NAME_ADD:
        if (name == NULL)
            return 0;
        if (name->target.texts_count == 1 && strcmp(name->target.texts[0], edit->value) == 0)
            return -EALREADY;
        return problem_set(ret_problem, -EEXIST, "name already in use: %s", edit->name);
    }
    return 0;
}

/* How many services, names and relays a kind of edit adds. */
static const struct {
    int8_t services;
    int8_t names;
    int8_t relays;
} ADDED[] = {
    [EDIT_SERVICE_ADD] = {.services = 1},    [EDIT_SERVICE_REMOVE] = {.services = -1},
    [EDIT_SERVICE_ENABLE] = {.services = 0}, [EDIT_SERVICE_DISABLE] = {.services = 0},
    [EDIT_RELAY_ADD] = {.relays = 1},        [EDIT_RELAY_REMOVE] = {.relays = -1},
    [EDIT_NAME_ADD] = {.names = 1},
};

/* Whether the new config differs from the old one in what was meant, and in nothing else that can
 * be counted: the new one is as it should be when the edit finds nothing left to do. */
static bool is_as_meant(const struct config *before, const struct config *after,
                        const struct config_edit *edit) {
    int64_t services = (int64_t)after->services_count - before->services_count;
    int64_t names = (int64_t)after->names_count - before->names_count;
    int64_t relays = (int64_t)after->relay.addresses.count - before->relay.addresses.count;

    return services == ADDED[edit->kind].services && names == ADDED[edit->kind].names &&
           relays == ADDED[edit->kind].relays && check_before(after, edit, NULL) < 0;
}

static int make_patches(struct editing *ed) {
    switch (ed->edit->kind) {
    case EDIT_SERVICE_ADD:
        return add_to_section(ed, "services", "services:\n");
    case EDIT_SERVICE_REMOVE:
        return service_remove(ed);
    case EDIT_SERVICE_ENABLE:
    case EDIT_SERVICE_DISABLE:
        return service_set_enabled(ed);
    case EDIT_RELAY_ADD:
        return relay_add(ed);
    case EDIT_RELAY_REMOVE:
        return relay_remove(ed);
    case EDIT_NAME_ADD:
        return add_to_section(ed, "names", "names:\n");
    }
    return -ERR_UNSUPPORTED;
}

static int by_hand(const char *path, struct problem *ret_problem) {
    return problem_set(ret_problem, -ERR_UNSUPPORTED,
                       "cannot make this change in a file of this form.\n"
                       "Please edit manually: %s",
                       path);
}

static int edit_checked(struct editing *ed, const struct config *before, struct strbuf *out,
                        struct problem *ret_problem) {
    SCOPED(config_freep) struct config *after = NULL;

    int e = yaml_tree_parse(ed->arena, ed->path, ed->text, &ed->root, ret_problem);
    if (e < 0)
        return e;
    e = make_patches(ed);
    if (e == 0)
        e = apply_patches(ed, out);
    if (e == -ERR_UNSUPPORTED)
        return by_hand(ed->path, ret_problem);
    if (e < 0)
        return problem_set(ret_problem, e, "%s: %s", ed->path, err_text(e));
    if (config_parse(ed->arena->mem, ed->path, strbuf_bytes(out), &after, NULL) < 0 ||
        !is_as_meant(before, after, ed->edit))
        return by_hand(ed->path, ret_problem);
    return 0;
}

int config_edit_text(struct mem *mem, const char *path, struct bytes text,
                     const struct config_edit *edit, struct strbuf *out,
                     struct problem *ret_problem) {
    SCOPED(config_freep) struct config *before = NULL;
    struct arena a;

    int e = config_parse(mem, path, text, &before, ret_problem);
    if (e < 0 || (e = check_before(before, edit, ret_problem)) < 0)
        return e;
    arena_init(&a, mem);
    struct editing ed = {.arena = &a, .path = path, .text = text, .edit = edit};
    e = edit_checked(&ed, before, out, ret_problem);
    arena_done(&a);
    return e;
}

int config_edit_file(struct mem *mem, const char *path, const struct config_edit *edit,
                     struct problem *ret_problem) {
    SCOPED(strbuf_free) struct strbuf out = STRBUF_INIT(CONFIG_BYTES_MAX);
    SCOPED(file_unlock) int lock = -EBADF;
    char *text;
    size_t len;

    int e = file_lock(path, &lock, ret_problem);
    if (e < 0 || (e = config_file_read(mem, path, &text, &len, ret_problem)) < 0)
        return e;
    e = config_edit_text(mem, path, bytes_of(text, len), edit, &out, ret_problem);
    (void)mem_free(mem, text);
    return e < 0 ? e : file_replace(path, strbuf_bytes(&out), ret_problem);
}
