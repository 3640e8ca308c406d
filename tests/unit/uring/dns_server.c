/* SPDX-License-Identifier: MIT */
#include "dns_server.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TYPE_A = 1, TYPE_TXT = 16, TYPE_AAAA = 28, HEADER_BYTES = 12 };

/* What the server knows.  A text with a bar is two strings of one record. */
static const struct record {
    const char *name;
    int type;
    const char *value;
} RECORDS[] = {
    {"both.test", TYPE_A, "192.0.2.1"}, {"both.test", TYPE_AAAA, "2001:db8::1"},
    {"four.test", TYPE_A, "192.0.2.4"}, {"six.test", TYPE_AAAA, "2001:db8::6"},
    {"text.test", TYPE_TXT, "one"},     {"text.test", TYPE_TXT, "two |parts"},
    {"many.test", TYPE_A, "192.0.2.1"}, {"many.test", TYPE_A, "192.0.2.2"},
    {"many.test", TYPE_A, "192.0.2.3"}, {"many.test", TYPE_A, "192.0.2.4"},
    {"many.test", TYPE_A, "192.0.2.5"}, {"many.test", TYPE_A, "192.0.2.6"},
    {"many.test", TYPE_A, "192.0.2.7"}, {"many.test", TYPE_A, "192.0.2.8"},
    {"many.test", TYPE_A, "192.0.2.9"},
};

/* false: the port that UDP was given is taken for TCP. */
static bool open_sockets(struct dns_server *s) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(s->udp, (struct sockaddr *)&at, len), 0);
    cr_assert_eq(getsockname(s->udp, (struct sockaddr *)&at, &len), 0);
    (void)snprintf(s->address, sizeof(s->address), "127.0.0.1:%u", ntohs(at.sin_port));
    if (bind(s->listener, (struct sockaddr *)&at, len) == 0)
        return listen(s->listener, 4) == 0;
    close(s->udp);
    close(s->listener);
    return false;
}

void dns_server_open(struct dns_server *s) {
    int attempts = 0;
    *s = (struct dns_server){.tcp = -1};
    while (!open_sockets(s))
        cr_assert(++attempts < 100, "no port is free");
}

void dns_server_close(struct dns_server *s) {
    close(s->udp);
    close(s->listener);
    if (s->tcp >= 0)
        close(s->tcp);
}

static size_t put_record(uint8_t *out, const struct record *r) {
    static const uint8_t head[] = {0xc0, HEADER_BYTES, 0, 0, 0, 1, 0, 0, 0, 60};
    uint8_t *data = out + sizeof(head) + 2;
    size_t len = 0;
    memcpy(out, head, sizeof(head));
    out[3] = (uint8_t)r->type;
    if (r->type == TYPE_TXT) {
        for (const char *part = r->value; *part != '\0';) {
            size_t n = strcspn(part, "|");
            data[len++] = (uint8_t)n;
            memcpy(data + len, part, n);
            len += n;
            part += n + (part[n] == '|');
        }
    } else {
        cr_assert_eq(inet_pton(r->type == TYPE_A ? AF_INET : AF_INET6, r->value, data), 1);
        len = r->type == TYPE_A ? 4 : 16;
    }
    out[sizeof(head)] = 0;
    out[sizeof(head) + 1] = (uint8_t)len;
    return sizeof(head) + 2 + len;
}

/* The question's name in dots, and where it ends. */
static size_t read_name(const uint8_t *in, char *out) {
    size_t at = HEADER_BYTES;
    size_t n = 0;
    while (in[at] != 0) {
        memcpy(out + n, in + at + 1, in[at]);
        n += in[at];
        out[n++] = '.';
        at += in[at] + 1u;
    }
    out[n - (n > 0)] = '\0';
    return at + 1;
}

static size_t answer(const struct dns_server *s, const uint8_t *in, bool cut, uint8_t *out) {
    char name[256];
    size_t len = read_name(in, name) + 4;
    int type = in[len - 3];
    bool known = false;
    memcpy(out, in, len);
    out[2] = 0x81; /* an answer, recursion desired */
    out[3] = 0x80;
    memset(out + 6, 0, 6);
    if (s->is_garbled) {
        memset(out + 4, 0xff, len - 4);
        return len;
    }
    for (size_t i = 0; i < sizeof(RECORDS) / sizeof(*RECORDS); i++) {
        if (strcasecmp(RECORDS[i].name, name) != 0)
            continue;
        known = true;
        if (RECORDS[i].type == type && !cut) {
            len += put_record(out + len, &RECORDS[i]);
            out[7]++;
        }
    }
    if (cut)
        out[2] |= 2;
    if (!known)
        out[3] |= 3;
    return len;
}

static void turn_tcp(struct dns_server *s) {
    uint8_t in[2 + DNS_MESSAGE_MAX];
    uint8_t out[2 + DNS_MESSAGE_MAX];
    if (s->tcp < 0)
        s->tcp = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (s->tcp < 0)
        return;
    ssize_t n = recv(s->tcp, in, sizeof(in), 0);
    if (n == 0) {
        close(s->tcp);
        s->tcp = -1;
    }
    for (ssize_t at = 0; n > 0 && at + 2 < n; at += 2 + (in[at] << 8 | in[at + 1])) {
        s->tcp_questions++;
        size_t len = answer(s, in + at + 2, false, out + 2);
        out[0] = (uint8_t)(len >> 8);
        out[1] = (uint8_t)len;
        cr_assert_eq(send(s->tcp, out, len + 2, 0), (ssize_t)len + 2);
    }
}

void dns_server_turn(struct dns_server *s) {
    uint8_t in[DNS_MESSAGE_MAX];
    uint8_t out[DNS_MESSAGE_MAX];
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    ssize_t n;
    while ((n = recvfrom(s->udp, in, sizeof(in), 0, (struct sockaddr *)&from, &from_len)) > 0) {
        s->questions++;
        if (s->is_silent)
            continue;
        size_t len = answer(s, in, s->truncates, out);
        (void)sendto(s->udp, out, len, 0, (struct sockaddr *)&from, from_len);
    }
    turn_tcp(s);
}
