/* SPDX-License-Identifier: MIT */
/* A relay: its limits from a flag, and events about what it does. */

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "relay/hop_service.h"
#include "tests/interop/node/node.h"

enum { RESERVATIONS = 128, CIRCUITS = 16, TTL_S = 3600 }; /* go's defaults */

/* "unlimited", or KEY=NUMBER. */
static int read_word(const char *word, struct hop_service_config *cfg) {
    const char *value = strchr(word, '=');
    if (strcmp(word, "unlimited") == 0)
        return 0;
    if (value == NULL)
        return -EINVAL;
    unsigned long long n = strtoull(value + 1, NULL, 10);
    struct bytes key = bytes_of(word, (size_t)(value - word));
    if (n == 0 || n > UINT32_MAX)
        return -ERANGE;
    if (bytes_equal(key, bytes_of_str("duration")))
        cfg->circuit_duration = SEC(n);
    else if (bytes_equal(key, bytes_of_str("data")))
        cfg->circuit_bytes = n;
    else if (bytes_equal(key, bytes_of_str("reservations")))
        cfg->reservations_max = (uint32_t)n;
    else if (bytes_equal(key, bytes_of_str("circuits")))
        cfg->circuits_per_peer_max = (uint32_t)n;
    else if (bytes_equal(key, bytes_of_str("ttl")))
        cfg->reservation_ttl = SEC(n);
    else
        return -EINVAL;
    return 0;
}

static void on_answered(void *user, const struct hop_answer *a) {
    char id[PEER_ID_TEXT_MAX], destination[PEER_ID_TEXT_MAX] = "";
    (void)user;
    (void)peer_id_format(a->peer, id);
    if (a->destination != NULL)
        (void)peer_id_format(a->destination, destination);
    if (a->request == HOP_REQUEST_RESERVE)
        node_write(json_pack("{s:s, s:s, s:i, s:b}", "event", "reservation", "peer", id, "status",
                             (int)a->status, "renewal", a->is_renewal));
    else if (a->request == HOP_REQUEST_CONNECT)
        node_write(json_pack("{s:s, s:s, s:s, s:i}", "event", "circuit", "src", id, "dst",
                             destination, "status", (int)a->status));
}

static void on_ended(void *user, const struct peer_id *source, const struct peer_id *destination,
                     int error) {
    char src[PEER_ID_TEXT_MAX], dst[PEER_ID_TEXT_MAX];
    (void)user;
    node_write(json_pack("{s:s, s:s, s:s, s:s}", "event", "circuit-ended", "src",
                         peer_id_format(source, src), "dst", peer_id_format(destination, dst),
                         "text", error == 0 ? "" : err_text(error)));
}

int node_serve_relay(struct node *n, const char *limits) {
    static const struct hop_events events = {.answered = on_answered, .circuit_ended = on_ended};
    struct hop_service_config cfg = {.reactor = n->reactor,
                                     .host = n->host,
                                     .log = reactor_log(n->reactor),
                                     .reservations_max = RESERVATIONS,
                                     .reservations_per_ip = RESERVATIONS,
                                     .reservations_per_asn = RESERVATIONS,
                                     .circuits_per_peer_max = CIRCUITS,
                                     .reservation_ttl = SEC(TTL_S),
                                     .announces_private = true,
                                     .events = &events};
    char words[256];
    if (strlen(limits) >= sizeof(words))
        return -EINVAL;
    memcpy(words, limits, strlen(limits) + 1);
    char *left = words, *word;
    while ((word = strsep(&left, ",")) != NULL) {
        int e = read_word(word, &cfg);
        if (e < 0)
            return e;
    }
    return hop_service_new(&cfg, &n->relay);
}

static void on_closed(void *user) {
    struct node *n = user;
    n->relay_closed = true;
}

void node_close_relay(struct node *n) {
    if (n->relay == NULL)
        return;
    hop_service_close(n->relay, on_closed, n);
    while (!n->relay_closed)
        if (reactor_turn(n->reactor, reactor_now(n->reactor) + SEC(1)) < 0)
            exit(1);
    n->relay = hop_service_free(n->relay);
}
