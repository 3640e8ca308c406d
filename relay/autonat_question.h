/* SPDX-License-Identifier: MIT */
#pragma once

/* One question to an AutoNAT v2 server (relay/proto/autonat_probe.h): a stream to a peer that is
 * connected, and the dial-back that answers it.
 *
 * The stream goes over a direct connection, one that we dialled if there is one: a relayed one
 * shows the server nobody to dial, and rust's answers on no other.
 *
 * Spec:    libp2p AutoNAT v2.
 * Memory:  about 13 KiB.
 * Thread:  the reactor's.  done() comes from the end of a turn, never from inside a call. */

#include "core/p2p/peer_id.h"
#include "relay/proto/autonat_probe.h"

struct autonat_question;
struct dial_backs;
struct host;
struct reactor;

struct autonat_question_config {
    struct reactor *reactor;
    struct host *host;             /* outlives this */
    struct dial_backs *dial_backs; /* outlives this */
    const struct peer_id *server;
    const struct multiaddr *addrs; /* as for autonat_probe_init() */
    size_t addrs_count;
    /* Once; frees the question, then or later. */
    void (*done)(void *user, const struct autonat_result *result);
    void *user;
};

/* -ENOMEM */
NODISCARD int autonat_question_new(const struct autonat_question_config *cfg,
                                   struct autonat_question **ret_question);
/* Gives it up.  Accepts NULL, returns NULL. */
struct autonat_question *autonat_question_free(struct autonat_question *q);
