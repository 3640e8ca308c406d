/* SPDX-License-Identifier: MIT */

/* Descriptors of others, and files: over io_uring and epoll. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"
#include "uring/file_watch.h"

/* --- A descriptor --- */

struct readable {
    struct fd_watch watch;
    int ready;
    int closed;
    int close_after; /* closes in readable() */
    bool reads;
};

static void on_ready(struct fd_watch *w) {
    struct readable *x = CONTAINER_OF(w, struct readable, watch);
    char byte;
    x->ready++;
    if (x->reads)
        cr_assert_eq(read(w->fd, &byte, 1), 1);
    if (x->ready == x->close_after)
        fd_watch_close(w);
}

static void on_closed(struct fd_watch *w) {
    CONTAINER_OF(w, struct readable, watch)->closed++;
}

static const struct fd_watch_events events = {.readable = on_ready, .closed = on_closed};

/* Goal: readable() comes while there is something to read, and only then. */
CASE(fd_watch, tells_of_what_is_readable_and_closes_its_descriptor) {
    NEEDS_KERNEL();
    int ends[2];
    struct readable x = {.reads = true};
    cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    fd_watch_open(&x.watch, t->reactor, ends[0], &events);
    turn_while_ready(t);
    cr_assert_eq(x.ready, 0);
    cr_assert_eq(write(ends[1], "abc", 3), 3);
    TURN_UNTIL(t, x.ready == 3);
    turn_while_ready(t);
    cr_assert_eq(x.ready, 3);

    fd_watch_close(&x.watch);
    cr_assert_eq(x.closed, 0, "not inside the call");
    TURN_UNTIL(t, !reactor_has_handles(t->reactor));
    cr_assert_eq(x.closed, 1);
    cr_assert_eq(fcntl(ends[0], F_GETFD), -1);
    close(ends[1]);
}

CASE(fd_watch, may_close_while_it_tells_and_is_not_heard_again) {
    NEEDS_KERNEL();
    int ends[2];
    struct readable x = {.close_after = 2};
    cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    fd_watch_open(&x.watch, t->reactor, ends[0], &events);
    cr_assert_eq(write(ends[1], "a", 1), 1);
    TURN_UNTIL(t, x.closed == 1);
    cr_assert_eq(x.ready, 2, "what is not read is told again");
    turn_while_ready(t);
    cr_assert_eq(x.ready, 2);
    close(ends[1]);
}

/* --- A file --- */

struct watched {
    struct file_watch watch;
    int changed;
    bool close_inside;
};

static void on_changed(struct file_watch *w) {
    struct watched *x = CONTAINER_OF(w, struct watched, watch);
    x->changed++;
    if (x->close_inside)
        file_watch_close(w);
}

static void put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(close(fd), 0);
}

/* Waits for exactly one more change. */
static void expect_change(struct fixture *t, struct watched *x) {
    int before = x->changed;
    TURN_UNTIL(t, x->changed > before);
    nsec_t until = reactor_now(t->reactor) + 2 * FILE_WATCH_DELAY;
    while (reactor_now(t->reactor) < until)
        cr_assert_eq(reactor_turn(t->reactor, until), 0);
    cr_assert_eq(x->changed, before + 1, "one change, told %d times", x->changed - before);
}

static void expect_silence(struct fixture *t, struct watched *x) {
    int before = x->changed;
    nsec_t until = reactor_now(t->reactor) + 2 * FILE_WATCH_DELAY;
    while (reactor_now(t->reactor) < until)
        cr_assert_eq(reactor_turn(t->reactor, until), 0);
    cr_assert_eq(x->changed, before);
}

static void enter_folder(char *folder) {
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
}

static void leave_folder(const char *folder, const char *const *names) {
    for (; *names != NULL; names++)
        cr_assert_eq(remove(*names), 0, "%s", *names);
    cr_assert_eq(chdir("/"), 0);
    cr_assert_eq(rmdir(folder), 0);
}

static void open_watch(struct fixture *t, struct watched *x, const char *path) {
    *x = (struct watched){.watch.changed = on_changed};
    cr_assert_eq(file_watch_open(&x->watch, t->reactor, path), 0);
}

static void close_watch(struct fixture *t, struct watched *x) {
    file_watch_close(&x->watch);
    TURN_UNTIL(t, !reactor_has_handles(t->reactor));
}

