/* SPDX-License-Identifier: MIT */
/* Changes to config files, script: one byte chooses the change, the rest is the file.  After a
 * change the file is valid, says what it should, and otherwise says what it said. */

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/base/strbuf.h"
#include "core/conf/config.h"
#include "core/conf/config_file.h"
#include "core/conf/edit.h"
#include "tests/fuzz/fuzz.h"

#define PEER "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"

static const struct config_edit EDITS[] = {
    {EDIT_SERVICE_ADD, "web", "localhost:80", NULL},
    {EDIT_SERVICE_ADD, "a-b", "[::1]:22", "/x/1"},
    {EDIT_SERVICE_REMOVE, "web", NULL, NULL},
    {EDIT_SERVICE_REMOVE, "ssh", NULL, NULL},
    {EDIT_SERVICE_ENABLE, "web", NULL, NULL},
    {EDIT_SERVICE_DISABLE, "ssh", NULL, NULL},
    {EDIT_RELAY_ADD, NULL, "/ip4/192.0.2.1/tcp/4001/p2p/" PEER, NULL},
    {EDIT_RELAY_REMOVE, NULL, "/ip4/192.0.2.1/tcp/4001/p2p/" PEER, NULL},
    {EDIT_NAME_ADD, "home", PEER, NULL},
    {EDIT_NAME_ADD, "a: \"b\" # c", PEER, NULL},
};

static struct config *parse(struct bytes text) {
    struct problem problem = PROBLEM_INIT;
    struct config *c = NULL;
    return config_parse(mem_system(), "/d/c.yaml", text, &c, &problem) == 0 ? c : NULL;
}

/* Whether the change counts in this config. */
static bool is_done(const struct config *c, const struct config_edit *edit) {
    const struct config_service *service =
        edit->name == NULL ? NULL : config_service_find(c, edit->name);
    switch (edit->kind) {
    case EDIT_SERVICE_ADD:
        return service != NULL;
    case EDIT_SERVICE_REMOVE:
        return service == NULL;
    case EDIT_SERVICE_ENABLE:
        return service != NULL && service->enabled;
    case EDIT_SERVICE_DISABLE:
        return service != NULL && !service->enabled;
    case EDIT_RELAY_ADD:
    case EDIT_RELAY_REMOVE:
        for (uint32_t i = 0; i < c->relay.addresses.count; i++)
            if (strcmp(c->relay.addresses.items[i].text, edit->value) == 0)
                return edit->kind == EDIT_RELAY_ADD;
        return edit->kind == EDIT_RELAY_REMOVE;
    case EDIT_NAME_ADD:
        return config_name_find(c, edit->name) != NULL;
    }
    return false;
}

static int difference(uint32_t before, uint32_t after) {
    return (int)after - (int)before;
}

/* Everything that the change is not about. */
static void check_rest(const struct config *before, const struct config *after,
                       enum config_edit_kind kind) {
    int services = difference(before->services_count, after->services_count);
    int names = difference(before->names_count, after->names_count);
    int relays = difference(before->relay.addresses.count, after->relay.addresses.count);
    assert(services == (kind == EDIT_SERVICE_ADD) - (kind == EDIT_SERVICE_REMOVE));
    assert(names == (kind == EDIT_NAME_ADD));
    assert(kind == EDIT_RELAY_REMOVE ? relays < 0 : relays == (kind == EDIT_RELAY_ADD));
    assert(before->version == after->version);
    assert(before->security.enable_connection_gating == after->security.enable_connection_gating);
    assert(before->relay.reservation_interval_ns == after->relay.reservation_interval_ns);
    assert(before->network.listen_addresses.count == after->network.listen_addresses.count);
    assert(before->discovery.bootstrap_peers.count == after->discovery.bootstrap_peers.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes text = bytes_of(data, size);
    const struct config_edit *edit = &EDITS[fuzz_u8(&text) % ARRAY_COUNT(EDITS)];
    SCOPED(strbuf_free) struct strbuf out = STRBUF_INIT(2 * CONFIG_BYTES_MAX);
    struct problem problem = PROBLEM_INIT;
    struct config *before = parse(text);

    int e = config_edit_text(mem_system(), "/d/c.yaml", text, edit, &out, &problem);
    if (e == 0) {
        assert(before != NULL);
        struct config *after = parse(strbuf_bytes(&out));
        assert(after != NULL);
        assert(is_done(after, edit));
        check_rest(before, after, edit->kind);
        config_free(after);
    } else if (e == -EALREADY) {
        assert(before != NULL && is_done(before, edit));
    } else {
        assert(problem.text[0] != '\0');
    }
    config_free(before);
    return 0;
}
