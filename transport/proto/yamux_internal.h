/* SPDX-License-Identifier: MIT */
#pragma once

/* What yamux.c (life, frames in, time, events), yamux_stream.c (streams) and yamux_send.c (frames
 * out) share. */

#include "core/base/map.h"
#include "core/base/problem.h"
#include "transport/proto/write_pace.h"
#include "transport/proto/yamux.h"
#include "transport/proto/yamux_frame.h"

_Static_assert((int)YAMUX_HEADER_BYTES == (int)YAMUX_FRAME_BYTES, "one header");

struct yamux {
    struct mem *mem;
    void *user;
    struct buf_pool *pool;
    struct quota received; /* slabs that bodies came in, or were copied to */
    struct quota sending;  /* parent of the streams' quotas, and what was pulled */
    nsec_t now;

    bool over;        /* no stream lives any more, but for what was received whole */
    bool go_away_due; /* the reason is to be told */
    uint32_t go_away_code;
    int error;
    struct problem problem;
    bool tell_over;
    bool tell_streams;
    bool open_refused; /* an own stream found no room */

    struct map by_id;    /* streams that the peer may still speak of */
    struct list streams; /* all, by .node */
    struct list events;  /* of struct yamux_stream.event_node */
    uint32_t streams_count;
    uint32_t own_count; /* in `by_id`, opened by us */
    uint32_t peer_count;
    uint32_t peer_max;
    uint32_t next_id;
    uint32_t id_parity;      /* of our IDs */
    uint32_t growth_granted; /* windows beyond YAMUX_WINDOW_FIRST each, summed */
    uint32_t resets_left;
    nsec_t resets_refilled_at;

    /* Frames in. */
    struct slice input; /* what is not looked at yet of the last slice */
    uint8_t header[YAMUX_HEADER_BYTES];
    uint32_t header_len;
    struct yamux_stream *body_stream; /* whose body comes next; NULL: nobody's */
    uint32_t body_left;
    bool body_ends; /* FIN follows it */

    /* Frames out. */
    struct list controls; /* streams with something to say but data, by .control_node */
    struct list sendable; /* streams with data and window, by .send_node */
    struct list starved;  /* writers that found `sending` used up, by .starved_node */
    struct yamux_frame answers[YAMUX_ANSWERS_MAX]; /* a ring */
    uint32_t answers_first;
    uint32_t answers_count;
    struct buf *headers; /* the slab that headers are written to, while they are pulled */
    uint32_t headers_used;
    bool pull_failed; /* for want of memory */

    /* Time. */
    nsec_t heard_at;
    nsec_t unanswered_since; /* NSEC_NEVER: nothing outstanding */
    uint64_t acked_bytes;    /* of the link, as far as we were told */
    nsec_t ping_sent_at;
    bool ping_due;
    bool ping_outstanding;
    bool data_since_ping; /* sent behind the last ping: its answer says nothing of it */
    uint32_t ping_value;
    nsec_t rtt;
    struct list lingering; /* released streams whose peer has not ended, oldest first */
};

/* By whose end was told; the peer's acknowledgement means nothing.
 *
 *              FIN sent           FIN received         RST sent or received
 * OPEN         -> LOCAL_ENDED     -> REMOTE_ENDED      -> GONE
 * LOCAL_ENDED                     -> GONE              -> GONE
 * REMOTE_ENDED -> GONE                                 -> GONE
 * RESETTING    (by us, RST waits to be pulled)         -> GONE
 * OPEN, LOCAL_ENDED, REMOTE_ENDED -> RESETTING by a reset of ours that the peer must learn of.
 * GONE is where the peer's frames for the ID find nobody, and counts no longer. */
enum yamux_stream_state {
    YAMUX_STREAM_OPEN,
    YAMUX_STREAM_LOCAL_ENDED,
    YAMUX_STREAM_REMOTE_ENDED,
    YAMUX_STREAM_RESETTING,
    YAMUX_STREAM_GONE,
};

