/* SPDX-License-Identifier: MIT */
#pragma once

/* Keeps one reservation on one relay: when to ask, what an answer is worth, when to ask again.
 * Engine: no I/O, no clock.
 *
 *   RESERVER_EV_ASK      open a hop stream to the relay, dialling if need be; reserver_reached()
 *                        when it is open, write RESERVE, read one message: reserver_answer(), or
 *                        reserver_failed() at any point
 *   RESERVER_EV_GIVE_UP  cancel what that ASK began; no outcome is reported any more
 *   RESERVER_EV_HELD     we have a reservation, or it was renewed: reserver_addrs()
 *   RESERVER_EV_LOST     we have none any more
 *   time                 reserver_tick() at reserver_deadline()
 *
 * An ASK without connection and one over the connection that is there are the same to the engine.
 * A reservation lasts as long as some connection to the relay, and until it expires; while it is
 * held, failures to renew it lose nothing before that.  A relay that was restarted has forgotten
 * it, though, and where a new connection stands before the old one is found dead, none ever seems
 * to be missing: so each new one is a reason to ask again.
 *
 * How soon it asks again.  Decision 6 wants retries 1, 2, 4 … 30 s, a reservation 5 s after the
 * relay listens again, and a packet a second at most.  A relay that is down can't tell us that it
 * is back, so the second wish bounds the time between two packets to it, and the first one can't
 * hold for a relay that is not there.  It needn't: asking nobody costs nobody anything but those
 * packets.  Where somebody is there and says no, or nothing sensible, asking often doesn't help:
 *
 *   after                                         rest               counted from
 *   no connection came about                      1, 2, 4, 4 … s     the beginning of the attempt
 *   a connection, but no answer, or nonsense      1, 2, 4 … 30 s     the failure
 *   status 201, a limit of the relay's            5, 10 … 60 s       the failure
 *   status 202, or its gate: we are not allowed   5, 10 … 60 s       the failure
 *   status 200, no room for reservations          15, 30 … 300 s     the failure
 *   the connection closed, and with it a          none
 *     reservation; one of less than 10 s          1, 2, 4 … 30 s     that
 *   our network changed                           none
 *   another connection to the relay came about,   none
 *     and no answer since forbids it
 *
 * Each rest is shortened by up to a quarter, at random.  Attempts begin at least a second apart,
 * and one without connection is also followed by a second's rest.  It is given up after 10 s, when
 * QUIC and TCP have sent at 0, 1, 3 and 7 s, to two addresses (transport/proto/dial_pace.h): so a
 * relay that comes back is heard of within 4 s, and a path of 2 s has the time for its handshakes.
 *
 * Renewal: after 3/4 of the lifetime, or two minutes before its end if that is earlier, but not
 * before half of it; and after cfg.renew_interval at the latest.
 *
 * Clocks:  the expiry is wall time.  What is left of it when the answer comes is measured from then
 *          on by the monotonic clock, and cut to an hour: with a clock that is behind, no
 *          reservation seems to last for years.  One that is over by our clock was granted all the
 *          same, so one of the clocks is wrong: it is held for two minutes, and renewed by then.
 * Spec:    libp2p relay-v2, "Reservation"; decision 6.
 * Memory:  the struct, 9 KiB.
 * Thread:  one at a time.
 */

#include "core/base/time.h"
#include "core/p2p/multiaddr.h"
#include "core/p2p/peer_id.h"

struct hop_msg;
struct rng;

enum { RESERVER_ADDRS_MAX = 16 };

/* Of an attempt: until there is a connection, and then until there is an answer; on a connection
 * that is dead without our knowing, another attempt is what brings a new one. */
#define RESERVER_REACH_TIMEOUT    SEC(10)
#define RESERVER_ANSWER_TIMEOUT   SEC(5)
/* Between the beginnings of two attempts. */
#define RESERVER_SPACING          SEC(1)
/* What a reservation's lifetime is cut to.  Below 4 s a relay could have us ask all the time. */
#define RESERVER_LIFETIME_MIN     SEC(4)
#define RESERVER_LIFETIME_MAX     SEC(3600)
/* Of one that should be over already: a relay's clock and ours differ. */
#define RESERVER_LIFETIME_UNKNOWN SEC(120)
/* A connection that ends sooner after the reservation was not worth asking again at once. */
#define RESERVER_SETTLED_AFTER    SEC(10)

struct reserver_config {
    struct peer_id relay;
    struct peer_id self;
    struct rng *rng;       /* must live as long as the engine */
    nsec_t renew_interval; /* not 0 (asserted); NSEC_NEVER: by the lifetime alone */
};

