/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/problem.h"
#include "core/base/strbuf.h"
#include "core/conf/archive.h"
#include "core/conf/config.h"
#include "core/conf/config_file.h"
#include "core/conf/edit.h"
#include "tests/unit/core_conf/support.h"

#define ADDR_1 "/ip4/1.1.1.1/tcp/1/p2p/" PEER_A
#define ADDR_2 "/ip4/2.2.2.2/tcp/2/p2p/" PEER_B

#define ADD_SSH \
    { .kind = EDIT_SERVICE_ADD, .name = "ssh", .value = "localhost:22" }
#define REMOVE(n) \
    { .kind = EDIT_SERVICE_REMOVE, .name = (n) }
#define ENABLE(n) \
    { .kind = EDIT_SERVICE_ENABLE, .name = (n) }
#define DISABLE(n) \
    { .kind = EDIT_SERVICE_DISABLE, .name = (n) }
#define ADD_RELAY(a) \
    { .kind = EDIT_RELAY_ADD, .value = (a) }
#define REMOVE_RELAY(a) \
    { .kind = EDIT_RELAY_REMOVE, .value = (a) }
#define ADD_NAME(n, v) \
    { .kind = EDIT_NAME_ADD, .name = (n), .value = (v) }

#define SSH "  ssh:\n    enabled: true\n    local_address: \"localhost:22\"\n"

static int edit(const char *text, const struct config_edit *e, struct strbuf *out,
                struct problem *why) {
    return config_edit_text(mem_system(), "c.yaml", bytes_of_str(text), e, out, why);
}

