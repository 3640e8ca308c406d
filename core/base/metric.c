/* SPDX-License-Identifier: MIT */
#include "core/base/metric.h"

void metric_set_init_with(struct metric_set *s, const struct metric_info *infos, uint64_t *values,
                          struct metric_histogram *histograms, uint32_t histograms_first,
                          uint32_t count) {
    assert(count > 0);
    assert(histograms_first <= count);
    for (uint32_t i = 0; i < count; i++)
        assert((infos[i].type == METRIC_HISTOGRAM) == (i >= histograms_first));
    s->infos = infos;
    s->values = values;
    s->histograms = histograms;
    s->histograms_first = histograms_first;
    s->count = count;
    list_init(&s->node);
}

void metric_set_init(struct metric_set *s, const struct metric_info *infos, uint64_t *values,
                     uint32_t count) {
    metric_set_init_with(s, infos, values, NULL, count, count);
}

void metric_histogram_observe(struct metric_histogram *h, const struct metric_buckets *b,
                              nsec_t took) {
    uint32_t i = 0;
    assert(b->count <= METRIC_BUCKETS_MAX);
    while (i < b->count && took > b->bounds[i])
        i++;
    h->counts[i]++;
    h->sum += took;
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
    uint32_t index = cursor->index++;
    *ret_sample = (struct metric_sample){.info = &set->infos[index]};
    if (index < set->histograms_first)
        ret_sample->value = set->values[index];
    else
        ret_sample->histogram = &set->histograms[index - set->histograms_first];
    return true;
}
