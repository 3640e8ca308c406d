/* SPDX-License-Identifier: MIT */

/* Both ends of a tunnel in one program: a node that exposes a TCP service of this machine, and a
 * node that reaches it.  In earnest they are two programs on two machines.
 *
 *   tunnel FOLDER     keys are kept in the folder
 */

#include <arpa/inet.h>
#include <peerup/peerup.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- A TCP service like any other: it knows nothing of peerup --- */

static void *greet(void *context) {
    int client = accept(*(int *)context, NULL, NULL);
    char name[64];
    ssize_t len = recv(client, name, sizeof(name), 0);
    if (len > 0) {
        (void)send(client, "hello, ", 7, MSG_NOSIGNAL);
        (void)send(client, name, (size_t)len, MSG_NOSIGNAL);
    }
    close(client);
    return NULL;
}

static int service_start(char *address, size_t size, int *listener, pthread_t *thread) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    *listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(*listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(*listener, 1) < 0 ||
        getsockname(*listener, (struct sockaddr *)&a, &len) < 0)
        return -1;
    snprintf(address, size, "127.0.0.1:%u", ntohs(a.sin_port));
    return pthread_create(thread, NULL, greet, listener);
}

/* --- The two nodes --- */

static bool allow(void *user, const char *peer_id) {
    return strcmp(peer_id, user) == 0;
}

static struct peerup *node_open(const char *folder, const char *key, const char *allowed_peer) {
    static const char *const listen_addresses[] = {"/ip4/127.0.0.1/udp/0/quic-v1"};
    struct peerup_options options = PEERUP_OPTIONS_INIT;
    struct peerup *p;
    char key_file[512], problem[256];

    snprintf(key_file, sizeof(key_file), "%s/%s", folder, key);
    options.key_file = key_file;
    if (allowed_peer != NULL) {
        options.listen_addresses = listen_addresses;
        options.listen_addresses_count = 1;
        options.allow = allow;
        options.user = (void *)allowed_peer;
    }
    if (peerup_open(&options, &p, problem, sizeof(problem)) < 0) {
        fprintf(stderr, "%s\n", problem);
        return NULL;
    }
    return p;
}

static int talk(struct peerup *client, const char *address) {
    struct peerup_stream *s;
    char answer[64];
    ssize_t n;

    int e = peerup_connect(client, address, "greeting", 0, &s);
    if (e < 0) {
        fprintf(stderr, "connect: %s\n", peerup_error_text(e));
        return e;
    }
    if (peerup_stream_write(s, "world", 5) == 5 && peerup_stream_shutdown_write(s) == 0) {
        while ((n = peerup_stream_read(s, answer, sizeof(answer))) > 0)
            fwrite(answer, 1, (size_t)n, stdout);
        if (n < 0)
            fprintf(stderr, "read: %s\n", peerup_error_text((int)n));
        e = (int)n;
    }
    peerup_stream_close(s);
    printf("\n");
    return e;
}

int main(int argc, char **argv) {
    char service[64], address[256];
    struct peerup_ping_stats stats;
    pthread_t thread;
    int listener;

    if (argc != 2 || service_start(service, sizeof(service), &listener, &thread) != 0)
        return 2;
    struct peerup *client = node_open(argv[1], "client.key", NULL);
    struct peerup *server =
        client == NULL ? NULL : node_open(argv[1], "server.key", peerup_host_id(client));
    if (server == NULL)
        return 1;

    int e = peerup_expose(server, "greeting", service, NULL, 0);
    if (e == 0)
        e = peerup_listen_address(server, 0, address, sizeof(address));
    if (e == 0) {
        printf("libpeerup %s\n%s\n", peerup_version(), address);
        e = peerup_ping(client, address, 3, 10, NULL, NULL, &stats);
    }
    if (e == 0) {
        printf("%.0f of %.0f pings answered\n", (double)stats.received, (double)stats.sent);
        e = talk(client, address);
    }
    if (e < 0)
        fprintf(stderr, "%s\n", peerup_error_text(e));
    else
        pthread_join(thread, NULL);
    peerup_close(server); /* first: it compares peers with the client's ID */
    peerup_close(client);
    close(listener);
    return e < 0;
}
