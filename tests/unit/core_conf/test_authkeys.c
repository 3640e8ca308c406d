/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/conf/authkeys.h"
#include "tests/unit/core_conf/support.h"

static struct peer_id peer(const char *text) {
    struct peer_id id = PEER_ID_NONE;
    cr_assert_eq(peer_id_parse(text, &id), 0);
    return id;
}

static struct authkeys *parse(const char *text) {
    struct authkeys *k = NULL;
    struct problem why = PROBLEM_INIT;
    int e = authkeys_parse(mem_system(), "keys", bytes_of_str(text), &k, &why);
    cr_assert(e == 0, "%s", why.text);
    return k;
}

static void enter_dir(char *template) {
    cr_assert_not_null(mkdtemp(template));
    cr_assert_eq(chdir(template), 0);
}

Test(authkeys, the_grammar_is_read) {
    /* Spec: config.md section 6. */
    SCOPED(authkeys_freep)
    struct authkeys *k = parse(
        "# peers\n"
        "\n"
        "  " PEER_A "\texpires=2027-01-02T03:04:05Z  verified=sha256:aabbccdd  group=g1  lonely  "
        "x=  # my laptop # really \n" PEER_B "#glued\r\n"
        "   # indented comment\n" PEER_R);
    uint32_t count;
    const struct authkey *items = authkeys_items(k, &count);
    struct peer_id a = peer(PEER_A), b = peer(PEER_B);

    cr_assert_eq(count, 3);
    cr_expect(peer_id_equal(&items[0].id, &a));
    cr_expect_eq(items[0].line, 3);
    cr_expect_eq(items[0].expires, 1798859045);
    cr_expect_str_eq(items[0].comment, "my laptop # really");
    cr_expect_eq(items[0].attributes_count, 4, "a field without = is ignored");
    cr_expect_str_eq(authkey_attribute(&items[0], "verified"), "sha256:aabbccdd");
    cr_expect_str_eq(authkey_attribute(&items[0], "x"), "");
    cr_expect_str_eq(authkey_attribute(&items[0], "none"), "");
    cr_expect_str_eq(items[1].comment, "glued");
    cr_expect_eq(items[1].expires, AUTHKEY_NO_EXPIRY);
    cr_expect_eq(authkeys_find(k, &b), &items[1]);
    cr_expect_eq(items[2].line, 6, "the last line needs no LF");
}

Test(authkeys, expiry_is_enforced_to_the_second) {
    SCOPED(authkeys_freep)
    struct authkeys *k = parse(PEER_A " expires=2027-01-02T03:04:05Z\n" PEER_B "\n");
    struct peer_id a = peer(PEER_A), b = peer(PEER_B), r = peer(PEER_R);

    cr_expect(authkeys_allow(k, &a, 1798859044));
    cr_expect(!authkeys_allow(k, &a, 1798859045));
    cr_expect(authkeys_allow(k, &b, INT64_MAX - 1));
    cr_expect(!authkeys_allow(k, &r, 0));
}

Test(authkeys, every_peer_is_found_and_the_first_of_its_lines_counts) {
    SCOPED(authkeys_freep)
    struct authkeys *k =
        parse(PEER_R " # 1\n" PEER_A " # 2\n" PEER_R " expires=2000-01-01T00:00:00Z # 3\n" PEER_B
                     " # 4\n" PEER_A " # 5\n");
    struct peer_id a = peer(PEER_A), b = peer(PEER_B), r = peer(PEER_R);
    struct peer_id none = PEER_ID_NONE;

    cr_expect_str_eq(authkeys_find(k, &a)->comment, "2");
    cr_expect_str_eq(authkeys_find(k, &b)->comment, "4");
    cr_expect_str_eq(authkeys_find(k, &r)->comment, "1");
    cr_expect_null(authkeys_find(k, &none));
    SCOPED(authkeys_freep) struct authkeys *empty = parse("# nobody\n");
    cr_expect_null(authkeys_find(empty, &a));
}

Test(authkeys, of_several_expiries_the_first_to_come_counts) {
    static const char *const LINES[] = {
        PEER_A " expires=2027-01-02T03:04:05Z expires=2099-01-01T00:00:00Z\n",
        PEER_A " expires=2099-01-01T00:00:00Z expires=2027-01-02T03:04:05Z expiresnot=1\n",
    };
    for (size_t i = 0; i < ARRAY_COUNT(LINES); i++) {
        struct authkeys *k = parse(LINES[i]);
        struct peer_id a = peer(PEER_A);
        cr_expect(authkeys_allow(k, &a, 1798859044), "%zu", i);
        cr_expect_not(authkeys_allow(k, &a, 1798859045), "%zu", i);
        (void)authkeys_free(k);
    }
}