enum reserver_event {
    RESERVER_EV_GIVE_UP,
    RESERVER_EV_LOST,
    RESERVER_EV_HELD,
    RESERVER_EV_ASK,
};

/* Why an attempt failed. */
enum reserver_failure {
    RESERVER_UNREACHED, /* no connection */
    RESERVER_BROKEN,    /* a connection, but no answer: reset, ended, no such protocol, malformed */
    RESERVER_DENIED,    /* the relay's gate closed the connection (-ERR_GATED) */
};

enum reserver_state {
    RESERVER_IDLE,     /* before start, after stop */
    RESERVER_REACHING, /* asked; no connection yet */
    RESERVER_ASKING,   /* awaiting the answer */
    RESERVER_RESTING,  /* until the next attempt: a retry, or a renewal */
};

/* Embedded by its owner; fields are the engine's. */
struct reserver {
    struct reserver_config cfg;
    uint8_t state;        /* enum reserver_state */
    uint8_t events;       /* a bit each */
    uint8_t last_failure; /* the row of the table above */
    uint32_t failures;    /* of that kind in succession */
    uint32_t short_holds; /* reservations in succession whose connection closed soon */
    nsec_t began_at;      /* the last attempt */
    nsec_t not_before;    /* the next one */
    nsec_t next_at;       /* reaching, asking: when it is given up; resting: the next attempt */
    nsec_t held_since;
    nsec_t held_until;
    bool held;
    bool addrs_changed; /* since the last HELD that was fetched */
    size_t addrs_count;
    struct multiaddr addrs[RESERVER_ADDRS_MAX];
    nsec_t now;
};

void reserver_init(struct reserver *r, const struct reserver_config *cfg, nsec_t now);

/* Begins to keep a reservation: asks at once.  Only when idle (asserted). */
void reserver_start(struct reserver *r, nsec_t now);

/* No reservation is wanted any more: gives up, and counts as lost.  The relay forgets it by itself.
 * Harmless when idle. */
void reserver_stop(struct reserver *r, nsec_t now);

/* A hop stream is open (asserted: of an attempt in flight). */
void reserver_reached(struct reserver *r, nsec_t now);

/* The message that came on it, which is judged here; `wall` is the time of day.  Close the stream.
 * 0 with HELD, or what was wrong, for the log; the next attempt is planned either way:
 *   -ERR_RESOURCE_LIMIT       status 200 or 201
 *   -ERR_NOT_AUTHORIZED       status 202
 *   -ETIME                    the reservation has no expiry
 *   -ERR_PROTOCOL_VIOLATION   no STATUS, OK without reservation, another status
 *   errors of voucher_open()  there is a voucher, and it is not good */
NODISCARD int reserver_answer(struct reserver *r, const struct hop_msg *m, walltime_t wall,
                              nsec_t now);

/* The attempt ended without an answer. */
void reserver_failed(struct reserver *r, enum reserver_failure why, nsec_t now);

/* The last connection to the relay closed: the reservation went with it.  An attempt in flight is
 * not affected, its own outcome is awaited. */
void reserver_conn_closed(struct reserver *r, nsec_t now);

/* Another connection to the relay stands.  Asks at once while all was well or nobody was reached;
 * rests after an answer, or after the loss of a young reservation, are not cut short. */
void reserver_conn_opened(struct reserver *r, nsec_t now);

/* Our own addresses changed: whatever is under way or awaited may work differently now.  An attempt
 * in flight is given up, another one begins as soon as RESERVER_SPACING allows. */
void reserver_network_changed(struct reserver *r, nsec_t now);

/* The next event; false when there is none.  `ret_changed` is for HELD: whether the addresses are
 * others than before, or were none because nothing was held. */
bool reserver_next_event(struct reserver *r, enum reserver_event *ret_event, bool *ret_changed);

static inline bool reserver_is_held(const struct reserver *r) {
    return r->held;
}

/* While held: the relay's addresses as it told them, without /p2p and without relayed ones, those
 * of other peers and those that can't be decoded.  There may be none.  Borrowed until the next
 * answer. */
static inline const struct multiaddr *reserver_addrs(const struct reserver *r, size_t *ret_count) {
    *ret_count = r->held ? r->addrs_count : 0;
    return r->addrs;
}

/* NSEC_NEVER when idle. */
nsec_t reserver_deadline(const struct reserver *r);

/* Early calls are harmless. */
void reserver_tick(struct reserver *r, nsec_t now);
