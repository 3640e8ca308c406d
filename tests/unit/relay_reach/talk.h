/* SPDX-License-Identifier: MIT */
#pragma once

/* One end of a stream whose protocol the test speaks itself. */

#include "tests/unit/transport_host/hosts.h"
#include "transport/conn.h"

enum { TALK_GOT_MAX = 16384 };

struct talk {
    struct stream *stream;
    struct stream_request request;
    uint8_t got[TALK_GOT_MAX];
    size_t got_len;
    bool eof;
    int resets;
    uint64_t reset_code;
    int closed;
    int error;
};

/* Opens one to a peer that is connected, or dialled. */
void talk_open(struct talk *x, struct party *from, const struct peer_id *to, const char *protocol);
void talk_open_on(struct talk *x, struct party *from, struct conn *c, const char *protocol);
void talk_say(struct talk *x, struct bytes b);
/* Harmless when it is not open. */
void talk_end(struct talk *x);
/* It was reset or closed with an error. */
bool talk_is_lost(const struct talk *x);

/* A handler that answers nothing: its streams are the test's. */
struct listener {
    struct protocol_handler handler;
    struct talk talks[8];
    size_t count;
};
void listener_open(struct listener *l, struct party *p, const char *protocol);
void listener_end(struct listener *l, struct party *p);

/* The connection of `who` to `to`, or NULL. */
struct conn *conn_to(const struct party *who, const struct peer_id *to);
