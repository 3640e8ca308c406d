/* SPDX-License-Identifier: MIT */
#include "uring/file_watch.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
    /* Not IN_MODIFY: a file is looked at when its writer is done with it. */
    CHANGES = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE,
    EVENTS_BYTES = 4096,
};

/* Watches the directory of a path and notes the name in it. */
static int place_watch(struct file_watch_place *p, int fd, const char *path) {
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;

    int n = slash == NULL
                ? snprintf(directory, sizeof(directory), ".")
                : snprintf(directory, sizeof(directory), "%.*s/", (int)(slash - path), path);
    if (n < 0 || (size_t)n >= sizeof(directory) || strlen(name) >= sizeof(p->name))
        return -ENAMETOOLONG;
    int number = inotify_add_watch(fd, directory, CHANGES | IN_ONLYDIR);
    if (number < 0)
        return -errno;
    p->directory = number;
    memcpy(p->name, name, strlen(name) + 1);
    return 0;
}

/* A link may lead elsewhere after a change.  What it led to before stays watched, without a name
 * that would count. */
static void follow_link(struct file_watch *w) {
    char target[PATH_MAX];
    struct file_watch_place *p = &w->places[1];

    p->directory = -1;
    if (realpath(w->path, target) == NULL || strcmp(target, w->path) == 0)
        return;
    int e = place_watch(p, w->events.fd, target);
    (void)e; /* the link itself is watched still */
}

static bool concerns(const struct file_watch *w, const struct inotify_event *event) {
    if ((event->mask & IN_Q_OVERFLOW) != 0)
        return true;
    for (size_t i = 0; i < ARRAY_COUNT(w->places); i++)
        if (event->len > 0 && w->places[i].directory == event->wd &&
            strcmp(w->places[i].name, event->name) == 0)
            return true;
    return false;
}

static void on_events(struct fd_watch *events) {
    struct file_watch *w = CONTAINER_OF(events, struct file_watch, events);
    alignas(struct inotify_event) char buffer[EVENTS_BYTES];
    bool changed = false;

    ssize_t n = read(events->fd, buffer, sizeof(buffer)); /* what is left comes next turn */
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *event = (const void *)(buffer + at);
        changed = changed || concerns(w, event);
        at += (ssize_t)(sizeof(*event) + event->len);
    }
    if (changed && !heap_node_is_linked(&w->delay.node))
        timer_start(&w->delay, reactor_now(events->reactor) + FILE_WATCH_DELAY);
}

/* The owner's memory waits for the reactor, not for us. */
static void on_closed(struct fd_watch *events) {
    (void)events;
}

static const struct fd_watch_events fd_events = {.readable = on_events, .closed = on_closed};

static void on_delay(struct timer *t) {
    struct file_watch *w = CONTAINER_OF(t, struct file_watch, delay);
    follow_link(w);
    w->changed(w);
}

int file_watch_open(struct file_watch *w, struct reactor *r, const char *path) {
    int n = snprintf(w->path, sizeof(w->path), "%s", path);
    if (n < 0 || (size_t)n >= sizeof(w->path))
        return -ENAMETOOLONG;
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd < 0)
        return -errno;
    int e = place_watch(&w->places[0], fd, path);
    if (e == 0)
        e = timer_init(&w->delay, r, on_delay);
    if (e < 0) {
        (void)close(fd);
        return e;
    }
    fd_watch_open(&w->events, r, fd, &fd_events);
    follow_link(w);
    return 0;
}

void file_watch_close(struct file_watch *w) {
    timer_done(&w->delay);
    fd_watch_close(&w->events);
}
