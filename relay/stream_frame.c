/* SPDX-License-Identifier: MIT */
#include "relay/stream_frame.h"

#include "core/base/err.h"
#include "transport/stream.h"

void stream_frame_init(struct stream_frame *f, void *memory, size_t size) {
    frame_init(&f->frame, memory, size);
    f->rest = SLICE_EMPTY;
}

void stream_frame_next(struct stream_frame *f) {
    frame_init(&f->frame, f->frame.memory, f->frame.size);
}

void stream_frame_done(struct stream_frame *f) {
    slice_unref(&f->rest);
}

static ssize_t read_some(struct stream_frame *f, struct stream *s, struct slice *ret_in) {
    if (f->rest.len == 0)
        return stream_read(s, ret_in, 1);
    *ret_in = f->rest;
    f->rest = SLICE_EMPTY;
    return 1;
}

int stream_frame_read(struct stream_frame *f, struct stream *s) {
    while (!frame_is_whole(&f->frame)) {
        struct slice in;
        ssize_t n = read_some(f, s, &in);
        if (n == 0)
            return 0;
        if (n < 0)
            return n == -ENODATA ? -ERR_TRUNCATED : -ERR_STREAM_RESET;
        ssize_t taken = frame_recv(&f->frame, slice_bytes(&in));
        if (taken < 0) {
            slice_unref(&in);
            return (int)taken;
        }
        slice_skip(&in, (uint32_t)taken);
        stream_credit(s, (size_t)taken);
        if (in.len > 0)
            f->rest = in;
        else
            slice_unref(&in);
    }
    return 1;
}
