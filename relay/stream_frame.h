/* SPDX-License-Identifier: MIT */
#pragma once

/* Reads one message with its length in front (core/base/frame.h) from a stream, and keeps what came
 * behind it: after a circuit's last message that belongs to the connection inside.
 *
 *   stream_frame_init(&f, memory, sizeof(memory));
 *   readable:  e = stream_frame_read(&f, stream);     1: decode(frame_body(&f.frame))
 *
 * What was read of the message is credited, what is behind it is not. */

#include "core/base/buf.h"
#include "core/base/frame.h"

struct stream;

/* Embedded by its owner. */
struct stream_frame {
    struct frame frame;
    struct slice rest; /* behind the message; its owner may take it over */
};

void stream_frame_init(struct stream_frame *f, void *memory, size_t size);
/* Begins with the next message: what came behind the last one is read first. */
void stream_frame_next(struct stream_frame *f);
/* Before the stream is released. */
void stream_frame_done(struct stream_frame *f);

/* 1 when the message is whole, 0 when there is more to come: readable() follows.
 *   -ERR_TRUNCATED           the end came before
 *   -ERR_STREAM_RESET        the peer reset it
 *   -ERR_LIMIT, -ERR_MALFORMED */
NODISCARD int stream_frame_read(struct stream_frame *f, struct stream *s);
