/* SPDX-License-Identifier: MIT */
#include "ctl/log_stderr.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/sysenv.h"

static void sink(struct log *l, enum log_level level, const char *line, size_t len) {
    (void)l;
    (void)level;
    ssize_t n = write(STDERR_FILENO, line, len);
    (void)n; /* there is no other place to complain */
}

static int64_t wall_ms(struct log *l) {
    (void)l;
    return sysenv_wall_ms();
}

void log_stderr_init_audit(struct log *log) {
    *log = (struct log){
        .sink = sink, .wall_ms = wall_ms, .level_max = LOG_INFO, .json = true, .group = "audit"};
}

void log_stderr_init(struct log *log, enum log_level level_max) {
    static const char *const names[] = {
        [LOG_ERROR] = "error", [LOG_WARN] = "warn",   [LOG_INFO] = "info",
        [LOG_DEBUG] = "debug", [LOG_TRACE] = "trace",
    };
    const char *wanted = getenv("PEERUP_LOG");

    *log = (struct log){.sink = sink, .wall_ms = wall_ms, .level_max = level_max};
    for (size_t i = 0; wanted != NULL && i < ARRAY_COUNT(names); i++)
        if (strcmp(wanted, names[i]) == 0)
            log->level_max = (enum log_level)i;
}
