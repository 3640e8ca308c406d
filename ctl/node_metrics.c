/* SPDX-License-Identifier: MIT */
#include "ctl/node_metrics.h"

enum {
    M_ALLOWED,
    M_DENIED,
    M_PUNCHED,
    M_NOT_PUNCHED,
    M_CHANGED_IP4,
    M_CHANGED_IP6,
    M_ADDRS_IP4,
    M_ADDRS_IP6,
    M_STUN_ANSWERED,
    M_STUN_UNANSWERED,
    M_PUNCHING,
    M_PUNCHING_IN_VAIN,
    M_COUNT
};

_Static_assert((int)M_PUNCHING == (int)NODE_METRICS_VALUES, "histograms stand behind the others");
_Static_assert((int)M_COUNT - (int)M_PUNCHING == (int)NODE_METRICS_HISTOGRAMS,
               "each has its memory");

/* 0.01 * 2^k, k = 0 .. 9 */
static const struct metric_buckets PUNCH_BUCKETS = {{MSEC(10), MSEC(20), MSEC(40), MSEC(80),
                                                     MSEC(160), MSEC(320), MSEC(640), MSEC(1280),
                                                     MSEC(2560), MSEC(5120)},
                                                    10};

#define AUTH(name, label)                                                                      \
    {                                                                                          \
        name, METRIC_COUNTER, "", "decision=\"" label "\"",                                    \
            "Inbound connections, and streams of peers that have lost the right, by what the " \
            "gate said.",                                                                      \
            NULL                                                                               \
    }
#define PUNCHES(name, label)                                                \
    {                                                                       \
        name, METRIC_COUNTER, "", "result=\"" label "\"",                   \
            "Hole punches that the two agreed on, by how they ended.", NULL \
    }
#define CHANGES(name, label)                                   \
    {                                                          \
        name, METRIC_COUNTER, "", "change_type=\"" label "\"", \
            "Changes of the machine's public addresses.", NULL \
    }
#define ADDRS(name, label)                                        \
    {                                                             \
        name, METRIC_GAUGE, "", "ip_version=\"" label "\"",       \
            "Public addresses on the machine's interfaces.", NULL \
    }
#define STUN(name, label)                                                   \
    {                                                                       \
        name, METRIC_COUNTER, "", "result=\"" label "\"",                   \
            "STUN servers that were asked, by whether they answered.", NULL \
    }
#define PUNCH_TIMES(name, label)                                                                  \
    {                                                                                             \
        name, METRIC_HISTOGRAM, "seconds", "result=\"" label "\"", "How long hole punches took.", \
            &PUNCH_BUCKETS                                                                        \
    }

/* clang-format off */
static const struct metric_info METRICS[M_COUNT] = {
    [M_ALLOWED] = AUTH("peerup_auth_decisions_total", "allow"),
    [M_DENIED] = AUTH("peerup_auth_decisions_total", "deny"),
    [M_PUNCHED] = PUNCHES("peerup_holepunch_total", "success"),
    [M_NOT_PUNCHED] = PUNCHES("peerup_holepunch_total", "failure"),
    [M_CHANGED_IP4] = CHANGES("peerup_network_change_total", "ipv4"),
    [M_CHANGED_IP6] = CHANGES("peerup_network_change_total", "ipv6"),
    [M_ADDRS_IP4] = ADDRS("peerup_interface_count", "ipv4"),
    [M_ADDRS_IP6] = ADDRS("peerup_interface_count", "ipv6"),
    [M_STUN_ANSWERED] = STUN("peerup_stun_probe_total", "success"),
    [M_STUN_UNANSWERED] = STUN("peerup_stun_probe_total", "failure"),
    [M_PUNCHING] = PUNCH_TIMES("peerup_holepunch_duration_seconds", "success"),
    [M_PUNCHING_IN_VAIN] = PUNCH_TIMES("peerup_holepunch_duration_seconds", "failure"),
};
/* clang-format on */

void node_metrics_open(struct node_metrics *m, struct metric_registry *registry) {
    *m = (struct node_metrics){.values = {0}};
    metric_set_init_with(&m->set, METRICS, m->values, m->histograms, M_PUNCHING, M_COUNT);
    metric_registry_add(registry, &m->set);
}

void node_metrics_close(struct node_metrics *m) {
    metric_registry_remove(&m->set);
}

void node_metrics_decided(struct node_metrics *m, bool allowed) {
    if (m != NULL)
        metric_add(&m->set, allowed ? M_ALLOWED : M_DENIED, 1);
}

void node_metrics_punched(struct node_metrics *m, bool succeeded, nsec_t took) {
    if (m == NULL)
        return;
    metric_add(&m->set, succeeded ? M_PUNCHED : M_NOT_PUNCHED, 1);
    metric_observe(&m->set, succeeded ? M_PUNCHING : M_PUNCHING_IN_VAIN, took);
}

void node_metrics_network(struct node_metrics *m, bool is_ip4, bool is_ip6) {
    if (m == NULL)
        return;
    metric_add(&m->set, M_CHANGED_IP4, is_ip4);
    metric_add(&m->set, M_CHANGED_IP6, is_ip6);
}

void node_metrics_addrs(struct node_metrics *m, uint32_t ip4_count, uint32_t ip6_count) {
    if (m == NULL)
        return;
    metric_set_value(&m->set, M_ADDRS_IP4, ip4_count);
    metric_set_value(&m->set, M_ADDRS_IP6, ip6_count);
}

void node_metrics_stun(struct node_metrics *m, uint32_t answered, uint32_t unanswered) {
    if (m == NULL)
        return;
    metric_add(&m->set, M_STUN_ANSWERED, answered);
    metric_add(&m->set, M_STUN_UNANSWERED, unanswered);
}
