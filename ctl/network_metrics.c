/* SPDX-License-Identifier: MIT */
#include "ctl/network_metrics.h"

#include <string.h>

#include "ctl/netmon.h"
#include "ctl/node.h"
#include "ctl/reachability.h"

enum { CHANGES_IP4, CHANGES_IP6, ADDRS_IP4, ADDRS_IP6, STUN_SUCCESS, STUN_FAILURE };

static const struct metric_info METRICS[NETWORK_METRICS_COUNT] = {
    [CHANGES_IP4] = {"peerup_network_change_total", METRIC_COUNTER, "", "change_type=\"ipv4\"",
                     "Times that the machine's addresses changed."},
    [CHANGES_IP6] = {"peerup_network_change_total", METRIC_COUNTER, "", "change_type=\"ipv6\"",
                     "Times that the machine's addresses changed."},
    [ADDRS_IP4] = {"peerup_interface_count", METRIC_GAUGE, "", "ip_version=\"ipv4\"",
                   "Public addresses of the machine's interfaces."},
    [ADDRS_IP6] = {"peerup_interface_count", METRIC_GAUGE, "", "ip_version=\"ipv6\"",
                   "Public addresses of the machine's interfaces."},
    [STUN_SUCCESS] = {"peerup_stun_probe_total", METRIC_COUNTER, "", "result=\"success\"",
                      "STUN servers that were asked, by whether they answered."},
    [STUN_FAILURE] = {"peerup_stun_probe_total", METRIC_COUNTER, "", "result=\"failure\"",
                      "STUN servers that were asked, by whether they answered."},
};

void network_metrics_open(struct network_metrics *m, struct metric_registry *registry) {
    memset(m->values, 0, sizeof(m->values));
    metric_set_init(&m->set, METRICS, m->values, NETWORK_METRICS_COUNT);
    metric_registry_add(registry, &m->set);
}

void network_metrics_close(struct network_metrics *m) {
    metric_registry_remove(&m->set);
}

/* Counters that others keep. */
static void raise_to(struct network_metrics *m, uint32_t index, uint64_t value) {
    metric_add(&m->set, index, (int64_t)(value - m->values[index]));
}

void network_metrics_update(struct network_metrics *m, const struct node *n) {
    const struct netmon *mon = node_netmon(n);
    const struct reachability *reach = node_reachability(n);
    raise_to(m, CHANGES_IP4, mon->changes.ip4);
    raise_to(m, CHANGES_IP6, mon->changes.ip6);
    if (reach == NULL)
        return;
    struct reach_info info;
    const struct reach_stun_stats *stun = reachability_stun_stats(reach);
    reachability_info(reach, &info);
    metric_set_value(&m->set, ADDRS_IP4, info.ips.global_ip4_count);
    metric_set_value(&m->set, ADDRS_IP6, info.ips.global_ip6_count);
    raise_to(m, STUN_SUCCESS, stun->answered);
    raise_to(m, STUN_FAILURE, stun->unanswered);
}
