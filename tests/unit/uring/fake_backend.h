/* SPDX-License-Identifier: MIT */
#pragma once

/* A backend whose operations end when, and as, a test says.  Time stands until it is moved. */

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "core/base/mem.h"
#include "uring/backend.h"
#include "uring/reactor.h"
#include "uring/tcp.h"
#include "uring/udp.h"

enum { FAKE_OPS_MAX = 32 };

struct fake {
    struct backend backend; /* first */
    struct op *flying[FAKE_OPS_MAX];
    struct op *ended[FAKE_OPS_MAX];
    size_t flying_count;
    size_t ended_count;
    nsec_t now;
    int64_t suspended;
    uint64_t random_state;
    int handles_next;
    int handles_open;
    int cancels;        /* OP_CANCEL started */
    bool cancel_misses; /* OP_CANCEL ends nothing */
    int shutdowns;
    int udp_error;    /* of opening a UDP socket */
    int stream_error; /* that the next stream_error() finds */
    int resets;
};

/* A reactor on it. */
struct fake *fake_new(struct reactor **ret_reactor);
/* NULL when memory was short. */
struct fake *fake_new_with(struct reactor **ret_reactor, struct mem *mem, struct log *log);
/* Ends everything that was cancelled or closed, and frees. */
void fake_free(struct reactor *r);

/* The only operation of this kind in flight; the test fails when there is none. */
struct op *fake_find(struct fake *f, enum op_kind kind);
bool fake_has(struct fake *f, enum op_kind kind);
/* Ends it with the result, in a turn of its own. */
void fake_end(struct reactor *r, struct fake *f, enum op_kind kind, int32_t result);
/* A completion after which others follow. */
void fake_more(struct reactor *r, struct fake *f, enum op_kind kind, int32_t result);
void fake_turn(struct reactor *r);
