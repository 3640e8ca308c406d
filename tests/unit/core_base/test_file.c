/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/file.h"
#include "core/base/problem.h"

static char directory[] = "/tmp/peerup-file-XXXXXX";
static char path[64];

static void setup(void) {
    cr_assert_not_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/file", directory);
}

static int entries(void) {
    DIR *d = opendir(directory);
    int n = 0;
    cr_assert_not_null(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n - 2;
}

static void teardown(void) {
    (void)unlink(path);
    (void)chmod(directory, 0700);
    cr_assert_eq(entries(), 0, "a temporary file stayed behind");
    (void)rmdir(directory);
}

TestSuite(file, .init = setup, .fini = teardown);

static mode_t mode_of(const char *name) {
    struct stat st;
    cr_assert_eq(stat(name, &st), 0);
    return st.st_mode & 07777;
}

Test(file, what_is_written_is_read_with_its_mode) {
    uint8_t out[16];
    (void)umask(0077);
    cr_assert_eq(file_write(path, BYTES_LIT("first"), 0640, FILE_REPLACE, NULL), 0);
    cr_assert_eq(mode_of(path), 0640, "whatever the umask");
    cr_assert_eq(file_write(path, BYTES_LIT("second"), 0600, FILE_REPLACE, NULL), 0);
    cr_assert_eq(mode_of(path), 0600);
    cr_assert_eq(file_read(path, "file", 0077, out, sizeof(out), NULL), 6);
    cr_assert_arr_eq(out, "second", 6);
    cr_assert_eq(entries(), 1);
}

/* Goal: a list that root edits for a service stays readable for it. */
Test(file, a_replaced_file_keeps_its_owner) {
    struct stat st;
    cr_assert_eq(file_write(path, BYTES_LIT("first"), 0640, FILE_REPLACE, NULL), 0);
    if (chown(path, 1234, 5678) < 0)
        cr_skip("only root may give files away");
    cr_assert_eq(file_write(path, BYTES_LIT("second"), 0640, FILE_REPLACE, NULL), 0);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_uid, 1234);
    cr_assert_eq(st.st_gid, 5678);
    cr_assert_eq(st.st_mode & 07777, 0640);
    cr_assert_eq(st.st_size, 6);
}

Test(file, a_new_file_replaces_nothing) {
    struct problem p = PROBLEM_INIT;
    uint8_t out[16];
    cr_assert_eq(file_write(path, BYTES_LIT("old"), 0600, FILE_NEW_ONLY, &p), 0);
    cr_assert_eq(file_write(path, BYTES_LIT("new"), 0600, FILE_NEW_ONLY, &p), -EEXIST);
    cr_assert_not_null(strstr(p.text, path));
    cr_assert_eq(file_read(path, "file", 0, out, sizeof(out), NULL), 3);
    cr_assert_arr_eq(out, "old", 3);
    cr_assert_eq(entries(), 1);
}

Test(file, a_mode_that_is_too_open_is_refused_with_the_remedy) {
    struct problem p = PROBLEM_INIT;
    char expected[PROBLEM_TEXT_MAX];
    uint8_t out[16];
    cr_assert_eq(file_write(path, BYTES_LIT("x"), 0644, FILE_REPLACE, NULL), 0);
    cr_assert_eq(file_read(path, "config file", 0077, out, sizeof(out), &p), -ERR_FILE_MODE);
    (void)snprintf(expected, sizeof(expected),
                   "config file %s has overly permissive mode 0644; expected 0600 - fix with: "
                   "chmod 600 %s",
                   path, path);
    cr_assert_str_eq(p.text, expected);
    cr_assert_eq(file_read(path, "config file", 0022, out, sizeof(out), &p), 1);
}

