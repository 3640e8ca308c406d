/* SPDX-License-Identifier: MIT */
#include "core/conf/authkeys.h"

#include <stdlib.h>

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/base/strbuf.h"
#include "core/conf/config_file.h"
#include "core/conf/units.h"

struct authkeys {
    struct arena arena;
    struct authkey *items;
    uint32_t *by_id; /* places in items, sorted by ID, then by line: the gate asks often */
    uint32_t count;
};

static const char BLANKS[] = " \t\r\v\f";

/* Lines */

/* Takes the next line off `left`: without LF in *ret_line, with it in *ret_whole. */
static bool next_line(struct bytes *left, struct bytes *ret_line, struct bytes *ret_whole) {
    if (left->len == 0)
        return false;
    const uint8_t *lf = memchr(left->data, '\n', left->len);
    size_t len = lf == NULL ? left->len : (size_t)(lf - left->data);
    *ret_line = bytes_of(left->data, len);
    *ret_whole = bytes_of(left->data, len + (lf == NULL ? 0 : 1));
    *left = bytes_skip(*left, ret_whole->len);
    return true;
}

static bool is_blank(uint8_t c) {
    return c != '\0' && strchr(BLANKS, c) != NULL;
}

static struct bytes trim(struct bytes b) {
    while (b.len > 0 && is_blank(b.data[0]))
        b = bytes_skip(b, 1);
    while (b.len > 0 && is_blank(b.data[b.len - 1]))
        b.len--;
    return b;
}

/* Takes the next field off `left`, which begins without blanks; empty at the end. */
static struct bytes next_field(struct bytes *left) {
    size_t len = 0;
    while (len < left->len && !is_blank(left->data[len]))
        len++;
    struct bytes field = bytes_of(left->data, len);
    *left = trim(bytes_skip(*left, len));
    return field;
}

/* Splits a line at its first '#'.  An empty `ret_fields` means: no entry here. */
static void split_comment(struct bytes line, struct bytes *ret_fields, struct bytes *ret_comment) {
    const uint8_t *hash = line.len == 0 ? NULL : memchr(line.data, '#', line.len);
    size_t len = hash == NULL ? line.len : (size_t)(hash - line.data);
    *ret_fields = trim(bytes_of(line.data, len));
    *ret_comment = hash == NULL ? BYTES_EMPTY : trim(bytes_skip(line, len + 1));
}

/* The peer of a line.  -ENOENT: none there; -ERR_BAD_PEER_ID. */
static int line_peer(struct bytes line, struct peer_id *ret_id) {
    struct bytes fields, comment;
    split_comment(line, &fields, &comment);
    if (fields.len == 0)
        return -ENOENT;
    return peer_id_parse_bytes(next_field(&fields), ret_id) < 0 ? -ERR_BAD_PEER_ID : 0;
}

/* Entries */

/* An expiry in another form than "expires=": what was meant as a limit must not vanish as a field
 * that nobody knows. */
static bool is_misspelled_expiry(struct bytes field) {
    static const char NAME[] = "expires";
    const size_t len = sizeof(NAME) - 1;
    if (field.len < len || strncasecmp((const char *)field.data, NAME, len) != 0)
        return false;
    return field.len == len || field.data[len] == ':' ||
           (field.data[len] == '=' && memcmp(field.data, NAME, len) != 0);
}

/* Of several expiries the first to come counts. */
static int take_expiry(const char *value, struct authkey *k, struct problem *ret_problem) {
    walltime_t expires;
    if (rfc3339_parse(value, &expires) < 0)
        return problem_set(ret_problem, -ERR_MALFORMED,
                           "invalid expires - \"%s\" is no RFC 3339 time", value);
    k->expires = MIN(k->expires, expires);
    return 0;
}

