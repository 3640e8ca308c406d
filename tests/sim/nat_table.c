/* SPDX-License-Identifier: MIT */
#include "tests/sim/nat_table.h"

#include <stdio.h>
#include <string.h>

#include "tests/sim/nat_theory.h"

static const char *const words[NAT_DEPENDENCE_COUNT] = {
    [NAT_INDEPENDENT] = "EI",
    [NAT_ADDRESS] = "AD",
    [NAT_ADDRESS_PORT] = "APD",
};

static const char *const transport_names[] = {
    [PAIR_QUIC] = "QUIC", [PAIR_TCP] = "TCP", [PAIR_BOTH] = "QUIC+TCP"};

static struct nat_group *add_group(struct nat_table *t, const char *title) {
    assert(t->groups_count < GROUPS_MAX);
    struct nat_group *g = &t->groups[t->groups_count++];
    *g = (struct nat_group){.title = title, .cells_first = t->cells_count};
    return g;
}

/* The caller fills in the rest, and the name. */
static struct nat_cell *add_cell(struct nat_table *t, unsigned transports, unsigned families) {
    assert(t->cells_count < CELLS_MAX);
    struct nat_cell *c = &t->cells[t->cells_count++];
    *c = (struct nat_cell){.plan = {.transports = transports, .families = families}};
    t->groups[t->groups_count - 1].cells_count++;
    return c;
}

static struct pair_side behind(struct sim_nat_config cfg) {
    return (struct pair_side){.boxes_count = 1, .boxes = {cfg}};
}

static struct pair_side behind_two(struct sim_nat_config home, struct sim_nat_config carrier) {
    carrier.inside = (struct net_addr){.family = NET_IP4, .ip = {100, 64, 0, 0}};
    return (struct pair_side){.boxes_count = 2, .boxes = {home, carrier}};
}

/* --- Matrices --- */

static void add_matrix(struct nat_table *t, const char *title, unsigned transports,
                       unsigned families, const struct sim_nat_config *kinds, uint32_t count) {
    struct nat_group *g = add_group(t, title);
    g->kinds_count = count;
    for (uint32_t i = 0; i < count; i++) {
        const struct sim_nat_config *k = &kinds[i];
        if (k->is_firewall)
            (void)snprintf(g->kinds[i], KIND_NAME_MAX, "%s", words[k->filtering]);
        else
            (void)snprintf(g->kinds[i], KIND_NAME_MAX, "%s/%s/%s", words[k->mapping],
                           words[k->filtering], k->ports == NAT_PORTS_SHARED ? "kept" : "rand");
    }
    for (uint32_t i = 0; i < count * count; i++) {
        const struct sim_nat_config *a = &kinds[i / count];
        const struct sim_nat_config *b = &kinds[i % count];
        struct nat_cell *c = add_cell(t, transports, families);
        (void)snprintf(c->name, CELL_NAME_MAX, "%s: %s to %s", title, g->kinds[i / count],
                       g->kinds[i % count]);
        c->plan.sides[0] = behind(*a);
        c->plan.sides[1] = behind(*b);
        c->plan.can_meet = nat_meet(a, b);
    }
}

static void add_matrices(struct nat_table *t) {
    static const enum sim_nat_ports ports[] = {NAT_PORTS_SHARED, NAT_PORTS_RANDOM};
    struct sim_nat_config nats[KINDS_MAX];
    struct sim_nat_config walls[NAT_DEPENDENCE_COUNT];
    uint32_t count = 0;
    for (int how = 0; how < 2; how++)
        for (int m = 0; m < NAT_DEPENDENCE_COUNT; m++)
            for (int f = 0; f < NAT_DEPENDENCE_COUNT; f++)
                nats[count++] = sim_nat_translator((enum sim_nat_dependence)m,
                                                   (enum sim_nat_dependence)f, ports[how]);
    for (int f = 0; f < NAT_DEPENDENCE_COUNT; f++)
        walls[f] = sim_nat_firewall((enum sim_nat_dependence)f);
    add_matrix(t, "IPv4, QUIC", PAIR_QUIC, PAIR_IP4, nats, count);
    add_matrix(t, "IPv4, TCP", PAIR_TCP, PAIR_IP4, nats, count);
    add_matrix(t, "IPv4, QUIC+TCP", PAIR_BOTH, PAIR_IP4, nats, count);
    add_matrix(t, "IPv6, QUIC", PAIR_QUIC, PAIR_IP6, walls, NAT_DEPENDENCE_COUNT);
    add_matrix(t, "IPv6, TCP", PAIR_TCP, PAIR_IP6, walls, NAT_DEPENDENCE_COUNT);
}

/* --- The list --- */

struct row {
    const char *name;
    struct pair_side a, b;
    const struct sim_nat_config *shared; /* before both; NULL: nothing */
    unsigned families;                   /* 0: IPv4 */
    bool can_meet;
};