enum yamux_stream_event_bit {
    YAMUX_STREAM_EV_OPENED = 1,
    YAMUX_STREAM_EV_READABLE = 2,
    YAMUX_STREAM_EV_WRITABLE = 4,
    YAMUX_STREAM_EV_STOPPED = 8,
    YAMUX_STREAM_EV_RESET = 16,
    YAMUX_STREAM_EV_CLOSED = 32,
};

struct yamux_stream {
    struct yamux *session;
    void *user;
    uint32_t id;
    uint8_t key[4];
    enum yamux_stream_state state;
    bool own;
    struct map_node id_node;
    struct list node;
    struct list event_node;
    struct list control_node;
    struct list send_node;
    struct list starved_node;
    struct list linger_node;
    uint8_t events; /* enum yamux_stream_event_bit, not told yet */
    bool announced; /* the owner knows of it */
    bool released;  /* the owner forgot it */
    bool closed_told;
    int error; /* of the session, that it died of */

    struct slice_queue unsent;
    struct write_pace pace; /* how much of it there may be */
    size_t pace_bytes;      /* sent since pace_since, with something unsent all the time */
    nsec_t pace_since;      /* NSEC_NEVER: nothing was left */
    nsec_t paced_at;        /* the pace was looked at */
    uint32_t send_window;
    bool syn_due;
    bool ack_due;
    bool fin_wanted;
    bool write_over; /* reset by either side */
    bool want_writable;

    struct slice_queue received;
    struct slice_writer receiver;
    struct yamux_window window;
    size_t uncredited; /* read, not credited */
    bool fin_received;
    bool fin_told;     /* yamux_stream_read() gave -ENODATA */
    bool read_stopped; /* by us */
    bool read_reset;   /* by the peer, or for want of memory */

    uint32_t code; /* of the reset, either side's */
    nsec_t linger_until;
    struct quota quota;
};

/* yamux.c */
/* Ends the session.  code: of the go-away that tells the peer. */
void yamux_fail(struct yamux *y, int error, uint32_t code, const char *text);
/* Ends it with nothing to tell. */
void yamux_die(struct yamux *y, int error, const char *text);

/* Looks at the input that waited for room for answers. */
void yamux_resume_input(struct yamux *y);

/* yamux_stream.c */
NODISCARD int yamux_stream_new(struct yamux *y, uint32_t id, bool own,
                               struct yamux_stream **ret_stream);
struct yamux_stream *yamux_stream_find(const struct yamux *y, uint32_t id);
void yamux_stream_on_credit(struct yamux_stream *s, uint32_t bytes);
void yamux_stream_on_body(struct yamux_stream *s, struct slice v);
void yamux_stream_on_fin(struct yamux_stream *s);
void yamux_stream_on_reset(struct yamux_stream *s, uint32_t code);
void yamux_stream_on_fin_sent(struct yamux_stream *s);
void yamux_stream_on_reset_sent(struct yamux_stream *s);
/* Its owner is gone and the peer does not end it. */
void yamux_stream_give_up(struct yamux_stream *s);
/* The session is over: CLOSED, unless it was received whole and waits for its reader. */
void yamux_stream_on_session_over(struct yamux_stream *s);
void yamux_stream_tell_closed_if_over(struct yamux_stream *s);
/* Looks whether it has data, or something else, to send. */
void yamux_stream_update_sendable(struct yamux_stream *s);
/* A frame of its data was pulled, with so many bytes. */
void yamux_stream_on_data_sent(struct yamux_stream *s, uint32_t bytes);
bool yamux_stream_owes_credit(const struct yamux_stream *s);
void yamux_wake_starved(struct yamux *y);

/* yamux_send.c */
/* Queues an answer, for which there must be room (asserted). */
void yamux_answer(struct yamux *y, struct yamux_frame f);
