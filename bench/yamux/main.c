/* SPDX-License-Identifier: MIT */

/* What yamux itself costs: CPU-milliseconds a GiB of its two halves, without links and secrets.
 *
 *   peerup-bench-yamux [GIB]
 *
 *   send   slabs of 64 KiB written to streams, and pulled as frames
 *   recv   the frames, cut into slabs of 64 KiB as a link has them and handed over in pieces of a
 *          record, read from the streams and credited; the credit's way back counts, too
 *
 * The copy from one to the other, which a link does, is not counted. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "transport/proto/yamux.h"

enum {
    SLAB_BYTES = 64 << 10,
    STREAMS_MAX = 100,
    TURN_BYTES = 1 << 20, /* carried between two looks at the clock */
    SLICES_MAX = 16,
};

struct half {
    struct yamux *y;
    struct yamux_stream *streams[STREAMS_MAX];
    bool ready[STREAMS_MAX]; /* may be written, or read */
    size_t count;
    uint8_t *wire; /* pulled, and not carried */
    size_t wire_len;
    nsec_t cpu;
};

struct bench {
    struct buf_pool *pool;
    struct half sender;
    struct half receiver;
    size_t streams;
    size_t record;
    uint64_t got;
    nsec_t now;
};

static void fatal(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static nsec_t cpu_now(void) {
    struct timespec ts;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return SEC((nsec_t)ts.tv_sec) + (nsec_t)ts.tv_nsec;
}

/* Only hashes of IDs depend on it. */
static void fill_zeros(struct rng *g, void *out, size_t size) {
    (void)g;
    memset(out, 0, size);
}

static struct rng no_rng = {.fill = fill_zeros};

static void half_init(struct bench *b, struct half *h, bool client) {
    struct yamux_config cfg = {
        .mem = mem_system(), .rng = &no_rng, .pool = b->pool, .client = client};
    if (yamux_new(&cfg, b->now, &h->y) < 0)
        fatal("yamux_new");
    yamux_admit(h->y);
    h->wire = malloc(2 * TURN_BYTES);
    if (h->wire == NULL)
        fatal("malloc");
}

static void half_done(struct half *h) {
    yamux_close(h->y, 0, SEC(3600));
    for (size_t i = 0; i < h->count; i++)
        yamux_stream_release(h->streams[i]);
    h->y = yamux_free(h->y);
    free(h->wire);
}

static void add_stream(struct half *h, struct yamux_stream *s) {
    h->ready[h->count] = true;
    yamux_stream_set_user(s, &h->ready[h->count]);
    h->streams[h->count++] = s;
}

static void drain_events(struct half *h) {
    struct yamux_event ev;
    while (yamux_next_event(h->y, &ev)) {
        if (ev.type == YAMUX_EV_STREAM_OPENED)
            add_stream(h, ev.stream);
        else if (ev.type == YAMUX_EV_STREAM_READABLE || ev.type == YAMUX_EV_STREAM_WRITABLE)
            *(bool *)yamux_stream_user(ev.stream) = true;
    }
}

/* Pulls to the wire; the copy is not counted. */
static void pull(struct bench *b, struct half *h) {
    struct slice out[SLICES_MAX];
    size_t count = 1;
    while (count > 0 && h->wire_len < TURN_BYTES) {
        nsec_t start = cpu_now();
        count = yamux_pull(h->y, out, SLICES_MAX, SIZE_MAX, b->now);
        h->cpu += cpu_now() - start;
        for (size_t i = 0; i < count; i++) {
            memcpy(h->wire + h->wire_len, out[i].data, out[i].len);
            h->wire_len += out[i].len;
            slice_unref(&out[i]);
        }
    }
}

static void feed_slab(struct bench *b, struct half *to, struct slice slab) {
    nsec_t start = cpu_now();
    while (slab.len > 0) {
        struct slice piece = slice_ref(&slab);
        piece.len = (uint32_t)MIN((size_t)slab.len, b->record);
        slice_skip(&slab, piece.len);
        yamux_recv(to->y, piece, b->now);
    }
    slice_unref(&slab);
    to->cpu += cpu_now() - start;
}

static void carry(struct bench *b, struct half *from, struct half *to) {
    for (size_t at = 0; at < from->wire_len; at += SLAB_BYTES) {
        size_t len = MIN(from->wire_len - at, (size_t)SLAB_BYTES);
        struct buf *buf = buf_new(b->pool, buf_class_for(len), NULL);
        if (buf == NULL)
            fatal("no slab");
        memcpy(buf->data, from->wire + at, len);
        feed_slab(b, to, slice_of(buf, 0, (uint32_t)len));
    }
    from->wire_len = 0;
}

static void write_slabs(struct bench *b, struct half *h, size_t i) {
    while (h->ready[i]) {
        struct slice v = SLICE_EMPTY; /* without a slab, so that WRITABLE follows */
        struct buf *buf = buf_new(b->pool, BUF_64K, yamux_stream_quota(h->streams[i]));
        if (buf != NULL)
            v = slice_of(buf, 0, SLAB_BYTES);
        h->ready[i] = yamux_stream_write(h->streams[i], &v, 1) == 1;
        if (!h->ready[i])
            slice_unref(&v);
    }
}

static void read_slices(struct bench *b, struct half *h, size_t i) {
    struct slice in[SLICES_MAX];
    ssize_t n;
    while ((n = yamux_stream_read(h->streams[i], in, SLICES_MAX)) > 0) {
        for (ssize_t j = 0; j < n; j++) {
            uint32_t len = in[j].len;
            b->got += len;
            slice_unref(&in[j]);
            yamux_stream_credit(h->streams[i], len);
        }
    }
    h->ready[i] = false;
}

static void use_streams(struct bench *b, struct half *h,
                        void (*use)(struct bench *b, struct half *h, size_t i)) {
    nsec_t start = cpu_now();
    drain_events(h);
    for (size_t i = 0; i < h->count; i++)
        if (h->ready[i])
            use(b, h, i);
    h->cpu += cpu_now() - start;
}

static void turn(struct bench *b) {
    use_streams(b, &b->sender, write_slabs);
    pull(b, &b->sender);
    carry(b, &b->sender, &b->receiver);
    use_streams(b, &b->receiver, read_slices);
    pull(b, &b->receiver);
    carry(b, &b->receiver, &b->sender);
    b->now += USEC(100);
}

static void run(size_t streams, size_t record, double gib) {
    struct bench b = {.streams = streams, .record = record, .now = SEC(1)};
    struct buf_pool_config cfg = {.bytes_max = 512 << 20, .reserve_bytes = 128 << 20};
    if (buf_pool_new(mem_system(), &cfg, &b.pool) < 0)
        fatal("buf_pool_new");
    half_init(&b, &b.sender, true);
    half_init(&b, &b.receiver, false);
    while (b.sender.count < streams) {
        struct yamux_stream *s;
        if (yamux_stream_open(b.sender.y, &s) < 0)
            fatal("yamux_stream_open");
        add_stream(&b.sender, s);
    }
    while ((double)b.got < gib * (1 << 30))
        turn(&b);
    double done = (double)b.got / (1 << 30);
    printf("%7zu  %6zu  %14.2f  %14.2f\n", streams, record, (double)b.sender.cpu / 1e6 / done,
           (double)b.receiver.cpu / 1e6 / done);
    half_done(&b.sender);
    half_done(&b.receiver);
    b.pool = buf_pool_free(b.pool);
}

int main(int argc, char **argv) {
    double gib = argc > 1 ? strtod(argv[1], NULL) : 4;
    printf("streams  record  send CPU-ms/GiB  recv CPU-ms/GiB\n");
    run(1, SLAB_BYTES, gib);
    run(1, 16 << 10, gib);
    run(STREAMS_MAX, SLAB_BYTES, gib);
    run(STREAMS_MAX, 16 << 10, gib);
    return 0;
}
