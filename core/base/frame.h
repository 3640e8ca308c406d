/* SPDX-License-Identifier: MIT */
#pragma once

/* One message with its length in front, uvarint(length) ‖ body, from bytes that are cut anywhere.
 *
 *   frame_init(&f, s->memory, sizeof(s->memory));
 *   ...
 *   ssize_t taken = frame_recv(&f, in);
 *   if (taken < 0) ...                       reset the stream
 *   if (frame_is_whole(&f))
 *       decode(frame_body(&f)), and bytes_skip(in, taken) is what follows the message
 *
 * Not a byte behind the message is taken: after a circuit's last message the next one belongs to
 * the tunnelled connection.  Begin again with frame_init() for the next message of a stream.
 *
 * Spec:    the length is an unsigned varint as multiformats have it: minimal.
 * Memory:  the owner's; its size is the limit of the body.
 * Thread:  one at a time.
 */

#include "core/base/bytes.h"

/* A length, byte by byte: for those who keep their bodies otherwise. */
struct frame_len {
    uint64_t value;
    uint8_t count; /* bytes taken */
};

/* Takes the next byte.  1: it was the last one, `value` is the length; 0: there is more;
 *   -ERR_LIMIT      the length is beyond `max`, known at the first byte that makes it so
 *   -ERR_MALFORMED  it is padded */
NODISCARD int frame_len_take(struct frame_len *l, uint8_t byte, uint64_t max);

/* Embedded by its owner; fields are the engine's. */
struct frame {
    uint8_t *memory;
    size_t size;
    size_t got;
    struct frame_len len;
    bool len_whole;
};

/* `memory` takes a body of at most `size` bytes and must live as long as the frame. */
void frame_init(struct frame *f, void *memory, size_t size);

/* Takes bytes and returns how many; none once the message is whole.  After an error, those of
 * frame_len_take(), the frame is dead. */
NODISCARD ssize_t frame_recv(struct frame *f, struct bytes in);

/* An end of the peer's bytes before this is a truncated message. */
static inline bool frame_is_whole(const struct frame *f) {
    return f->len_whole && f->got == f->len.value;
}

/* The body of a whole message (asserted); borrows from the memory. */
struct bytes frame_body(const struct frame *f);
