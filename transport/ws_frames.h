/* SPDX-License-Identifier: MIT */
#pragma once

/* The frames of a WebSocket, both ways, over wslay.  No I/O: transport/ws_link.h drives it.
 *
 * Payload comes out in pieces as it arrives, whatever the lengths of frames and messages, so
 * nothing of a frame is kept back; of control frames, which are short, the whole is.
 * A client's frames are masked, and so copied; a server's payload is passed on where it lies.
 *
 * Spec:   RFC 6455, section 5.  Messages are binary; text is refused.
 * Memory: wslay's context, about 4 KiB, by malloc().  Thread: one at a time. */

#include "core/base/buf.h"

struct mem;
struct rng;
struct ws_frames;

enum {
    WS_CONTROL_PAYLOAD_MAX = 125,
    WS_CONTROL_FRAME_MAX = 2 + 4 + WS_CONTROL_PAYLOAD_MAX,
};

enum ws_control { WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };
enum ws_status { WS_STATUS_NORMAL = 1000, WS_STATUS_PROTOCOL_ERROR = 1002 };

enum ws_event_type {
    WS_EV_NOTHING, /* all input was taken */
    WS_EV_DATA,
    WS_EV_PING,
    WS_EV_CLOSE,
};

struct ws_event {
    enum ws_event_type type;
    struct bytes bytes; /* payload, until the next call */
};

/* `rng` makes a client's masks, and must outlive it.  -ENOMEM */
NODISCARD int ws_frames_new(struct mem *mem, struct rng *rng, bool is_client,
                            struct ws_frames **ret_frames);

/* Accepts NULL, returns NULL. */
struct ws_frames *ws_frames_free(struct ws_frames *f);

/* Takes bytes from the front of *in until there is something to tell.  Ask again until it is
 * WS_EV_NOTHING: bytes that were taken may hold more.
 * -ERR_PROTOCOL_VIOLATION: the peer broke the framing; nothing more is asked */
NODISCARD int ws_frames_recv(struct ws_frames *f, struct bytes *in, struct ws_event *ret_event);

/* After WS_EV_NOTHING: whether a frame has begun and not ended. */
bool ws_frames_is_inside(const struct ws_frames *f);

/* A whole control frame; returns its length.  Not while a slice is only sent in part. */
size_t ws_frames_control(struct ws_frames *f, enum ws_control opcode, struct bytes payload,
                         uint8_t ret_frame[WS_CONTROL_FRAME_MAX]);

/* The slice, which is not empty, as one frame at the end of the writer's queue.  Returns true when
 * all of it is there; else what is left stays in *s, to be given again with the same `f` when there
 * is room. */
NODISCARD bool ws_frames_data(struct ws_frames *f, struct slice *s, struct slice_writer *w);
