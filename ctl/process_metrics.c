/* SPDX-License-Identifier: MIT */
#include "ctl/process_metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/base.h"
#include "core/base/strbuf.h"
#include "core/base/version.h"
#include "ctl/metrics_text.h"

/* Each returns a negative number for what the system does not tell. */

static double read_cpu(void) {
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) < 0)
        return -1;
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double read_open_fds(void) {
    DIR *d = opendir("/proc/self/fd");
    double count = -3; /* ".", "..", and the descriptor of this very directory */
    if (d == NULL)
        return -1;
    while (readdir(d) != NULL)
        count++;
    (void)closedir(d);
    return count;
}

static double read_max_fds(void) {
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) < 0 ? -1 : (double)limit.rlim_cur;
}

/* The index-th number of /proc/self/statm, in bytes. */
static double read_memory(int index) {
    char line[128], *at = line;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL)
        return -1;
    bool is_read = fgets(line, sizeof(line), f) != NULL;
    (void)fclose(f); /* read only */
    unsigned long pages = 0;
    for (int i = 0; i <= index && is_read; i++)
        pages = strtoul(at, &at, 10);
    return is_read ? (double)pages * (double)sysconf(_SC_PAGESIZE) : -1;
}

static double read_virtual(void) {
    return read_memory(0);
}

static double read_resident(void) {
    return read_memory(1);
}

struct process_metric {
    const char *name;
    enum metric_type type;
    const char *help;
    double (*read)(void); /* NULL: written by hand below */
};

enum { M_INFO, M_START };

static const struct process_metric METRICS[] = {
    [M_INFO] = {"peerup_info", METRIC_GAUGE, "Version and toolchain of this program.", NULL},
    [M_START] = {"process_start_time_seconds", METRIC_GAUGE,
                 "When it began to serve, in seconds since 1970.", NULL},
    {"process_cpu_seconds_total", METRIC_COUNTER, "CPU time in seconds, user and system.",
     read_cpu},
    {"process_open_fds", METRIC_GAUGE, "Open file descriptors.", read_open_fds},
    {"process_max_fds", METRIC_GAUGE, "The most that it may open.", read_max_fds},
    {"process_virtual_memory_bytes", METRIC_GAUGE, "Size of the address space.", read_virtual},
    {"process_resident_memory_bytes", METRIC_GAUGE, "Memory in use.", read_resident},
};

static void write_head(const struct process_metric *m, struct strbuf *out) {
    metrics_text_head(m->name, m->type, m->help, out);
}

void process_metrics_write(walltime_t start, struct strbuf *out) {
    write_head(&METRICS[M_INFO], out);
    strbuf_addf(out, "peerup_info{version=\"%s\",toolchain=\"%s\"} 1\n", version_release(),
                version_toolchain());
    write_head(&METRICS[M_START], out);
    strbuf_addf(out, "process_start_time_seconds %" PRId64 "\n", (int64_t)start);
    for (size_t i = 0; i < ARRAY_COUNT(METRICS); i++) {
        const struct process_metric *m = &METRICS[i];
        double value = m->read == NULL ? -1 : m->read();
        if (value < 0)
            continue;
        write_head(m, out);
        strbuf_addf(out, "%s %.15g\n", m->name, value);
    }
}
