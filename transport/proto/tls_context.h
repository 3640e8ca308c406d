/* SPDX-License-Identifier: MIT */
#pragma once

/* What TLS on a link (transport/proto/tls.h) and TLS inside QUIC (transport/proto/quic_tls.h) have
 * in common: suites, groups, our certificate, and the judgement of the peer's.
 *
 * Both sides show one certificate with the libp2p extension, no names, no tickets, no early data.
 *
 *   struct tls_context  our certificate in two library contexts; one a host
 *   struct tls_judge    what a handshake finds out about the peer, embedded in its session
 *
 * Spec:   libp2p tls.md.  Thread: the reactor's; several hosts share nothing. */

#include "core/base/problem.h"
#include "core/base/time.h"
#include "core/p2p/peer_id.h"
#include "transport/proto/tls_cert.h"

struct mem;
struct tls_context;
struct WOLFSSL;

/* TLS alerts that we send or tell apart; RFC 8446 section 6. */
enum tls_alert {
    TLS_ALERT_CLOSE_NOTIFY = 0,
    TLS_ALERT_UNEXPECTED_MESSAGE = 10,
    TLS_ALERT_BAD_RECORD_MAC = 20,
    TLS_ALERT_RECORD_OVERFLOW = 22,
    TLS_ALERT_HANDSHAKE_FAILURE = 40,
    TLS_ALERT_BAD_CERTIFICATE = 42,
    TLS_ALERT_ILLEGAL_PARAMETER = 47,
    TLS_ALERT_UNKNOWN_CA = 48,
    TLS_ALERT_ACCESS_DENIED = 49,
    TLS_ALERT_DECODE_ERROR = 50,
    TLS_ALERT_INTERNAL_ERROR = 80,
    TLS_ALERT_USER_CANCELED = 90,
    TLS_ALERT_NO_APPLICATION_PROTOCOL = 120,
};

/* Our certificate in two library contexts; one a host.  The certificate is copied into them.
 * -ENOMEM, -ERR_CRYPTO */
NODISCARD int tls_context_new(struct mem *mem, const struct tls_cert *cert,
                              struct tls_context **ret_context);
/* No session may be left.  Accepts NULL, returns NULL. */
struct tls_context *tls_context_free(struct tls_context *t);

struct tls_judge {
    struct peer_id expected; /* none: anybody */
    walltime_t now;          /* at the start of the handshake */
    bool judged;             /* the peer's certificate was seen, and ... */
    int verdict;             /* 0, -ERR_BAD_CERTIFICATE or -ERR_PEER_ID_MISMATCH */
    enum tls_cert_fault fault;
    struct peer_id peer; /* whom the certificate proves; also after a mismatch */
};

/* `expected` is copied; NULL: anybody. */
void tls_judge_init(struct tls_judge *j, const struct peer_id *expected, walltime_t now);

/* The alert that tells the peer what was wrong with its certificate. */
uint8_t tls_judge_alert(const struct tls_judge *j);

/* The sentence about a verdict that is not 0; returns the verdict. */
int tls_judge_explain(const struct tls_judge *j, struct problem *ret_problem);

/* A library object for one handshake, which asks `j` about the peer; it must stay in place.  `alpn`
 * are names in the order of preference, with commas between.  wolfSSL_free() ends it.
 * -ENOMEM, -ERR_CRYPTO */
NODISCARD int tls_context_open(struct tls_context *t, bool server, const char *alpn,
                               struct tls_judge *j, struct WOLFSSL **ret_ssl);

/* Reads the roots that tls_context_open_web() trusts from this file (PEM) and no longer from the
 * system's.  -ENOMEM, -ENOENT (no certificate could be read: nothing has changed) */
NODISCARD int tls_context_trust(struct tls_context *t, const char *file);

/* The same for a client of a web server that must prove to be `host`, a name.  The first call
 * reads the system's roots, which takes some milliseconds.
 * -ENOMEM, -ERR_CRYPTO, -ENOENT (no roots), -ERR_UNSUPPORTED (an address) */
NODISCARD int tls_context_open_web(struct tls_context *t, const char *host,
                                   struct WOLFSSL **ret_ssl);