Test(file, one_byte_too_many_is_a_limit_and_not_a_cut) {
    uint8_t out[4] = {0};
    cr_assert_eq(file_write(path, BYTES_LIT("1234"), 0600, FILE_REPLACE, NULL), 0);
    cr_assert_eq(file_read(path, "file", 0, out, 4, NULL), 4);
    cr_assert_eq(file_read(path, "file", 0, out, 3, NULL), -ERR_LIMIT);
    cr_assert_eq(file_write(path, BYTES_EMPTY, 0600, FILE_REPLACE, NULL), 0);
    cr_assert_eq(file_read(path, "file", 0, out, 0, NULL), 0);
}

Test(file, what_is_no_file_is_refused_without_hanging) {
    struct problem p = PROBLEM_INIT;
    uint8_t out[4];
    cr_assert_eq(file_read(path, "key", 0, out, 4, &p), -ENOENT);
    cr_assert_not_null(strstr(p.text, "No such file"));
    cr_assert_eq(file_read(directory, "key", 0, out, 4, NULL), -EISDIR);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_eq(file_read(path, "key", 0, out, 4, NULL), -EINVAL);
}

Test(file, a_failed_write_leaves_the_old_file_whole) {
    struct rlimit limit = {.rlim_cur = 4, .rlim_max = RLIM_INFINITY};
    struct problem p = PROBLEM_INIT;
    uint8_t out[16];
    cr_assert_eq(file_write(path, BYTES_LIT("old"), 0600, FILE_REPLACE, NULL), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int e = file_write(path, BYTES_LIT("longer than the limit"), 0600, FILE_REPLACE, &p);
    limit.rlim_cur = RLIM_INFINITY;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_assert_eq(e, -EFBIG);
    cr_assert_not_null(strstr(p.text, "cannot write"));
    cr_assert_eq(file_read(path, "file", 0, out, sizeof(out), NULL), 3);
    cr_assert_eq(entries(), 1);
}

Test(file, paths_without_a_place_are_refused) {
    char long_path[PATH_MAX + 10];
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    cr_assert_eq(file_write("/nonexistent/x", BYTES_EMPTY, 0600, FILE_REPLACE, NULL), -ENOENT);
    cr_assert_eq(file_write("", BYTES_EMPTY, 0600, FILE_REPLACE, NULL), -EISDIR);
    cr_assert_eq(file_write("/tmp/", BYTES_EMPTY, 0600, FILE_REPLACE, NULL), -EISDIR);
    cr_assert_eq(file_write(long_path, BYTES_EMPTY, 0600, FILE_REPLACE, NULL), -ENAMETOOLONG);
}

Test(file, a_path_without_directory_is_here) {
    cr_assert_eq(chdir(directory), 0);
    cr_assert_eq(file_write("file", BYTES_LIT("x"), 0600, FILE_REPLACE, NULL), 0);
    cr_assert_eq(mode_of(path), 0600);
}

Test(file, directories_are_made_with_those_above_them) {
    char deep[96], inner[96];
    struct problem why = PROBLEM_INIT;
    (void)umask(0022);
    (void)snprintf(deep, sizeof(deep), "%s/a/b/", directory);
    (void)snprintf(inner, sizeof(inner), "%s/a", directory);
    cr_assert_eq(directory_make(deep, 0700, &why), 0, "%s", why.text);
    cr_assert_eq(mode_of(inner), 0700);
    cr_assert_eq(directory_make(deep, 0755, &why), 0, "%s", why.text);
    cr_assert_eq(mode_of(deep), 0700, "one that is there stays as it is");
    cr_assert_eq(rmdir(deep), 0);
    cr_assert_eq(rmdir(inner), 0);

    cr_assert_eq(file_write(path, BYTES_LIT(""), 0600, FILE_REPLACE, NULL), 0);
    (void)snprintf(deep, sizeof(deep), "%s/x", path);
    cr_assert_eq(directory_make(deep, 0700, &why), -ENOTDIR);
    cr_assert_eq(directory_make("", 0700, &why), -ENOENT);
    char longer[PATH_MAX + 1];
    memset(longer, 'a', PATH_MAX);
    longer[PATH_MAX] = '\0';
    cr_assert_eq(directory_make(longer, 0700, &why), -ENAMETOOLONG);
}