static int take_attributes(struct arena *a, struct bytes fields, struct authkey *k,
                           struct problem *ret_problem) {
    struct authkey_attribute *list = arena_alloc_array(a, AUTHKEY_ATTRIBUTES_MAX, sizeof(*list));
    if (list == NULL)
        return problem_set(ret_problem, -ENOMEM, "%s", err_text(-ENOMEM));
    while (fields.len > 0) {
        struct bytes field = next_field(&fields);
        const uint8_t *equals = memchr(field.data, '=', field.len);
        if (is_misspelled_expiry(field))
            return problem_set(ret_problem, -ERR_MALFORMED,
                               "invalid expires - write expires=<RFC 3339 time>");
        if (equals == NULL)
            continue;
        if (k->attributes_count == AUTHKEY_ATTRIBUTES_MAX)
            return problem_set(ret_problem, -ERR_LIMIT, "too many attributes");
        size_t key_len = (size_t)(equals - field.data);
        struct authkey_attribute *at = &list[k->attributes_count];
        at->key = arena_strndup(a, (const char *)field.data, key_len);
        at->value = arena_strndup(a, (const char *)equals + 1, field.len - key_len - 1);
        if (at->key == NULL || at->value == NULL)
            return problem_set(ret_problem, -ENOMEM, "%s", err_text(-ENOMEM));
        k->attributes_count++;
        /* An expiry that cannot be read must not mean that there is none. */
        int e = strcmp(at->key, "expires") == 0 ? take_expiry(at->value, k, ret_problem) : 0;
        if (e < 0)
            return e;
    }
    k->attributes = list;
    return 0;
}

/* Reads one line.  -ENOENT: no entry here.  The problem says what, not where. */
static int parse_line(struct arena *a, struct bytes line, struct authkey *ret_key,
                      struct problem *ret_problem) {
    struct authkey k = {.expires = AUTHKEY_NO_EXPIRY};
    struct bytes fields, comment;

    split_comment(line, &fields, &comment);
    if (fields.len == 0)
        return -ENOENT;
    struct bytes id = next_field(&fields);
    if (peer_id_parse_bytes(id, &k.id) < 0)
        return problem_set(ret_problem, -ERR_BAD_PEER_ID, "invalid peer ID format - %.*s",
                           (int)MIN(id.len, (size_t)80), (const char *)id.data);
    k.comment = arena_strndup(a, (const char *)comment.data, comment.len);
    if (k.comment == NULL)
        return problem_set(ret_problem, -ENOMEM, "%s", err_text(-ENOMEM));
    int e = take_attributes(a, fields, &k, ret_problem);
    if (e == 0)
        *ret_key = k;
    return e;
}

static uint32_t count_lines(struct bytes text) {
    uint32_t count = 0;
    struct bytes line, whole;
    while (next_line(&text, &line, &whole))
        count++;
    return count;
}

/* The text that users know for a line that fails the whole list. */
static int refuse_line(const char *path, uint32_t number, struct bytes line, int error,
                       const struct problem *why, struct problem *ret_problem) {
    struct bytes fields, comment;
    if (error != -ERR_BAD_PEER_ID)
        return problem_set(ret_problem, error == -ENOMEM ? error : -ERR_MALFORMED, "%s:%u: %s",
                           path, number, why->text);
    split_comment(line, &fields, &comment);
    struct bytes id = next_field(&fields);
    return problem_set(ret_problem, -ERR_MALFORMED,
                       "%s: invalid peer ID at line %u: %.*s (error: failed to parse peer ID)",
                       path, number, (int)MIN(id.len, (size_t)80), (const char *)id.data);
}

/* Bytes beyond an ID's length are zero, so whole values compare. */
static int compare_ids(const struct peer_id *a, const struct peer_id *b) {
    return memcmp(a, b, sizeof(*a));
}

static int compare_places(const void *a, const void *b, void *items) {
    const uint32_t *x = a, *y = b;
    const struct authkey *k = items;
    int order = compare_ids(&k[*x].id, &k[*y].id);
    return order != 0 ? order : *x < *y ? -1 : 1;
}

static void sort_by_id(struct authkeys *k) {
    for (uint32_t i = 0; i < k->count; i++)
        k->by_id[i] = i;
    qsort_r(k->by_id, k->count, sizeof(k->by_id[0]), compare_places, k->items);
}

