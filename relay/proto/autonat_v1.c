/* SPDX-License-Identifier: MIT */
#include "relay/proto/autonat_v1.h"

enum { CONFIDENCE_MAX = 3 };

void autonat_v1_init(struct autonat_v1 *v, nsec_t now) {
    *v = (struct autonat_v1){.reach = AUTONAT_V1_UNKNOWN, .next_at = now + AUTONAT_V1_FIRST};
}

static bool change(struct autonat_v1 *v, enum autonat_v1_reach reach) {
    v->reach = reach;
    v->confidence = 0;
    return true;
}

static bool learn(struct autonat_v1 *v, enum autonat_v1_reach told) {
    if (told == v->reach) {
        bool was_confirmed = autonat_v1_is_confirmed(v);
        v->confidence = MIN(v->confidence + 1, (unsigned)CONFIDENCE_MAX);
        return told == AUTONAT_V1_PRIVATE && !was_confirmed;
    }
    if (told == AUTONAT_V1_PUBLIC || v->confidence == 0)
        return change(v, told);
    v->confidence--;
    return false;
}

bool autonat_v1_answered(struct autonat_v1 *v, uint64_t status, nsec_t now) {
    if (status != AUTONAT_V1_OK && status != AUTONAT_V1_E_DIAL_ERROR) {
        autonat_v1_unanswered(v, now);
        return false;
    }
    bool changed = learn(v, status == AUTONAT_V1_OK ? AUTONAT_V1_PUBLIC : AUTONAT_V1_PRIVATE);
    v->next_at = now + (v->confidence == CONFIDENCE_MAX ? AUTONAT_V1_REFRESH : AUTONAT_V1_RETRY);
    return changed;
}

void autonat_v1_unanswered(struct autonat_v1 *v, nsec_t now) {
    v->next_at = now + AUTONAT_V1_RETRY;
}

void autonat_v1_addrs_changed(struct autonat_v1 *v, nsec_t now) {
    v->next_at = MIN(v->next_at, now + AUTONAT_V1_FIRST);
}
