/* SPDX-License-Identifier: MIT */
#include "bench/emulator/lane.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static uint64_t next_random(struct lane *l) { /* splitmix64: every seed is as good */
    uint64_t z = l->random += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static bool happens(struct lane *l, uint32_t per_million) {
    return next_random(l) % PER_MILLION < per_million;
}

bool lane_init(struct lane *l, const struct lane_config *cfg) {
    *l = (struct lane){.cfg = *cfg, .random = cfg->seed};
    l->packets = calloc(LANE_PACKETS_MAX, sizeof(*l->packets));
    l->free_slots = calloc(LANE_PACKETS_MAX, sizeof(*l->free_slots));
    l->heap = calloc(LANE_PACKETS_MAX, sizeof(*l->heap));
    if (!l->packets || !l->free_slots || !l->heap) {
        lane_done(l);
        return false;
    }
    l->free_count = LANE_PACKETS_MAX;
    for (uint32_t i = 0; i < LANE_PACKETS_MAX; i++)
        l->free_slots[i] = LANE_PACKETS_MAX - 1 - i;
    return true;
}

void lane_done(struct lane *l) {
    free(l->packets);
    free(l->free_slots);
    free(l->heap);
}

uint8_t *lane_buffer(struct lane *l) {
    assert(l->free_count > 0);
    return l->packets[l->free_slots[l->free_count - 1]].data;
}

static bool is_before(const struct lane_entry *a, const struct lane_entry *b) {
    return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void heap_push(struct lane *l, struct lane_entry entry) {
    size_t i = l->heap_count++;
    for (; i > 0 && is_before(&entry, &l->heap[(i - 1) / 2]); i = (i - 1) / 2)
        l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = entry;
}

static struct lane_entry heap_pop(struct lane *l) {
    struct lane_entry top = l->heap[0];
    struct lane_entry last = l->heap[--l->heap_count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < l->heap_count; i = child) {
        if (child + 1 < l->heap_count && is_before(&l->heap[child + 1], &l->heap[child]))
            child++;
        if (!is_before(&l->heap[child], &last))
            break;
        l->heap[i] = l->heap[child];
    }
    l->heap[i] = last;
    return top;
}

/* The packet in lane_buffer() comes out at `due`. */
static void enqueue(struct lane *l, size_t bytes, nsec_t due) {
    uint32_t slot = l->free_slots[--l->free_count];
    l->packets[slot].bytes = (uint32_t)bytes;
    heap_push(l, (struct lane_entry){.due = due, .order = l->order++, .slot = slot});
}

/* Whether the queue takes the packet, and when its last bit is on the way. */
static bool serialize(struct lane *l, size_t bytes, nsec_t now, nsec_t *ret_sent) {
    *ret_sent = now;
    if (l->cfg.rate == 0)
        return true;
    nsec_t start = l->free_at > now ? l->free_at : now;
    uint64_t waiting = (uint64_t)(start - now) * (l->cfg.rate / 8) / 1000000000;
    if (waiting + bytes > l->cfg.queue_bytes)
        return false;
    l->free_at = start + (nsec_t)(bytes * 8 * 1000000000 / l->cfg.rate);
    *ret_sent = l->free_at;
    return true;
}

static enum lane_fate decide(struct lane *l, size_t bytes, nsec_t now, nsec_t *ret_due) {
    /* The dice are thrown for every packet, so that one's fate moves no other's. */
    bool lost = happens(l, l->cfg.loss);
    bool reordered = happens(l, l->cfg.reorder);
    bool duplicated = happens(l, l->cfg.duplicate);
    nsec_t jitter = (nsec_t)(next_random(l) % ((uint64_t)l->cfg.jitter + 1));
    if (lost)
        return LANE_LOST;
    nsec_t due;
    if (l->free_count < 3 || !serialize(l, bytes, now, &due)) /* itself, a copy, a buffer */
        return LANE_OVERFLOWED;
    due += l->cfg.delay + jitter;
    if (reordered) {
        *ret_due = due + l->cfg.reorder_by;
        return LANE_REORDERED;
    }
    l->last_due = due > l->last_due ? due : l->last_due;
    *ret_due = l->last_due;
    return duplicated ? LANE_DUPLICATED : LANE_SENT;
}

enum lane_fate lane_push(struct lane *l, size_t bytes, nsec_t now, nsec_t *ret_due) {
    assert(bytes <= LANE_PACKET_BYTES_MAX);
    enum lane_fate fate = decide(l, bytes, now, ret_due);
    l->fates[fate]++;
    if (fate == LANE_LOST || fate == LANE_OVERFLOWED)
        return fate;
    const uint8_t *data = lane_buffer(l);
    enqueue(l, bytes, *ret_due);
    if (fate == LANE_DUPLICATED) {
        memcpy(lane_buffer(l), data, bytes);
        enqueue(l, bytes, *ret_due);
    }
    return fate;
}

nsec_t lane_deadline(const struct lane *l) {
    return l->heap_count > 0 ? l->heap[0].due : NSEC_NEVER;
}

const struct lane_packet *lane_pop(struct lane *l, nsec_t now) {
    if (lane_deadline(l) > now)
        return NULL;
    struct lane_entry entry = heap_pop(l);
    l->free_slots[l->free_count++] = entry.slot;
    return &l->packets[entry.slot];
}
