/* SPDX-License-Identifier: MIT */

/* libpeerup through its header: two nodes in one process, real sockets on loopback, and the test
 * as the TCP service that the one exposes. */

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "include/peerup/peerup.h"
#include "tests/unit/ctl/folder.h"

static const char *const LISTEN[] = {"/ip4/127.0.0.1/udp/0/quic-v1"};

struct world {
    struct folder folder;
    struct peerup *server;
    struct peerup *client;
    char server_addr[256];
    int target; /* what "echo" leads to */
};

static struct peerup *open_node(const struct folder *f, const char *key, bool listens,
                                const char *authorized_keys, unsigned flags) {
    struct peerup_options o = PEERUP_OPTIONS_INIT;
    struct peerup *p;
    char problem[256] = "";
    o.key_file = folder_file(f, key);
    o.listen_addresses = listens ? LISTEN : NULL;
    o.listen_addresses_count = listens ? 1 : 0;
    o.authorized_keys_file = authorized_keys;
    o.flags = flags;
    int e = peerup_open(&o, &p, problem, sizeof(problem));
    cr_assert_eq(e, 0, "%s: %s", peerup_error_text(e), problem);
    return p;
}

static void world_open(struct world *w, unsigned client_flags) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    char line[128], address[64];

    folder_make(&w->folder);
    w->client = open_node(&w->folder, "client.key", false, NULL, client_flags);
    (void)snprintf(line, sizeof(line), "%s\n", peerup_host_id(w->client));
    folder_write(&w->folder, "authorized_keys", line);
    w->server =
        open_node(&w->folder, "server.key", true, folder_file(&w->folder, "authorized_keys"), 0);
    cr_assert_eq(peerup_listen_address(w->server, 0, w->server_addr, sizeof(w->server_addr)), 0);

    w->target = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(w->target, (struct sockaddr *)&a, sizeof(a)), 0);
    cr_assert_eq(listen(w->target, 16), 0);
    cr_assert_eq(getsockname(w->target, (struct sockaddr *)&a, &len), 0);
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(a.sin_port));
    cr_assert_eq(peerup_expose(w->server, "echo", address, NULL, 0), 0);
}

static void world_close(struct world *w) {
    peerup_close(w->client);
    peerup_close(w->server);
    close(w->target);
    folder_remove(&w->folder);
}

Test(peerup, a_stream_carries_bytes_both_ways_and_half_closes) {
    struct world w;
    struct peerup_stream *s;
    char got[64];
    world_open(&w, 0);
    cr_assert_eq(peerup_connect(w.client, w.server_addr, "echo", 0, &s), 0);
    int target = accept(w.target, NULL, NULL);
    cr_assert_eq(peerup_stream_write(s, "question", 8), 8);
    cr_assert_eq(peerup_stream_shutdown_write(s), 0);
    cr_assert_eq(recv(target, got, sizeof(got), MSG_WAITALL), 8);
    cr_assert_arr_eq(got, "question", 8);
    cr_assert_eq(send(target, "answer", 6, 0), 6);
    close(target);
    size_t len = 0;
    ssize_t n;
    while ((n = peerup_stream_read(s, got + len, sizeof(got) - len)) > 0)
        len += (size_t)n;
    cr_assert_eq(n, 0, "%s", peerup_error_text((int)n));
    cr_assert_eq(len, 6);
    cr_assert_arr_eq(got, "answer", 6);
    peerup_stream_close(s);
    world_close(&w);
}

