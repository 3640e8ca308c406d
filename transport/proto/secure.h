/* SPDX-License-Identifier: MIT */
#pragma once

/* A secure channel: the handshake that proves who is at the other end of a link, and the records
 * after it.  The interface of two engines, transport/proto/noise.h and transport/proto/tls.h; what
 * drives them (transport/secure_link.h) cannot tell them apart.
 *
 *   handshake  bytes in  -> secure_recv()     bytes out <- secure_pull()
 *              until `state` is SECURE_OPEN or SECURE_FAILED
 *   records    secure_body_size() tells how long the next one's body is, secure_open() opens its
 * body where it lies; secure_seal() makes one.  What the engine itself has to say (an alert, a key
 * update) comes from secure_pull(), which is asked after each call.
 *
 * No I/O, no clock, no callbacks.  The time is given at the start, for certificates; how long a
 * handshake may take is the driver's.  Thread: one at a time. */

#include "core/base/bytes.h"
#include "core/base/problem.h"
#include "core/p2p/peer_id.h"

struct secure;

enum secure_state {
    SECURE_HANDSHAKE,
    SECURE_OPEN,   /* `peer` is proved.  An initiator does not know yet whether it is wanted: the
                      first record that it opens tells */
    SECURE_ENDED,  /* the peer closed in an orderly way (close_notify): nothing follows */
    SECURE_FAILED, /* `error` and `problem` say why; what secure_pull() still gives (an alert) is
                      sent, then the link is closed */
};

enum {
    SECURE_HEADER_MAX = 5,
    /* The largest body of a record of any engine, tag included: a slab holds it. */
    SECURE_BODY_MAX = 65535,
    /* What secure_pull() can give at once. */
    SECURE_PULL_MAX = 16 << 10,
};

struct secure_ops {
    const char *protocol; /* "/noise", "/tls/1.0.0" */
    /* How many bytes of a record tell its length; plaintext of a sealed record begins behind as
     * many. */
    size_t header_bytes;
    size_t overhead_max; /* bytes that secure_seal() adds at most */
    size_t plain_max;    /* bytes of plaintext in one record of ours */

    size_t (*recv)(struct secure *s, struct bytes in);
    size_t (*pull)(struct secure *s, void *out, size_t size);
    ssize_t (*body_size)(struct secure *s, const uint8_t *header);
    int (*open)(struct secure *s, const uint8_t *header, uint8_t *body, size_t body_len,
                struct bytes *ret_plain);
    size_t (*seal)(struct secure *s, struct bytes plain, uint8_t *out);
    void (*close)(struct secure *s);
    void (*free)(struct secure *s);
};

/* Embedded first by each engine's own struct.  Users read, engines write. */
struct secure {
    const struct secure_ops *ops;
    enum secure_state state;
    int error; /* -ERR_HANDSHAKE, -ERR_BAD_CERTIFICATE, -ERR_BAD_SIGNATURE, -ERR_PEER_ID_MISMATCH,
                  -ERR_PROTOCOL_VIOLATION, -ERR_GATED (an alert that says so), -ENOMEM ... */
    struct problem problem;
    struct peer_id peer; /* from SECURE_OPEN on; after a mismatch, whom we met */
    const char *muxer;   /* agreed in the handshake; NULL: multistream-select chooses it inside */
};

/* Handshake: takes bytes and returns how many.  Bytes behind the last message of the handshake are
 * left, they are records; so are bytes behind a message that must be answered first. */
NODISCARD static inline size_t secure_recv(struct secure *s, struct bytes in) {
    return s->ops->recv(s, in);
}

/* Copies what is to be sent before anything else, in any state; returns the length, 0 for nothing.
 */
NODISCARD static inline size_t secure_pull(struct secure *s, void *out, size_t size) {
    return s->ops->pull(s, out, size);
}

/* The length of the body that follows these header_bytes, at most SECURE_BODY_MAX.
 * -ERR_PROTOCOL_VIOLATION: the channel has failed */
NODISCARD static inline ssize_t secure_body_size(struct secure *s, const uint8_t *header) {
    return s->ops->body_size(s, header);
}

/* Opens one whole record in place.  The plaintext lies inside the body, and may be empty.  The
 * header may lie elsewhere: with it, go's largest Noise frame would be a byte too long for a slab.
 *   -ENODATA  the peer closed: nothing follows
 *   other     the channel has failed */
NODISCARD static inline int secure_open(struct secure *s, const uint8_t *header, uint8_t *body,
                                        size_t body_len, struct bytes *ret_plain) {
    return s->ops->open(s, header, body, body_len, ret_plain);
}

/* Writes one record of `plain`, 1 to plain_max bytes, to `out`, which has room for overhead_max
 * more; returns its length, 0 when the channel has failed (its keys are used up).  The plaintext
 * may lie at out + header_bytes, where it is sealed in place; else it must not overlap and is not
 * changed. */
NODISCARD static inline size_t secure_seal(struct secure *s, struct bytes plain, uint8_t *out) {
    return s->ops->seal(s, plain, out);
}

/* Says goodbye, where the protocol has a word for it: secure_pull() follows. */
static inline void secure_close(struct secure *s) {
    s->ops->close(s);
}

/* Wipes all secrets.  Accepts NULL, returns NULL. */
static inline struct secure *secure_free(struct secure *s) {
    if (s != NULL)
        s->ops->free(s);
    return NULL;
}
