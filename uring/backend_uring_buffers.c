/* SPDX-License-Identifier: MIT */
#include <sys/mman.h>

#include "uring/backend_uring_internal.h"
#include "uring/sock.h"

/* --- Slabs --- */

int bufring_open(struct bufring *b, struct io_uring *uring, struct buf_pool *pool, uint16_t group) {
    int error = 0;
    *b = (struct bufring){.uring = uring, .pool = pool, .group = group};
    b->ring = io_uring_setup_buf_ring(uring, BUFRING_ENTRIES, group, 0, &error);
    if (b->ring == NULL)
        return error;
    for (uint32_t id = 0; id < BUFRING_ENTRIES; id++)
        b->ids_free[id] = (uint16_t)id;
    b->ids_free_count = BUFRING_ENTRIES;
    b->target = BUFRING_TARGET_MIN;
    return 0;
}

void bufring_close(struct bufring *b) {
    if (b->ring == NULL)
        return;
    /* The kernel lets go first. */
    (void)io_uring_free_buf_ring(b->uring, b->ring, BUFRING_ENTRIES, b->group);
    for (size_t id = 0; id < BUFRING_ENTRIES; id++)
        b->slabs[id] = buf_unref(b->slabs[id]);
    b->ring = NULL;
}

bool bufring_fill(struct bufring *b) {
    int added = 0;
    while (b->lent_count < b->target) {
        struct buf *slab = buf_new(b->pool, BUF_64K, NULL);
        if (slab == NULL)
            break;
        uint16_t id = b->ids_free[--b->ids_free_count];
        b->slabs[id] = slab;
        io_uring_buf_ring_add(b->ring, slab->data, slab->size, id,
                              io_uring_buf_ring_mask(BUFRING_ENTRIES), added++);
        b->lent_count++;
    }
    if (added > 0)
        io_uring_buf_ring_advance(b->ring, added);
    return b->lent_count > 0;
}

void bufring_grow(struct bufring *b) {
    b->target = MIN(b->target * 2, (uint32_t)BUFRING_ENTRIES);
}

void bufring_trim(struct bufring *b) {
    b->target = MAX(b->target / 2, (uint32_t)BUFRING_TARGET_MIN);
}

struct buf *bufring_take(struct bufring *b, uint16_t id) {
    assert(id < BUFRING_ENTRIES);
    struct buf *slab = b->slabs[id];
    assert(slab != NULL);
    b->slabs[id] = NULL;
    b->ids_free[b->ids_free_count++] = id;
    b->lent_count--;
    return slab;
}

/* --- Datagrams --- */

#define DGRAM_MEMORY_BYTES ((size_t)DGRAM_BUFFERS * DGRAM_BUFFER_BYTES)

_Static_assert(sizeof(struct io_uring_recvmsg_out) + DGRAM_NAME_BYTES + DGRAM_CONTROL_BYTES <=
                   DGRAM_HEADROOM_BYTES,
               "what the kernel writes before the payload has room");
_Static_assert((int)DGRAM_CONTROL_BYTES == (int)SOCK_UDP_CONTROL_BYTES, "one size of control data");

int dgram_ring_open(struct dgram_ring *d, struct io_uring *uring, uint16_t group) {
    int error = 0;
    *d = (struct dgram_ring){.uring = uring, .group = group};
    /* Pages that no datagram has touched take no memory. */
    d->memory =
        mmap(NULL, DGRAM_MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (d->memory == MAP_FAILED) {
        d->memory = NULL;
        return -ENOMEM;
    }
    d->ring = io_uring_setup_buf_ring(uring, DGRAM_BUFFERS, group, 0, &error);
    if (d->ring == NULL) {
        (void)munmap(d->memory, DGRAM_MEMORY_BYTES);
        return error;
    }
    d->msg =
        (struct msghdr){.msg_namelen = DGRAM_NAME_BYTES, .msg_controllen = DGRAM_CONTROL_BYTES};
    for (uint32_t id = 0; id < DGRAM_BUFFERS; id++)
        dgram_ring_return(d, (uint16_t)id);
    return 0;
}

void dgram_ring_close(struct dgram_ring *d) {
    if (d->ring == NULL)
        return;
    (void)io_uring_free_buf_ring(d->uring, d->ring, DGRAM_BUFFERS, d->group);
    (void)munmap(d->memory, DGRAM_MEMORY_BYTES);
    d->ring = NULL;
}

void dgram_ring_trim(struct dgram_ring *d) {
    if (d->ring != NULL)
        (void)madvise(d->memory, DGRAM_MEMORY_BYTES, MADV_DONTNEED); /* an advice */
}

static uint8_t *dgram_buffer(struct dgram_ring *d, uint16_t id) {
    assert(id < DGRAM_BUFFERS);
    return d->memory + (size_t)id * DGRAM_BUFFER_BYTES;
}

int dgram_ring_read(struct dgram_ring *d, uint16_t id, uint32_t len, struct udp_batch *ret_batch) {
    uint8_t *buffer = dgram_buffer(d, id);
    struct io_uring_recvmsg_out *out = io_uring_recvmsg_validate(buffer, (int)len, &d->msg);
    if (out == NULL)
        return -EINVAL;
    uint8_t *name = buffer + sizeof(*out);
    uint32_t name_bytes = MIN(out->namelen, (uint32_t)DGRAM_NAME_BYTES);
    uint32_t control_bytes = MIN(out->controllen, (uint32_t)DGRAM_CONTROL_BYTES);
    struct msghdr msg = {
        .msg_name = name,
        .msg_namelen = name_bytes,
        .msg_control = name + DGRAM_NAME_BYTES,
        .msg_controllen = control_bytes,
        .msg_flags = (int)out->flags,
    };
    uint32_t payload = io_uring_recvmsg_payload_length(out, (int)len, &d->msg);
    return sock_udp_batch_read(&msg, io_uring_recvmsg_payload(out, &d->msg), payload, ret_batch);
}

void dgram_ring_return(struct dgram_ring *d, uint16_t id) {
    io_uring_buf_ring_add(d->ring, dgram_buffer(d, id), DGRAM_BUFFER_BYTES, id,
                          io_uring_buf_ring_mask(DGRAM_BUFFERS), 0);
    io_uring_buf_ring_advance(d->ring, 1);
}
