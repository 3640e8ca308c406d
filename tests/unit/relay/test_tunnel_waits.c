/* SPDX-License-Identifier: MIT */

/* Clients of a proxy that wait: for a peer at its limits, and on a connection that may be dead. */

#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/err.h"
#include "tests/unit/relay/tunnel.h"
#include "transport/stream.h"

/* --- a peer at its limits --- */

enum { REFUSED_CLIENTS = 5 };

/* The streams that the peer refuses may be those of some, or of one again and again. */
Test(tunnel_waits, clients_that_the_peer_refuses_lose_no_byte) {
    struct tunnel t;
    int clients[REFUSED_CLIENTS];
    unsigned heard = 0;
    tunnel_open(&t);
    fake_host_refuse(t.near, STREAM_CODE_RESOURCE_LIMIT, REFUSED_CLIENTS + 1);
    for (int i = 0; i < REFUSED_CLIENTS; i++) {
        char text[] = "client 0";
        text[7] = (char)('0' + i);
        clients[i] = client_connect(&t);
        turn_while_busy(&t);
        sock_send(clients[i], text);
        if (i % 2 == 1)
            shutdown(clients[i], SHUT_WR);
    }
    for (int served = 0; served < REFUSED_CLIENTS; served++) {
        int target = -1;
        char got[16] = "";
        turn_until(&t, (target = target_accept(&t)) >= 0);
        turn_until(&t, recv(target, got, sizeof(got), MSG_PEEK) >= 8);
        cr_assert_eq(sock_read(target, got, sizeof(got)), 8);
        cr_assert_arr_eq(got, "client ", 7);
        int i = got[7] - '0';
        heard |= 1u << i;
        if (i % 2 == 1)
            turn_until(&t, sock_is_ended(target));
        sock_send(target, "served");
        turn_until(&t, sock_has(clients[i], "served"));
        close(target);
    }
    cr_assert_eq(heard, (1u << REFUSED_CLIENTS) - 1);
    cr_assert_eq(t.refusals, 0);
    struct proxy_stats stats;
    proxy_stats(t.proxy, &stats);
    cr_assert_eq(stats.connections, REFUSED_CLIENTS);
    cr_assert_eq(stats.tx_bytes, 8 * REFUSED_CLIENTS);
    for (int i = 0; i < REFUSED_CLIENTS; i++)
        close(clients[i]);
    tunnel_close(&t);
}

/* More than the head: the rest waits in the kernel, and in the client. */
Test(tunnel_waits, a_refused_client_that_sends_much_loses_nothing) {
    enum { TOTAL = 1 << 20 };
    static uint8_t out[TOTAL], in[TOTAL + 1];
    struct tunnel t;
    size_t sent = 0, got = 0;
    int target = -1;
    for (size_t i = 0; i < TOTAL; i++)
        out[i] = (uint8_t)(i * 2654435761u >> 13);
    tunnel_open(&t);
    fake_host_refuse(t.near, STREAM_CODE_RESOURCE_LIMIT, 2);
    int client = client_connect(&t);
    nsec_t until = reactor_now(t.reactor) + SEC(20);
    while (got < TOTAL) {
        ssize_t n = send(client, out + sent, TOTAL - sent, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        turn(&t);
        if (target < 0)
            target = target_accept(&t);
        n = target < 0 ? 0 : sock_read(target, in + got, sizeof(in) - got);
        got += n > 0 ? (size_t)n : 0;
        cr_assert_lt(reactor_now(t.reactor), until, "%zu bytes arrived", got);
    }
    cr_assert_eq(got, TOTAL);
    cr_assert_arr_eq(in, out, TOTAL);
    shutdown(client, SHUT_WR);
    turn_until(&t, sock_is_ended(target));
    close(client);
    close(target);
    tunnel_close(&t);
}

Test(tunnel_waits, a_client_refused_for_ever_is_reset_in_the_end) {
    static const uint64_t codes[] = {STREAM_CODE_RESOURCE_LIMIT, STREAM_CODE_RATE_LIMITED};
    struct tunnel t;
    tunnel_open(&t);
    t.refused_timeout = MSEC(1500);
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        tunnel_proxy_to(&t, "echo");
        t.refusals = 0;
        fake_host_refuse(t.near, codes[i], UINT32_MAX);
        nsec_t began = reactor_now(t.reactor);
        int client = client_connect(&t);
        sock_send(client, "hello");
        turn_until(&t, sock_is_reset(client));
        cr_assert_geq(reactor_now(t.reactor) - began, MSEC(1500), "row %zu", i);
        cr_assert_eq(t.refusals, 1, "row %zu", i);
        cr_assert_eq(t.refusal, -ERR_RESOURCE_LIMIT, "row %zu", i);
        close(client);
        /* The listener is open again. */
        int target;
        fake_host_refuse(t.near, 0, 0);
        client = connect_through(&t, &target);
        close(client);
        close(target);
    }
    tunnel_close(&t);
}