Test(authkeys, a_bad_line_fails_the_whole_load) {
    static const struct {
        const char *text;
        const char *problem;
    } ROWS[] = {
        {PEER_A "\nnobody # x\n",
         "keys: invalid peer ID at line 2: nobody (error: failed to parse peer ID)"},
        {PEER_A PEER_B "\n",
         "keys: invalid peer ID at line 1: " PEER_A "12D3KooWCd3eX8r5ihRvzK7P1yPq"
         " (error: failed to parse peer ID)"},
        {"\n" PEER_A " expires=tomorrow\n",
         "keys:2: invalid expires - \"tomorrow\" is no RFC 3339 time"},
        {PEER_A " a=1 b=1 c=1 d=1 e=1 f=1 g=1 h=1 i=1 j=1 k=1 l=1 m=1 n=1 o=1 p=1 q=1\n",
         "keys:1: too many attributes"},
        {PEER_A " Expires=2027-01-02T03:04:05Z\n",
         "keys:1: invalid expires - write expires=<RFC 3339 time>"},
        {PEER_A " expires = 2027-01-02T03:04:05Z\n",
         "keys:1: invalid expires - write expires=<RFC 3339 time>"},
        {PEER_A " expires:2027-01-02T03:04:05Z\n",
         "keys:1: invalid expires - write expires=<RFC 3339 time>"},
        {PEER_A " expires=2027-01-02T03:04:05Z expires=\n",
         "keys:1: invalid expires - \"\" is no RFC 3339 time"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct problem why = PROBLEM_INIT;
        struct authkeys *k = NULL;
        cr_expect_eq(authkeys_parse(mem_system(), "keys", bytes_of_str(ROWS[i].text), &k, &why),
                     -ERR_MALFORMED);
        cr_expect_str_eq(why.text, ROWS[i].problem);
        cr_expect_null(k);
    }
}

Test(authkeys, files_that_others_may_write_are_refused) {
    char dir[] = "/tmp/peerup-test-XXXXXX";
    struct problem why = PROBLEM_INIT;
    struct authkeys *k = NULL;

    enter_dir(dir);
    cr_expect_eq(authkeys_load(mem_system(), "keys", &k, &why), -ENOENT);
    cr_expect_str_eq(why.text,
                     "failed to open authorized_keys file: keys: No such file or directory");
    put_file("keys", PEER_A "\n", 0644);
    cr_expect_eq(authkeys_load(mem_system(), "keys", &k, &why), 0);
    k = authkeys_free(k);
    cr_assert_eq(chmod("keys", 0622), 0);
    cr_expect_eq(authkeys_load(mem_system(), "keys", &k, &why), -ERR_FILE_MODE);
    cr_expect_null(k);
    remove_tree(dir);
}

Test(authkeys, add_appends_one_line_and_creates_the_file) {
    char dir[] = "/tmp/peerup-test-XXXXXX";
    struct problem why = PROBLEM_INIT;
    struct peer_id a = peer(PEER_A), b = peer(PEER_B), r = peer(PEER_R);

    enter_dir(dir);
    cr_assert_eq(authkeys_add(mem_system(), "keys", &a, "my\r\n laptop", &why), 0, "%s", why.text);
    cr_expect_str_eq(get_file("keys"), PEER_A "  # my laptop\n");
    cr_expect_eq(mode_of("keys"), 0600);
    cr_expect_eq(authkeys_add(mem_system(), "keys", &a, NULL, &why), -ERR_PEER_EXISTS);
    cr_expect_str_eq(why.text, "peer already authorized: 12D3KooWA4Xop1Ja...");
    cr_assert_eq(chmod("keys", 0644), 0);
    cr_assert_eq(authkeys_add(mem_system(), "keys", &b, NULL, &why), 0);
    cr_expect_str_eq(get_file("keys"), PEER_A "  # my laptop\n" PEER_B "\n");
    cr_expect_eq(mode_of("keys"), 0644, "the mode of an existing file is kept");

    put_file("keys", "# top\n" PEER_A, 0600); /* a file without a last LF glued two IDs together */
    cr_assert_eq(authkeys_add(mem_system(), "keys", &r, "", &why), 0);
    cr_expect_str_eq(get_file("keys"), "# top\n" PEER_A "\n" PEER_R "\n");
    put_file("keys", "rubbish\n", 0600);
    cr_expect_eq(authkeys_add(mem_system(), "keys", &r, "", &why), -ERR_MALFORMED);
    cr_expect_str_eq(get_file("keys"), "rubbish\n");
    cr_expect_eq(count_entries("."), 1, "no temporary file stays");
    remove_tree(dir);
}

Test(authkeys, remove_takes_only_that_peers_lines) {
    char dir[] = "/tmp/peerup-test-XXXXXX";
    struct problem why = PROBLEM_INIT;
    struct peer_id a = peer(PEER_A), r = peer(PEER_R);

    enter_dir(dir);
    cr_expect_eq(authkeys_remove(mem_system(), "keys", &a, &why), -ENOENT);
    put_file("keys", "# " PEER_A "\n" PEER_A " x=1 # one\nrubbish\n\n" PEER_B "\n" PEER_A, 0640);
    cr_expect_eq(authkeys_remove(mem_system(), "keys", &r, &why), -ERR_PEER_NOT_FOUND);
    cr_expect_str_eq(why.text, "peer not found: 12D3KooWCKq9Zvcc...");
    cr_assert_eq(authkeys_remove(mem_system(), "keys", &a, &why), 0);
    cr_expect_str_eq(get_file("keys"), "# " PEER_A "\nrubbish\n\n" PEER_B "\n");
    cr_expect_eq(mode_of("keys"), 0640);
    remove_tree(dir);
}

Test(authkeys, attributes_are_written_in_a_fixed_order) {
    char dir[] = "/tmp/peerup-test-XXXXXX";
    struct problem why = PROBLEM_INIT;
    struct peer_id a = peer(PEER_A), r = peer(PEER_R);
    struct mem *mem = mem_system();

    enter_dir(dir);
    put_file("keys", PEER_B "\n" PEER_A " zeta=1 group=g # x # y\n", 0600);
    cr_assert_eq(authkeys_set_attribute(mem, "keys", &a, "verified", "sha256:1", &why), 0);
    cr_assert_eq(authkeys_set_attribute(mem, "keys", &a, "expires", "2027-01-02T03:04:05Z", &why),
                 0);
    cr_expect_str_eq(get_file("keys"),
                     PEER_B "\n" PEER_A "  expires=2027-01-02T03:04:05Z  verified=sha256:1  group=g"
                            "  zeta=1  # x # y\n");
    cr_assert_eq(authkeys_set_attribute(mem, "keys", &a, "group", "", &why), 0);
    cr_assert_eq(authkeys_set_attribute(mem, "keys", &a, "zeta", "2", &why), 0);
    cr_expect_str_eq(get_file("keys"),
                     PEER_B "\n" PEER_A
                            "  expires=2027-01-02T03:04:05Z  verified=sha256:1  zeta=2  # x # y\n");

    static const char *const BAD[] = {"a b", "a#b", "a\nb", "a\x7f"};
    for (size_t i = 0; i < ARRAY_COUNT(BAD); i++)
        cr_expect_eq(authkeys_set_attribute(mem, "keys", &a, "k", BAD[i], &why), -EINVAL, "%zu", i);
    cr_expect_eq(authkeys_set_attribute(mem, "keys", &a, "k=", "v", &why), -EINVAL);
    cr_expect_eq(authkeys_set_attribute(mem, "keys", &a, "", "v", &why), -EINVAL);
    cr_expect_eq(authkeys_set_attribute(mem, "keys", &r, "k", "v", &why), -ERR_PEER_NOT_FOUND);
    cr_expect_eq(authkeys_set_attribute(mem, "keys", &a, "expires", "soon", &why), -EINVAL);

    /* What is written is a list that can be read. */
    put_file("keys", PEER_A " a=1 b=1 c=1 d=1 e=1 f=1 g=1 h=1 i=1 j=1 k=1 l=1 m=1 n=1 o=1 p=1\n",
             0600);
    cr_expect_eq(authkeys_set_attribute(mem, "keys", &a, "q", "1", &why), -ERR_LIMIT);
    cr_expect_eq(authkeys_set_attribute(mem, "keys", &a, "p", "2", &why), 0);
    cr_expect_eq(authkeys_set_attribute(mem, "keys", &a, "p", "", &why), 0);
    remove_tree(dir);
}

Test(authkeys, validate_tells_every_bad_line) {
    char dir[] = "/tmp/peerup-test-XXXXXX";
    struct authkeys_fault faults[2];
    uint32_t faults_count, valid_count;

    enter_dir(dir);
    put_file("keys",
             "bad1\n" PEER_A " group=x # attributes are understood\n\n" PEER_B " expires=x\n"
             "bad3\n" PEER_R "\n",
             0600);
    cr_assert_eq(
        authkeys_validate(mem_system(), "keys", faults, 2, &faults_count, &valid_count, NULL), 0);
    cr_expect_eq(valid_count, 2);
    cr_expect_eq(faults_count, 3);
    cr_expect_eq(faults[0].line, 1);
    cr_expect_str_eq(faults[0].text, "invalid peer ID format - bad1");
    cr_expect_eq(faults[1].line, 4);
    cr_expect_str_eq(faults[1].text, "invalid expires - \"x\" is no RFC 3339 time");
    remove_tree(dir);
}

Test(authkeys, every_allocation_may_fail) {
    static const char TEXT[] = PEER_A " a=b c=d # x\n" PEER_B "\n";
    int e = -ENOMEM;
    uint32_t n = 0;

    while (e == -ENOMEM) {
        struct failing_mem f = FAILING_MEM_INIT(++n);
        struct authkeys *k = NULL;
        e = authkeys_parse(&f.mem, "keys", bytes_of_str(TEXT), &k, NULL);
        cr_assert(e == 0 || (e == -ENOMEM && k == NULL));
        (void)authkeys_free(k);
    }
    cr_expect_gt(n, 2, "nothing was made to fail");
}
