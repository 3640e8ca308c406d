/* SPDX-License-Identifier: MIT */
#include "ctl/limits.h"

#include <sys/resource.h>

#include "core/base/log.h"

void limits_raise_descriptors(struct log *log) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        log_warn(log, L_NODE, "cannot raise the limit of open files", kv_err(-errno));
}