Test(tunnel_waits, what_is_no_refusal_of_a_limit_resets_the_client) {
    struct tunnel t;
    tunnel_open(&t);
    static const uint64_t codes[] = {STREAM_CODE_GATED, STREAM_CODE_NONE};
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        fake_host_refuse(t.near, codes[i], 1);
        int client = client_connect(&t);
        turn_until(&t, sock_is_reset(client));
        close(client);
    }
    tunnel_close(&t);
}

/* With bytes kept, bytes read and not given, and clients that are gone already. */
Test(tunnel_waits, refused_clients_may_leave_and_the_proxy_may_close) {
    struct tunnel t;
    static char block[1 << 18];
    tunnel_open(&t);
    fake_host_refuse(t.near, STREAM_CODE_RESOURCE_LIMIT, UINT32_MAX);
    int leaves = client_connect(&t);
    cr_assert_gt(send(leaves, block, sizeof(block), MSG_NOSIGNAL), 0);
    turn_while_busy(&t);
    struct proxy_stats stats;
    sock_abort(leaves);
    turn_until(&t, (proxy_stats(t.proxy, &stats), stats.active == 0));
    int stays = client_connect(&t);
    cr_assert_gt(send(stays, block, sizeof(block), MSG_NOSIGNAL), 0);
    turn_while_busy(&t);
    turn_while_busy(&t);
    int late = client_connect(&t);
    turn_while_busy(&t);
    tunnel_close(&t);
    close(stays);
    close(late);
}

/* --- a connection that may be dead --- */

Test(tunnel_waits, on_a_silent_connection_nothing_is_sent_before_the_peer_agrees) {
    struct tunnel t;
    char byte;
    tunnel_open(&t);
    fake_host_silence(t.near, 1);
    int client = client_connect(&t);
    sock_send(client, "question");
    shutdown(client, SHUT_WR);
    int target = accept_next(&t);
    turn_while_busy(&t);
    cr_assert_eq(sock_read(target, &byte, 1), -EAGAIN);
    fake_host_speak(t.near);
    turn_until(&t, sock_has(target, "question"));
    turn_until(&t, sock_is_ended(target));
    sock_send(target, "answer");
    turn_until(&t, sock_has(client, "answer"));
    close(target);
    tunnel_close(&t);
    close(client);
}

/* The first client after the peer's daemon was killed and started again was reset. */
Test(tunnel_waits, a_client_whose_connection_turns_out_dead_gets_another_one) {
    static const int errors[] = {-ERR_CONN_CLOSED, -ETIMEDOUT};
    struct tunnel t;
    struct proxy_stats stats;
    tunnel_open(&t);
    for (size_t i = 0; i < ARRAY_COUNT(errors); i++) {
        char byte;
        fake_host_silence(t.near, 1);
        int client = client_connect(&t);
        sock_send(client, "question");
        int first = accept_next(&t);
        turn_while_busy(&t);
        fake_host_kill(t.near, errors[i]);
        int second = accept_next(&t);
        turn_until(&t, sock_has(second, "question"));
        cr_assert_leq(sock_read(first, &byte, 1), 0, "no byte of it");
        sock_send(second, "answer");
        turn_until(&t, sock_has(client, "answer"));
        close(first);
        close(second);
        close(client);
    }
    turn_until(&t, (proxy_stats(t.proxy, &stats), stats.active == 0));
    cr_assert_eq(stats.connections, 2, "a client is counted once");
    cr_assert_eq(stats.failed, 0);
    cr_assert_eq(stats.tx_bytes, 16);
    tunnel_close(&t);
}

