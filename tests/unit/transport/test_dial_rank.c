/* SPDX-License-Identifier: MIT */
/* Goal: which address is dialled when.
 * Spec: libp2p connection-lifecycle.md, "Dial ranking". */
#include <criterion/criterion.h>

#include "transport/proto/dial_rank.h"

enum { ROW_MAX = 10 };

struct row {
    const char *name;
    const char *addrs[ROW_MAX]; /* in the order in which they should come out */
    unsigned ms[ROW_MAX];
    enum dial_preference prefer;
};

#define RELAY "/p2p/12D3KooWA4Xop1JaJvzDNqVBz4TZBgHdRQXgUhkyFiAJGDgNGZoJ/p2p-circuit"

static const struct row rows[] = {
    {"nothing but one", {"/ip4/1.2.3.4/udp/1/quic-v1"}, {0}, DIAL_AUTO},
    {"QUIC before TCP, public",
     {"/ip4/1.2.3.4/udp/1/quic-v1", "/ip4/1.2.3.4/tcp/1"},
     {0, 250},
     DIAL_AUTO},
    {"QUIC before TCP, private",
     {"/ip4/10.2.3.4/udp/1/quic-v1", "/ip4/10.2.3.4/tcp/1"},
     {0, 30},
     DIAL_AUTO},
    {"loopback is private",
     {"/ip6/::1/udp/1/quic-v1", "/ip4/127.0.0.1/udp/1/quic-v1"},
     {0, 30},
     DIAL_AUTO},
    {"happy eyeballs, and the rest of QUIC behind the best IPv4",
     {"/ip6/2a00::1/udp/1/quic-v1", "/ip4/1.2.3.4/udp/2/quic-v1", "/ip6/2a00::1/udp/3/quic-v1",
      "/ip4/1.2.3.4/udp/4/quic-v1"},
     {0, 250, 500, 500},
     DIAL_AUTO},
    {"QUIC of one family: the others a step behind the first",
     {"/ip4/1.2.3.4/udp/1/quic-v1", "/ip4/1.2.3.4/udp/2/quic-v1", "/ip4/1.2.3.4/udp/3/quic-v1"},
     {0, 250, 250},
     DIAL_AUTO},
    {"TCP after the last of QUIC, with eyeballs of its own",
     {"/ip6/2a00::1/udp/1/quic-v1", "/ip4/1.2.3.4/udp/1/quic-v1", "/ip6/2a00::1/tcp/1",
      "/ip4/1.2.3.4/tcp/1", "/ip6/2a00::1/tcp/2", "/ip4/1.2.3.4/tcp/2"},
     {0, 250, 500, 750, 1000, 1000},
     DIAL_AUTO},
    {"TCP alone starts at once",
     {"/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/2", "/ip4/1.2.3.4/tcp/3/ws"},
     {0, 250, 250},
     DIAL_AUTO},
    {"low ports first",
     {"/ip4/1.2.3.4/udp/443/quic-v1", "/ip4/5.6.7.8/udp/4001/quic-v1"},
     {0, 250},
     DIAL_AUTO},
    {"private and public do not wait for each other",
     {"/ip4/10.0.0.1/udp/1/quic-v1", "/ip4/1.2.3.4/udp/1/quic-v1", "/ip4/10.0.0.1/tcp/1",
      "/ip4/1.2.3.4/tcp/1"},
     {0, 0, 30, 250},
     DIAL_AUTO},
    {"relayed waits for public",
     {"/ip4/1.2.3.4/udp/1/quic-v1", "/ip4/9.9.9.9/udp/1/quic-v1" RELAY, "/ip4/9.9.9.9/tcp/1" RELAY},
     {0, 500, 750},
     DIAL_AUTO},
    {"relayed waits for private, too",
     {"/ip4/10.0.0.1/udp/1/quic-v1", "/ip4/9.9.9.9/udp/1/quic-v1" RELAY},
     {0, 500},
     DIAL_AUTO},
    {"relayed alone does not wait, and how its relay is reached is nobody's preference",
     {"/p2p/12D3KooWA4Xop1JaJvzDNqVBz4TZBgHdRQXgUhkyFiAJGDgNGZoJ/p2p-circuit"},
     {0},
     DIAL_TCP},
    {"other transports a second after the last, or 100 ms where private",
     {"/ip4/10.0.0.1/udp/1/quic-v1", "/ip4/1.2.3.4/tcp/1", "/ip4/10.0.0.1/udp/2/webrtc-direct",
      "/ip4/1.2.3.4/udp/2/webrtc-direct"},
     {0, 0, 100, 1000},
     DIAL_AUTO},
    {"what is no address comes last of all",
     {"/ip4/1.2.3.4/udp/1/quic-v1", "/ip4/1.2.3.4/tcp/1", "/dns4/example.com/tcp/1"},
     {0, 250, 1250},
     DIAL_AUTO},
    {"documentation ranges are public",
     {"/ip4/192.0.2.1/udp/1/quic-v1", "/ip4/192.0.2.1/tcp/1"},
     {0, 250},
     DIAL_AUTO},
    {"QUIC preferred: TCP as a fallback",
     {"/ip6/2a00::1/udp/1/quic-v1", "/ip4/1.2.3.4/udp/1/quic-v1", "/ip4/1.2.3.4/tcp/1",
      "/ip4/1.2.3.4/tcp/2"},
     {0, 250, 3250, 3500},
     DIAL_QUIC},
    {"TCP preferred: QUIC as a fallback",
     {"/ip6/2a00::1/tcp/1", "/ip4/1.2.3.4/tcp/1", "/ip6/2a00::1/udp/1/quic-v1",
      "/ip4/1.2.3.4/udp/1/quic-v1"},
     {0, 250, 3250, 3500},
     DIAL_TCP},
    {"TCP preferred, private",
     {"/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/udp/1/quic-v1"},
     {0, 3000},
     DIAL_TCP},
    {"TCP preferred and not there: QUIC at once", {"/ip4/1.2.3.4/udp/1/quic-v1"}, {0}, DIAL_TCP},
};

