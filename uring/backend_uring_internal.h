/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files of the io_uring backend share. */

#include <liburing.h>

#include "core/base/buf.h"
#include "uring/backend.h"

/* --- A buffer ring of the pool's slabs, for stream receives ---
 *
 * The kernel picks a slab when data is there, so a connection that waits holds none.  The ring
 * starts small, since slabs are used in turn and a long ring walks through the whole cache; it
 * doubles each time that the kernel finds it empty while the pool has more.
 */

enum { BUFRING_ENTRIES = 64, BUFRING_TARGET_MIN = 8 };

struct bufring {
    struct io_uring_buf_ring *ring;
    struct io_uring *uring;
    struct buf_pool *pool;
    struct buf *slabs[BUFRING_ENTRIES]; /* by buffer ID, lent to the kernel */
    uint16_t ids_free[BUFRING_ENTRIES];
    uint32_t ids_free_count;
    uint32_t lent_count;
    uint32_t target; /* how many are to be lent */
    uint16_t group;
};

/* Negative errno when the kernel has no buffer rings. */
int bufring_open(struct bufring *b, struct io_uring *uring, struct buf_pool *pool, uint16_t group);
void bufring_close(struct bufring *b);
/* Lends slabs up to the target.  Returns whether at least one is lent. */
bool bufring_fill(struct bufring *b);
/* The kernel found none: the target doubles. */
void bufring_grow(struct bufring *b);
/* Halves the target again. */
void bufring_trim(struct bufring *b);
/* Takes back the slab of a buffer that the kernel has filled. */
struct buf *bufring_take(struct bufring *b, uint16_t id);

/* --- A buffer ring of the backend's own memory, for datagrams ---
 *
 * Each buffer takes 64 KiB and what the kernel says about it, and goes back after the callback.
 * One turn receives as many batches as there are buffers, and without GRO a batch is one packet: 16
 * buffers gave 0.45 Gbit/s per CPU-second of lone 1,350-byte packets under overload, 32 gave 0.87,
 * 64 gave 1.7, 128 no more.  With GRO 8 to 64 are equal.
 */

enum {
    DGRAM_BUFFERS = 64,
    DGRAM_NAME_BYTES = 32,
    DGRAM_CONTROL_BYTES = 128,
    DGRAM_HEADROOM_BYTES = 192, /* struct io_uring_recvmsg_out, name and control, rounded up */
    DGRAM_BUFFER_BYTES = DGRAM_HEADROOM_BYTES + 65536,
};

struct dgram_ring {
    struct io_uring_buf_ring *ring;
    struct io_uring *uring;
    uint8_t *memory;
    struct msghdr msg; /* tells the kernel how much room name and control have */
    uint16_t group;
};

int dgram_ring_open(struct dgram_ring *d, struct io_uring *uring, uint16_t group);
void dgram_ring_close(struct dgram_ring *d);
/* -EINVAL for what was cut off. */
int dgram_ring_read(struct dgram_ring *d, uint16_t id, uint32_t len, struct udp_batch *ret_batch);
void dgram_ring_return(struct dgram_ring *d, uint16_t id);
/* Pages that datagrams have touched go back to the system, although the kernel has the buffers. */
void dgram_ring_trim(struct dgram_ring *d);

/* --- Probing (backend_uring_probe.c) --- */

/* Makes the ring with as many of the wished flags as the kernel takes. */
int uring_probe_ring(struct io_uring *ring);
/* Fills in what can be asked.  -ENOSYS when an operation that we cannot do without is missing,
 * -EPERM and others when the ring may be made and not used. */
int uring_probe_features(struct io_uring *ring, struct reactor_features *features);
