/* SPDX-License-Identifier: MIT */
#include "tests/sim/nat_theory.h"

bool nat_is_predictable(const struct sim_nat_config *cfg) {
    return cfg->is_firewall || cfg->mapping == NAT_INDEPENDENT || cfg->ports == NAT_PORTS_SHARED;
}

/* What `from` sends to where `to` was seen comes in. */
static bool comes_in(const struct sim_nat_config *from, const struct sim_nat_config *to) {
    switch (to->filtering) {
    case NAT_ADDRESS:
        return nat_is_predictable(to);
    case NAT_ADDRESS_PORT:
        return nat_is_predictable(to) && nat_is_predictable(from);
    case NAT_INDEPENDENT:
    case NAT_DEPENDENCE_COUNT:
        break;
    }
    return true;
}

/* And so does the answer to where it came from.  If that is a mapping that `to` had not sent to, it
 * leaves as the question came in. */
static bool is_answered(const struct sim_nat_config *from, const struct sim_nat_config *to) {
    return !nat_is_predictable(from) || comes_in(to, from);
}

bool nat_meet(const struct sim_nat_config *a, const struct sim_nat_config *b) {
    bool a_to_b = comes_in(a, b);
    bool b_to_a = comes_in(b, a);
    if (a_to_b && b_to_a)
        return true;
    return (a_to_b && is_answered(a, b)) || (b_to_a && is_answered(b, a));
}

bool nat_meet_half_way(const struct sim_nat_config *a, const struct sim_nat_config *b) {
    return nat_is_predictable(a) && nat_is_predictable(b);
}