static int parse_text(struct mem *mem, const char *path, struct bytes text, bool skip_bad,
                      struct authkeys **ret_keys, struct problem *ret_problem) {
    SCOPED(authkeys_freep) struct authkeys *k = mem_alloc(mem, sizeof(*k));
    if (k == NULL)
        return problem_set(ret_problem, -ENOMEM, "%s: %s", path, err_text(-ENOMEM));
    arena_init(&k->arena, mem);
    uint32_t lines = count_lines(text);
    k->items = arena_alloc_array(&k->arena, lines, sizeof(*k->items));
    k->by_id = arena_alloc_array(&k->arena, lines, sizeof(*k->by_id));
    if (k->items == NULL || k->by_id == NULL)
        return problem_set(ret_problem, -ENOMEM, "%s: %s", path, err_text(-ENOMEM));

    struct bytes line, whole;
    for (uint32_t number = 1; next_line(&text, &line, &whole); number++) {
        struct problem why = PROBLEM_INIT;
        int e = parse_line(&k->arena, line, &k->items[k->count], &why);
        if (e == -ENOENT || (e < 0 && e != -ENOMEM && skip_bad))
            continue;
        if (e < 0)
            return refuse_line(path, number, line, e, &why, ret_problem);
        k->items[k->count++].line = number;
    }
    sort_by_id(k);
    *ret_keys = TAKE(k);
    return 0;
}

int authkeys_parse(struct mem *mem, const char *path, struct bytes text, struct authkeys **ret_keys,
                   struct problem *ret_problem) {
    return parse_text(mem, path, text, false, ret_keys, ret_problem);
}

static int read_list(struct mem *mem, const char *path, char **ret_text, size_t *ret_len,
                     struct problem *ret_problem) {
    return trusted_file_read(mem, path, "authorized_keys file", AUTHKEYS_BYTES_MAX, ret_text,
                             ret_len, ret_problem);
}

static int load(struct mem *mem, const char *path, bool skip_bad, struct authkeys **ret_keys,
                struct problem *ret_problem) {
    char *text;
    size_t len;
    int e = read_list(mem, path, &text, &len, ret_problem);
    if (e < 0)
        return e;
    e = parse_text(mem, path, bytes_of(text, len), skip_bad, ret_keys, ret_problem);
    (void)mem_free(mem, text);
    return e;
}

int authkeys_load(struct mem *mem, const char *path, struct authkeys **ret_keys,
                  struct problem *ret_problem) {
    return load(mem, path, false, ret_keys, ret_problem);
}

int authkeys_load_readable(struct mem *mem, const char *path, struct authkeys **ret_keys,
                           struct problem *ret_problem) {
    return load(mem, path, true, ret_keys, ret_problem);
}

struct authkeys *authkeys_free(struct authkeys *k) {
    if (k == NULL)
        return NULL;
    struct mem *mem = k->arena.mem;
    arena_done(&k->arena);
    return mem_free(mem, k);
}

const struct authkey *authkeys_items(const struct authkeys *k, uint32_t *ret_count) {
    *ret_count = k->count;
    return k->items;
}

const struct authkey *authkeys_find(const struct authkeys *k, const struct peer_id *id) {
    uint32_t low = 0, high = k->count; /* the first that is not less is in [low, high] */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_ids(&k->items[k->by_id[middle]].id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == k->count || !peer_id_equal(&k->items[k->by_id[low]].id, id))
        return NULL;
    return &k->items[k->by_id[low]];
}

const char *authkey_attribute(const struct authkey *k, const char *key) {
    for (uint32_t i = 0; i < k->attributes_count; i++)
        if (strcmp(k->attributes[i].key, key) == 0)
            return k->attributes[i].value;
    return "";
}

bool authkeys_allow(const struct authkeys *k, const struct peer_id *id, walltime_t now) {
    const struct authkey *found = authkeys_find(k, id);
    return found != NULL && authkey_is_valid_at(found, now);
}

static void validate_text(struct arena *a, struct bytes text, struct authkeys_fault *faults,
                          uint32_t faults_max, uint32_t *ret_faults_count,
                          uint32_t *ret_valid_count) {
    uint32_t faults_count = 0, valid_count = 0;
    struct bytes line, whole;

    for (uint32_t number = 1; next_line(&text, &line, &whole); number++) {
        struct problem why = PROBLEM_INIT;
        struct authkey k;
        int e = parse_line(a, line, &k, &why);
        if (e == 0)
            valid_count++;
        if (e == 0 || e == -ENOENT)
            continue;
        if (faults_count < faults_max) {
            struct authkeys_fault *f = &faults[faults_count];
            size_t len = MIN(strlen(why.text), sizeof(f->text) - 1);
            f->line = number;
            memcpy(f->text, why.text, len);
            f->text[len] = '\0';
        }
        faults_count++;
    }
    *ret_faults_count = faults_count;
    *ret_valid_count = valid_count;
}

