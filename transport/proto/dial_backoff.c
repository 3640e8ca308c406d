/* SPDX-License-Identifier: MIT */
#include "transport/proto/dial_backoff.h"

#include "core/base/mem.h"

#define REST_BASE SEC(5)
#define REST_STEP SEC(1)
#define REST_MAX  SEC(300)

enum { FAILURES_COUNTED_MAX = 18, KEY_BYTES_MAX = PEER_ID_BYTES_MAX + MULTIADDR_BYTES_MAX };

struct entry {
    struct map_node node;
    nsec_t until;
    nsec_t forget_at;
    uint32_t failures;
    uint8_t key[]; /* the peer's ID, then the address */
};

_Static_assert(FAILURES_COUNTED_MAX *FAILURES_COUNTED_MAX *REST_STEP + REST_BASE >= REST_MAX,
               "the longest rest is never reached");

static struct entry *entry_of(struct map_node *node) {
    return CONTAINER_OF(node, struct entry, node);
}

int dial_backoff_init(struct dial_backoff *b, struct mem *mem, struct rng *rng) {
    b->mem = mem;
    return map_init(&b->entries, mem, rng);
}

static void forget(struct dial_backoff *b, struct entry *e) {
    map_remove(&b->entries, &e->node);
    (void)mem_free(b->mem, e);
}

void dial_backoff_forget(struct dial_backoff *b) {
    struct map_node *node;
    while ((node = map_next(&b->entries, NULL)) != NULL)
        forget(b, entry_of(node));
}

void dial_backoff_done(struct dial_backoff *b) {
    dial_backoff_forget(b);
    map_done(&b->entries);
}

static struct bytes make_key(const struct peer_id *peer, const struct multiaddr *addr,
                             uint8_t *out) {
    struct bytes id = peer_id_bytes(peer);
    memcpy(out, id.data, id.len);
    memcpy(out + id.len, addr->bytes, addr->len);
    return bytes_of(out, id.len + addr->len);
}

static struct entry *find(const struct dial_backoff *b, const struct peer_id *peer,
                          const struct multiaddr *addr) {
    uint8_t key[KEY_BYTES_MAX];
    struct map_node *node = map_find(&b->entries, make_key(peer, addr, key));
    return node == NULL ? NULL : entry_of(node);
}

nsec_t dial_backoff_until(const struct dial_backoff *b, const struct peer_id *peer,
                          const struct multiaddr *addr, nsec_t now) {
    const struct entry *e = find(b, peer, addr);
    return e == NULL || e->until <= now ? 0 : e->until;
}

/* Makes room: what is over goes, else what would be over first. */
static void evict(struct dial_backoff *b, nsec_t now) {
    struct map_node *next;
    struct entry *first = NULL;
    for (struct map_node *node = map_next(&b->entries, NULL); node != NULL; node = next) {
        struct entry *e = entry_of(node);
        next = map_next(&b->entries, node);
        if (e->forget_at <= now)
            forget(b, e);
        else if (first == NULL || e->until < first->until)
            first = e;
    }
    if (b->entries.count >= DIAL_BACKOFFS_MAX && first != NULL)
        forget(b, first);
}

static struct entry *add(struct dial_backoff *b, const struct peer_id *peer,
                         const struct multiaddr *addr, nsec_t now) {
    uint8_t key[KEY_BYTES_MAX];
    struct bytes k = make_key(peer, addr, key);
    if (b->entries.count >= DIAL_BACKOFFS_MAX)
        evict(b, now);
    struct entry *e = mem_alloc(b->mem, sizeof(*e) + k.len);
    if (e == NULL)
        return NULL;
    memcpy(e->key, k.data, k.len);
    map_node_init(&e->node);
    map_insert(&b->entries, &e->node, bytes_of(e->key, k.len));
    return e;
}

void dial_backoff_failed(struct dial_backoff *b, const struct peer_id *peer,
                         const struct multiaddr *addr, nsec_t now) {
    struct entry *e = find(b, peer, addr);
    if (e == NULL)
        e = add(b, peer, addr, now);
    else if (e->forget_at <= now)
        e->failures = 0;
    if (e == NULL)
        return;
    nsec_t n = MIN(e->failures, (uint32_t)FAILURES_COUNTED_MAX);
    nsec_t rest = MIN(REST_BASE + REST_STEP * n * n, REST_MAX);
    e->failures++;
    e->until = now + rest;
    e->forget_at = e->until + rest;
}

void dial_backoff_succeeded(struct dial_backoff *b, const struct peer_id *peer,
                            const struct multiaddr *addr) {
    struct entry *e = find(b, peer, addr);
    if (e != NULL)
        forget(b, e);
}