/* A client with a question, on a connection that is silent once; returns the first stream's end. */
static int ask_in_silence(struct tunnel *t, int *ret_client) {
    tunnel_open(t);
    fake_host_silence(t->near, 1);
    *ret_client = client_connect(t);
    sock_send(*ret_client, "question");
    return accept_next(t);
}

/* The second stream has it all, the first one nothing more. */
static void expect_moved(struct tunnel *t, int client, int first, int second) {
    cr_assert_eq(fake_host_doubts(t->near), 1);
    turn_until(t, sock_has(second, "question"));
    turn_until(t, sock_is_reset(first));
    close(first);
    close(second);
    tunnel_close(t);
    close(client);
}

Test(tunnel_waits, a_client_is_moved_from_a_connection_that_stays_silent) {
    struct tunnel t;
    int client;
    int first = ask_in_silence(&t, &client);
    nsec_t began = reactor_now(t.reactor);
    cr_assert_eq(fake_host_doubts(t.near), 0);
    int second = accept_next(&t);
    cr_assert_geq(reactor_now(t.reactor) - began, SEC(2));
    expect_moved(&t, client, first, second);
}

/* Heard once more, it does not look dead after three seconds. */
Test(tunnel_waits, a_client_is_moved_from_a_connection_that_falls_silent_again) {
    struct tunnel t;
    int client;
    int first = ask_in_silence(&t, &client);
    nsec_t until = reactor_now(t.reactor) + SEC(1);
    turn_until(&t, reactor_now(t.reactor) >= until);
    fake_host_stir(t.near);
    nsec_t heard_at = reactor_now(t.reactor);
    int second = accept_next(&t);
    cr_assert_geq(reactor_now(t.reactor) - heard_at, SEC(3));
    expect_moved(&t, client, first, second);
}

/* No client is tried, or moved, while it waits for its turn. */
Test(tunnel_waits, clients_refused_on_a_silent_connection_wait_their_turn) {
    enum { COUNT = 4 };
    struct tunnel t;
    int clients[COUNT], targets[COUNT];
    unsigned heard = 0;
    tunnel_open(&t);
    fake_host_silence(t.near, UINT32_MAX);
    fake_host_refuse(t.near, STREAM_CODE_RESOURCE_LIMIT, UINT32_MAX);
    for (int i = 0; i < COUNT; i++) {
        char text[] = "client 0";
        text[7] = (char)('0' + i);
        clients[i] = client_connect(&t);
        sock_send(clients[i], text);
    }
    uint32_t most = 0;
    nsec_t began = reactor_now(t.reactor);
    while (reactor_now(t.reactor) - began < SEC(5)) {
        turn(&t);
        if (reactor_now(t.reactor) - began >= MSEC(500))
            most = MAX(most, fake_host_streams(t.near));
    }
    cr_assert_eq(most, 1, "%u at a time", most);
    fake_host_silence(t.near, 0);
    fake_host_refuse(t.near, 0, 0);
    for (int served = 0; served < COUNT; served++) {
        char got[16] = "";
        targets[served] = accept_next(&t);
        turn_until(&t, recv(targets[served], got, sizeof(got), MSG_PEEK) >= 8);
        cr_assert_eq(sock_read(targets[served], got, sizeof(got)), 8);
        cr_assert_arr_eq(got, "client ", 7);
        heard |= 1u << (got[7] - '0');
    }
    cr_assert_eq(heard, (1u << COUNT) - 1);
    cr_assert_eq(t.refusals, 0);
    cr_assert_eq(fake_host_streams(t.near), COUNT, "one for each");
    cr_assert_eq(fake_host_doubts(t.near), 0);
    for (int i = 0; i < COUNT; i++) {
        close(clients[i]);
        close(targets[i]);
    }
    tunnel_close(&t);
}