Test(edit, changes_touch_nothing_else) {
    /* Goal: comments, order and spelling of everything else survive.  Spec: config.md 4 and 7. */
    static const struct {
        const char *before;
        struct config_edit edit;
        const char *after;
    } ROWS[] = {
        /* services */
        {"", ADD_SSH, "services:\n" SSH},
        {"# only this", ADD_SSH, "# only this\n\nservices:\n" SSH},
        {"version: 1\n", ADD_SSH, "version: 1\n\nservices:\n" SSH},
        {"version: 1", ADD_SSH, "version: 1\n\nservices:\n" SSH},
        {"services: {}  # none yet\nversion: 1\n", ADD_SSH,
         "services:  # none yet\n" SSH "version: 1\n"},
        {"services:\n# c\nversion: 1\n", ADD_SSH, "services:\n" SSH "# c\nversion: 1\n"},
        {"services: ~ # c", ADD_SSH, "services: # c\n" SSH},
        {"services:   # mine\n  web: # w\n    enabled: no   # off\n    local_address: \"a:1\"\n\n"
         "# names\nnames: {}\n",
         ADD_SSH,
         "services:   # mine\n  web: # w\n    enabled: no   # off\n    local_address: \"a:1\"\n" SSH
         "\n# names\nnames: {}\n"},
        {"services:\n    web:\n        local_address: a:1", ADD_SSH,
         "services:\n    web:\n        local_address: a:1\n    ssh:\n      enabled: true\n"
         "      local_address: \"localhost:22\"\n"},
        {"services: {web: {local_address: \"a:1\"} } # x\n", ADD_SSH,
         "services: {web: {local_address: \"a:1\"}, ssh: {enabled: true, local_address: "
         "\"localhost:22\"} } # x\n"},
        {"services: {a: {}}\n",
         {.kind = EDIT_SERVICE_ADD, .name = "web", .value = "h:80", .note = "n"},
         "services: {a: {}, web: {enabled: true, local_address: \"h:80\", protocol: \"n\"}}\n"},
        {"",
         {.kind = EDIT_SERVICE_ADD, .name = "web", .value = "h:80", .note = "x \"y\""},
         "services:\n  web:\n    enabled: true\n    local_address: \"h:80\"\n"
         "    protocol: \"x \\\"y\\\"\"\n"},
        {"# \xc3\xa4\nservices:\n" SSH "\n  # about web\n  web:\n    enabled: true\n\nnames: {}\n",
         REMOVE("ssh"),
         "# \xc3\xa4\nservices:\n  # about web\n  web:\n    enabled: true\n\nnames: {}\n"},
        {"services:\n  web:\n    enabled: true\n" SSH "\n# n\nnames: {}\n", REMOVE("ssh"),
         "services:\n  web:\n    enabled: true\n\n# n\nnames: {}\n"},
        {"services: # s\n  # about\n" SSH "version: 1\n", REMOVE("ssh"),
         "services: {} # s\n  # about\nversion: 1\n"},
        {"services:\n  ssh:\n", REMOVE("ssh"), "services: {}\n"},
        {"services: {a: {}, b: {}, c: {}}\n", REMOVE("b"), "services: {a: {}, c: {}}\n"},
        {"services: {a: {}, b: {}}\n", REMOVE("b"), "services: {a: {}}\n"},
        {"services: {a: {}}\n", REMOVE("a"), "services: {}\n"},
        {"services:\n  ssh:\n    local_address: h:1 # k\n    enabled: off # why\n", ENABLE("ssh"),
         "services:\n  ssh:\n    local_address: h:1 # k\n    enabled: true # why\n"},
        {"services:\n  ssh:\n    enabled: \"yes\"\n", DISABLE("ssh"),
         "services:\n  ssh:\n    enabled: false\n"},
        {"services:\n  ssh:\n    # why\n    local_address: h:1\n", ENABLE("ssh"),
         "services:\n  ssh:\n    # why\n    enabled: true\n    local_address: h:1\n"},
        {"services: {ssh: {enabled: true}}\n", DISABLE("ssh"),
         "services: {ssh: {enabled: false}}\n"},
        /* relays */
        {"relay:\n  addresses:\n    - \"" ADDR_1 "\" # one\n  reservation_interval: 2m\n",
         ADD_RELAY(ADDR_2),
         "relay:\n  addresses:\n    - \"" ADDR_1 "\" # one\n    - \"" ADDR_2
         "\"\n  reservation_interval: 2m\n"},
        {"relay:\n  addresses:\n  - " ADDR_1 "\n", ADD_RELAY(ADDR_2),
         "relay:\n  addresses:\n  - " ADDR_1 "\n  - \"" ADDR_2 "\"\n"},
        {"relay:\n  addresses: []\n", ADD_RELAY(ADDR_2),
         "relay:\n  addresses:\n    - \"" ADDR_2 "\"\n"},
        {"relay:\n  addresses:\n", ADD_RELAY(ADDR_2),
         "relay:\n  addresses:\n    - \"" ADDR_2 "\"\n"},
        {"relay:\n  reservation_interval: 2m\n", ADD_RELAY(ADDR_2),
         "relay:\n  addresses:\n    - \"" ADDR_2 "\"\n  reservation_interval: 2m\n"},
        {"version: 1\n", ADD_RELAY(ADDR_2),
         "version: 1\n\nrelay:\n  addresses:\n    - \"" ADDR_2 "\"\n"},
        {"relay: {addresses: [\"" ADDR_1 "\"]}\n", ADD_RELAY(ADDR_2),
         "relay: {addresses: [\"" ADDR_1 "\", \"" ADDR_2 "\"]}\n"},
        {"relay:\n  addresses:\n    # a\n    - " ADDR_1 "\n    # b\n    - " ADDR_2 "\n",
         REMOVE_RELAY(ADDR_1), "relay:\n  addresses:\n    # a\n    # b\n    - " ADDR_2 "\n"},
        {"relay:\n  addresses: # mine\n    - '" ADDR_1 "'\n", REMOVE_RELAY(ADDR_1),
         "relay:\n  addresses: [] # mine\n"},
        {"relay: {addresses: [" ADDR_1 ", " ADDR_2 "]}\n", REMOVE_RELAY(ADDR_2),
         "relay: {addresses: [" ADDR_1 "]}\n"},
        /* names */
        {"names: {}\n# end\n", ADD_NAME("home", PEER_A), "names:\n  home: \"" PEER_A "\"\n# end\n"},
        {"names:\n  # friends\n  lab: " PEER_B "\n", ADD_NAME("home", PEER_A),
         "names:\n  # friends\n  home: \"" PEER_A "\"\n  lab: " PEER_B "\n"},
        {"version: 1\n", ADD_NAME("a b", ADDR_1),
         "version: 1\n\nnames:\n  \"a b\": \"" ADDR_1 "\"\n"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        SCOPED(strbuf_free) struct strbuf out = STRBUF_INIT(KIB(64));
        struct problem why = PROBLEM_INIT;
        int e = edit(ROWS[i].before, &ROWS[i].edit, &out, &why);
        cr_expect_eq(e, 0, "row %zu: %s", i, why.text);
        cr_expect_str_eq(strbuf_text(&out), ROWS[i].after);
    }
}

Test(edit, what_is_so_already_or_not_there_is_told) {
    static const char TEXT[] = "services:\n" SSH "relay: {addresses: [" ADDR_1 "]}\n"
                               "names: {home: " PEER_A "}\n";
    static const struct {
        struct config_edit edit;
        int error;
        const char *problem;
    } ROWS[] = {
        {ADD_SSH, -EEXIST, "service already configured: ssh"},
        {REMOVE("web"), -ENOENT, "service not found: web"},
        {ENABLE("web"), -ENOENT, "service not found: web"},
        {ENABLE("ssh"), -EALREADY, ""},
        {ADD_RELAY(ADDR_1), -EEXIST, "already configured: " ADDR_1},
        {REMOVE_RELAY(ADDR_2), -ENOENT, "relay address not found in config: " ADDR_2},
        {ADD_NAME("home", PEER_A), -EALREADY, ""},
        {ADD_NAME("home", PEER_B), -EEXIST, "name already in use: home"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        SCOPED(strbuf_free) struct strbuf out = STRBUF_INIT(KIB(64));
        struct problem why = PROBLEM_INIT;
        cr_expect_eq(edit(TEXT, &ROWS[i].edit, &out, &why), ROWS[i].error, "row %zu", i);
        cr_expect_str_eq(why.text, ROWS[i].problem);
        cr_expect_eq(out.len, 0);
    }
}

Test(edit, what_cannot_be_edited_asks_for_a_hand) {
    static const struct {
        const char *text;
        struct config_edit edit;
    } ROWS[] = {
        {"{version: 1}\n", ADD_SSH},
        {"version: 1\n...\n", ADD_SSH},
        {" version: 1\n", ADD_SSH},
        {"services: {ssh: {}, }\n", {.kind = EDIT_SERVICE_ADD, .name = "web", .value = "a:1"}},
        {"services: {ssh: {}}\n", ENABLE("ssh")},
        {"relay: {}\n", ADD_RELAY(ADDR_1)},
        {"? services\n: ssh:\n    enabled: true\n", REMOVE("ssh")},
        {"version: 1\rservices:\r  ssh:\r    enabled: true\r", REMOVE("ssh")},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        SCOPED(strbuf_free) struct strbuf out = STRBUF_INIT(KIB(64));
        struct problem why = PROBLEM_INIT;
        cr_expect_eq(edit(ROWS[i].text, &ROWS[i].edit, &out, &why), -ERR_UNSUPPORTED, "row %zu: %s",
                     i, strbuf_text(&out));
        cr_expect_str_eq(why.text, "cannot make this change in a file of this form.\n"
                                   "Please edit manually: c.yaml");
    }
}

Test(edit, adding_and_removing_gives_back_the_generated_file) {
    SCOPED(strbuf_free) struct strbuf file = STRBUF_INIT(KIB(64));
    SCOPED(strbuf_free) struct strbuf with = STRBUF_INIT(KIB(64));
    SCOPED(strbuf_free) struct strbuf without = STRBUF_INIT(KIB(64));
    const struct config_edit add = ADD_RELAY(ADDR_1), remove = REMOVE_RELAY(ADDR_1);

    config_generate(&(struct config_generate){.generator = "peerup init"}, &file);
    cr_assert_eq(edit(strbuf_text(&file), &add, &with, NULL), 0);
    cr_assert_eq(edit(strbuf_text(&with), &remove, &without, NULL), 0);
    cr_expect_str_eq(strbuf_text(&without), strbuf_text(&file));
}

static void enter_dir(char *template) {
    cr_assert_not_null(mkdtemp(template));
    cr_assert_eq(chdir(template), 0);
}

Test(edit, a_file_keeps_its_mode_and_its_link) {
    static const struct config_edit add = ADD_SSH;
    char dir[] = "/tmp/peerup-test-XXXXXX";
    struct problem why = PROBLEM_INIT;

    enter_dir(dir);
    put_file("real.yaml", "version: 1\n", 0644);
    cr_assert_eq(symlink("real.yaml", "c.yaml"), 0);
    cr_assert_eq(config_edit_file(mem_system(), "c.yaml", &add, &why), 0, "%s", why.text);
    cr_expect_str_eq(get_file("real.yaml"), "version: 1\n\nservices:\n" SSH);
    cr_expect_eq(mode_of("real.yaml"), 0644);
    char target[64] = "";
    cr_expect_eq(readlink("c.yaml", target, sizeof(target) - 1), 9);
    cr_expect_eq(count_entries("."), 2, "no temporary file stays");
    cr_expect_eq(config_edit_file(mem_system(), "c.yaml", &add, &why), -EEXIST);
    cr_expect_eq(config_edit_file(mem_system(), "none.yaml", &add, &why), -ENOENT);
    cr_expect_eq(config_edit_file(mem_system(), "no/such/c.yaml", &add, &why), -ENOENT);
    cr_expect_str_eq(why.text, "cannot lock no/such/: No such file or directory");
    cr_assert_eq(chmod("real.yaml", 0666), 0);
    cr_expect_eq(config_edit_file(mem_system(), "c.yaml", &add, &why), -ERR_FILE_MODE);
    remove_tree(dir);
}

/* Goal: who edits a file by a link in another directory waits for who edits the file itself. */
Test(edit, a_link_is_locked_where_its_target_stands) {
    char dir[] = "/tmp/peerup-test-XXXXXX";
    struct problem why = PROBLEM_INIT;

    enter_dir(dir);
    cr_assert_eq(mkdir("etc", 0700), 0);
    put_file("etc/c.yaml", "version: 1\n", 0600);
    cr_assert_eq(symlink("etc/c.yaml", "c.yaml"), 0);
    int lock = -1, other = open("etc", O_RDONLY | O_DIRECTORY);
    cr_assert_eq(file_lock("c.yaml", &lock, &why), 0);
    cr_expect_eq(flock(other, LOCK_EX | LOCK_NB), -1);
    file_unlock(&lock);
    cr_expect_eq(flock(other, LOCK_EX | LOCK_NB), 0);
    (void)close(other);
    remove_tree(dir);
}

/* Who gives it back while another one waits: the alarm's handler. */
static volatile sig_atomic_t lock_held;

static void give_back(int number) {
    (void)number;
    (void)close(lock_held);
}

/* Goal: who edits waits for who edits too, but not for who keeps the lock. */
Test(edit, a_lock_is_waited_for_and_not_for_ever, .timeout = 20) {
    const struct itimerval soon = {.it_value = {.tv_usec = 50000}};
    char dir[] = "/tmp/peerup-test-XXXXXX";
    struct problem why = PROBLEM_INIT;
    int lock = -EBADF;

    enter_dir(dir);
    put_file("c.yaml", "version: 1\n", 0600);
    lock_held = open(".", O_RDONLY | O_DIRECTORY);
    cr_assert_eq(flock(lock_held, LOCK_EX), 0);
    cr_assert_eq(file_lock("c.yaml", &lock, &why), -EWOULDBLOCK);
    cr_expect_eq(lock, -EBADF);
    cr_expect_not_null(strstr(why.text, ": another program keeps it locked"), "%s", why.text);
    (void)signal(SIGALRM, give_back);
    cr_assert_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
    cr_assert_eq(file_lock("c.yaml", &lock, &why), 0, "%s", why.text);
    file_unlock(&lock);
    remove_tree(dir);
}

Test(edit, a_full_disk_leaves_the_old_file_whole) {
    /* RLIMIT_FSIZE stands for the disk: the write fails after a part of the bytes. */
    static const struct config_edit add = ADD_SSH;
    const struct rlimit full = {.rlim_cur = 16, .rlim_max = RLIM_INFINITY};
    const struct rlimit room = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    char dir[] = "/tmp/peerup-test-XXXXXX";
    struct problem why = PROBLEM_INIT;

    enter_dir(dir);
    put_file("c.yaml", "version: 1\n# comment\n", 0600);
    (void)signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &full), 0);
    int e = config_edit_file(mem_system(), "c.yaml", &add, &why);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &room), 0);
    cr_expect_eq(e, -EFBIG);
    cr_expect_not_null(strstr(why.text, "c.yaml: File too large"), "%s", why.text);
    cr_expect_not_null(strstr(why.text, "left as it was"), "%s", why.text);
    cr_expect_str_eq(get_file("c.yaml"), "version: 1\n# comment\n");
    cr_expect_eq(count_entries("."), 1, "no temporary file stays");
    remove_tree(dir);
}

