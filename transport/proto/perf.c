/* SPDX-License-Identifier: MIT */
#include "transport/proto/perf.h"

#include "core/base/err.h"
#include "core/base/wr.h"

/* --- acceptor -------------------------------------------------------------------------------- */

/* RECEIVING -> FILLING (the peer half-closed) -> OVER; RECEIVING -> OVER on failure. */
static void acceptor_end(struct perf_acceptor *p, struct perf_event event) {
    assert(p->state != PERF_ACCEPTOR_OVER);
    assert(!p->has_event);
    p->state = PERF_ACCEPTOR_OVER;
    p->has_event = true;
    p->event = event;
}

static void acceptor_fail(struct perf_acceptor *p, int error) {
    acceptor_end(p, (struct perf_event){.type = PERF_EV_FAILED, .error = error});
}

static void acceptor_set_now(struct perf_acceptor *p, nsec_t now) {
    assert(now >= p->now);
    p->now = now;
}

void perf_acceptor_init(struct perf_acceptor *p, uint64_t bytes_max, nsec_t now) {
    *p = (struct perf_acceptor){
        .bytes_max = bytes_max,
        .state = PERF_RECEIVING,
        .deadline = now + PERF_STALL_TIMEOUT,
        .now = now,
    };
}

void perf_acceptor_recv(struct perf_acceptor *p, struct bytes in, nsec_t now) {
    acceptor_set_now(p, now);
    if (p->state != PERF_RECEIVING || in.len == 0)
        return;
    p->deadline = now + PERF_STALL_TIMEOUT;
    while (p->head_count < PERF_HEAD_BYTES && in.len > 0) {
        p->bytes_wanted = p->bytes_wanted << 8 | in.data[0];
        p->head_count++;
        in = bytes_skip(in, 1);
    }
    bool is_asking_too_much = p->head_count == PERF_HEAD_BYTES && p->bytes_wanted > p->bytes_max;
    if (is_asking_too_much || in.len > p->bytes_max - p->bytes_received) {
        acceptor_fail(p, -ERR_LIMIT);
        return;
    }
    p->bytes_received += in.len;
}

void perf_acceptor_recv_end(struct perf_acceptor *p, nsec_t now) {
    acceptor_set_now(p, now);
    if (p->state != PERF_RECEIVING)
        return;
    if (p->head_count < PERF_HEAD_BYTES) {
        acceptor_fail(p, -ERR_TRUNCATED);
        return;
    }
    p->state = PERF_FILLING;
    p->deadline = now + PERF_STALL_TIMEOUT;
    if (p->bytes_wanted == 0)
        acceptor_end(p, (struct perf_event){.type = PERF_EV_DONE});
}

size_t perf_acceptor_fill(struct perf_acceptor *p, size_t max, nsec_t now) {
    acceptor_set_now(p, now);
    if (p->state != PERF_FILLING || max == 0)
        return 0;
    size_t n = (size_t)MIN((uint64_t)max, p->bytes_wanted - p->bytes_sent);
    p->bytes_sent += n;
    p->deadline = now + PERF_STALL_TIMEOUT;
    if (p->bytes_sent == p->bytes_wanted)
        acceptor_end(p, (struct perf_event){.type = PERF_EV_DONE});
    return n;
}

bool perf_acceptor_next_event(struct perf_acceptor *p, struct perf_event *ret_event) {
    if (!p->has_event)
        return false;
    p->has_event = false;
    *ret_event = p->event;
    return true;
}

nsec_t perf_acceptor_deadline(const struct perf_acceptor *p) {
    return p->state == PERF_ACCEPTOR_OVER ? NSEC_NEVER : p->deadline;
}

void perf_acceptor_tick(struct perf_acceptor *p, nsec_t now) {
    acceptor_set_now(p, now);
    if (now >= perf_acceptor_deadline(p))
        acceptor_fail(p, -ETIMEDOUT);
}

/* --- opener ---------------------------------------------------------------------------------- */

/* From -> to; each but the last goes to OVER on failure.
 *
 *   HEADING      UPLOADING, DOWNLOADING (nothing to upload)
 *   UPLOADING    DOWNLOADING
 *   DOWNLOADING  OVER
 */
