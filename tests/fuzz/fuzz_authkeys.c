/* SPDX-License-Identifier: MIT */
/* authorized_keys, raw: the input as a file. */

#include "core/base/err.h"
#include "core/base/problem.h"
#include "core/conf/authkeys.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_mem.h"

enum { MEMORY_FIXED = 1 << 16, MEMORY_PER_BYTE = 64 };

static bool has_separator(const char *text) {
    return strpbrk(text, " \t\r\n#") != NULL;
}

static void check_entry(const struct authkeys *keys, const struct authkey *k) {
    char id[PEER_ID_TEXT_MAX];
    struct peer_id again;
    assert(peer_id_parse(peer_id_format(&k->id, id), &again) == 0);
    assert(peer_id_equal(&k->id, &again));

    const struct authkey *first = authkeys_find(keys, &k->id);
    assert(first != NULL && first <= k);
    assert(authkeys_allow(keys, &k->id, first->expires - 1));
    if (first->expires != AUTHKEY_NO_EXPIRY)
        assert(!authkeys_allow(keys, &k->id, first->expires));

    assert(k->attributes_count <= AUTHKEY_ATTRIBUTES_MAX);
    for (uint32_t i = 0; i < k->attributes_count; i++) {
        assert(!has_separator(k->attributes[i].key) && strchr(k->attributes[i].key, '=') == NULL);
        assert(!has_separator(k->attributes[i].value));
        (void)strlen(authkey_attribute(k, k->attributes[i].key));
    }
    assert(strchr(k->comment, '\n') == NULL);
}

static void check(struct bytes in, uint32_t failing_call) {
    struct fuzz_mem m = fuzz_mem_make(MEMORY_FIXED + MEMORY_PER_BYTE * in.len, failing_call);
    struct problem problem = PROBLEM_INIT;
    struct authkeys *keys = NULL;
    int e = authkeys_parse(&m.mem, "f", in, &keys, &problem);
    if (e < 0) {
        assert(e == -ERR_MALFORMED || e == -ERR_LIMIT || (e == -ENOMEM && m.failed));
        assert(keys == NULL);
        assert(e == -ENOMEM || problem.text[0] != '\0');
    } else {
        uint32_t count, line = 0;
        const struct authkey *items = authkeys_items(keys, &count);
        for (uint32_t i = 0; i < count; i++) {
            assert(items[i].line > line);
            line = items[i].line;
            check_entry(keys, &items[i]);
        }
    }
    authkeys_free(keys);
    assert(m.used == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes in = bytes_of(data, size);
    check(in, 0);
    check(in, size > 0 ? data[size - 1] : 0);
    return 0;
}
