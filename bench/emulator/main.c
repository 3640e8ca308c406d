/* SPDX-License-Identifier: MIT */

/* peerup-bench-emulator: a link with delay, loss and a rate between two network namespaces, for
 * kernels without netem.
 *
 *   peerup-bench-emulator [--log FILE] NAMESPACE-A NAMESPACE-B DEVICE SPEC [SPEC-B-TO-A]
 *
 * Makes a TUN device of that name in each namespace (as named by `ip netns`), prints "ready", and
 * carries IP packets between them as bench/emulator/spec.h says until SIGTERM or SIGINT.  Then it
 * prints one line of JSON: the packets' fates by direction, and how late they came out, which is
 * what the machine added.  Addresses, MTU and queue lengths of the devices are the caller's.
 *
 * One thread.  It sleeps at least WAKE_NSEC at a time: then 1 Gbit/s costs some thousand wake-ups
 * a second and not a hundred thousand, and no packet is later by more than that. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "bench/emulator/lane.h"
#include "bench/emulator/packet_log.h"
#include "bench/emulator/spec.h"

enum {
    SIDES = 2,
    WAKE_NSEC = 50000,
    READ_BATCH = 64, /* packets of one side before the other has its turn */
};

struct side {
    int tun;
    struct lane lane; /* of the packets that this side sends */
    uint64_t delivered;
    uint64_t refused; /* by the far side's device */
    nsec_t late_sum;
    nsec_t late_max;
};

struct emulator {
    struct side sides[SIDES];
    int signals;
    FILE *log;
};

static _Noreturn void die(const char *what) {
    perror(what);
    exit(1);
}

static nsec_t now(void) {
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (nsec_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int open_tun(const char *namespace, const char *device) {
    char path[256];
    (void)snprintf(path, sizeof(path), "/run/netns/%s", namespace);
    int ns = open(path, O_RDONLY | O_CLOEXEC);
    if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
        die(path);
    close(ns);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        die("/dev/net/tun");
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    (void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
    if (ioctl(fd, TUNSETIFF, &request) < 0)
        die(device);
    return fd;
}

static void open_signals(struct emulator *e) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 ||
        (e->signals = signalfd(-1, &set, SFD_CLOEXEC)) < 0)
        die("signalfd");
}

/* Returns how many packets it took in. */
static size_t receive(struct emulator *e, size_t index) {
    struct side *s = &e->sides[index];
    size_t count = 0;
    for (; count < READ_BATCH; count++) {
        const uint8_t *buffer = lane_buffer(&s->lane);
        ssize_t n = read(s->tun, lane_buffer(&s->lane), LANE_PACKET_BYTES_MAX);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0)
            die("tun: read");
        nsec_t in = now(), out = 0;
        enum lane_fate fate = lane_push(&s->lane, (size_t)n, in, &out);
        if (e->log)
            packet_log_write(e->log, (char)('a' + index), fate, in, out, buffer, (size_t)n);
    }
    return count;
}

/* Returns how many packets came out. */
static size_t deliver(struct emulator *e, size_t index) {
    struct side *s = &e->sides[index];
    int to = e->sides[1 - index].tun;
    size_t count = 0;
    for (;;) {
        nsec_t due = lane_deadline(&s->lane), at = now();
        const struct lane_packet *p = lane_pop(&s->lane, at);
        if (!p)
            return count;
        nsec_t late = at - due;
        s->late_sum += late;
        s->late_max = late > s->late_max ? late : s->late_max;
        if (write(to, p->data, p->bytes) < 0) /* The device is down, or has no room. */
            s->refused++;
        s->delivered++;
        count++;
    }
}

/* Until a packet comes, one is due, or a signal came: false. */
static bool wait_work(struct emulator *e, nsec_t woken) {
    nsec_t due = NSEC_NEVER;
    for (size_t i = 0; i < SIDES; i++)
        due = lane_deadline(&e->sides[i].lane) < due ? lane_deadline(&e->sides[i].lane) : due;
    nsec_t rest = woken + WAKE_NSEC - now();
    if (rest > 0)
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = rest}, NULL);
    struct pollfd polled[] = {
        {.fd = e->sides[0].tun, .events = POLLIN},
        {.fd = e->sides[1].tun, .events = POLLIN},
        {.fd = e->signals, .events = POLLIN},
    };
    nsec_t left = due == NSEC_NEVER ? 0 : due - now();
    left = left > 0 ? left : 0;
    struct timespec timeout = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    if (ppoll(polled, 3, due == NSEC_NEVER ? NULL : &timeout, NULL) < 0 && errno != EINTR)
        die("ppoll");
    return !(polled[2].revents & POLLIN);
}

static void run(struct emulator *e) {
    nsec_t woken;
    do {
        woken = now();
        size_t moved;
        do {
            moved = 0;
            for (size_t i = 0; i < SIDES; i++)
                moved += receive(e, i);
            for (size_t i = 0; i < SIDES; i++)
                moved += deliver(e, i);
        } while (moved > 0);
    } while (wait_work(e, woken));
}

static void report(const struct emulator *e) {
    for (size_t i = 0; i < SIDES; i++) {
        const struct side *s = &e->sides[i];
        printf("%s\"%c\": {", i == 0 ? "{" : ", ", (char)('a' + i));
        for (size_t fate = 0; fate < LANE_FATES; fate++)
            printf("\"%s\": %" PRIu64 ", ", packet_fate_names[fate], s->lane.fates[fate]);
        printf("\"delivered\": %" PRIu64 ", \"refused\": %" PRIu64 ", ", s->delivered, s->refused);
        double mean = s->delivered ? (double)s->late_sum / (double)s->delivered : 0;
        printf("\"late_mean_us\": %.1f, \"late_max_us\": %.1f}", mean / 1e3,
               (double)s->late_max / 1e3);
    }
    printf("}\n");
}

static _Noreturn void usage(void) {
    (void)fputs("usage: peerup-bench-emulator [--log FILE] NAMESPACE-A NAMESPACE-B DEVICE SPEC "
                "[SPEC-B-TO-A]\n",
                stderr);
    exit(2);
}

static void open_side(struct emulator *e, size_t index, const char *namespace, const char *device,
                      const char *spec) {
    struct lane_config cfg;
    char *text = strdup(spec);
    const char *bad = text ? spec_parse(text, &cfg) : spec;
    if (bad) {
        (void)fprintf(stderr, "link: not understood: %s\n", bad);
        exit(2);
    }
    free(text);
    cfg.seed = cfg.seed * SIDES + index; /* The directions' dice differ. */
    if (!lane_init(&e->sides[index].lane, &cfg))
        die("memory");
    e->sides[index].tun = open_tun(namespace, device);
}

int main(int argc, char **argv) {
    struct emulator e = {0};
    if (argc > 2 && strcmp(argv[1], "--log") == 0) {
        e.log = fopen(argv[2], "we");
        if (!e.log || setvbuf(e.log, NULL, _IOLBF, BUFSIZ) != 0)
            die(argv[2]);
        argv += 2;
        argc -= 2;
    }
    if (argc != 5 && argc != 6)
        usage();
    open_signals(&e);
    for (size_t i = 0; i < SIDES; i++)
        open_side(&e, i, argv[1 + i], argv[3], argv[i == 1 && argc == 6 ? 5 : 4]);
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
    puts("ready");
    (void)fflush(stdout);
    run(&e);
    report(&e);
    for (size_t i = 0; i < SIDES; i++)
        lane_done(&e.sides[i].lane);
    return e.log && fclose(e.log) != 0 ? 1 : 0;
}
