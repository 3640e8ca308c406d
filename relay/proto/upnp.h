/* SPDX-License-Identifier: MIT */
#pragma once

/* Keeps ports of ours mapped on a gateway by UPnP, for those that know neither PCP nor NAT-PMP.
 * Engine: no I/O, no clock.
 *
 *   upnp_add() for each port
 *   while (upnp_next_search(&u, now)) send upnp_encode_search() to the gateway and the group
 *   its datagrams -> upnp_recv_search()
 *   if (upnp_next_request(&u, &to, out, &len, now)) one HTTP exchange with `to`, whose end is told
 *       by upnp_answered() or upnp_failed() before the next request is asked for
 *   events <- upnp_next_event()     time -> upnp_tick() at upnp_deadline()
 *   upnp_yield() and upnp_resume()  where another way maps the same port
 *   upnp_close() removes the mappings
 *
 * The search goes out at 0, 1 and 3 s and is given up after 6 s.  Then a description, our address
 * outside, and one call a mapping.  Mappings live an hour and are renewed after half of it, with
 * the same ports; a gateway that has permanent ones only is asked for one at the same times.  A
 * port that another host has is asked for under other numbers, three times.  What fails otherwise
 * has the search begin anew in ten minutes.
 *
 * Only the gateway itself is spoken to: places at other addresses, wherever they come from, are
 * refused.
 *
 * Spec:    upnp_msg.h
 * Memory:  the struct, under 2 KiB.
 * Thread:  one at a time. */

#include "core/base/time.h"
#include "relay/proto/upnp_msg.h"

struct rng;

enum {
    UPNP_MAPPINGS_MAX = 8,
    UPNP_PORTS_TRIED_MAX = 4, /* the wished one, and three others */
};

#define UPNP_REST SEC(600)

/* SEARCHING -> DESCRIBING -> READY; from each -> RESTING -> SEARCHING */
enum upnp_state { UPNP_SEARCHING, UPNP_DESCRIBING, UPNP_READY, UPNP_RESTING };

enum upnp_mapping_state {
    UPNP_UNMAPPED,
    UPNP_MAPPED,
    UPNP_LEFT, /* mapped, but another way sees to it now */
    UPNP_REMOVING,
    UPNP_REMOVED,
};

struct upnp_mapping {
    nsec_t next_at; /* when it is asked for */
    uint16_t internal_port;
    uint16_t external_port; /* wished, or given */
    uint8_t ports_tried;
    uint8_t state; /* enum upnp_mapping_state */
    bool is_tcp;
    bool is_permanent; /* the gateway knows no others */
    bool has_event;
    int error; /* of the event; 0: mapped */
};

/* Embedded by its owner; fields are the engine's. */
struct upnp {
    struct rng *rng;
    struct net_addr gateway;
    struct net_addr client;
    uint8_t state; /* enum upnp_state */
    uint8_t searches_count;
    nsec_t next_at; /* the next search, its end, or that of the rest */
    struct upnp_url place;
    struct upnp_service service;
    struct net_addr external; /* without port; NET_NONE: unknown */
    nsec_t external_at;       /* when it is asked for */
    size_t asking;            /* which mapping's call is under way; SIZE_MAX: another one */
    enum upnp_action action;  /* of that call */
    bool is_asking;
    bool is_closing;
    struct upnp_mapping mappings[UPNP_MAPPINGS_MAX];
    size_t mappings_count;
    nsec_t now;
};

/* Addresses of IPv4.  `rng` must live as long as the engine. */
void upnp_init(struct upnp *u, const struct net_addr *gateway, const struct net_addr *client,
               struct rng *rng, nsec_t now);

/* Maps a port from now on; returns its place in events.  At most UPNP_MAPPINGS_MAX (asserted). */
size_t upnp_add(struct upnp *u, bool is_tcp, uint16_t internal_port, nsec_t now);

/* Another way has mapped the same port, outside under `external_port`: it is not asked for here any
 * more.  What was mapped here under another number is removed; under the same number it may be one
 * and the same rule of the gateway's, and is neither renewed nor removed before upnp_close().
 * Without a mapping that is wanted the gateway is left alone. */
void upnp_yield(struct upnp *u, size_t mapping, uint16_t external_port, nsec_t now);
/* The other way has it no longer.  Harmless for a mapping that was not yielded. */
void upnp_resume(struct upnp *u, size_t mapping, nsec_t now);

/* The gateway may have forgotten: it is searched for at once, and all mappings asked for. */
void upnp_ask_again(struct upnp *u, nsec_t now);

/* No mapping is wanted any more.  The engine is over when upnp_next_request() gives nothing and
 * none is under way. */
void upnp_close(struct upnp *u, nsec_t now);

/* The same, but they are left to run out: the gateway is not to be spoken to any more. */
void upnp_abandon(struct upnp *u);

/* Whether a search is to be sent now. */
bool upnp_next_search(struct upnp *u, nsec_t now);

/* A datagram from the gateway's address. */
void upnp_recv_search(struct upnp *u, struct bytes datagram, nsec_t now);

/* Whether there is something to ask, and none is under way. */
bool upnp_next_request(struct upnp *u, struct net_addr *ret_to,
                       char ret_out[UPNP_REQUEST_BYTES_MAX], size_t *ret_len, nsec_t now);

/* What upnp_parse_http() gave of the request under way. */
void upnp_answered(struct upnp *u, unsigned status, struct bytes body, nsec_t now);
/* There is no answer. */
void upnp_failed(struct upnp *u, nsec_t now);

struct upnp_event {
    size_t mapping; /* upnp_add()'s */
    /* 0: mapped, to `external`, which may be private when another NAT is behind the gateway.
     * -ETIMEDOUT: nobody answers; -EACCES: it refuses.  Both are tried again by themselves. */
    int error;
    struct net_addr external;
};

/* Only what changed; false when there is none. */
bool upnp_next_event(struct upnp *u, struct upnp_event *ret_event);

/* NSEC_NEVER: nothing to do, or an answer is awaited. */
nsec_t upnp_deadline(const struct upnp *u);

/* Early calls are harmless. */
void upnp_tick(struct upnp *u, nsec_t now);