Test(edit, no_space_on_a_real_file_system_leaves_the_old_file_whole) {
    static const struct config_edit add = ADD_SSH;
    char dir[] = "/tmp/peerup-test-XXXXXX";
    struct problem why = PROBLEM_INIT;
    char fill[4096];

    cr_assert_not_null(mkdtemp(dir));
    if (mount("tmpfs", dir, "tmpfs", 0, "size=16k") < 0) {
        (void)rmdir(dir);
        cr_skip("needs the right to mount a tmpfs");
    }
    cr_assert_eq(chdir(dir), 0);
    put_file("c.yaml", "version: 1\n", 0600);
    memset(fill, 'x', sizeof(fill));
    FILE *f = fopen("fill", "w");
    cr_assert_not_null(f);
    (void)setvbuf(f, NULL, _IONBF, 0);
    while (fwrite(fill, sizeof(fill), 1, f) == 1)
        ;
    (void)fclose(f);
    int e = config_edit_file(mem_system(), "c.yaml", &add, &why);
    cr_expect_eq(e, -ENOSPC);
    cr_expect_not_null(strstr(why.text, "No space left on device"), "%s", why.text);
    cr_expect_str_eq(get_file("c.yaml"), "version: 1\n");
    cr_expect_eq(count_entries("."), 2, "no temporary file stays");
    cr_assert(chdir("/") == 0 && umount(dir) == 0 && rmdir(dir) == 0);
}

