/* SPDX-License-Identifier: MIT */
#include "core/base/metric.h"

void metric_set_init(struct metric_set *s, const struct metric_info *infos, uint64_t *values,
                     uint32_t count) {
    assert(count > 0);
    s->infos = infos;
    s->values = values;
    s->count = count;
    list_init(&s->node);
}

void metric_registry_init(struct metric_registry *r) {
    list_init(&r->sets);
}

void metric_registry_done(struct metric_registry *r) {
    assert(list_is_empty(&r->sets));
}

void metric_registry_add(struct metric_registry *r, struct metric_set *s) {
    list_push(&r->sets, &s->node);
}

void metric_registry_remove(struct metric_set *s) {
    list_remove(&s->node);
}

bool metric_next(const struct metric_registry *r, struct metric_cursor *cursor,
                 struct metric_sample *ret_sample) {
    const struct metric_set *set = cursor->set;
    if (set == NULL || cursor->index == set->count) {
        struct list *next = set == NULL ? r->sets.next : set->node.next;
        if (next == &r->sets)
            return false;
        set = LIST_ENTRY(next, struct metric_set, node);
        *cursor = (struct metric_cursor){.set = set};
    }
    *ret_sample = (struct metric_sample){.info = &set->infos[cursor->index],
                                         .value = set->values[cursor->index]};
    cursor->index++;
    return true;
}
