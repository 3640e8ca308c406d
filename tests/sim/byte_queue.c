/* SPDX-License-Identifier: MIT */
#include "tests/sim/byte_queue.h"

#include <string.h>

#include "tests/sim/world.h"

enum { SIZE_AT_START = 2048 };

void byte_queue_done(struct byte_queue *q) {
    sim_free(q->data);
    *q = (struct byte_queue){0};
}

void byte_queue_add(struct byte_queue *q, const void *data, size_t len) {
    if (len == 0)
        return;
    if (q->first + q->len + len > q->size) {
        if (q->first > 0)
            memmove(q->data, q->data + q->first, q->len);
        q->first = 0;
        size_t size = MAX(q->size, (size_t)SIZE_AT_START);
        while (size < q->len + len + q->len / 2)
            size *= 2;
        if (size > q->size)
            q->data = sim_resize(q->data, size);
        q->size = size;
    }
    memcpy(q->data + q->first + q->len, data, len);
    q->len += len;
}

void byte_queue_drop(struct byte_queue *q, size_t len) {
    assert(len <= q->len);
    q->len -= len;
    q->first = q->len == 0 ? 0 : q->first + len;
}
