/* SPDX-License-Identifier: MIT */
#include "relay/relay_limit.h"

#include <stdio.h>

#include "core/base/err.h"
#include "core/conf/units.h"
#include "transport/conn.h"

bool relay_limit_is_met(int error) {
    return error == -ERR_RELAY_DATA_LIMIT || error == -ERR_RELAY_TIME_LIMIT;
}

const char *relay_limit_format(int error, const struct conn_limit *limit, char *out) {
    char size[SIZE_TEXT_MAX], duration[DURATION_TEXT_MAX];

    assert(relay_limit_is_met(error));
    if (error == -ERR_RELAY_DATA_LIMIT)
        (void)snprintf(out, RELAY_LIMIT_TEXT_MAX, "%s each way",
                       size_format((int64_t)MIN(limit->data_bytes, (uint64_t)INT64_MAX), size));
    else
        (void)snprintf(out, RELAY_LIMIT_TEXT_MAX, "%s",
                       duration_format((int64_t)SEC((nsec_t)limit->duration_s), duration));
    return out;
}
