/* SPDX-License-Identifier: MIT */
#pragma once

/* A relay and two peers that listen nowhere: real hosts over loopback.  The relay is ours, or says
 * what a test wants. */

#include "core/p2p/protocol_id.h"
#include "relay/circuit_transport.h"
#include "relay/hop_service.h"
#include "relay/reservations.h"
#include "relay/splice_client.h"
#include "tests/unit/transport_host/hosts.h"
#include "transport/conn.h"

/* The other end of a stream whose protocol the test speaks itself. */
struct said {
    struct fixture *t;
    struct stream *stream;
    struct stream_request request;
    uint8_t got[CIRCUIT_OUT_MAX];
    size_t got_len;
    bool eof;
    int resets;
    uint64_t reset_code;
    int closed;
    int error;
};

enum { SAID_MAX = 72 };

struct circuits {
    struct fixture *t; /* a dials, b is dialled */
    struct party relay;
    struct hop_service *service; /* NULL: the test speaks for it */
    struct protocol_handler hop; /* then */
    struct said said[SAID_MAX];  /* in the order in which they were opened */
    size_t said_count;
    struct circuit_transport *at_a;
    struct circuit_transport *at_b;
    struct reservations *of_b;
    struct splice_client *splice_a; /* NULL: it makes no spliced paths, as the next */
    struct splice_client *splice_b;
    struct handler handler; /* TEST_PROTOCOL at b */
    struct tap a;
    struct tap b;
    bool service_closed;
};

/* `limits` of the service; NULL: none.  b has no reservation yet. */
void circuits_open(struct circuits *c, struct fixture *t, const struct hop_service_config *limits);
/* The relay listens there, too. */
void circuits_open_also(struct circuits *c, struct fixture *t,
                        const struct hop_service_config *limits, const char *also_listen);
void circuits_close(struct circuits *c);
void circuits_close_service(struct circuits *c);
/* The relay lets in the other one alone. */
void circuits_deauthorize(struct circuits *c, const struct party *whom);
/* Has a party of them make spliced paths from now on. */
void circuits_splice(struct circuits *c, const struct party *who);

/* The relay's address with its ID. */
struct multiaddr relay_addr(const struct circuits *c);
/* And /p2p-circuit behind it. */
struct multiaddr circuit_addr(const struct circuits *c);

/* b keeps a reservation from now on, and has it. */
void circuits_reserve(struct circuits *c);
void circuits_unreserve(struct circuits *c);
struct reservation_info reservation_of(const struct reservations *r);

/* a has `to` behind the relay. */
void circuits_know(struct circuits *c, const struct peer_id *to);
/* a connects to b, over a circuit. */
void circuits_connect(struct circuits *c);
/* The connection of `who` to `to`, or NULL. */
struct conn *conn_to(const struct party *who, const struct peer_id *to);
/* A stream of TEST_PROTOCOL from a to b. */
void circuits_stream(struct circuits *c);

/* What becomes of a connect request of a, which is waited for. */
struct connecting circuits_try(struct circuits *c, const struct peer_id *to);

/* Opens a stream from the relay that the test speaks. */
struct said *relay_opens(struct circuits *c, const struct party *to, const char *protocol);
/* And one of `from` to the relay. */
struct said *party_opens(struct circuits *c, const struct party *from, const char *protocol);
/* Speaks on a stream that somebody else opened. */
struct said *circuits_adopt(struct circuits *c, struct stream *s);
void say(struct said *s, struct bytes b);
