/* SPDX-License-Identifier: MIT */
#include "transport/proto/write_pace.h"

#include "core/base/base.h"

void write_pace_note(struct write_pace *p, size_t bytes, nsec_t took) {
    if (took > WRITE_PACE_TARGET) {
        size_t on_time = (size_t)((uint64_t)bytes * (uint64_t)WRITE_PACE_TARGET / (uint64_t)took);
        p->bytes = MAX(MIN(p->bytes, on_time), (size_t)WRITE_PACE_BYTES_MIN);
    } else if (took < WRITE_PACE_TARGET / 2 && bytes >= p->bytes) {
        p->bytes = MIN(2 * p->bytes, (size_t)WRITE_PACE_BYTES_MAX);
    }
}