/* Goal: every way in which a file changes counts, and its neighbours do not. */
CASE(file_watch, tells_of_writing_replacing_making_and_removing) {
    NEEDS_KERNEL();
    char folder[] = "/tmp/peerup-test-XXXXXX";
    struct watched x;
    enter_folder(folder);
    open_watch(t, &x, "list");
    put("list", "made\n");
    expect_change(t, &x);
    put("list", "written\n");
    expect_change(t, &x);
    put(".list.tmp", "new\n");
    expect_silence(t, &x);
    cr_assert_eq(rename(".list.tmp", "list"), 0);
    expect_change(t, &x);
    put("lists", "");
    cr_assert_eq(chmod("list", 0640), 0);
    expect_silence(t, &x);
    cr_assert_eq(rename("list", "gone"), 0);
    expect_change(t, &x);
    put("list", "");
    expect_change(t, &x);
    cr_assert_eq(unlink("list"), 0);
    expect_change(t, &x);
    close_watch(t, &x);
    leave_folder(folder, (const char *[]){"lists", "gone", NULL});
}

/* Goal: a hundred changes are a few events, as many as the delays that they took. */
CASE(file_watch, tells_once_of_changes_that_come_together) {
    NEEDS_KERNEL();
    char folder[] = "/tmp/peerup-test-XXXXXX", path[64];
    struct watched x;
    enter_folder(folder);
    (void)snprintf(path, sizeof(path), "%s/list", folder);
    open_watch(t, &x, path);
    for (int i = 0; i < 100; i++) /* more events than one read takes */
        put("list", "x\n");
    TURN_UNTIL(t, x.changed > 0);
    nsec_t until = reactor_now(t->reactor) + 2 * FILE_WATCH_DELAY;
    while (reactor_now(t->reactor) < until)
        cr_assert_eq(reactor_turn(t->reactor, until), 0);
    cr_assert_lt(x.changed, 5);
    close_watch(t, &x);
    leave_folder(folder, (const char *[]){"list", NULL});
}

/* Goal: a list that is a link changes when its target does, and when it is led elsewhere. */
CASE(file_watch, follows_a_symbolic_link) {
    NEEDS_KERNEL();
    char folder[] = "/tmp/peerup-test-XXXXXX";
    struct watched x;
    enter_folder(folder);
    cr_assert_eq(mkdir("a", 0700), 0);
    cr_assert_eq(mkdir("b", 0700), 0);
    put("a/real", "1\n");
    put("b/real", "2\n");
    cr_assert_eq(symlink("a/real", "list"), 0);
    open_watch(t, &x, "list");
    put("b/real", "3\n");
    expect_silence(t, &x);
    put("a/real", "4\n");
    expect_change(t, &x);
    cr_assert_eq(symlink("b/real", "new"), 0);
    cr_assert_eq(rename("new", "list"), 0);
    expect_change(t, &x);
    put("a/real", "5\n");
    expect_silence(t, &x);
    put("b/real", "6\n");
    expect_change(t, &x);
    close_watch(t, &x);
    leave_folder(folder, (const char *[]){"list", "a/real", "b/real", "a", "b", NULL});
}

CASE(file_watch, may_close_while_it_tells) {
    NEEDS_KERNEL();
    char folder[] = "/tmp/peerup-test-XXXXXX";
    struct watched x;
    enter_folder(folder);
    open_watch(t, &x, "list");
    x.close_inside = true;
    put("list", "");
    TURN_UNTIL(t, !reactor_has_handles(t->reactor));
    cr_assert_eq(x.changed, 1);
    leave_folder(folder, (const char *[]){"list", NULL});
}

CASE(file_watch, of_what_cannot_be_watched_is_an_error) {
    NEEDS_KERNEL();
    struct watched x = {.watch.changed = on_changed};
    char longer[PATH_MAX + 1];
    memset(longer, 'a', PATH_MAX);
    longer[PATH_MAX] = '\0';
    cr_assert_eq(file_watch_open(&x.watch, t->reactor, "/nowhere/list"), -ENOENT);
    cr_assert_eq(file_watch_open(&x.watch, t->reactor, "/proc/version/list"), -ENOTDIR);
    cr_assert_eq(file_watch_open(&x.watch, t->reactor, longer), -ENAMETOOLONG);
    longer[NAME_MAX + 1] = '\0';
    cr_assert_eq(file_watch_open(&x.watch, t->reactor, longer), -ENAMETOOLONG);
    cr_assert_not(reactor_has_handles(t->reactor));
}
