/* SPDX-License-Identifier: MIT */
#pragma once

/* Bytes in order: a socket's buffer. */

#include "core/base/base.h"

struct byte_queue {
    uint8_t *data;
    size_t size;
    size_t first;
    size_t len;
};

void byte_queue_done(struct byte_queue *q);
void byte_queue_add(struct byte_queue *q, const void *data, size_t len);
void byte_queue_drop(struct byte_queue *q, size_t len);
static inline const uint8_t *byte_queue_at(const struct byte_queue *q, size_t offset) {
    assert(offset <= q->len);
    return q->data + q->first + offset;
}