Test(peerup, a_reset_by_the_target_is_an_error_and_no_end) {
    struct world w;
    struct peerup_stream *s;
    char byte;
    world_open(&w, 0);
    cr_assert_eq(peerup_connect(w.client, w.server_addr, "echo", 0, &s), 0);
    int target = accept(w.target, NULL, NULL);
    struct linger hard = {.l_onoff = 1};
    cr_assert_eq(setsockopt(target, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
    close(target);
    ssize_t n = peerup_stream_read(s, &byte, 1);
    cr_assert_eq(n, -PEERUP_E_STREAM_RESET, "%zd: %s", n, peerup_error_text((int)n));
    peerup_stream_close(s);
    world_close(&w);
}

Test(peerup, a_service_that_is_not_there_is_not_offered) {
    struct world w;
    struct peerup_stream *s;
    char byte;
    world_open(&w, 0);
    cr_assert_eq(peerup_connect(w.client, w.server_addr, "absent", 0, &s), 0);
    cr_assert_eq(peerup_stream_read(s, &byte, 1), -PEERUP_E_NOT_OFFERED);
    peerup_stream_close(s);
    cr_assert_eq(peerup_connect(w.client, w.server_addr, "No Name", 0, &s), -EINVAL);
    world_close(&w);
}

Test(peerup, a_peer_that_is_not_authorized_is_refused) {
    struct world w;
    struct peerup_stream *s;
    struct peerup_ping_stats stats;
    world_open(&w, 0);
    struct peerup *stranger = open_node(&w.folder, "stranger.key", false, NULL, 0);
    int e = peerup_ping(stranger, w.server_addr, 1, 0, NULL, NULL, &stats);
    cr_assert_eq(e, -PEERUP_E_REFUSED_BY_PEER, "%s", peerup_error_text(e));
    peerup_close(stranger);

    /* And one that loses its right loses its streams. */
    char byte;
    folder_write(&w.folder, "authorized_keys", "# nobody\n");
    cr_assert_eq(peerup_connect(w.client, w.server_addr, "echo", 0, &s), 0);
    int target = accept(w.target, NULL, NULL);
    cr_assert_eq(peerup_reload_authorized_keys(w.server, NULL, 0), 0);
    cr_assert_lt(peerup_stream_read(s, &byte, 1), 0);
    peerup_stream_close(s);
    close(target);
    world_close(&w);
}

static void count_service(void *user, const struct peerup_service *s) {
    cr_assert_str_eq(s->name, "echo");
    cr_assert_str_eq(s->host, "127.0.0.1");
    (*(int *)user)++;
}

Test(peerup, services_are_listed_removed_and_not_doubled) {
    struct world w;
    int count = 0;
    world_open(&w, 0);
    static const char *const nobody[] = {"no peer ID"};
    cr_assert_eq(peerup_expose(w.server, "echo", "127.0.0.1:1", NULL, 0), -PEERUP_E_SERVICE_EXISTS);
    cr_assert_eq(peerup_expose(w.server, "other", "no port", NULL, 0), -EINVAL);
    cr_assert_eq(peerup_expose(w.server, "other", "127.0.0.1:1", nobody, 1), -PEERUP_E_BAD_PEER_ID);
    cr_assert_eq(peerup_list_services(w.server, count_service, &count), 0);
    cr_assert_eq(count, 1);
    cr_assert_eq(peerup_unexpose(w.server, "echo"), 0);
    cr_assert_eq(peerup_unexpose(w.server, "echo"), -PEERUP_E_SERVICE_NOT_FOUND);
    world_close(&w);
}

Test(peerup, names_stand_for_addresses) {
    struct world w;
    struct peerup_stream *s;
    char id[PEERUP_ID_SIZE], text[512], problem[256];
    world_open(&w, 0);
    cr_assert_eq(peerup_resolve(w.client, "home", id), -PEERUP_E_NAME_NOT_FOUND);
    cr_assert_eq(peerup_set_name(w.client, "home", "nonsense"), -PEERUP_E_NAME_NOT_FOUND);
    cr_assert_eq(peerup_set_name(w.client, "home", w.server_addr), 0);
    cr_assert_eq(peerup_set_name(w.client, "home", w.server_addr), 0);
    cr_assert_eq(peerup_resolve(w.client, "home", id), 0);
    cr_assert_str_eq(id, peerup_host_id(w.server));
    cr_assert_eq(peerup_connect(w.client, "home", "echo", 5000, &s), 0);
    close(accept(w.target, NULL, NULL));
    peerup_stream_close(s);

    (void)snprintf(text, sizeof(text), "names:\n  office: \"%s\"\n", w.server_addr);
    folder_write(&w.folder, "config.yaml", text);
    cr_assert_eq(peerup_load_names(w.client, folder_file(&w.folder, "config.yaml"), problem,
                                   sizeof(problem)),
                 0, "%s", problem);
    cr_assert_eq(peerup_resolve(w.client, "office", id), 0);
    cr_assert_str_eq(id, peerup_host_id(w.server));
    cr_assert_lt(peerup_load_names(w.client, "/nowhere.yaml", problem, sizeof(problem)), 0);
    world_close(&w);
}

static bool until_two(void *user, const struct peerup_ping *ping) {
    cr_assert_eq(ping->error, 0);
    cr_assert_eq(ping->seq, (uint64_t)++ * (int *)user);
    return ping->seq < 2;
}

Test(peerup, pings_are_counted_and_can_be_ended) {
    struct world w;
    struct peerup_ping_stats stats;
    int seen = 0;
    world_open(&w, 0);
    cr_assert_eq(peerup_ping(w.client, w.server_addr, 3, 1, NULL, NULL, &stats), 0);
    cr_assert_eq(stats.sent, 3);
    cr_assert_eq(stats.received, 3);
    cr_assert_eq(stats.loss_percent, 0);
    cr_assert_leq(stats.min_ms, stats.avg_ms);
    cr_assert_leq(stats.avg_ms, stats.max_ms);
    cr_assert_eq(peerup_ping(w.client, w.server_addr, 100, 1, until_two, &seen, &stats), 0);
    cr_assert_eq(stats.sent, 2);
    cr_assert_eq(peerup_ping(w.client, w.server_addr, 0, 1, NULL, NULL, &stats), -EINVAL);
    world_close(&w);
}

Test(peerup, streams_that_are_open_break_when_their_node_closes) {
    struct world w;
    struct peerup_stream *s;
    char byte;
    world_open(&w, 0);
    cr_assert_eq(peerup_connect(w.client, w.server_addr, "echo", 0, &s), 0);
    int target = accept(w.target, NULL, NULL);
    peerup_close(w.client);
    w.client = NULL;
    cr_assert_eq(peerup_stream_read(s, &byte, 1), -PEERUP_E_SHUTDOWN);
    cr_assert_lt(peerup_stream_write(s, &byte, 1), 0);
    peerup_stream_close(s);
    close(target);
    world_close(&w);
}

static bool admit_all(void *user, const char *peer_id) {
    (*(int *)user)++;
    cr_assert_eq(strncmp(peer_id, "12D3KooW", 8), 0);
    return true;
}

Test(peerup, a_gate_of_the_callers_own_is_asked) {
    struct folder f;
    struct peerup_options o = PEERUP_OPTIONS_INIT;
    struct peerup_ping_stats stats;
    struct peerup *server, *client;
    char addr[256];
    int asked = 0;
    folder_make(&f);
    o.key_file = folder_file(&f, "server.key");
    o.listen_addresses = LISTEN;
    o.listen_addresses_count = 1;
    o.allow = admit_all;
    o.user = &asked;
    cr_assert_eq(peerup_open(&o, &server, NULL, 0), 0);
    client = open_node(&f, "client.key", false, NULL, 0);
    cr_assert_eq(peerup_listen_address(server, 0, addr, sizeof(addr)), 0);
    cr_assert_eq(peerup_listen_address(server, 1, addr, sizeof(addr)), -ENOENT);
    cr_assert_eq(peerup_listen_address(server, 0, addr, 10), -ENOBUFS);
    cr_assert_eq(peerup_listen_address(server, 0, addr, sizeof(addr)), 0);
    cr_assert_eq(peerup_ping(client, addr, 1, 0, NULL, NULL, &stats), 0);
    cr_assert_eq(stats.received, 1);
    peerup_close(client);
    peerup_close(server);
    cr_assert_gt(asked, 0);
    folder_remove(&f);
}

Test(peerup, one_identity_is_one_exclusive_node) {
    struct folder f;
    struct peerup_options o = PEERUP_OPTIONS_INIT;
    struct peerup *second = NULL;
    char problem[256] = "";
    folder_make(&f);
    struct peerup *first = open_node(&f, "identity.key", false, NULL, PEERUP_EXCLUSIVE);
    o.key_file = folder_file(&f, "identity.key");
    o.flags = PEERUP_EXCLUSIVE;
    cr_assert_eq(peerup_open(&o, &second, problem, sizeof(problem)), -PEERUP_E_IN_USE);
    cr_assert_neq(problem[0], '\0');
    o.key_file = NULL;
    cr_assert_eq(peerup_open(&o, &second, problem, sizeof(problem)), -EINVAL);
    cr_assert_null(second);
    peerup_close(first);
    folder_remove(&f);
}

/* No thread: the test's own loop with poll(2). */
Test(peerup, the_callers_loop_needs_one_descriptor_and_one_function) {
    struct world w;
    struct peerup_stream *s;
    char got[16];
    ssize_t n;
    world_open(&w, PEERUP_CALLERS_LOOP);
    cr_assert_eq(peerup_connect(w.client, w.server_addr, "echo", 0, &s), 0);
    cr_assert_eq(peerup_poll_fd(w.server), -EINVAL);
    int target = -1;
    cr_assert_eq(peerup_stream_write(s, "ping", 4), 4);
    cr_assert_eq(peerup_stream_read(s, got, sizeof(got)), -EAGAIN);

    struct pollfd fds[] = {
        {.fd = peerup_poll_fd(w.client), .events = POLLIN},
        {.fd = peerup_stream_fd(s), .events = POLLIN},
        {.fd = w.target, .events = POLLIN},
    };
    while ((n = peerup_stream_read(s, got, sizeof(got))) == -EAGAIN) {
        cr_assert_geq(poll(fds, target < 0 ? 3 : 2, peerup_poll_timeout_ms(w.client)), 0);
        cr_assert_geq(peerup_run(w.client), 0);
        if (target < 0 && (fds[2].revents & POLLIN)) {
            target = accept(w.target, NULL, NULL);
            cr_assert_eq(send(target, "pong", 4, 0), 4);
        }
    }
    cr_assert_eq(n, 4);
    cr_assert_arr_eq(got, "pong", 4);
    peerup_stream_close(s);
    close(target);
    world_close(&w);
}

struct user {
    struct world *w;
    int failures;
};

static void *use(void *context) {
    struct user *u = context;
    for (int i = 0; i < 20; i++) {
        struct peerup_stream *s;
        char byte = 0;
        if (peerup_connect(u->w->client, u->w->server_addr, "echo", 0, &s) != 0) {
            u->failures++;
            continue;
        }
        if (peerup_stream_write(s, "x", 1) != 1 || peerup_stream_shutdown_write(s) != 0 ||
            peerup_stream_read(s, &byte, 1) != 1 || byte != 'x')
            u->failures++;
        peerup_stream_close(s);
    }
    return NULL;
}

static void *echo(void *context) {
    struct world *w = context;
    for (int i = 0; i < 80; i++) {
        char byte;
        int fd = accept(w->target, NULL, NULL);
        if (recv(fd, &byte, 1, 0) == 1)
            (void)!send(fd, &byte, 1, MSG_NOSIGNAL);
        close(fd);
    }
    return NULL;
}

Test(peerup, many_threads_may_use_one_node) {
    struct world w;
    struct user users[4];
    pthread_t threads[4], server;
    world_open(&w, 0);
    cr_assert_eq(pthread_create(&server, NULL, echo, &w), 0);
    for (size_t i = 0; i < 4; i++) {
        users[i] = (struct user){.w = &w};
        cr_assert_eq(pthread_create(&threads[i], NULL, use, &users[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        cr_assert_eq(users[i].failures, 0, "thread %zu", i);
    }
    pthread_join(server, NULL);
    world_close(&w);
}
