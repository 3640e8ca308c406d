/* SPDX-License-Identifier: MIT */
#pragma once

/* The client of AutoNAT v1: one verdict for the whole node, from servers' answers, and when to ask
 * the next one.  Engine: no I/O, no clock.  The messages are in autonat_msg.h.
 *
 * Of the statuses OK says public, E_DIAL_ERROR private; the others say nothing, and are asked again
 * like silence.  An OK is believed at once; against it there must be one failure more than there
 * were OKs behind the first (three count), since a dial may fail for many reasons.  So a first
 * failure is for people alone, until another one confirms it.
 *
 * Spec:    libp2p AutoNAT v1, "Client (go)".
 * Thread:  one at a time.
 */

#include "core/base/time.h"
#include "relay/proto/autonat_msg.h"

#define AUTONAT_V1_FIRST   SEC(15)
#define AUTONAT_V1_RETRY   SEC(90)
#define AUTONAT_V1_REFRESH SEC(900)
/* A server dials for 15 s; go's limit for the stream. */
#define AUTONAT_V1_TIMEOUT SEC(60)

enum autonat_v1_reach { AUTONAT_V1_UNKNOWN, AUTONAT_V1_PUBLIC, AUTONAT_V1_PRIVATE };

/* Embedded by its owner; fields are the engine's. */
struct autonat_v1 {
    enum autonat_v1_reach reach;
    unsigned confidence;
    nsec_t next_at;
};

void autonat_v1_init(struct autonat_v1 *v, nsec_t now);

/* A server answered.  Returns whether the verdict changed, or a private one is confirmed now. */
bool autonat_v1_answered(struct autonat_v1 *v, uint64_t status, nsec_t now);

/* None did: refused, reset, silent, or there is none. */
void autonat_v1_unanswered(struct autonat_v1 *v, nsec_t now);

/* Our addresses changed: ask soon. */
void autonat_v1_addrs_changed(struct autonat_v1 *v, nsec_t now);

/* More answers than one stand behind the verdict. */
static inline bool autonat_v1_is_confirmed(const struct autonat_v1 *v) {
    return v->confidence > 0;
}

/* When to ask a server; it stays in the past until one of the above. */
static inline nsec_t autonat_v1_deadline(const struct autonat_v1 *v) {
    return v->next_at;
}