Test(edit, an_unwritable_directory_gives_a_clear_error) {
    static const struct config_edit add = ADD_SSH;
    char dir[] = "/tmp/peerup-test-XXXXXX";
    struct problem why = PROBLEM_INIT;

    enter_dir(dir);
    put_file("c.yaml", "version: 1\n", 0644);
    cr_assert_eq(chmod(".", 0555), 0);
    if (geteuid() == 0)
        cr_assert(setegid(65534) == 0 && seteuid(65534) == 0);
    int e = config_edit_file(mem_system(), "c.yaml", &add, &why);
    if (getuid() == 0)
        cr_assert(seteuid(0) == 0 && setegid(0) == 0);
    cr_expect_eq(e, -EACCES);
    cr_expect_not_null(strstr(why.text, "Permission denied"), "%s", why.text);
    cr_expect_str_eq(get_file("c.yaml"), "version: 1\n");
    cr_assert_eq(chmod(".", 0755), 0);
    remove_tree(dir);
}

Test(archive, names_derive_from_the_configs_own) {
    static const struct {
        const char *path;
        enum config_sibling which;
        const char *sibling;
    } ROWS[] = {
        {"/d/config.yaml", CONFIG_LAST_GOOD, "/d/.config.last-good.yaml"},
        {"/d/config.yaml", CONFIG_PENDING, "/d/.config.pending"},
        {"/d/config.yaml", CONFIG_PRE_CONFIRMED, "/d/.config.pre-confirmed.yaml"},
        {"peerup.yaml", CONFIG_LAST_GOOD, ".peerup.last-good.yaml"},
        {"./x", CONFIG_LAST_GOOD, "./.x.last-good"},
        {"a.b/x", CONFIG_PENDING, "a.b/.x.pending"},
    };
    struct arena a;
    arena_init(&a, mem_system());
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++)
        cr_expect_str_eq(config_sibling_path(&a, ROWS[i].path, ROWS[i].which), ROWS[i].sibling);
    arena_done(&a);
}

