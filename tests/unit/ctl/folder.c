/* SPDX-License-Identifier: MIT */
#include "tests/unit/ctl/folder.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void folder_make(struct folder *f) {
    (void)snprintf(f->path, sizeof(f->path), "/tmp/peerup-test-XXXXXX");
    cr_assert_not_null(mkdtemp(f->path));
}

const char *folder_file(const struct folder *f, const char *name) {
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", f->path, name);
    return path;
}

void folder_write(const struct folder *f, const char *name, const char *text) {
    int fd = open(folder_file(f, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

void folder_remove(struct folder *f) {
    DIR *d = opendir(f->path);
    cr_assert_not_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            (void)unlink(folder_file(f, e->d_name));
    closedir(d);
    cr_assert_eq(rmdir(f->path), 0);
}
