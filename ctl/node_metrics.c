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

#define ROW(name, type, labels, help) \
    { name, type, "", labels, help, NULL }
#define TIMES(name, labels, help) \
    { name, METRIC_HISTOGRAM, "seconds", labels, help, &PUNCH_BUCKETS }

#define AUTH_HELP \
    "Inbound connections, and streams of peers that have lost the right, by what the gate said."
#define PUNCH_HELP   "Hole punches that the two agreed on, by how they ended."
#define CHANGES_HELP "Changes of the machine's public addresses."
#define ADDRS_HELP   "Public addresses on the machine's interfaces."
#define STUN_HELP    "STUN servers that were asked, by whether they answered."
#define TIMES_HELP   "How long hole punches took."

/* clang-format off */
static const struct metric_info METRICS[M_COUNT] = {
    [M_ALLOWED] =
        ROW("peerup_auth_decisions_total", METRIC_COUNTER, "decision=\"allow\"", AUTH_HELP),
    [M_DENIED] = ROW("peerup_auth_decisions_total", METRIC_COUNTER, "decision=\"deny\"", AUTH_HELP),
    [M_PUNCHED] = ROW("peerup_holepunch_total", METRIC_COUNTER, "result=\"success\"", PUNCH_HELP),
    [M_NOT_PUNCHED] =
        ROW("peerup_holepunch_total", METRIC_COUNTER, "result=\"failure\"", PUNCH_HELP),
    [M_CHANGED_IP4] =
        ROW("peerup_network_change_total", METRIC_COUNTER, "change_type=\"ipv4\"", CHANGES_HELP),
    [M_CHANGED_IP6] =
        ROW("peerup_network_change_total", METRIC_COUNTER, "change_type=\"ipv6\"", CHANGES_HELP),
    [M_ADDRS_IP4] = ROW("peerup_interface_count", METRIC_GAUGE, "ip_version=\"ipv4\"", ADDRS_HELP),
    [M_ADDRS_IP6] = ROW("peerup_interface_count", METRIC_GAUGE, "ip_version=\"ipv6\"", ADDRS_HELP),
    [M_STUN_ANSWERED] =
        ROW("peerup_stun_probe_total", METRIC_COUNTER, "result=\"success\"", STUN_HELP),
    [M_STUN_UNANSWERED] =
        ROW("peerup_stun_probe_total", METRIC_COUNTER, "result=\"failure\"", STUN_HELP),
    [M_PUNCHING] = TIMES("peerup_holepunch_duration_seconds", "result=\"success\"", TIMES_HELP),
    [M_PUNCHING_IN_VAIN] =
        TIMES("peerup_holepunch_duration_seconds", "result=\"failure\"", TIMES_HELP),
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