int authkeys_validate(struct mem *mem, const char *path, struct authkeys_fault *faults,
                      uint32_t faults_max, uint32_t *ret_faults_count, uint32_t *ret_valid_count,
                      struct problem *ret_problem) {
    char *text;
    size_t len;
    struct arena a;
    int e = read_list(mem, path, &text, &len, ret_problem);
    if (e < 0)
        return e;
    arena_init(&a, mem);
    validate_text(&a, bytes_of(text, len), faults, faults_max, ret_faults_count, ret_valid_count);
    arena_done(&a);
    (void)mem_free(mem, text);
    return 0;
}

/* Changes */

/* A comment must stay on its line. */
static void add_comment(struct strbuf *out, const char *comment) {
    bool has_text = false;
    for (const char *p = comment; *p != '\0'; p++) {
        if (*p == '\r' || *p == '\n')
            continue;
        if (!has_text)
            strbuf_add(out, "  # ");
        has_text = true;
        strbuf_add_char(out, *p);
    }
}

static int replace_with(const char *path, struct strbuf *out, struct problem *ret_problem) {
    int e = strbuf_error(out);
    if (e < 0)
        return problem_set(ret_problem, e, "%s: %s", path, err_text(e));
    return file_replace(path, strbuf_bytes(out), ret_problem);
}

static int add_to(struct mem *mem, const char *path, struct bytes text, const struct peer_id *id,
                  const char *comment, struct problem *ret_problem) {
    SCOPED(strbuf_free) struct strbuf out = STRBUF_INIT(AUTHKEYS_BYTES_MAX);
    SCOPED(authkeys_freep) struct authkeys *keys = NULL;
    char id_text[PEER_ID_TEXT_MAX], id_short[PEER_ID_SHORT_MAX];

    int e = authkeys_parse(mem, path, text, &keys, ret_problem);
    if (e < 0)
        return e;
    assert(keys != NULL);
    if (authkeys_find(keys, id) != NULL)
        return problem_set(ret_problem, -ERR_PEER_EXISTS, "peer already authorized: %s",
                           peer_id_format_short(id, id_short));
    strbuf_add_bytes(&out, text);
    if (text.len > 0 && text.data[text.len - 1] != '\n')
        strbuf_add_char(&out, '\n'); /* else the new ID would be glued to the last line */
    strbuf_add(&out, peer_id_format(id, id_text));
    if (comment != NULL)
        add_comment(&out, comment);
    strbuf_add_char(&out, '\n');
    return replace_with(path, &out, ret_problem);
}

int authkeys_add(struct mem *mem, const char *path, const struct peer_id *id, const char *comment,
                 struct problem *ret_problem) {
    SCOPED(file_unlock) int lock = -EBADF;
    char *text = NULL;
    size_t len = 0;

    int e = file_lock(path, &lock, ret_problem);
    if (e < 0)
        return e;
    struct problem why = PROBLEM_INIT;
    e = read_list(mem, path, &text, &len, &why);
    if (e < 0 && e != -ENOENT)
        return problem_set(ret_problem, e, "%s", why.text);
    e = add_to(mem, path, bytes_of(text, len), id, comment, ret_problem);
    (void)mem_free(mem, text);
    return e;
}

/* Copies a list line by line; lines of the peer are handed to `edit`, which writes what is to
 * stand there instead. */
struct line_edit {
    const char *key; /* NULL: drop the line */
    const char *value;
};

static int compare_attributes(const void *a, const void *b) {
    const struct authkey_attribute *x = a, *y = b;
    return strcmp(x->key, y->key);
}

