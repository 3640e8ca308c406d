/* SPDX-License-Identifier: MIT */
#include "transport/ws_frames.h"

#include <wslay/wslay.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/rng.h"

_Static_assert((int)WS_CLOSE == WSLAY_CONNECTION_CLOSE, "as on the wire");
_Static_assert((int)WS_PING == WSLAY_PING, "as on the wire");
_Static_assert((int)WS_PONG == WSLAY_PONG, "as on the wire");

struct ws_frames {
    struct mem *mem;
    struct rng *rng;
    wslay_frame_context_ptr wslay;
    bool is_client;

    /* Reading. */
    struct bytes *in;    /* during ws_frames_recv() */
    uint64_t frame_got;  /* payload of the present frame */
    size_t unparsed;     /* bytes that wslay has, and has not told of */
    bool in_message;     /* a message goes on in the next data frame */
    uint8_t control_len; /* of a control frame that is being read */
    uint8_t control[WS_CONTROL_PAYLOAD_MAX];

    /* Writing: either to memory or to a writer's queue. */
    uint8_t *memory;
    size_t memory_len;
    struct slice_writer *writer;
    const struct slice *part; /* its bytes need no copy */
    uint64_t data_len;        /* of the frame that is being sent; 0: none */
};

/* --- What wslay asks for --- */

static ssize_t on_want_bytes(uint8_t *out, size_t len, int flags, void *user) {
    struct ws_frames *f = user;
    (void)flags;
    size_t n = MIN(len, f->in->len);
    if (n == 0)
        return -1;
    memcpy(out, f->in->data, n);
    *f->in = bytes_skip(*f->in, n);
    f->unparsed += n;
    return (ssize_t)n;
}

static int on_want_mask(uint8_t *out, size_t len, void *user) {
    struct ws_frames *f = user;
    rng_fill(f->rng, out, len);
    return 0;
}

static ssize_t pass_on(struct ws_frames *f, size_t len) {
    struct slice s = slice_ref(f->part);
    s.len = (uint32_t)len;
    if (slice_queue_push(f->writer->queue, s) == 0)
        return (ssize_t)len;
    slice_unref(&s);
    return -1;
}

static ssize_t on_bytes(const uint8_t *data, size_t len, int flags, void *user) {
    struct ws_frames *f = user;
    (void)flags;
    if (f->memory != NULL) {
        assert(len <= WS_CONTROL_FRAME_MAX - f->memory_len);
        memcpy(f->memory + f->memory_len, data, len);
        f->memory_len += len;
        return (ssize_t)len;
    }
    if (data == f->part->data)
        return pass_on(f, len);
    size_t n = slice_writer_add(f->writer, bytes_of(data, len));
    return n == 0 ? -1 : (ssize_t)n;
}

/* --- Reading --- */

/* What wslay leaves to its user, for a frame that has begun. */
static bool is_frame_good(const struct ws_frames *f, const struct wslay_frame_iocb *frame) {
    if (frame->rsv != WSLAY_RSV_NONE || (frame->mask != 0) == f->is_client)
        return false;
    switch (frame->opcode) {
    case WSLAY_BINARY_FRAME:
        return f->frame_got > 0 || !f->in_message;
    case WSLAY_CONTINUATION_FRAME:
        return f->in_message;
    case WSLAY_CONNECTION_CLOSE:
    case WSLAY_PING:
    case WSLAY_PONG:
        return frame->payload_length <= WS_CONTROL_PAYLOAD_MAX && frame->fin != 0;
    default:
        return false;
    }
}

static size_t header_size(const struct wslay_frame_iocb *frame) {
    size_t size = 2 + (frame->mask ? 4 : 0);
    if (frame->payload_length > UINT16_MAX)
        return size + 8;
    return size + (frame->payload_length > WS_CONTROL_PAYLOAD_MAX ? 2 : 0);
}

static enum ws_event_type control_event(uint8_t opcode) {
    if (opcode == WSLAY_CONNECTION_CLOSE)
        return WS_EV_CLOSE;
    return opcode == WSLAY_PING ? WS_EV_PING : WS_EV_NOTHING;
}

