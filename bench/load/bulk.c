/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/load.h"

enum { EVENTS = 64 };

struct stream {
    int fd;
    bool done_sending;
    uint64_t bytes;
    /* The last bytes that came: the sink's whole answer, or the source's trailer. */
    uint8_t tail[COUNT_BYTES];
    size_t tail_bytes;
};

struct bulk {
    int epfd;
    size_t streams_count;
    struct stream *streams;
    uint8_t *buffer;
    nsec_t start;
};

static struct bulk bulk_open(const struct load_args *args, const void *request, size_t bytes,
                             uint32_t events) {
    struct bulk b = {.epfd = epoll_create1(EPOLL_CLOEXEC), .streams_count = args->count};
    b.streams = calloc(b.streams_count, sizeof(*b.streams));
    b.buffer = load_new_noise(BULK_BYTES);
    if (b.epfd < 0 || !b.streams)
        load_die("bulk");
    b.start = load_now();
    for (size_t i = 0; i < b.streams_count; i++) {
        b.streams[i].fd = load_open_blocking(args, request, bytes);
        load_epoll_add(b.epfd, b.streams[i].fd, events, i);
    }
    return b;
}

/* The last call: prints the figures and gives back what bulk_open() took. */
static void bulk_close(struct bulk *b) {
    uint64_t total = 0;
    for (size_t i = 0; i < b->streams_count; i++)
        total += b->streams[i].bytes;
    double seconds = (double)(load_now() - b->start) / 1e9;
    printf("{\"bytes\": %" PRIu64 ", \"seconds\": %.6f, \"mbit_s\": %.1f}\n", total, seconds,
           (double)total * 8 / seconds / 1e6);
    free(b->streams);
    free(b->buffer);
    close(b->epfd);
}

static void keep_tail(struct stream *s, const uint8_t *data, size_t bytes) {
    if (bytes >= COUNT_BYTES) {
        memcpy(s->tail, data + bytes - COUNT_BYTES, COUNT_BYTES);
        s->tail_bytes = COUNT_BYTES;
        return;
    }
    size_t keep = s->tail_bytes;
    if (keep + bytes > COUNT_BYTES)
        keep = COUNT_BYTES - bytes;
    memmove(s->tail, s->tail + s->tail_bytes - keep, keep);
    memcpy(s->tail + keep, data, bytes);
    s->tail_bytes = keep + bytes;
}

/* Returns what recv() did; 0 is the end of the stream. */
static size_t receive(struct bulk *b, struct stream *s) {
    ssize_t n = recv(s->fd, b->buffer, BULK_BYTES, MSG_DONTWAIT);
    if (n < 0)
        load_die("bulk: recv");
    keep_tail(s, b->buffer, (size_t)n);
    return (size_t)n;
}

static void expect_count(const struct stream *s, uint64_t count) {
    if (s->tail_bytes == COUNT_BYTES && load_get_be64(s->tail) == count)
        return;
    (void)fprintf(stderr, "bulk: the path lost bytes: %" PRIu64 " here, %" PRIu64 " there\n", count,
                  s->tail_bytes == COUNT_BYTES ? load_get_be64(s->tail) : 0);
    exit(1);
}

static void send_more(struct bulk *b, size_t index, nsec_t deadline) {
    struct stream *s = &b->streams[index];
    if (load_now() >= deadline) {
        s->done_sending = true;
        load_epoll_mod(b->epfd, s->fd, EPOLLIN, index);
        if (shutdown(s->fd, SHUT_WR) < 0)
            load_die("bulk: shutdown");
        return;
    }
    ssize_t n = send(s->fd, b->buffer, BULK_BYTES, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN)
        load_die("bulk: send");
    if (n > 0)
        s->bytes += (uint64_t)n;
}

static int wait_events(struct bulk *b, struct epoll_event *events) {
    int ready = epoll_wait(b->epfd, events, EVENTS, STALL_MS);
    if (ready > 0)
        return ready;
    if (ready == 0)
        errno = ETIMEDOUT;
    load_die("bulk: stalled");
}

void load_up(const struct load_args *args) {
    const char request[] = {SERVICE_SINK};
    struct bulk b = bulk_open(args, request, sizeof(request), EPOLLOUT);
    nsec_t deadline = b.start + args->duration;
    for (size_t open = b.streams_count; open > 0;) {
        struct epoll_event events[EVENTS];
        int ready = wait_events(&b, events);
        for (int i = 0; i < ready; i++) {
            size_t index = events[i].data.u64;
            struct stream *s = &b.streams[index];
            if (!s->done_sending) {
                send_more(&b, index, deadline);
            } else if (receive(&b, s) == 0) {
                expect_count(s, s->bytes);
                close(s->fd);
                open--;
            }
        }
    }
    bulk_close(&b);
}

void load_down(const struct load_args *args) {
    uint32_t ms = (uint32_t)(args->duration / 1000000);
    const uint8_t request[] = {SERVICE_SOURCE, (uint8_t)(ms >> 24), (uint8_t)(ms >> 16),
                               (uint8_t)(ms >> 8), (uint8_t)ms};
    struct bulk b = bulk_open(args, request, sizeof(request), EPOLLIN);
    for (size_t open = b.streams_count; open > 0;) {
        struct epoll_event events[EVENTS];
        int ready = wait_events(&b, events);
        for (int i = 0; i < ready; i++) {
            struct stream *s = &b.streams[events[i].data.u64];
            size_t n = receive(&b, s);
            s->bytes += n;
            if (n == 0) {
                expect_count(s, s->bytes - COUNT_BYTES);
                close(s->fd);
                open--;
            }
        }
    }
    bulk_close(&b);
}