Test(archive, nothing_unconfirmed_is_called_good) {
    /* Goal: defect (b) of config.md section 5 does not come back. */
    char dir[] = "/tmp/peerup-test-XXXXXX";
    struct problem why = PROBLEM_INIT;

    enter_dir(dir);
    put_file("config.yaml", "version: 1\n", 0644);
    cr_assert_eq(config_archive(mem_system(), "config.yaml", &why), 0, "%s", why.text);
    cr_expect_str_eq(get_file(".config.last-good.yaml"), "version: 1\n");
    cr_expect_eq(mode_of(".config.last-good.yaml"), 0600);
    put_file("config.yaml", "version: 1 # new\n", 0600);
    put_file(".config.pending", "{}", 0600);
    cr_assert_eq(config_archive(mem_system(), "config.yaml", &why), 0);
    cr_expect_str_eq(get_file(".config.last-good.yaml"), "version: 1\n");
    cr_assert_eq(unlink(".config.pending"), 0);
    cr_assert_eq(config_archive(mem_system(), "config.yaml", &why), 0);
    cr_expect_str_eq(get_file(".config.last-good.yaml"), "version: 1 # new\n");
    cr_expect_eq(config_archive(mem_system(), "none.yaml", &why), -ENOENT);
    remove_tree(dir);
}
