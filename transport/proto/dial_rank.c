/* SPDX-License-Identifier: MIT */
#include "transport/proto/dial_rank.h"

#include <stdlib.h>

enum group { GROUP_PRIVATE, GROUP_PUBLIC, GROUP_RELAYED, GROUP_UNKNOWN };
enum class { CLASS_FIRST, CLASS_SECOND, CLASS_OTHER };

/* go-libp2p's DefaultDialRanker; but relayed addresses wait for private ones, too: a circuit needs
 * one round trip to a relay that is connected, and would win against a direct way that is there. */
#define STEP_PUBLIC         MSEC(250)
#define STEP_PRIVATE        MSEC(30)
#define OTHER_AFTER_PUBLIC  SEC(1)
#define OTHER_AFTER_PRIVATE MSEC(100)
#define RELAYED_AFTER       MSEC(500)
#define UNKNOWN_AFTER       SEC(1)

struct candidate {
    struct dial_ranked out;
    enum group group;
    enum class class;
    bool is_ip4;
    uint16_t port;
};

static enum group group_of(const struct multiaddr *a, const struct multiaddr_part *host) {
    if (multiaddr_is_relayed(a))
        return GROUP_RELAYED;
    if (host->code != MULTIADDR_IP4 && host->code != MULTIADDR_IP6)
        return GROUP_UNKNOWN;
    return multiaddr_class(a) == MULTIADDR_PRIVATE ? GROUP_PRIVATE : GROUP_PUBLIC;
}

static struct candidate candidate_of(const struct multiaddr *a, uint32_t index,
                                     enum dial_preference prefer) {
    struct multiaddr_part host = {.code = 0};
    struct multiaddr_part part;
    struct bytes left = multiaddr_bytes(a);
    struct candidate c = {.out.index = index, .class = CLASS_OTHER};
    while (multiaddr_next(&left, &part)) {
        if (host.code == 0 && part.code != MULTIADDR_IP6ZONE)
            host = part;
        if (part.code == MULTIADDR_TCP || part.code == MULTIADDR_UDP) {
            c.port = (uint16_t)(part.value.data[0] << 8 | part.value.data[1]);
            c.out.is_tcp = part.code == MULTIADDR_TCP;
            break;
        }
    }
    c.group = group_of(a, &host);
    c.is_ip4 = host.code == MULTIADDR_IP4;
    c.out.is_private = c.group == GROUP_PRIVATE;
    if (c.group == GROUP_RELAYED) {
        /* How the relay is reached is a dial of its own, with its own preference. */
        c.class = c.out.is_tcp ? CLASS_SECOND : CLASS_FIRST;
        c.out.is_tcp = false;
    } else if (c.out.is_tcp)
        c.class = prefer == DIAL_TCP ? CLASS_FIRST : CLASS_SECOND;
    else if (multiaddr_has(a, MULTIADDR_QUIC_V1))
        c.class = prefer == DIAL_TCP ? CLASS_SECOND : CLASS_FIRST;
    return c;
}

static int compare_rank(const void *left, const void *right) {
    const struct candidate *a = left;
    const struct candidate *b = right;
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    if (a->class != b->class)
        return a->class < b->class ? -1 : 1;
    if (a->is_ip4 != b->is_ip4)
        return a->is_ip4 ? 1 : -1;
    if (a->port != b->port)
        return a->port < b->port ? -1 : 1;
    return a->out.index < b->out.index ? -1 : 1;
}

static int compare_delay(const void *left, const void *right) {
    const struct candidate *a = left;
    const struct candidate *b = right;
    if (a->out.delay != b->out.delay)
        return a->out.delay < b->out.delay ? -1 : 1;
    return compare_rank(left, right);
}

/* The delays of one class, which are `count` candidates in their order; returns the last one. */
static nsec_t delay_class(struct candidate *c, size_t count, nsec_t base, nsec_t step) {
    size_t best_ip4 = 0; /* none, or it goes first anyway */
    for (size_t i = count; i-- > 1;) {
        if (c[i].is_ip4 && !c[0].is_ip4)
            best_ip4 = i;
    }
    nsec_t rest = best_ip4 > 0 ? base + 2 * step : base + step;
    nsec_t last = base;
    for (size_t i = 0; i < count; i++) {
        c[i].out.delay = i == 0 ? base : i == best_ip4 ? base + step : rest;
        last = MAX(last, c[i].out.delay);
    }
    return last;
}

static void delay_group(struct candidate *c, size_t count, nsec_t base,
                        enum dial_preference prefer) {
    bool is_private = c[0].group == GROUP_PRIVATE;
    nsec_t step = is_private ? STEP_PRIVATE : STEP_PUBLIC;
    nsec_t between = prefer == DIAL_AUTO ? step : DIAL_FALLBACK_DELAY;
    nsec_t last = base;
    for (size_t i = 0; i < count;) {
        size_t same = 1;
        while (i + same < count && c[i + same].class == c[i].class)
            same++;
        if (c[i].class == CLASS_OTHER) {
            nsec_t at = last + (is_private ? OTHER_AFTER_PRIVATE : OTHER_AFTER_PUBLIC);
            for (size_t k = 0; k < same; k++)
                c[i + k].out.delay = at;
        } else {
            last = delay_class(c + i, same, i == 0 ? base : last + between, step);
        }
        i += same;
    }
}

int dial_preference_parse(const char *text, enum dial_preference *ret_preference) {
    static const char *const words[] = {
        [DIAL_AUTO] = "auto", [DIAL_QUIC] = "quic", [DIAL_TCP] = "tcp"};
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret_preference = (enum dial_preference)i;
            return 0;
        }
    }
    return -EINVAL;
}

void dial_rank(const struct multiaddr *addrs, size_t count, enum dial_preference prefer,
               struct dial_ranked *out) {
    struct candidate c[DIAL_ADDRS_MAX];
    assert(count <= ARRAY_COUNT(c));
    bool has_direct = false;
    for (size_t i = 0; i < count; i++) {
        c[i] = candidate_of(&addrs[i], (uint32_t)i, prefer);
        has_direct = has_direct || c[i].group == GROUP_PUBLIC || c[i].group == GROUP_PRIVATE;
    }
    qsort(c, count, sizeof(*c), compare_rank);
    nsec_t last = 0;
    for (size_t i = 0; i < count;) {
        size_t same = 1;
        while (i + same < count && c[i + same].group == c[i].group)
            same++;
        if (c[i].group == GROUP_UNKNOWN) {
            for (size_t k = 0; k < same; k++)
                c[i + k].out.delay = last + UNKNOWN_AFTER;
        } else {
            bool waits = c[i].group == GROUP_RELAYED && has_direct;
            delay_group(c + i, same, waits ? RELAYED_AFTER : 0, prefer);
        }
        for (size_t k = 0; k < same; k++)
            last = MAX(last, c[i + k].out.delay);
        i += same;
    }
    qsort(c, count, sizeof(*c), compare_delay);
    for (size_t i = 0; i < count; i++)
        out[i] = c[i].out;
}
