/* SPDX-License-Identifier: MIT */
#include "tests/unit/core_conf/support.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void *failing_resize(struct mem *m, void *p, size_t size) {
    struct failing_mem *f = CONTAINER_OF(m, struct failing_mem, mem);
    if (size > 0 && f->countdown > 0 && --f->countdown == 0)
        return NULL;
    return mem_system()->resize(mem_system(), p, size);
}

void put_file(const char *path, const char *text, mode_t mode) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert(fd >= 0, "%s", path);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(fchmod(fd, mode), 0);
    cr_assert_eq(close(fd), 0);
}

const char *get_file(const char *path) {
    static char text[KIB(64)];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert(fd >= 0, "%s", path);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    cr_assert(n >= 0);
    cr_assert_eq(close(fd), 0);
    text[n] = '\0';
    return text;
}

mode_t mode_of(const char *path) {
    struct stat st;
    return stat(path, &st) < 0 ? 0 : st.st_mode & 07777;
}

uint32_t count_entries(const char *dir) {
    uint32_t count = 0;
    DIR *d = opendir(dir);
    cr_assert_not_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 ? 1 : 0;
    (void)closedir(d);
    return count;
}

static void remove_entries(int dir_fd) {
    DIR *d = fdopendir(dir_fd);
    cr_assert_not_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (e->d_type == DT_DIR)
            remove_entries(openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        cr_assert_eq(unlinkat(dirfd(d), e->d_name, e->d_type == DT_DIR ? AT_REMOVEDIR : 0), 0);
    }
    (void)closedir(d);
}

void remove_tree(const char *dir) {
    cr_assert_eq(strncmp(dir, "/tmp/", 5), 0);
    remove_entries(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    cr_assert_eq(rmdir(dir), 0);
}