static size_t parse_row(const struct row *row, bool reversed, struct multiaddr *out) {
    size_t count = 0;
    while (count < ROW_MAX && row->addrs[count] != NULL)
        count++;
    for (size_t i = 0; i < count; i++) {
        const char *text = row->addrs[reversed ? count - 1 - i : i];
        cr_assert_eq(multiaddr_parse(text, &out[i]), 0, "%s", text);
    }
    return count;
}

Test(dial_rank, addresses_come_in_the_order_and_with_the_delays_of_the_table) {
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        for (int reversed = 0; reversed < 2; reversed++) {
            struct multiaddr addrs[ROW_MAX];
            struct dial_ranked out[ROW_MAX];
            struct multiaddr expected;
            char text[MULTIADDR_TEXT_MAX];
            size_t count = parse_row(&rows[i], reversed == 1, addrs);
            dial_rank(addrs, count, rows[i].prefer, out);
            for (size_t k = 0; k < count; k++) {
                cr_assert_eq(multiaddr_parse(rows[i].addrs[k], &expected), 0);
                cr_assert(multiaddr_equal(&addrs[out[k].index], &expected), "%s: %s in place %zu",
                          rows[i].name, multiaddr_format(&addrs[out[k].index], text), k);
                cr_assert_eq(out[k].delay, MSEC(rows[i].ms[k]), "%s: place %zu after %u ms",
                             rows[i].name, k, (unsigned)(out[k].delay / MSEC(1)));
            }
        }
    }
}

Test(dial_rank, tells_which_addresses_are_TCP_and_which_private) {
    struct multiaddr addrs[3];
    struct dial_ranked out[3];
    cr_assert_eq(multiaddr_parse("/ip4/10.0.0.1/tcp/1/ws", &addrs[0]), 0);
    cr_assert_eq(multiaddr_parse("/ip4/1.2.3.4/tcp/1", &addrs[1]), 0);
    cr_assert_eq(multiaddr_parse("/ip4/1.2.3.4/udp/1/quic-v1", &addrs[2]), 0);
    dial_rank(addrs, 3, DIAL_AUTO, out);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(out[i].is_tcp, out[i].index != 2);
        cr_assert_eq(out[i].is_private, out[i].index == 0);
    }
}

Test(dial_rank, no_addresses_give_nothing_and_as_many_as_may_be_are_all_there) {
    static struct multiaddr addrs[DIAL_ADDRS_MAX];
    static struct dial_ranked out[DIAL_ADDRS_MAX];
    bool seen[DIAL_ADDRS_MAX] = {false};
    dial_rank(addrs, 0, DIAL_AUTO, out);
    for (size_t i = 0; i < DIAL_ADDRS_MAX; i++)
        cr_assert_eq(multiaddr_parse("/ip4/1.2.3.4/udp/1/quic-v1", &addrs[i]), 0);
    dial_rank(addrs, DIAL_ADDRS_MAX, DIAL_AUTO, out);
    for (size_t i = 0; i < DIAL_ADDRS_MAX; i++) {
        cr_assert_not(seen[out[i].index]);
        seen[out[i].index] = true;
    }
}