static void set_state(struct perf_opener *p, enum perf_opener_state to) {
    assert(to > p->state);
    p->state = (uint8_t)to;
}

static void opener_set_now(struct perf_opener *p, nsec_t now) {
    assert(now >= p->now);
    p->now = now;
}

/* A half-close that was not yet fetched gives way to the end. */
static void opener_end(struct perf_opener *p, struct perf_event event) {
    set_state(p, PERF_OPENER_OVER);
    p->has_event = true;
    p->event = event;
}

static void opener_fail(struct perf_opener *p, int error) {
    opener_end(p, (struct perf_event){.type = PERF_EV_FAILED, .error = error});
}

static void half_close(struct perf_opener *p) {
    set_state(p, PERF_DOWNLOADING);
    p->half_closed_at = p->now;
    p->has_event = true;
    p->event = (struct perf_event){.type = PERF_EV_HALF_CLOSE};
}

void perf_opener_init(struct perf_opener *p, uint64_t upload_bytes, uint64_t download_bytes,
                      nsec_t now) {
    *p = (struct perf_opener){
        .bytes_to_upload = upload_bytes,
        .bytes_to_download = download_bytes,
        .state = PERF_HEADING,
        .deadline = now + PERF_STALL_TIMEOUT,
        .now = now,
    };
}

void perf_opener_head(struct perf_opener *p, uint8_t ret_head[PERF_HEAD_BYTES], nsec_t now) {
    assert(p->state == PERF_HEADING);
    opener_set_now(p, now);
    struct wr w = wr_init(ret_head, PERF_HEAD_BYTES);
    wr_be64(&w, p->bytes_to_download);
    assert(wr_done(&w) == PERF_HEAD_BYTES);
    p->started_at = now;
    p->deadline = now + PERF_STALL_TIMEOUT;
    if (p->bytes_to_upload == 0)
        half_close(p);
    else
        set_state(p, PERF_UPLOADING);
}

size_t perf_opener_fill(struct perf_opener *p, size_t max, nsec_t now) {
    opener_set_now(p, now);
    if (p->state != PERF_UPLOADING || max == 0)
        return 0;
    size_t n = (size_t)MIN((uint64_t)max, p->bytes_to_upload - p->bytes_uploaded);
    p->bytes_uploaded += n;
    p->deadline = now + PERF_STALL_TIMEOUT;
    if (p->bytes_uploaded == p->bytes_to_upload)
        half_close(p);
    return n;
}

void perf_opener_recv(struct perf_opener *p, struct bytes in, nsec_t now) {
    opener_set_now(p, now);
    if (p->state == PERF_OPENER_OVER || in.len == 0)
        return;
    p->deadline = now + PERF_STALL_TIMEOUT;
    if (p->state != PERF_DOWNLOADING || in.len > p->bytes_to_download - p->bytes_downloaded) {
        opener_fail(p, -ERR_PROTOCOL_VIOLATION);
        return;
    }
    p->bytes_downloaded += in.len;
}

void perf_opener_recv_end(struct perf_opener *p, nsec_t now) {
    opener_set_now(p, now);
    if (p->state == PERF_OPENER_OVER)
        return;
    if (p->state != PERF_DOWNLOADING || p->bytes_downloaded < p->bytes_to_download) {
        opener_fail(p, -ERR_TRUNCATED);
        return;
    }
    opener_end(p, (struct perf_event){
                      .type = PERF_EV_DONE,
                      .upload_time = p->half_closed_at - p->started_at,
                      .download_time = now - p->half_closed_at,
                  });
}

bool perf_opener_next_event(struct perf_opener *p, struct perf_event *ret_event) {
    if (!p->has_event)
        return false;
    p->has_event = false;
    *ret_event = p->event;
    return true;
}

nsec_t perf_opener_deadline(const struct perf_opener *p) {
    return p->state == PERF_OPENER_OVER ? NSEC_NEVER : p->deadline;
}

void perf_opener_tick(struct perf_opener *p, nsec_t now) {
    opener_set_now(p, now);
    if (now >= perf_opener_deadline(p))
        opener_fail(p, -ETIMEDOUT);
}