static void add_row(struct nat_table *t, const struct row *row, unsigned transports) {
    struct nat_cell *c = add_cell(t, transports, row->families == 0 ? PAIR_IP4 : row->families);
    (void)snprintf(c->name, CELL_NAME_MAX, "%s, %s", row->name, transport_names[transports]);
    c->plan.sides[0] = row->a;
    c->plan.sides[1] = row->b;
    c->plan.has_shared = row->shared != NULL;
    if (row->shared != NULL)
        c->plan.shared = *row->shared;
    c->plan.can_meet = row->can_meet;
}

static void add_list(struct nat_table *t) {
    const struct sim_nat_config cone =
        sim_nat_translator(NAT_INDEPENDENT, NAT_ADDRESS_PORT, NAT_PORTS_RANDOM);
    const struct sim_nat_config symmetric =
        sim_nat_translator(NAT_ADDRESS_PORT, NAT_ADDRESS_PORT, NAT_PORTS_RANDOM);
    const struct sim_nat_config open =
        sim_nat_translator(NAT_INDEPENDENT, NAT_INDEPENDENT, NAT_PORTS_RANDOM);
    struct sim_nat_config hairpin = cone;
    struct sim_nat_config carrier = cone;
    struct sim_nat_config straight_carrier;
    const struct sim_nat_config linux_nat =
        sim_nat_translator(NAT_ADDRESS_PORT, NAT_ADDRESS_PORT, NAT_PORTS_SHARED);
    struct sim_nat_config tcp_only = cone;
    struct sim_nat_config resets = cone;
    hairpin.hairpins = true;
    tcp_only.blocks_udp = true;
    resets.resets = true;
    carrier.inside = (struct net_addr){.family = NET_IP4, .ip = {100, 64, 0, 0}};
    straight_carrier = carrier;
    carrier.hairpins = true; /* as RFC 6888 demands */
    const struct pair_side in_public = {.boxes_count = 0};
    const struct row rows[] = {
        {.name = "public to cone", .a = in_public, .b = behind(cone), .can_meet = true},
        {.name = "public to symmetric", .a = in_public, .b = behind(symmetric), .can_meet = true},
        {.name = "cone to public", .a = behind(cone), .b = in_public, .can_meet = true},
        {.name = "symmetric to public", .a = behind(symmetric), .b = in_public, .can_meet = true},
        {.name = "both behind one NAT with hairpin", .shared = &hairpin, .can_meet = true},
        {.name = "both behind one NAT without", .shared = &cone, .can_meet = true},
        {.name = "both behind one symmetric NAT", .shared = &symmetric, .can_meet = true},
        {.name = "CGNAT behind a home's NAT to cone",
         .a = behind_two(cone, cone),
         .b = behind(cone),
         .can_meet = true},
        {.name = "CGNAT behind a home's NAT, both",
         .a = behind_two(cone, cone),
         .b = behind_two(cone, cone),
         .can_meet = true},
        {.name = "symmetric CGNAT to full cone",
         .a = behind_two(cone, symmetric),
         .b = behind(open),
         .can_meet = true},
        {.name = "symmetric CGNAT, both",
         .a = behind_two(cone, symmetric),
         .b = behind_two(cone, symmetric)},
        {.name = "two homes of one CGNAT with hairpin",
         .a = behind(cone),
         .b = behind(cone),
         .shared = &carrier,
         .can_meet = true},
        {.name = "two homes of one CGNAT without",
         .a = behind(cone),
         .b = behind(cone),
         .shared = &straight_carrier},
        {.name = "NATs that reset", .a = behind(resets), .b = behind(resets), .can_meet = true},
    };
    const struct row rows_of_both[] = {
        /* Nobody sees the TCP port of whom relays see by QUIC: it has to be kept. */
        {.name = "UDP blocked to a NAT that keeps ports",
         .a = behind(tcp_only),
         .b = behind(linux_nat),
         .can_meet = true},
        {.name = "a NAT that keeps ports to UDP blocked",
         .a = behind(linux_nat),
         .b = behind(tcp_only),
         .can_meet = true},
        {.name = "UDP blocked to cone", .a = behind(tcp_only), .b = behind(cone)},
        {.name = "cone to UDP blocked", .a = behind(cone), .b = behind(tcp_only)},
        {.name = "UDP blocked, both",
         .a = behind(tcp_only),
         .b = behind(tcp_only),
         .can_meet = true},
        {.name = "UDP blocked to symmetric", .a = behind(tcp_only), .b = behind(symmetric)},
        {.name = "symmetric, both, and IPv6 behind firewalls",
         .a = behind(symmetric),
         .b = behind(symmetric),
         .families = PAIR_DUAL,
         .can_meet = true},
    };
    (void)add_group(t, "Others");
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        add_row(t, &rows[i], PAIR_QUIC);
        add_row(t, &rows[i], PAIR_TCP);
        add_row(t, &rows[i], PAIR_BOTH);
    }
    for (size_t i = 0; i < ARRAY_COUNT(rows_of_both); i++)
        add_row(t, &rows_of_both[i], PAIR_BOTH);
}

void nat_table_make(struct nat_table *ret_table) {
    memset(ret_table, 0, sizeof(*ret_table));
    add_matrices(ret_table);
    add_list(ret_table);
}
