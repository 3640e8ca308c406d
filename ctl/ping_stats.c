/* SPDX-License-Identifier: MIT */
#include "ctl/ping_stats.h"

void ping_stats_add(struct ping_stats *s, const struct ping_reply *reply) {
    s->sent++;
    if (reply->error != 0)
        return;
    s->min = s->received == 0 ? reply->rtt : MIN(s->min, reply->rtt);
    s->max = MAX(s->max, reply->rtt);
    s->sum += reply->rtt;
    s->received++;
}

double ping_ms(nsec_t rtt) {
    uint64_t usec = rtt / USEC(1); /* cut, not rounded */
    return (double)usec / 1000.0;
}

double ping_stats_avg_ms(const struct ping_stats *s) {
    if (s->received == 0)
        return 0;
    nsec_t average = s->sum / s->received;
    return ping_ms(average);
}

double ping_stats_loss(const struct ping_stats *s) {
    return s->sent == 0 ? 0 : 100.0 * (double)(s->sent - s->received) / (double)s->sent;
}
