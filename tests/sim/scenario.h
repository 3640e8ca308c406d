/* SPDX-License-Identifier: MIT */
#pragma once

/* One run: a network, its nodes, what they do, what breaks, and what must hold, all from a seed.
 *
 *   storm   nodes start, dial each other and transfer, while faults of the kinds that the seed
 *           switched on come and go
 *   calm    everything is mended; each proxy carries transfers, which must succeed within bounds,
 *           and what the storm left hanging must end too
 *   idle    nobody does anything: packets and turns are counted
 *   crossing   all connections die, and all dial again at one instant
 *   (where nodes have both) UDP stops passing; new transfers go over TCP
 *   (where there are relays) one of them is away for a while, and may be full when it is back
 *   (every other seed) what one node sends to another vanishes for a while
 *   silence (every other seed) a host dies; the others find out in time, and it comes back
 *   (a third of the seeds) a host has other addresses; both ways it is reached again in time
 *   (a third of the seeds) a machine sleeps for minutes; when it wakes up all is as before in time
 *   end     all nodes stop; nothing may be left
 */

#include "tests/sim/world.h"

struct scenario_result {
    uint64_t hash; /* of every event */
    uint64_t events;
    double virtual_seconds;
    uint64_t bytes; /* compared, of transfers */
    uint32_t nodes;
    uint32_t transfers;
    uint32_t broken;   /* transfers that a fault ended */
    size_t bytes_max;  /* memory that one node had at once */
    char failure[512]; /* "": none */
};

struct scenario_config {
    uint64_t seed;
    const char *folder; /* a place for the nodes' files, which are removed again */
    bool prints_trace;
    bool has_boxes; /* all nodes but two are behind NATs, and relays lead to them */
    enum sabotage sabotage;
};

void scenario_run(const struct scenario_config *cfg, struct scenario_result *ret_result);
