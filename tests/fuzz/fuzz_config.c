/* SPDX-License-Identifier: MIT */
/* Config files, raw: the input as a node's and as a relay's config.  Memory is counted and bounded,
 * nothing may be left, and the n-th allocation may fail. */

#include "core/base/err.h"
#include "core/base/problem.h"
#include "core/base/strbuf.h"
#include "core/conf/config.h"
#include "core/conf/config_file.h"
#include "core/conf/relay_config.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_mem.h"

enum {
    /* A snapshot's tables, an arena's chunk and the parser's own buffers. */
    MEMORY_FIXED = 1 << 20,
    /* A tree's node for each two bytes of input is the worst that YAML allows. */
    MEMORY_PER_BYTE = 256,
};

static size_t memory_max(size_t input_size) {
    return MEMORY_FIXED + MEMORY_PER_BYTE * input_size;
}

static void check_error(int e, const struct fuzz_mem *m, const struct problem *p) {
    assert(e == -ERR_CONFIG_INVALID || e == -ERR_LIMIT || e == -ERR_MALFORMED || e == -ENOMEM);
    if (e == -ENOMEM)
        assert(m->failed);
    else
        assert(p->text[0] != '\0');
}

/* What is shown is a config again, and shows itself. */
static void check_shown(struct config *c, size_t input_size) {
    struct fuzz_mem m = fuzz_mem_make(memory_max(8 * input_size), 0);
    struct strbuf shown = STRBUF_INIT(8 * CONFIG_BYTES_MAX);
    struct strbuf shown_again = STRBUF_INIT(8 * CONFIG_BYTES_MAX);
    struct problem problem = PROBLEM_INIT;
    struct config *again;
    schema_show(&CONFIG_SCHEMA, &c->base, &shown);
    int e = config_parse(&m.mem, "/d/c.yaml", strbuf_bytes(&shown), &again, &problem);
    assert(e == 0);
    schema_show(&CONFIG_SCHEMA, &again->base, &shown_again);
    assert(bytes_equal(strbuf_bytes(&shown), strbuf_bytes(&shown_again)));
    config_free(again);
    strbuf_free(&shown);
    strbuf_free(&shown_again);
    assert(m.used == 0);
}

static void check_node(struct bytes in, uint32_t failing_call) {
    struct fuzz_mem m = fuzz_mem_make(memory_max(in.len), failing_call);
    struct problem problem = PROBLEM_INIT;
    struct config *c = NULL;
    int e = config_parse(&m.mem, "/d/c.yaml", in, &c, &problem);
    if (e < 0) {
        check_error(e, &m, &problem);
        assert(c == NULL);
    } else {
        e = config_check(c, &problem);
        assert(e == 0 || e == -ERR_CONFIG_INVALID);
        for (uint32_t i = 0; i < c->names_count; i++)
            assert(config_name_find(c, c->names[i].item.key) == &c->names[i]);
        for (uint32_t i = 0; i < c->services_count; i++)
            assert(config_service_find(c, c->services[i].item.key) == &c->services[i]);
        if (c->base.findings == NULL)
            check_shown(c, in.len);
    }
    config_free(c);
    assert(m.used == 0);
}

static void check_relay(struct bytes in, uint32_t failing_call) {
    struct fuzz_mem m = fuzz_mem_make(memory_max(in.len), failing_call);
    struct problem problem = PROBLEM_INIT;
    struct relay_config *c = NULL;
    int e = relay_config_parse(&m.mem, "relay-server.yaml", in, &c, &problem);
    if (e < 0) {
        check_error(e, &m, &problem);
        assert(c == NULL);
    } else {
        e = relay_config_check(c, &problem);
        assert(e == 0 || e == -ERR_CONFIG_INVALID);
    }
    relay_config_free(c);
    assert(m.used == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > CONFIG_BYTES_MAX)
        return 0;
    struct bytes in = bytes_of(data, size);
    check_node(in, 0);
    check_relay(in, 0);
    /* A comment's last byte chooses, so that every text can be had with every failure. */
    uint32_t failing_call = size > 0 ? data[size - 1] : 0;
    check_node(in, failing_call);
    check_relay(in, failing_call);
    return 0;
}
