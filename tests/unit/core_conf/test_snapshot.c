/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/problem.h"
#include "core/conf/archive.h"
#include "core/conf/config_file.h"
#include "core/conf/snapshot.h"
#include "tests/unit/core_conf/support.h"

/* 2027-01-02T03:04:05Z */
enum { NOW = 1798859045 };

static char dir[] = "/tmp/peerup-test-XXXXXX";

static void setup(void) {
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(chdir(dir), 0);
}

static void teardown(void) {
    remove_tree(dir);
}

TestSuite(snapshot, .init = setup, .fini = teardown);
TestSuite(rollback, .init = setup, .fini = teardown);

static void take(walltime_t now, const char *name) {
    struct problem why = PROBLEM_INIT;
    struct snapshot s;
    cr_assert_eq(snapshot_take(mem_system(), ".", now, &s, &why), 0, "%s", why.text);
    cr_assert_str_eq(s.name, name);
}

Test(snapshot, what_was_taken_comes_back_whatever_happened_since) {
    struct snapshot s = {.name = "2027-01-02_030405"};
    put_file("relay-server.yaml", "one\n", 0640);
    put_file("relay_node.key", "key", 0600);
    take(NOW, s.name);
    cr_expect_eq(mode_of("backups"), 0700);
    cr_expect_eq(mode_of("backups/2027-01-02_030405"), 0700);
    cr_expect_eq(mode_of("backups/2027-01-02_030405/relay-server.yaml"), 0600);
    cr_expect_eq(count_entries("backups/2027-01-02_030405"), 2, "the third file did not exist");

    put_file("relay-server.yaml", "two\n", 0640);
    put_file("relay_authorized_keys", "later\n", 0600);
    cr_assert_eq(unlink("relay_node.key"), 0);
    cr_assert_eq(snapshot_restore(mem_system(), ".", &s, NULL), 0);
    cr_expect_str_eq(get_file("relay-server.yaml"), "one\n");
    cr_expect_str_eq(get_file("relay_node.key"), "key");
    cr_expect_str_eq(get_file("relay_authorized_keys"), "later\n", "not of the snapshot");
    cr_expect_eq(mode_of("relay-server.yaml"), 0600);
    cr_expect_eq(count_entries("."), 4);
}

Test(snapshot, those_of_one_second_are_numbered_up_to_99) {
    char name[32];
    struct problem why = PROBLEM_INIT;
    struct snapshot s = {.name = "untouched"};
    take(NOW, "2027-01-02_030405");
    for (int i = 1; i <= 99; i++) {
        (void)snprintf(name, sizeof(name), "2027-01-02_030405_%02d", i);
        take(NOW, name);
    }
    cr_expect_eq(snapshot_take(mem_system(), ".", NOW, &s, &why), -EEXIST);
    cr_expect_str_eq(why.text, "cannot make a snapshot in ./backups: File exists");
    cr_expect_str_eq(s.name, "untouched");
}

Test(snapshot, the_newest_come_first_and_other_names_do_not_count) {
    struct snapshot s[3];
    static const char *const NAMES[] = {
        "2026-12-31_235959", "2027-01-02_030405",   "2027-01-02_030405_01", "2025-01-01_000000.tmp",
        "2027-01-02",        "2027-01-02_030405_1", "2027-01-02_03040x",    "notes",
        "2026-01-01_000000",
    };
    cr_expect_eq(snapshot_list(".", s, 3), 0, "no folder yet");
    cr_assert_eq(mkdir("backups", 0700), 0);
    for (size_t i = 0; i < ARRAY_COUNT(NAMES); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "backups/%s", NAMES[i]);
        cr_assert_eq(mkdir(path, 0700), 0);
    }
    cr_assert_eq(snapshot_list(".", s, 3), 4);
    cr_expect_str_eq(s[0].name, "2027-01-02_030405_01");
    cr_expect_str_eq(s[1].name, "2027-01-02_030405");
    cr_expect_str_eq(s[2].name, "2026-12-31_235959");
    cr_expect_eq(snapshot_list(".", NULL, 0), 4);
    cr_assert_eq(chdir("backups"), 0);
    put_file("backups", "", 0600);
    cr_expect_eq(snapshot_list(".", s, 3), -ENOTDIR);
}

Test(snapshot, a_failure_leaves_no_snapshot_behind) {
    struct problem why = PROBLEM_INIT;
    struct snapshot s;
    put_file("relay-server.yaml", "one\n", 0600);
    cr_assert_eq(mkdir("relay_authorized_keys", 0700), 0);
    cr_expect_eq(snapshot_take(mem_system(), ".", NOW, &s, &why), -EISDIR, "%s", why.text);
    cr_expect_eq(count_entries("backups"), 0);

    struct failing_mem mem = FAILING_MEM_INIT(1);
    cr_expect_eq(snapshot_take(&mem.mem, ".", NOW, &s, &why), -ENOMEM);
    cr_expect_eq(count_entries("backups"), 0);
    cr_expect_eq(snapshot_take(mem_system(), "/proc/nowhere", NOW, &s, &why), -ENOENT);
}

Test(snapshot, one_that_is_not_there_is_an_error) {
    struct problem why = PROBLEM_INIT;
    struct snapshot s = {.name = "2027-01-02_030405"};
    cr_expect_eq(snapshot_restore(mem_system(), ".", &s, &why), -ENOENT);
    cr_expect_str_eq(why.text, "cannot read snapshot 2027-01-02_030405: No such file or directory");
}

/* --- core/conf/archive.h --- */

Test(rollback, the_last_good_config_comes_back_whatever_became_of_it) {
    struct problem why = PROBLEM_INIT;
    put_file("relay-server.yaml", "good: 1\n", 0640);
    cr_assert_eq(config_archive(mem_system(), "relay-server.yaml", &why), 0, "%s", why.text);
    put_file("relay-server.yaml", "{{{", 0640);
    cr_assert_eq(config_rollback(mem_system(), "relay-server.yaml", &why), 0, "%s", why.text);
    cr_expect_str_eq(get_file("relay-server.yaml"), "good: 1\n");
    cr_expect_eq(mode_of("relay-server.yaml"), 0640);
    cr_assert_eq(unlink("relay-server.yaml"), 0);
    cr_assert_eq(config_rollback(mem_system(), "relay-server.yaml", &why), 0, "%s", why.text);
    cr_expect_str_eq(get_file("relay-server.yaml"), "good: 1\n");
    cr_expect_eq(mode_of("relay-server.yaml"), 0600);
}

Test(rollback, without_a_copy_there_is_nothing_to_go_back_to) {
    struct problem why = PROBLEM_INIT;
    put_file("relay-server.yaml", "good: 1\n", 0600);
    cr_expect_eq(config_rollback(mem_system(), "relay-server.yaml", &why), -ENOENT);
    cr_expect_str_eq(why.text, "no last-known-good archive for relay-server.yaml");
    put_file(".relay-server.last-good.yaml", "bad: 1\n", 0622);
    cr_expect_eq(config_rollback(mem_system(), "relay-server.yaml", &why), -ERR_FILE_MODE);
    cr_expect_str_eq(get_file("relay-server.yaml"), "good: 1\n");
}
