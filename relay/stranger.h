/* SPDX-License-Identifier: MIT */
#pragma once

/* Ourselves as a stranger: dials peers back for AutoNAT's servers from another port and under
 * another identity, so that neither the hole of a connection that the peer has with us nor a right
 * that it gave us makes the dial succeed.
 *
 *   stranger_dial() .. done(), or stranger_dial_cancel()
 *
 * It is a host of its own that listens nowhere, with a key that is made anew at each start.  Each
 * dial is a new connection, which is closed behind it.
 *
 * Spec:    libp2p AutoNAT v1 and v2, "dial-back".
 * Memory:  a host; struct stranger_dial has about 11 KiB.
 * Thread:  the reactor's.  done() comes from the end of a turn, never from inside a call. */

#include "relay/proto/autonat_server.h"
#include "transport/direct_dial.h"

/* What it can dial, as a set of enum multiaddr_kind. */
enum {
    STRANGER_KINDS = 1 << MULTIADDR_KIND_TCP | 1 << MULTIADDR_KIND_WS | 1 << MULTIADDR_KIND_QUIC
};

struct reactor;
struct stranger;
struct stream;

/* -ENOMEM, -ERR_CRYPTO */
NODISCARD int stranger_new(struct reactor *r, struct stranger **ret_stranger);
/* Dials that are pending must have been cancelled.  Ends in `closed`, after which it may be freed.
 */
void stranger_close(struct stranger *s, void (*closed)(void *user), void *user);
/* Accepts NULL, returns NULL. */
struct stranger *stranger_free(struct stranger *s);

/* For tests, and for labs: whom it dials with. */
struct host *stranger_host(struct stranger *s);

enum stranger_dial_state { STRANGER_IDLE, STRANGER_DIALLING, STRANGER_SAYING };

/* Embedded by its owner; fields are the module's. */
struct stranger_dial {
    struct stranger *stranger;
    enum stranger_dial_state state;
    struct direct_dial dial;
    struct timer timer;
    struct stream *stream; /* the dial-back's */
    bool has_nonce;
    uint64_t nonce;
    struct multiaddr reached; /* when done() says OK: the address */
    void (*done)(struct stranger_dial *d, enum autonat_dial_status status);
};

struct stranger_dial_config {
    const struct peer_id *peer;
    const struct multiaddr *addrs; /* at once; the first that stands counts */
    size_t addrs_count;            /* up to DIRECT_DIAL_ADDRS_MAX */
    nsec_t timeout;                /* for the connection */
    bool has_nonce;                /* v2: it is said on a dial-back, and an answer is waited for */
    uint64_t nonce;
};

/* The status is
 *   AUTONAT_DIAL_OK           the peer was there and, of v2, took the nonce
 *   AUTONAT_DIAL_E_DIAL_BACK  it was there and did not, or for want of a way we cannot tell (there
 *                             is no route from here, no memory): which is no verdict
 *   AUTONAT_DIAL_E_DIAL       else
 *   -ENOMEM  done() will not come */
NODISCARD int stranger_dial(struct stranger *s, struct stranger_dial *d,
                            const struct stranger_dial_config *cfg,
                            void (*done)(struct stranger_dial *d, enum autonat_dial_status status));
/* Harmless when it is not pending and all zeros. */
void stranger_dial_cancel(struct stranger_dial *d);
