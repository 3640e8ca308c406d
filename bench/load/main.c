/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/load/load.h"

static const struct mode {
    const char *name;
    void (*run)(const struct load_args *args);
    const char *count; /* what COUNT means, NULL if nothing */
    size_t count_max;
} modes[] = {
    {"serve", load_serve, NULL, 0},
    {"up", load_up, "streams", STREAMS_MAX},
    {"down", load_down, "streams", STREAMS_MAX},
    {"latency", load_latency, "bytes of a message", ECHO_BYTES_MAX},
    {"connections", load_connections, "in flight", STREAMS_MAX},
    {"hold", load_hold, "connections", 60000},
    {"probe", load_probe, NULL, 0},
};

enum { MODES = sizeof(modes) / sizeof(modes[0]) };

static _Noreturn void usage(void) {
    (void)fputs("usage: peerup-bench-load MODE IPV4 PORT [COUNT [MILLISECONDS]]\n", stderr);
    for (size_t i = 0; i < MODES; i++)
        (void)fprintf(stderr, "  %-12s %s%s\n", modes[i].name, modes[i].count ? "COUNT: " : "",
                      modes[i].count ? modes[i].count : "");
    exit(2);
}

static unsigned long parse(const char *text, unsigned long min, unsigned long max) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < min || value > max)
        usage();
    return value;
}

static const struct mode *find_mode(const char *name) {
    for (size_t i = 0; i < MODES; i++)
        if (strcmp(modes[i].name, name) == 0)
            return &modes[i];
    usage();
}

static void raise_file_limit(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        load_die("getrlimit");
    files.rlim_cur = files.rlim_max < 65536 ? files.rlim_max : 65536;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        load_die("setrlimit");
}

int main(int argc, char **argv) {
    if (argc < 4 || argc > 6)
        usage();
    const struct mode *mode = find_mode(argv[1]);
    struct load_args args = {.host = argv[2], .port = (uint16_t)parse(argv[3], 1, 65535)};
    size_t count = argc > 4 ? parse(argv[4], 1, mode->count ? mode->count_max : 1) : 1;
    args.count = count;
    args.bytes = count;
    args.duration = (nsec_t)(argc > 5 ? parse(argv[5], 1, 3600000) : 5000) * 1000000;
    raise_file_limit();
    mode->run(&args);
    return 0;
}
