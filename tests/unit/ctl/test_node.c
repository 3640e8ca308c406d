/* SPDX-License-Identifier: MIT */
/* Goal: a node has the parts that it was asked for, and no others. */
#include <criterion/criterion.h>

#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/p2p/protocol_id.h"
#include "ctl/node.h"
#include "tests/unit/ctl/folder.h"
#include "transport/host.h"

enum { PROTOCOLS_MAX = 32 };

static bool serves(const struct node *n, const char *protocol) {
    const char *names[PROTOCOLS_MAX];
    size_t count = host_protocols(node_host(n), names, PROTOCOLS_MAX);
    for (size_t i = 0; i < MIN(count, (size_t)PROTOCOLS_MAX); i++) {
        if (strcmp(names[i], protocol) == 0)
            return true;
    }
    return false;
}

static struct node *open_with(const struct folder *f, bool listens, bool punches) {
    struct multiaddr at;
    struct problem why = PROBLEM_INIT;
    struct node *n;
    cr_assert_eq(multiaddr_parse("/ip4/127.0.0.1/tcp/0", &at), 0);
    struct node_config cfg = {.mem = mem_system(),
                              .key_file = folder_file(f, "identity.key"),
                              .listen = &at,
                              .listen_count = listens ? 1 : 0,
                              .punches = punches};
    cr_assert_eq(node_open(&cfg, &n, &why), 0, "%s", why.text);
    return n;
}

Test(node, punches_holes_where_it_is_to_and_listens) {
    struct folder f;
    folder_make(&f);
    for (int i = 0; i < 4; i++) {
        bool listens = (i & 1) != 0;
        bool punches = (i & 2) != 0;
        struct node *n = open_with(&f, listens, punches);
        cr_assert_eq(node_holepunch(n) != NULL, listens && punches);
        cr_assert_eq(serves(n, PROTOCOL_DCUTR), listens && punches);
        (void)node_free(n);
    }
    folder_remove(&f);
}
