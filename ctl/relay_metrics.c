/* SPDX-License-Identifier: MIT */
#include "ctl/relay_metrics.h"

#include <string.h>

#include "relay/hop_service.h"

/* The statuses of each request in the order of hop_statuses. */
enum {
    M_RESERVATIONS,
    M_REQUESTS,
    M_REQUESTS_END = M_REQUESTS + HOP_REQUESTS * HOP_STATUSES - 1,
    M_UNANSWERED,
    M_REFUSED,
    M_CIRCUITS,
    M_SPLICED,
    M_SPLICES_JOINED,
    M_SPLICES_FAILED,
    M_SPLICES_REFUSED,
    M_LEGS_UNWANTED,
    M_CIRCUIT_TO_DESTINATION,
    M_CIRCUIT_TO_SOURCE,
    M_SPLICED_TO_DESTINATION,
    M_SPLICED_TO_SOURCE,
    M_HALF_OPEN,
    M_COUNT
};

_Static_assert((int)M_COUNT == (int)RELAY_METRICS_COUNT, "each has its memory");

#define ROW(name, type, unit, labels, help) \
    { name, type, unit, labels, help, NULL }
#define REQUEST(name, request, status)                                             \
    ROW(name, METRIC_COUNTER, "", "request=\"" request "\",status=\"" status "\"", \
        "Requests that were answered.")
#define REQUESTS(name, request)                                                                   \
    REQUEST(name, request, "ok"), REQUEST(name, request, "reservation_refused"),                  \
        REQUEST(name, request, "resource_limit_exceeded"),                                        \
        REQUEST(name, request, "permission_denied"), REQUEST(name, request, "connection_failed"), \
        REQUEST(name, request, "no_reservation"), REQUEST(name, request, "malformed_message"),    \
        REQUEST(name, request, "unexpected_message")
#define DROPPED(name, reason) \
    ROW(name, METRIC_COUNTER, "", "reason=\"" reason "\"", "Requests without an answer.")
#define SPLICES(name, result)                              \
    ROW(name, METRIC_COUNTER, "", "result=\"" result "\"", \
        "Spliced paths that were asked for, by what came of them.")
#define BYTES(name, path, direction)                                                    \
    ROW(name, METRIC_COUNTER, "bytes", "path=\"" path "\",direction=\"" direction "\"", \
        "Bytes that the relay passed on.")

/* clang-format off */
static const struct metric_info METRICS[M_COUNT] = {
    [M_RESERVATIONS] =
        ROW("peerup_relay_reservations", METRIC_GAUGE, "", "", "Reservations that are held."),
    [M_REQUESTS] =
        REQUESTS("peerup_relay_requests_total", "reserve"),
        REQUESTS("peerup_relay_requests_total", "connect"),
        REQUESTS("peerup_relay_requests_total", "unknown"),
    [M_UNANSWERED] = DROPPED("peerup_relay_requests_dropped_total", "gone"),
    [M_REFUSED] = DROPPED("peerup_relay_requests_dropped_total", "limit"),
    [M_CIRCUITS] = ROW("peerup_relay_circuits", METRIC_GAUGE, "", "", "Circuits that stand."),
    [M_SPLICED] =
        ROW("peerup_relay_spliced_paths", METRIC_GAUGE, "", "", "Spliced paths that stand."),
    [M_SPLICES_JOINED] = SPLICES("peerup_relay_spliced_paths_total", "joined"),
    [M_SPLICES_FAILED] = SPLICES("peerup_relay_spliced_paths_total", "failed"),
    [M_SPLICES_REFUSED] = SPLICES("peerup_relay_spliced_paths_total", "refused"),
    [M_LEGS_UNWANTED] =
        ROW("peerup_relay_spliced_legs_unwanted_total", METRIC_COUNTER, "", "",
            "Connections that began as half a spliced path and had no good token."),
    [M_CIRCUIT_TO_DESTINATION] =
        BYTES("peerup_relay_bytes_total", "circuit", "to_destination"),
    [M_CIRCUIT_TO_SOURCE] = BYTES("peerup_relay_bytes_total", "circuit", "to_source"),
    [M_SPLICED_TO_DESTINATION] =
        BYTES("peerup_relay_bytes_total", "spliced", "to_destination"),
    [M_SPLICED_TO_SOURCE] = BYTES("peerup_relay_bytes_total", "spliced", "to_source"),
    [M_HALF_OPEN] =
        ROW("peerup_relay_half_open", METRIC_GAUGE, "", "",
            "Streams without an answer or circuit yet, and spliced paths in the making."),
};
/* clang-format on */

void relay_metrics_open(struct relay_metrics *m, struct metric_registry *registry) {
    memset(m->values, 0, sizeof(m->values));
    metric_set_init(&m->set, METRICS, m->values, M_COUNT);
    metric_registry_add(registry, &m->set);
}

void relay_metrics_close(struct relay_metrics *m) {
    if (m->set.infos != NULL)
        metric_registry_remove(&m->set);
}

static void copy_answers(struct relay_metrics *m, const struct hop_service_stats *stats) {
    _Static_assert(sizeof(stats->answers) == HOP_REQUESTS * HOP_STATUSES * sizeof(m->values[0]),
                   "a row each");
    memcpy(&m->values[M_REQUESTS], stats->answers, sizeof(stats->answers));
}

void relay_metrics_update(struct relay_metrics *m, const struct hop_service *s) {
    struct hop_service_stats stats;
    uint64_t *v = m->values;
    hop_service_stats(s, &stats);
    const struct splice_service_stats *spliced = &stats.spliced;
    copy_answers(m, &stats);
    v[M_RESERVATIONS] = stats.reservations;
    v[M_UNANSWERED] = stats.unanswered;
    v[M_REFUSED] = stats.refused;
    v[M_CIRCUITS] = stats.circuits;
    v[M_SPLICED] = spliced->standing;
    v[M_SPLICES_JOINED] = spliced->joined;
    v[M_SPLICES_FAILED] = spliced->failed;
    v[M_SPLICES_REFUSED] = spliced->refused;
    v[M_LEGS_UNWANTED] = spliced->unwanted;
    v[M_CIRCUIT_TO_DESTINATION] = stats.bytes.to_destination - spliced->bytes.to_destination;
    v[M_CIRCUIT_TO_SOURCE] = stats.bytes.to_source - spliced->bytes.to_source;
    v[M_SPLICED_TO_DESTINATION] = spliced->bytes.to_destination;
    v[M_SPLICED_TO_SOURCE] = spliced->bytes.to_source;
    v[M_HALF_OPEN] = stats.half_open + spliced->half_open;
}
