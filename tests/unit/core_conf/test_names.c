/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "core/base/err.h"
#include "core/base/problem.h"
#include "core/conf/config.h"
#include "core/conf/names.h"
#include "tests/unit/core_conf/support.h"

Test(names, a_target_is_a_name_an_id_or_an_address) {
    /* Spec: config.md section 7, decision 3. */
    static const char TEXT[] =
        "names:\n"
        "  home: " PEER_A "\n"
        "  lab: [/ip4/1.1.1.1/udp/1/quic-v1/p2p/" PEER_B ", /ip4/2.2.2.2/tcp/2/p2p/" PEER_B "]\n"
        "  bad: nobody\n"
        "  " PEER_B ": " PEER_R "\n";
    SCOPED(config_freep) struct config *c = NULL;
    struct problem why = PROBLEM_INIT;
    struct target t;
    struct arena a;
    char text[PEER_ID_TEXT_MAX];

    cr_assert_eq(config_parse(mem_system(), "c.yaml", BYTES_LIT(TEXT), &c, NULL), 0);
    arena_init(&a, mem_system());
    cr_assert_eq(target_resolve(c, &a, "home", &t, &why), 0);
    cr_expect(t.source == TARGET_NAME && t.addrs_count == 0);
    cr_expect_str_eq(peer_id_format(&t.id, text), PEER_A);
    cr_assert_eq(target_resolve(c, &a, "lab", &t, &why), 0);
    cr_expect(t.source == TARGET_NAME && t.addrs_count == 2);
    cr_expect_str_eq(peer_id_format(&t.id, text), PEER_B);
    cr_assert_eq(target_resolve(c, &a, PEER_A, &t, &why), 0);
    cr_expect(t.source == TARGET_PEER_ID && t.addrs_count == 0);
    cr_assert_eq(target_resolve(c, &a, PEER_B, &t, &why), 0);
    cr_expect_str_eq(peer_id_format(&t.id, text), PEER_R, "names come first");
    cr_assert_eq(target_resolve(NULL, &a, "/ip4/9.9.9.9/tcp/9/p2p/" PEER_A, &t, &why), 0);
    cr_expect(t.source == TARGET_ADDRESS && t.addrs_count == 1);

    cr_expect_eq(target_resolve(c, &a, "Home", &t, &why), -ERR_NAME_NOT_FOUND);
    cr_expect_str_eq(why.text, "name not found: Home");
    cr_expect_eq(target_resolve(c, &a, "", &t, &why), -ERR_NAME_NOT_FOUND);
    cr_expect_eq(target_resolve(c, &a, "bad", &t, &why), -ERR_BAD_PEER_ID);
    cr_expect_str_eq(why.text, "invalid peer ID for name bad: failed to parse peer ID: \"nobody\"");
    cr_expect_eq(target_resolve(c, &a, "/ip4/9.9.9.9/tcp/9", &t, &why), -ERR_BAD_MULTIADDR);
    cr_expect_str_eq(why.text, "the address must end in /p2p/<peer id>: \"/ip4/9.9.9.9/tcp/9\"");
    arena_done(&a);
}

Test(names, what_peers_send_is_cut_to_safe_characters) {
    static const struct {
        const char *in;
        const char *out;
    } ROWS[] = {
        {"laptop", "laptop"},      {"My Laptop!", "MyLaptop"}, {"a\"b: c\n", "abc"},
        {"\x1b[31mred", "31mred"}, {"\xc3\xa4", ""},           {"", ""},
        {"x.y_z-1", "x.y_z-1"},
    };
    char out[NAME_BYTES_MAX + 1];
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        name_sanitize(bytes_of_str(ROWS[i].in), out);
        cr_expect_str_eq(out, ROWS[i].out);
    }
    char longer[200];
    memset(longer, 'a', sizeof(longer));
    name_sanitize(bytes_of(longer, sizeof(longer)), out);
    cr_expect_eq(strlen(out), 64);
    name_sanitize(bytes_of("a\0b", 3), out);
    cr_expect_str_eq(out, "ab");
}
