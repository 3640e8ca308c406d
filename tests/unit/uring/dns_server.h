/* SPDX-License-Identifier: MIT */
#pragma once

/* A name server on loopback, over UDP and TCP on one port, that a test turns by hand. */

#include "core/base/bytes.h"

enum { DNS_MESSAGE_MAX = 4096 };

struct dns_server {
    int udp;
    int listener;
    int tcp; /* the last connection; -1: none */
    char address[32];
    unsigned questions; /* over UDP */
    unsigned tcp_questions;
    bool is_silent;
    bool is_garbled;
    bool truncates; /* answers over UDP are cut, so that TCP is asked */
};

void dns_server_open(struct dns_server *s);
void dns_server_close(struct dns_server *s);
/* Answers what has arrived. */
void dns_server_turn(struct dns_server *s);
