/* SPDX-License-Identifier: MIT */
#include "netns.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS_MAX = 24, WORDS_BYTES_MAX = 256 };

extern char **environ;

static int run_ip(char **argv, int input) {
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status;
    cr_assert_eq(posix_spawn_file_actions_init(&actions), 0);
    cr_assert_eq(posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0), 0);
    if (input >= 0)
        cr_assert_eq(posix_spawn_file_actions_adddup2(&actions, input, 0), 0);
    int e = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (e != 0)
        return -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int ip(const char *words) {
    char copy[WORDS_BYTES_MAX];
    char *argv[WORDS_MAX] = {"ip"};
    char *rest = copy;
    size_t count = 1;
    cr_assert_lt(snprintf(copy, sizeof(copy), "%s", words), (int)sizeof(copy));
    while (rest != NULL && count < WORDS_MAX - 1)
        argv[count++] = strsep(&rest, " ");
    return run_ip(argv, -1);
}

void netns_ip(const char *words) {
    cr_assert_eq(ip(words), 0, "ip %s", words);
}

void netns_ip_batch(const char *lines) {
    char *argv[] = {"ip", "-force", "-batch", "-", NULL};
    FILE *f = tmpfile();
    cr_assert_not_null(f);
    cr_assert_geq(fputs(lines, f), 0);
    cr_assert_eq(fflush(f), 0);
    cr_assert_eq(lseek(fileno(f), 0, SEEK_SET), 0);
    cr_assert_eq(run_ip(argv, fileno(f)), 0);
    (void)fclose(f);
}

/* By root alone: a user namespace, in which anybody is it, takes a process with one thread, and
 * Criterion's have more. */
void netns_enter(void) {
    if (unshare(CLONE_NEWNET) != 0)
        cr_skip("network namespaces are not permitted here");
    if (ip("link set lo up") != 0 || ip("link add veth0 type veth peer name veth1") != 0)
        cr_skip("ip(8) cannot make a pair of links here");
    netns_ip("link set veth1 up");
}

void netns_set(const char *path, const char *value) {
    char full[128];
    cr_assert_lt(snprintf(full, sizeof(full), "/proc/sys/net/%s", path), (int)sizeof(full));
    int fd = open(full, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)!write(fd, value, strlen(value));
    (void)close(fd);
}

long netns_lost_count(void) {
    char line[256];
    long lost = 0;
    FILE *f = fopen("/proc/self/net/netlink", "r");
    cr_assert_not_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        long drops;
        /* sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode */
        if (sscanf(line, "%*s %*d %*u %*x %*d %*d %*d %*d %ld", &drops) == 1)
            lost += drops;
    }
    (void)fclose(f);
    return lost;
}
