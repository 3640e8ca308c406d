/* SPDX-License-Identifier: MIT */
#include "support.h"

/* --- Echo --- */

static void echo_over(struct fixture *t, enum family family, uint32_t len) {
    struct pair p;
    if (!pair_open(&p, t, family))
        return;
    p.server.echo = true;
    tcp_read_start(&p.server.conn);
    tcp_read_start(&p.client.conn);
    struct slice s = pattern_slice(t, 0, len);
    tcp_write(&p.client.conn, &s, 1);
    TURN_UNTIL(t, p.client.got_len == len && p.client.written == 1);
    cr_assert_eq(p.client.sum, pattern_sum(len), "%s", family_names[family]);
    tcp_shutdown_write(&p.client.conn);
    TURN_UNTIL(t, p.client.eof == 1);
    cr_assert_eq(p.server.eof, 1);
    pair_end(&p);
}

CASE(tcp, echo_over_every_family) {
    for (enum family f = 0; f < FAMILY_COUNT; f++) {
        echo_over(t, f, 1);
        echo_over(t, f, 65536);
    }
}

CASE(tcp, addresses_of_both_ends_match) {
    struct pair p;
    cr_assert(pair_open(&p, t, V4));
    struct sock_addr a;
    struct sock_addr b;
    cr_assert_eq(tcp_local_addr(&p.client.conn, &a), 0);
    cr_assert_eq(tcp_remote_addr(&p.server.conn, &b), 0);
    cr_assert(net_addr_equal(&a.ip, &b.ip));
    cr_assert_eq(tcp_remote_addr(&p.client.conn, &a), 0);
    cr_assert_eq(tcp_local_addr(&p.server.conn, &b), 0);
    cr_assert(net_addr_equal(&a.ip, &b.ip));
    pair_end(&p);
}