Test(tunnel_waits, dead_connections_are_tried_so_often_and_no_more) {
    struct tunnel t;
    tunnel_open(&t);
    fake_host_silence(t.near, UINT32_MAX);
    int client = client_connect(&t);
    int targets[PROXY_ATTEMPTS_MAX];
    for (int i = 0; i < PROXY_ATTEMPTS_MAX; i++) {
        targets[i] = accept_next(&t);
        cr_assert_eq(t.refusals, 0);
        turn_while_busy(&t);
        fake_host_kill(t.near, -ERR_CONN_CLOSED);
    }
    turn_until(&t, t.refusals == 1);
    cr_assert_eq(t.refusal, -ERR_CONN_CLOSED);
    turn_until(&t, sock_is_reset(client));
    for (int i = 0; i < PROXY_ATTEMPTS_MAX; i++)
        close(targets[i]);
    tunnel_close(&t);
    close(client);
}

/* The last connection dies just before the client's three seconds are over, and the process is held
 * up: TCP is still being closed when a timer would find the client. */
Test(tunnel_waits, a_client_that_is_being_reset_is_not_moved) {
    struct tunnel t;
    tunnel_open(&t);
    fake_host_silence(t.near, UINT32_MAX);
    int client = client_connect(&t);
    int targets[PROXY_ATTEMPTS_MAX];
    for (int i = 0; i < PROXY_ATTEMPTS_MAX; i++) {
        if (i > 0)
            fake_host_kill(t.near, -ERR_CONN_CLOSED);
        targets[i] = accept_next(&t);
        turn_while_busy(&t);
    }
    nsec_t until = reactor_now(t.reactor) + MSEC(2800);
    turn_until(&t, reactor_now(t.reactor) >= until);
    fake_host_kill(t.near, -ERR_CONN_CLOSED);
    while (t.refusals == 0)
        cr_assert_geq(reactor_turn(t.reactor, 0), 0);
    usleep(300000); /* time passes, and no turn of the reactor */
    turn_until(&t, sock_is_reset(client));
    turn_while_busy(&t);
    cr_assert_eq(target_accept(&t), -1);
    for (int i = 0; i < PROXY_ATTEMPTS_MAX; i++)
        close(targets[i]);
    tunnel_close(&t);
    close(client);
}

/* What ended the connection would end the next one, or the peer has what was sent, or the peer is
 * there and does not agree. */
Test(tunnel_waits, what_no_other_connection_mends_resets_the_client) {
    static const int errors[] = {-ERR_GATED, -ERR_CONN_CLOSED, -ETIMEDOUT};
    struct tunnel t;
    tunnel_open(&t);
    for (size_t i = 0; i < ARRAY_COUNT(errors); i++) {
        fake_host_silence(t.near, 1);
        int client = client_connect(&t);
        sock_send(client, "question");
        int target = accept_next(&t);
        turn_while_busy(&t);
        if (errors[i] == -ERR_CONN_CLOSED) {
            fake_host_speak(t.near);
            turn_until(&t, sock_has(target, "question"));
        }
        if (errors[i] == -ETIMEDOUT)
            fake_host_stir(t.near);
        fake_host_kill(t.near, errors[i]);
        turn_until(&t, sock_is_reset(client));
        close(target);
        close(client);
    }
    cr_assert_eq(t.refusals, 1);
    cr_assert_eq(t.refusal, -ERR_GATED);
    tunnel_close(&t);
}

Test(tunnel_waits, a_client_may_leave_a_silent_connection_and_the_proxy_may_close) {
    struct tunnel t;
    struct proxy_stats stats;
    tunnel_open(&t);
    fake_host_silence(t.near, 2);
    int leaves = client_connect(&t);
    sock_send(leaves, "question");
    int first = accept_next(&t);
    turn_while_busy(&t);
    sock_abort(leaves);
    turn_until(&t, (proxy_stats(t.proxy, &stats), stats.active == 0));
    int stays = client_connect(&t);
    sock_send(stays, "question");
    int second = accept_next(&t);
    turn_while_busy(&t);
    tunnel_close(&t);
    close(first);
    close(second);
    close(stays);
}
