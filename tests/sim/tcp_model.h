/* SPDX-License-Identifier: MIT */
#pragma once

/* Simulated TCP: enough of it that what passes over a link behaves as it does in the world.
 *
 * There is: handshake, simultaneous open, refusal, sequence numbers, windows and zero-window
 * probes, slow start, fast and selective retransmission, timeouts with back-off until a connection
 * is given up, sooner where its owner has closed it, FIN each way, RST also for data that nobody
 * will read and for an older connection of the same ports, TIME_WAIT.
 *
 * There is not: delayed acknowledgements, Nagle, wrapping numbers.
 *
 * Errors are told as Linux tells them: what arrived before is read first, then the error once, then
 * the end.  Sockets call back through sim_sock.changed, from which they must not be closed.
 */

#include "tests/sim/byte_queue.h"
#include "tests/sim/net.h"

enum tcp_state { TCPS_IDLE, TCPS_SYN_SENT, TCPS_SYN_RCVD, TCPS_OPEN, TCPS_DEAD };

struct sim_listener {
    struct sim_sock sock;
    struct list waiting; /* sim_tcp.accept_node: complete, not accepted */
    uint32_t children;   /* waiting, or in the handshake */
};

struct sim_tcp {
    struct sim_sock sock;
    struct net_addr remote;
    enum tcp_state state;
    struct sim_listener *listener; /* until accepted */
    struct list accept_node;

    struct byte_queue out; /* from snd_una on, without SYN and FIN */
    uint64_t snd_una;
    uint64_t snd_nxt;
    uint64_t snd_max; /* the largest snd_nxt so far */
    uint64_t snd_end; /* of the peer's window */
    uint64_t cwnd;
    uint64_t ssthresh;
    uint64_t recover;   /* losses below are repaired already */
    uint64_t resent_to; /* in this recovery */
    bool recovers;
    uint32_t dupacks;
    uint32_t backoffs;
    uint32_t unanswered; /* timeouts since anything came from the peer */
    uint32_t mss;
    nsec_t srtt;
    nsec_t rttvar;
    nsec_t rtt_began; /* 0: nothing is measured */
    uint64_t rtt_seq;
    struct sim_event timer;
    struct sim_event keep_alive; /* set where the owner wants it */
    uint32_t probes;             /* since anything came */
    nsec_t heard_at;
    bool fin_wanted;
    bool fin_acked;

    struct byte_queue in;
    struct list early; /* packets beyond a hole */
    size_t early_bytes;
    uint64_t rcv_nxt;
    uint64_t rcv_told; /* end of the window as last told */
    uint64_t fin_at;   /* the peer's FIN; UINT64_MAX: not seen */
    bool got_fin;
    int error; /* not told yet */
    bool broken;
    bool closed; /* by its owner: it ends by itself */
};

static inline struct sim_tcp *tcp_of(struct sim_sock *s) {
    return CONTAINER_OF(s, struct sim_tcp, sock);
}
static inline struct sim_listener *listener_of(struct sim_sock *s) {
    return CONTAINER_OF(s, struct sim_listener, sock);
}

struct sim_tcp *tcp_new_sock(struct sim_host *h);
/* As SO_KEEPALIVE with the times of uring/sock.c: gives a silent peer up. */
void tcp_keep_alive(struct sim_tcp *t);
/* Starts; ends when the state is no longer TCPS_SYN_SENT or TCPS_SYN_RCVD.
 * -ENETUNREACH, -EADDRNOTAVAIL, -EADDRINUSE */
NODISCARD int tcp_connect_sock(struct sim_tcp *t, const struct net_addr *to);
/* -EINPROGRESS, 0, or the error, which is told by this. */
int tcp_connect_result(struct sim_tcp *t);

NODISCARD int tcp_listen_sock(struct sim_host *h, const struct net_addr *at,
                              struct sim_listener **ret_listener);
/* NULL: none waits. */
struct sim_tcp *tcp_accept_sock(struct sim_listener *l);

bool tcp_can_read(const struct sim_tcp *t);
bool tcp_can_write(const struct sim_tcp *t);
/* Bytes, 0 at the end, -EAGAIN, or the error. */
ssize_t tcp_read_sock(struct sim_tcp *t, void *out, size_t size);
/* Bytes, -EAGAIN, -EPIPE, or the error. */
ssize_t tcp_write_sock(struct sim_tcp *t, const void *data, size_t size);
size_t tcp_room(const struct sim_tcp *t);
/* Of what was written and was never in a segment. */
size_t tcp_unsent_bytes(const struct sim_tcp *t);
/* -ENOTCONN */
int tcp_shutdown_sock(struct sim_tcp *t);
/* 0, or the error, told by this. */
int tcp_take_error(struct sim_tcp *t);
/* The peer sent FIN, or the connection broke. */
bool tcp_is_hung_up(const struct sim_tcp *t);

/* The owner is gone: what was written is still sent, unless `reset`. */
void tcp_close_sock(struct sim_tcp *t, bool reset);
void tcp_close_listener(struct sim_listener *l);
/* Frees a socket of either kind, without a word to anybody. */
void tcp_drop(struct sim_sock *s);

/* Takes the packet over. */
void tcp_arrive(struct sim_host *h, struct packet *p);
