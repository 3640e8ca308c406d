/* SPDX-License-Identifier: MIT */
/* peerup-bench-load: what bench/run.py loads a TCP path with.  Plain sockets, one thread, epoll:
 * it shares the cores with what it measures, so it does nothing but move bytes and count.
 *
 * One server speaks three services.  A connection's first byte picks one:
 *
 *   'E'  echo     that byte and every later one comes back; messages up to ECHO_BYTES_MAX, one
 *                 outstanding
 *   'S'  sink     the server reads to the end, then answers with the count as 8 bytes, big endian
 *   'D'  source   4 more bytes, big endian, say for how many milliseconds the server sends; the
 *                 stream's last 8 bytes are the count of those before them, big endian
 *
 * So both bulk directions are timed by the side that started them, up to the last byte's arrival,
 * and both notice a path that loses bytes.
 *
 * Each client prints one line of JSON and exits 0; if the load could not run as asked it says why
 * on stderr and exits 1.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BULK_BYTES = 256 * 1024, /* One turn of a bulk reader or writer. */
    COUNT_BYTES = 8,
    DURATION_BYTES = 4,
    ECHO_BYTES_MAX = 4096,
    STREAMS_MAX = 4096,
    STALL_MS = 5000, /* A path that moves nothing for that long is taken for dead. */
};

#define SERVICE_ECHO   'E'
#define SERVICE_SINK   'S'
#define SERVICE_SOURCE 'D'

typedef int64_t nsec_t;

struct load_args {
    const char *host; /* IPv4 address in text */
    uint16_t port;
    size_t count; /* streams, connections in flight, or connections to hold */
    size_t bytes; /* of one echoed message */
    nsec_t duration;
};

/* Monotonic time. */
nsec_t load_now(void);

/* Prints `what` and errno's text, and ends the program with status 1. */
_Noreturn void load_die(const char *what);

/* A new non-blocking TCP socket with TCP_NODELAY. */
int load_socket(void);

/* Starts to connect a non-blocking socket.  Returns 0 when connected or on the way, else -errno. */
int load_connect(int fd, const struct load_args *args);

/* A connected, blocking socket on which `request` was sent; ends the program on failure. */
int load_open_blocking(const struct load_args *args, const void *request, size_t bytes);

/* Whole transfers on a blocking socket; false on error or an early end. */
bool load_send_all(int fd, const void *data, size_t bytes);
bool load_recv_all(int fd, void *data, size_t bytes);

void load_epoll_add(int epfd, int fd, uint32_t events, uint64_t tag);
void load_epoll_mod(int epfd, int fd, uint32_t events, uint64_t tag);

void load_put_be64(uint8_t out[COUNT_BYTES], uint64_t value);
uint64_t load_get_be64(const uint8_t in[COUNT_BYTES]);

/* Bytes that no compressor shortens, from a fixed seed. */
uint8_t *load_new_noise(size_t bytes);

/* The modes.  serve runs until a signal ends it. */
void load_serve(const struct load_args *args);
void load_up(const struct load_args *args);
void load_down(const struct load_args *args);
void load_latency(const struct load_args *args);
void load_connections(const struct load_args *args);
/* Opens args->count connections and keeps them until stdin ends. */
void load_hold(const struct load_args *args);
/* Waits until one byte comes back from the echo service, through whatever refuses before. */
void load_probe(const struct load_args *args);
