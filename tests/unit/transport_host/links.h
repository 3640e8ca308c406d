/* SPDX-License-Identifier: MIT */
#pragma once

/* Pairs of links of every kind, whose ends write a pattern and check what they read. */

#include "hosts.h"
#include "transport/conn.h"
#include "transport/link.h"
#include "uring/tcp.h"
#include "xor_secure.h"

enum close_at { CLOSE_AT_NOTHING, CLOSE_AT_READABLE, CLOSE_AT_WRITABLE };

/* One end, which writes a pattern and checks it. */
struct end {
    struct fixture *t;
    struct link *link;
    bool paused; /* readable() reads nothing */
    bool keeps_credit;
    enum close_at close_at;
    uint64_t got;
    uint64_t uncredited;
    int read_error; /* -ENODATA: the end */
    uint64_t to_write;
    uint64_t written;
    int write_error;
    int writable;
    int closed;
    int closed_error;
    bool secured;
};

extern const struct conn_limit no_limit;

struct ends {
    struct fixture *t;
    struct end a;
    struct end b;
    /* What makes them. */
    struct stream_pair streams;
    struct tcp_listener listener;
    struct sock_addr at;
    bool listener_closed;
    bool secure; /* in a channel of xor_secure.h */
    bool ws;     /* in a WebSocket, of which `a` is the client */
    struct xor_options channel_a;
    struct xor_options channel_b;
};

/* The pattern's byte at an offset. */
uint8_t end_pattern(uint64_t at);
/* Writes so many more bytes of the pattern, as room comes. */
void end_write(struct end *x, uint64_t bytes);
/* A slab of the link's quota with what comes next; empty when there is none. */
struct slice end_slice(struct end *x, uint32_t len);
void end_credit(struct end *x);
/* Reads all that is there. */
void end_read(struct end *x);
/* Harmless when it is closed already. */
void end_close(struct end *x, bool reset);
/* The end hears the link's events from now on. */
void end_attach(struct end *x, struct fixture *t, struct link *l);

/* Listens, for what connects to e->at to become e->b. */
void listener_open(struct ends *e, struct fixture *t);
void listener_close(struct ends *e);

void tcp_ends_open(struct ends *e, struct fixture *t);
void stream_ends_open(struct ends *e, struct fixture *t);
/* A channel over TCP, of e->channel_a and e->channel_b; the former waits for the handshake. */
void secure_ends_open(struct ends *e, struct fixture *t);
void secure_ends_start(struct ends *e, struct fixture *t);
/* A WebSocket over TCP; waits for the upgrade. */
void ws_ends_open(struct ends *e, struct fixture *t);
/* Takes over a lower link, and `rest` (NULL: nothing). */
struct link *channel_over(struct ends *e, struct link *lower, const struct xor_options *o,
                          struct slice_queue *rest);
void ends_close(struct ends *e);

enum { RAW_BYTES_MAX = 256 << 10 };

/* The far end as bytes, for what no link of ours would make. */
struct raw {
    struct fixture *t;
    struct link *link;
    uint8_t got[RAW_BYTES_MAX];
    size_t got_len;
    int reads; /* that brought something */
    int read_error;
    int closed;
};

/* Takes over the link of an end. */
void raw_attach(struct raw *x, struct end *from);
/* In one piece, or `cut` bytes at a time, each of which is received by itself. */
void raw_write(struct raw *x, const uint8_t *bytes, size_t len, size_t cut);
void raw_write_text(struct raw *x, const char *text, size_t len);