/* "<id>  expires=...  verified=...  <others by name>  # comment". */
static int write_edited(struct mem *mem, struct bytes line, const struct line_edit *edit,
                        struct strbuf *out, struct problem *ret_problem) {
    struct authkey_attribute list[AUTHKEY_ATTRIBUTES_MAX];
    char id_text[PEER_ID_TEXT_MAX];
    struct authkey k = {.comment = ""};
    struct arena a;
    size_t count = 0;

    arena_init(&a, mem);
    int e = parse_line(&a, line, &k, ret_problem);
    for (uint32_t i = 0; e == 0 && i < k.attributes_count; i++)
        if (strcmp(k.attributes[i].key, edit->key) != 0)
            list[count++] = k.attributes[i];
    if (e == 0 && *edit->value != '\0' && count == AUTHKEY_ATTRIBUTES_MAX)
        e = problem_set(ret_problem, -ERR_LIMIT, "too many attributes");
    if (e == 0) {
        if (*edit->value != '\0')
            list[count++] = (struct authkey_attribute){edit->key, edit->value};
        qsort(list, count, sizeof(list[0]), compare_attributes);
        strbuf_add(out, peer_id_format(&k.id, id_text));
        static const char *const FIRST[] = {"expires", "verified"};
        for (size_t f = 0; f < ARRAY_COUNT(FIRST); f++)
            for (size_t i = 0; i < count; i++)
                if (strcmp(list[i].key, FIRST[f]) == 0)
                    strbuf_addf(out, "  %s=%s", list[i].key, list[i].value);
        for (size_t i = 0; i < count; i++)
            if (strcmp(list[i].key, FIRST[0]) != 0 && strcmp(list[i].key, FIRST[1]) != 0)
                strbuf_addf(out, "  %s=%s", list[i].key, list[i].value);
        add_comment(out, k.comment);
        strbuf_add_char(out, '\n');
    }
    arena_done(&a);
    return e;
}

static int edit_text(struct mem *mem, const char *path, struct bytes text, const struct peer_id *id,
                     const struct line_edit *edit, struct problem *ret_problem) {
    SCOPED(strbuf_free) struct strbuf out = STRBUF_INIT(AUTHKEYS_BYTES_MAX);
    char id_short[PEER_ID_SHORT_MAX];
    struct bytes line, whole;
    bool found = false;

    while (next_line(&text, &line, &whole)) {
        struct peer_id at;
        if (line_peer(line, &at) < 0 || !peer_id_equal(&at, id)) {
            strbuf_add_bytes(&out, whole);
            continue;
        }
        found = true;
        int e = edit->key == NULL ? 0 : write_edited(mem, line, edit, &out, ret_problem);
        if (e < 0)
            return e;
    }
    if (!found)
        return problem_set(ret_problem, -ERR_PEER_NOT_FOUND, "peer not found: %s",
                           peer_id_format_short(id, id_short));
    return replace_with(path, &out, ret_problem);
}

static int edit_file(struct mem *mem, const char *path, const struct peer_id *id,
                     const struct line_edit *edit, struct problem *ret_problem) {
    SCOPED(file_unlock) int lock = -EBADF;
    char *text;
    size_t len;

    int e = file_lock(path, &lock, ret_problem);
    if (e < 0 || (e = read_list(mem, path, &text, &len, ret_problem)) < 0)
        return e;
    e = edit_text(mem, path, bytes_of(text, len), id, edit, ret_problem);
    (void)mem_free(mem, text);
    return e;
}

int authkeys_remove(struct mem *mem, const char *path, const struct peer_id *id,
                    struct problem *ret_problem) {
    const struct line_edit drop = {.key = NULL};
    return edit_file(mem, path, id, &drop, ret_problem);
}

/* Values are written as they are, so what would end a field or a line is refused. */
static bool is_attribute_text(const char *text, const char *refused) {
    for (const char *p = text; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        if (c <= ' ' || c == 0x7f || strchr(refused, *p) != NULL)
            return false;
    }
    return true;
}

int authkeys_set_attribute(struct mem *mem, const char *path, const struct peer_id *id,
                           const char *key, const char *value, struct problem *ret_problem) {
    const struct line_edit edit = {.key = key, .value = value};
    if (*key == '\0' || !is_attribute_text(key, "#="))
        return problem_set(ret_problem, -EINVAL, "invalid attribute name");
    walltime_t expires;
    bool is_bad_time =
        strcmp(key, "expires") == 0 && *value != '\0' && rfc3339_parse(value, &expires) < 0;
    if (!is_attribute_text(value, "#") || is_bad_time)
        return problem_set(ret_problem, -EINVAL, "invalid value for attribute %s", key);
    return edit_file(mem, path, id, &edit, ret_problem);
}
