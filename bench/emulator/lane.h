/* SPDX-License-Identifier: MIT */
#pragma once

/* One direction of an emulated link: what happens to a packet between going in and coming out.
 * Engine: no I/O and no clock.
 *
 *   packets in -> lane_buffer(), lane_push()      packets out <- lane_pop() at lane_deadline()
 *
 * In this order: a packet may be lost; it waits in a queue of bounded bytes for the rate, or is
 * dropped there; then it travels for the delay and a random part of the jitter.  Jitter alone keeps
 * the order; a packet picked for reordering travels longer by a fixed time and holds up nobody; one
 * picked for duplication arrives twice.
 *
 * The same seed and the same packets at the same times have the same fates. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int64_t nsec_t;

#define NSEC_NEVER INT64_MAX

enum {
    LANE_PACKET_BYTES_MAX = 2048,
    LANE_PACKETS_MAX = 32768, /* three times what 1 Gbit/s has under way in 130 ms */
    PER_MILLION = 1000000,
};

struct lane_config {
    nsec_t delay;
    nsec_t jitter;
    nsec_t reorder_by;
    uint64_t rate; /* bits of IP packets a second, 0: no limit */
    uint64_t queue_bytes;
    uint32_t loss; /* of a million packets, as the next two */
    uint32_t reorder;
    uint32_t duplicate;
    uint64_t seed;
};

enum lane_fate { LANE_SENT, LANE_REORDERED, LANE_DUPLICATED, LANE_LOST, LANE_OVERFLOWED };
enum { LANE_FATES = LANE_OVERFLOWED + 1 };

struct lane_packet {
    uint32_t bytes;
    uint8_t data[LANE_PACKET_BYTES_MAX];
};

struct lane_entry {
    nsec_t due;
    uint64_t order; /* among equals the first in is the first out */
    uint32_t slot;
};

struct lane {
    struct lane_config cfg;
    uint64_t random;
    nsec_t free_at;  /* when the rate lets the next packet start */
    nsec_t last_due; /* of the packets that keep their order */
    uint64_t order;
    struct lane_packet *packets;
    uint32_t *free_slots;
    size_t free_count;
    struct lane_entry *heap; /* the earliest due on top */
    size_t heap_count;
    uint64_t fates[LANE_FATES]; /* how many packets had each */
};

/* False when there is no memory: then nothing is held. */
bool lane_init(struct lane *l, const struct lane_config *cfg);
void lane_done(struct lane *l);

/* Where the next packet is put for lane_push(): LANE_PACKET_BYTES_MAX bytes. */
uint8_t *lane_buffer(struct lane *l);
/* Sends what stands in lane_buffer().  `ret_due` is when it comes out, if it does. */
enum lane_fate lane_push(struct lane *l, size_t bytes, nsec_t now, nsec_t *ret_due);

/* When the next packet comes out, or NSEC_NEVER. */
nsec_t lane_deadline(const struct lane *l);
/* The next packet that is due, or NULL.  Valid until the next lane_push(). */
const struct lane_packet *lane_pop(struct lane *l, nsec_t now);