/* A piece of a frame, perhaps its last.  Whether there is something to tell. */
static bool got_piece(struct ws_frames *f, const struct wslay_frame_iocb *frame,
                      struct ws_event *ret_event) {
    struct bytes piece = bytes_of(frame->data, frame->data_length);
    bool is_control = wslay_is_ctrl_frame(frame->opcode) != 0;
    f->unparsed -= piece.len + (f->frame_got == 0 ? header_size(frame) : 0);
    f->frame_got += piece.len;
    bool is_last = f->frame_got == frame->payload_length;
    if (is_last)
        f->frame_got = 0;
    if (!is_control) {
        f->in_message = !is_last || !frame->fin;
        *ret_event = (struct ws_event){WS_EV_DATA, piece};
        return piece.len > 0;
    }
    if (piece.len > 0)
        memcpy(f->control + f->control_len, piece.data, piece.len);
    f->control_len = (uint8_t)(f->control_len + piece.len);
    if (!is_last)
        return false;
    *ret_event =
        (struct ws_event){control_event(frame->opcode), bytes_of(f->control, f->control_len)};
    f->control_len = 0;
    return ret_event->type != WS_EV_NOTHING;
}

int ws_frames_recv(struct ws_frames *f, struct bytes *in, struct ws_event *ret_event) {
    f->in = in;
    for (;;) {
        struct wslay_frame_iocb frame;
        memset(&frame, 0, sizeof(frame));
        ssize_t n = wslay_frame_recv(f->wslay, &frame);
        if (n == WSLAY_ERR_WANT_READ) {
            *ret_event = (struct ws_event){.type = WS_EV_NOTHING};
            return 0;
        }
        if (n < 0 || !is_frame_good(f, &frame))
            return -ERR_PROTOCOL_VIOLATION;
        if (got_piece(f, &frame, ret_event))
            return 0;
    }
}

bool ws_frames_is_inside(const struct ws_frames *f) {
    return f->frame_got > 0 || f->unparsed > 0;
}

/* --- Writing --- */

size_t ws_frames_control(struct ws_frames *f, enum ws_control opcode, struct bytes payload,
                         uint8_t ret_frame[WS_CONTROL_FRAME_MAX]) {
    assert(f->data_len == 0);
    assert(payload.len <= WS_CONTROL_PAYLOAD_MAX);
    struct wslay_frame_iocb frame = {
        .fin = 1,
        .opcode = (uint8_t)opcode,
        .payload_length = payload.len,
        .mask = f->is_client,
        .data = payload.data,
        .data_length = payload.len,
    };
    f->memory = ret_frame;
    f->memory_len = 0;
    ssize_t n = wslay_frame_send(f->wslay, &frame);
    assert(n == (ssize_t)payload.len);
    f->memory = NULL;
    return f->memory_len;
}

bool ws_frames_data(struct ws_frames *f, struct slice *s, struct slice_writer *w) {
    assert(s->len > 0);
    if (f->data_len == 0)
        f->data_len = s->len;
    f->writer = w;
    f->part = s;
    while (s->len > 0) {
        struct wslay_frame_iocb frame = {
            .fin = 1,
            .opcode = WSLAY_BINARY_FRAME,
            .payload_length = f->data_len,
            .mask = f->is_client,
            .data = s->data,
            .data_length = s->len,
        };
        ssize_t n = wslay_frame_send(f->wslay, &frame);
        if (n <= 0)
            return false;
        slice_skip(s, (uint32_t)n);
    }
    f->data_len = 0;
    slice_unref(s);
    return true;
}

/* --- Life --- */

int ws_frames_new(struct mem *mem, struct rng *rng, bool is_client, struct ws_frames **ret_frames) {
    static const struct wslay_frame_callbacks callbacks = {on_bytes, on_want_bytes, on_want_mask};
    struct ws_frames *f = mem_alloc(mem, sizeof(*f));
    if (f == NULL)
        return -ENOMEM;
    *f = (struct ws_frames){.mem = mem, .rng = rng, .is_client = is_client};
    if (wslay_frame_context_init(&f->wslay, &callbacks, f) != 0) {
        (void)mem_free(mem, f);
        return -ENOMEM;
    }
    *ret_frames = f;
    return 0;
}

struct ws_frames *ws_frames_free(struct ws_frames *f) {
    if (f == NULL)
        return NULL;
    wslay_frame_context_free(f->wslay);
    (void)mem_free(f->mem, f);
    return NULL;
}
