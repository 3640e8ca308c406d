/* SPDX-License-Identifier: MIT */
#pragma once

/* Connections that come to a port of libp2p's and begin with bytes of their own: a preface.  The
 * first byte tells them from all others; what follows the preface is not received, so that whoever
 * takes such a leg over finds it in the socket.
 *
 *   tcp_transport_set_preface()                          a listener's connections are looked at
 *   arrived() .. tcp_leg_take()                          whole: somebody wants it
 *   lost() | tcp_leg_close() .. closed()                 its end
 *
 * Until tcp_leg_joined() it counts as half-open by its address, as an upgrade that is not done: it
 * may be lost when others need the place.  A leg that nobody takes, whose preface is wrong or not
 * whole in time, is closed.
 *
 * Thread: the reactor's.  Events come from the reactor, never from inside a call. */

#include "core/base/time.h"
#include "transport/half_open.h"

struct link;
struct reactor;
struct tcp_conn;
struct tcp_leg;

enum { TCP_PREFACE_MAX = 64 };

/* Outlives its registration. */
struct tcp_preface {
    const uint8_t *magic;
    size_t magic_len; /* at least 1; its first byte begins nothing of libp2p's */
    size_t len;       /* of all of it, TCP_PREFACE_MAX at most */
    void (*arrived)(struct tcp_preface *p, struct tcp_leg *leg, const uint8_t *bytes);
};

struct tcp_leg_events {
    /* It broke, or has to go: the callee closes it. */
    void (*lost)(struct tcp_leg *leg, int error);
    /* The memory is gone after this call. */
    void (*closed)(struct tcp_leg *leg);
};

/* From arrived() only. */
void tcp_leg_take(struct tcp_leg *leg, const struct tcp_leg_events *events, void *user);
void *tcp_leg_user(const struct tcp_leg *leg);
/* For uring/splice.h: nothing is read, and nothing was written. */
struct tcp_conn *tcp_leg_conn(struct tcp_leg *leg);
void tcp_leg_joined(struct tcp_leg *leg);
/* Ends in closed().  Harmless when it is closing. */
void tcp_leg_close(struct tcp_leg *leg, bool reset);

/* --- For the transport --- */

struct tcp_leg_config {
    struct reactor *reactor;
    struct tcp_preface *preface;
    int handle; /* from the listener */
    struct half_open_book *half_open;
    const struct net_addr *remote;
    nsec_t deadline; /* of the preface */
    /* It is an ordinary connection: `link` is to be taken over, and nothing of it was read.  The
     * leg is gone. */
    void (*ordinary)(void *user, struct link *link, const struct net_addr *remote, nsec_t deadline);
    /* Before ordinary(), and behind closed(). */
    void (*gone)(void *user);
    void *user;
};

/* Adds it to `legs`.  -ENOMEM: the handle is still the caller's */
NODISCARD int tcp_leg_new(const struct tcp_leg_config *cfg, struct list *legs);
/* Has all of them end. */
void tcp_legs_close(struct list *legs);
/* Closes those that nobody has taken: the preface that they are compared with may go. */
void tcp_legs_forget_preface(struct list *legs);
