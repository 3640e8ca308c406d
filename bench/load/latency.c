/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/load/load.h"

enum {
    WARM_UP = 200, /* Round trips not counted: caches, windows, the path's first RTTs. */
    SAMPLES_MAX = 1 << 20,
    PROBE_PAUSE_US = 2000,
};

static int compare(const void *a, const void *b) {
    nsec_t x = *(const nsec_t *)a;
    nsec_t y = *(const nsec_t *)b;
    return (x > y) - (x < y);
}

static double quantile_us(const nsec_t *sorted, size_t count, double q) {
    size_t index = (size_t)(q * (double)(count - 1) + 0.5);
    return (double)sorted[index] / 1e3;
}

static nsec_t round_trip(int fd, uint8_t *message, size_t bytes) {
    nsec_t start = load_now();
    if (!load_send_all(fd, message, bytes) || !load_recv_all(fd, message, bytes))
        load_die("latency: echo");
    return load_now() - start;
}

void load_latency(const struct load_args *args) {
    uint8_t message[ECHO_BYTES_MAX];
    memset(message, SERVICE_ECHO, sizeof(message));
    int fd = load_open_blocking(args, message, 1);
    if (!load_recv_all(fd, message, 1))
        load_die("latency: first byte");
    nsec_t *samples = calloc(SAMPLES_MAX, sizeof(*samples));
    if (!samples)
        load_die("calloc");
    nsec_t warm = load_now() + args->duration / 2; /* over a long path 200 take too long */
    for (size_t i = 0; i < WARM_UP && load_now() < warm; i++)
        round_trip(fd, message, args->bytes);
    size_t count = 0;
    nsec_t end = load_now() + args->duration;
    while (count < SAMPLES_MAX && load_now() < end)
        samples[count++] = round_trip(fd, message, args->bytes);
    close(fd);
    qsort(samples, count, sizeof(*samples), compare);
    printf("{\"samples\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f}\n", count,
           quantile_us(samples, count, 0.5), quantile_us(samples, count, 0.99),
           quantile_us(samples, count, 0.999));
    free(samples);
}

static bool wait_for(int fd, short event, nsec_t end) {
    struct pollfd wanted = {.fd = fd, .events = event};
    nsec_t left = end - load_now();
    return left > 0 && poll(&wanted, 1, (int)(left / 1000000) + 1) == 1;
}

static bool probe_once(const struct load_args *args, nsec_t end) {
    uint8_t byte = SERVICE_ECHO;
    int fd = load_socket();
    bool echoed = load_connect(fd, args) == 0 && wait_for(fd, POLLOUT, end) &&
                  load_send_all(fd, &byte, 1) && wait_for(fd, POLLIN, end) &&
                  load_recv_all(fd, &byte, 1);
    close(fd);
    return echoed;
}

void load_probe(const struct load_args *args) {
    nsec_t start = load_now();
    nsec_t end = start + args->duration;
    while (load_now() < end) {
        if (probe_once(args, end)) {
            printf("{\"seconds\": %.6f}\n", (double)(load_now() - start) / 1e9);
            return;
        }
        usleep(PROBE_PAUSE_US);
    }
    (void)fprintf(stderr, "probe: no echo in time\n");
    exit(1);
}
