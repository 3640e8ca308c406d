/* SPDX-License-Identifier: MIT */
#pragma once

/* What hop_service.c (the ledger, life) and hop_session.c (one stream of a client, up to its
 * circuit's end) share. */

#include "core/base/list.h"
#include "core/base/log.h"
#include "relay/hop_service.h"
#include "relay/proto/hop_book.h"
#include "relay/proto/voucher.h"
#include "transport/host.h"

struct hop_service {
    struct hop_service_config cfg;
    struct mem *mem;
    struct multiaddr announce[HOP_ADDRS_MAX]; /* without our ID */
    size_t announce_count;
    struct circuit_limit limit; /* as it is told */
    struct protocol_handler handler;
    struct host_watch watch;
    struct hop_book book;
    struct timer expiry;
    struct list half_open; /* hop_session.node */
    struct list circuits;
    uint64_t circuits_made;        /* the number of the latest */
    struct splice_service *splice; /* NULL: it offers none */
    struct hop_service_stats stats;
    struct log_limit refusal_log;
    struct deferred close_check;
    void (*closed)(void *user);
    void *closed_user;
    bool is_closing;
    bool splice_is_closed;
};

/* hop_service.c */

/* Drops reservations that have expired. */
void hop_service_tick(struct hop_service *s);
/* Decides RESERVE.  With OK, *ret_reservation is the answer's, in memory of `scratch`, and
 * *ret_is_renewal is set. */
enum { HOP_ADDRS_BYTES_MAX = 3072 };
struct hop_scratch {
    uint8_t addrs[HOP_ADDRS_BYTES_MAX];
    uint8_t voucher[VOUCHER_BYTES_MAX];
};
enum circuit_status hop_service_reserve(struct hop_service *s, const struct conn *c,
                                        struct hop_scratch *scratch,
                                        struct circuit_reservation *ret_reservation,
                                        bool *ret_is_renewal);
/* Counts an answer, tells of it, and writes about a refusal. */
void hop_service_answered(struct hop_service *s, const struct hop_answer *a);
/* A session is freed. */
void hop_service_session_ended(struct hop_service *s);

/* hop_session.c */

/* Takes over the stream.  -ENOMEM leaves it with the caller. */
NODISCARD int hop_session_start(struct hop_service *s, struct stream *source);
/* How many half-open streams a peer has. */
uint32_t hop_session_count(const struct hop_service *s, const struct peer_id *peer);
/* See struct splice_circuits. */
uint64_t hop_session_find_circuit(const struct hop_service *s, const struct peer_id *source,
                                  const struct peer_id *destination);
bool hop_session_has_circuit(const struct hop_service *s, uint64_t number);
/* Resets the circuits over a connection. */
void hop_sessions_leave(struct hop_service *s, const struct conn *c);
/* The service closes: answers or resets each, which end at once or later. */
void hop_sessions_shut(struct hop_service *s);
