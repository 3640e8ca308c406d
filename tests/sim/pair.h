/* SPDX-License-Identifier: MIT */
#pragma once

/* Two nodes behind boxes and a relay in public: how they come to a direct connection, or that they
 * do not, and that all works meanwhile.
 *
 *   relay ──┬── [shared] ── carrier's ── home's ── a, which dials b through the relay
 *           └── [shared] ── carrier's ── home's ── b
 *
 * Links are without loss, with delays and jitter from the seed.
 */

#include "tests/sim/nat.h"

enum { PAIR_QUIC = 1, PAIR_TCP = 2, PAIR_BOTH = PAIR_QUIC | PAIR_TCP };
enum { PAIR_IP4 = 1, PAIR_IP6 = 2, PAIR_DUAL = PAIR_IP4 | PAIR_IP6 };
enum { PAIR_BOXES_MAX = 2 };

struct pair_side {
    uint32_t boxes_count;
    struct sim_nat_config boxes[PAIR_BOXES_MAX]; /* from the host outwards */
};

struct pair_plan {
    struct pair_side sides[2]; /* of who dials, of who is dialled */
    bool has_shared;
    struct sim_nat_config shared; /* before both */
    unsigned transports;
    unsigned families;
    bool can_meet; /* in principle */
};

struct pair_result {
    bool is_over; /* it ran to its end */
    bool is_direct;
    uint32_t attempts; /* of hole punching, until it was direct; 0: a dial was enough */
    nsec_t took;       /* from the circuit to the direct connection */
    double rate;       /* packets a second and peer of who sent most, while the pair was relayed */
    uint64_t hash;
    char failure[FAILURE_TEXT_MAX]; /* "": none; that a pair meets or not is none */
};

/* `folder`: a place for the nodes' files, which are removed again. */
void pair_run(const struct pair_plan *plan, uint64_t seed, const char *folder, bool prints_trace,
              struct pair_result *ret_result);
