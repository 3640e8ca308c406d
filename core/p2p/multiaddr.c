/* SPDX-License-Identifier: MIT */
#include "core/p2p/multiaddr.h"

#include "core/base/err.h"
#include "core/p2p/multiaddr_internal.h"

/* Text longer than this is no address, whatever zeros lead its numbers. */
enum { TEXT_PARSE_MAX = 2 * MULTIADDR_TEXT_MAX };

/* The value of the part that `p` began. */
static struct bytes rd_value(struct rd *r, const struct protocol *p) {
    if (p->size == PROTOCOL_SIZE_VARIES)
        return rd_uvarint_bytes(r, MULTIADDR_BYTES_MAX);
    return rd_bytes(r, (size_t)p->size);
}

static bool part_is_valid(struct rd *r) {
    const struct protocol *p = protocol_find_code(rd_uvarint(r));
    if (r->error != 0 || p == NULL)
        return false;
    struct bytes value = rd_value(r, p);
    /* In text a path takes all that follows, so in binary nothing may follow it. */
    return r->error == 0 && value_is_valid(p, value) && (p->type != VALUE_PATH || r->left.len == 0);
}

int multiaddr_decode(struct bytes in, struct multiaddr *ret_addr) {
    if (in.len > MULTIADDR_BYTES_MAX)
        return -ERR_LIMIT;
    if (in.len == 0)
        return -ERR_BAD_MULTIADDR;
    struct rd r = rd_init(in);
    for (int parts = 0; rd_more(&r); parts++) {
        if (parts == MULTIADDR_PARTS_MAX)
            return -ERR_LIMIT;
        if (!part_is_valid(&r))
            return -ERR_BAD_MULTIADDR;
    }
    ret_addr->len = (uint16_t)in.len;
    memcpy(ret_addr->bytes, in.data, in.len);
    return 0;
}

bool multiaddr_next(struct bytes *left, struct multiaddr_part *ret_part) {
    if (left->len == 0)
        return false;
    struct rd r = rd_init(*left);
    const struct protocol *p = protocol_find_code(rd_uvarint(&r));
    assert(p != NULL); /* the address was well-formed */
    struct bytes value = rd_value(&r, p);
    assert(r.error == 0);
    *left = r.left;
    *ret_part = (struct multiaddr_part){.code = p->code, .value = value};
    return true;
}

bool multiaddr_is_in(const struct multiaddr *a, const struct multiaddr *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (multiaddr_equal(&list[i], a))
            return true;
    }
    return false;
}

bool multiaddr_has(const struct multiaddr *a, enum multiaddr_code code) {
    struct multiaddr_part part;
    for (struct bytes left = multiaddr_bytes(a); multiaddr_next(&left, &part);) {
        if (part.code == (uint32_t)code)
            return true;
    }
    return false;
}

/* ---- text ------------------------------------------------------------------------------- */

/* What stands before the next '/', which is taken too. */
static struct bytes take_token(struct bytes *text) {
    const uint8_t *slash = text->len == 0 ? NULL : memchr(text->data, '/', text->len);
    size_t len = slash == NULL ? text->len : (size_t)(slash - text->data);
    struct bytes token = bytes_of(text->data, len);
    *text = bytes_skip(*text, slash == NULL ? len : len + 1);
    return token;
}

static struct bytes take_value(struct bytes *text, const struct protocol *p) {
    if (p->type != VALUE_PATH)
        return take_token(text);
    /* The '/' before it belongs to the path. */
    struct bytes path = bytes_of(text->data - 1, text->len + 1);
    *text = BYTES_EMPTY;
    return path;
}

static int parse_part(struct bytes *text, struct wr *w) {
    const struct protocol *p = protocol_find_name(take_token(text));
    if (p == NULL)
        return -ERR_BAD_MULTIADDR;
    wr_uvarint(w, p->code);
    if (p->type == VALUE_NONE)
        return 0;
    if (text->len == 0) /* the value is missing */
        return -ERR_BAD_MULTIADDR;
    struct bytes value_text = take_value(text, p);
    if (p->size != PROTOCOL_SIZE_VARIES)
        return value_parse(p, value_text, w);
    uint8_t memory[MULTIADDR_BYTES_MAX];
    struct wr value = wr_init(memory, sizeof(memory));
    int e = value_parse(p, value_text, &value);
    if (wr_done(&value) < 0)
        return -ERR_LIMIT;
    wr_uvarint_bytes(w, wr_written(&value));
    return e;
}

int multiaddr_parse(const char *text, struct multiaddr *ret_addr) {
    struct bytes left = bytes_of(text, strnlen(text, TEXT_PARSE_MAX + 1));
    if (left.len > TEXT_PARSE_MAX)
        return -ERR_LIMIT;
    if (left.len < 2 || left.data[0] != '/')
        return -ERR_BAD_MULTIADDR;
    left = bytes_skip(left, 1);
    if (left.data[left.len - 1] == '/') /* one at the end is allowed */
        left.len--;
    if (left.len == 0 || left.data[left.len - 1] == '/')
        return -ERR_BAD_MULTIADDR;
    struct multiaddr a;
    struct wr w = wr_init(a.bytes, sizeof(a.bytes));
    int parts = 0;
    do {
        if (parts++ == MULTIADDR_PARTS_MAX)
            return -ERR_LIMIT;
        int e = parse_part(&left, &w);
        if (e < 0)
            return e;
    } while (left.len > 0);
    ssize_t len = wr_done(&w);
    if (len < 0)
        return (int)len;
    a.len = (uint16_t)len;
    *ret_addr = a;
    return 0;
}

const char *multiaddr_format(const struct multiaddr *a, char *out) {
    struct wr w = wr_init(out, MULTIADDR_TEXT_MAX);
    struct multiaddr_part part;
    for (struct bytes left = multiaddr_bytes(a); multiaddr_next(&left, &part);) {
        const struct protocol *p = protocol_find_code(part.code);
        wr_u8(&w, '/');
        wr_bytes(&w, bytes_of_str(p->name));
        if (p->type != VALUE_NONE && p->type != VALUE_PATH)
            wr_u8(&w, '/');
        value_format(p, part.value, &w);
    }
    wr_u8(&w, '\0');
    ssize_t len = wr_done(&w);
    assert(len > 0); /* the limits of the header see to it */
    return out;
}
