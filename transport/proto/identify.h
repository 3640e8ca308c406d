/* SPDX-License-Identifier: MIT */
#pragma once

/* Identify and identify/push: who we are, what we speak, where we listen.
 *
 *   writing   identify_encode() makes the one message; the driver writes it and half-closes.
 *   reading   struct identify_reader takes the peer's bytes until their end:
 *
 *             bytes in -> identify_reader_recv(), _recv_end()
 *             events  <- identify_reader_next_event()      time -> _tick() at _deadline()
 *
 * The stream's acceptor writes on /ipfs/id/1.0.0, its opener on /ipfs/id/push/1.0.0; a push is the
 * complete state and replaces what was known, absent lists too.
 *
 * Spec:    libp2p identify; limits of go-libp2p for reading, of rust-libp2p (one message of 4,096
 *          bytes) for writing.
 * Memory:  the reader takes what messages announce, IDENTIFY_READ_MAX at most, and gives it back in
 *          identify_reader_done().
 * Thread:  one at a time.
 */

#include "core/base/bytes.h"
#include "core/base/frame.h"
#include "core/base/time.h"
#include "core/p2p/multiaddr.h"
#include "core/p2p/peer_id.h"

struct identity;
struct mem;

enum {
    /* go splits beyond this into two messages, of which rust reads only the first. */
    IDENTIFY_WRITE_WANTED = 2048,
    /* rust refuses more. */
    IDENTIFY_WRITE_MAX = 4096,
    /* With the length in front. */
    IDENTIFY_OUT_MAX = IDENTIFY_WRITE_MAX + 2,
    /* As many addresses are worth a message beyond IDENTIFY_WRITE_WANTED. */
    IDENTIFY_ADDRS_KEPT = 8,

    IDENTIFY_MESSAGE_MAX = 8192, /* go's and js's limit for reading */
    IDENTIFY_MESSAGES_MAX = 9,   /* go fails at the tenth */
    IDENTIFY_READ_MAX = IDENTIFY_MESSAGES_MAX * IDENTIFY_MESSAGE_MAX,

    /* What identify_next_...() give at most; the rest is dropped, as in go. */
    IDENTIFY_PROTOCOLS_MAX = 1024,
    IDENTIFY_ADDRS_MAX = 500,
    IDENTIFY_PROTOCOL_BYTES_MAX = 1023, /* no longer name fits a multistream frame */

    IDENTIFY_AGENT_SIZE = 128, /* of the text that is kept, NUL included */
};

/* For the whole exchange, as in go-libp2p and js. */
#define IDENTIFY_TIMEOUT SEC(5)

/* --- writing --------------------------------------------------------------------------------- */

struct identify_info {
    const struct identity *identity;
    const struct multiaddr *addrs; /* best first: see identify_sort_addrs(); without /p2p */
    size_t addrs_count;
    const char *const *protocols; /* those with a handler, the most wanted first */
    size_t protocols_count;
    const struct multiaddr *observed; /* the peer's address as we see it; NULL: none */
    const char *protocol_version;     /* may be empty */
    const char *agent;                /* "peerup/1.2.3" */
    uint64_t record_seq;              /* of the signed record; must grow with each change */
};

/* Sorts in the order in which addresses are worth keeping: public, private, loopback; within that
 * QUIC, TCP, secure WebSocket, WebTransport, WebRTC, others.  Equal ones keep their order. */
void identify_sort_addrs(struct multiaddr *addrs, size_t addrs_count);

/* Writes length and message.  The first IDENTIFY_ADDRS_KEPT addresses are in it and in the signed
 * record, then as many protocols as IDENTIFY_WRITE_MAX allows, then as many more addresses as
 * IDENTIFY_WRITE_WANTED does.  Returns the bytes written;
 *   -ERR_LIMIT   agent and version are too long
 *   -ERR_CRYPTO  the record could not be signed */
NODISCARD ssize_t identify_encode(const struct identify_info *info,
                                  uint8_t ret_out[IDENTIFY_OUT_MAX]);

/* --- reading --------------------------------------------------------------------------------- */

/* A merged message; borrows from the reader, until identify_reader_done(). */
struct identify_message {
    struct bytes merged;
    struct bytes record;             /* the signed envelope; empty: none */
    struct bytes observed;           /* our address, undecoded; empty: none */
    char agent[IDENTIFY_AGENT_SIZE]; /* cut; bytes that are not printable ASCII are '?' */
};

/* A walk over one of a message's lists. */
struct identify_walk {
    struct bytes left;
    size_t given;
    bool in_record;
};

struct identify_walk identify_protocols(const struct identify_message *m);

/* The next name, never empty; false at the end. */
bool identify_next_protocol(struct identify_walk *w, struct bytes *ret_name);

/* Whether the peer says that it speaks a protocol. */
bool identify_has_protocol(const struct identify_message *m, const char *name);

/* The addresses of the proved peer `peer`: those of its signed record; none when the record speaks
 * for another peer; the unsigned ones when there is no record that can be read and verified (rust's
 * are of another domain). */
struct identify_walk identify_addrs(const struct identify_message *m, const struct peer_id *peer);

/* The next address; undecodable ones are skipped.  false at the end. */
bool identify_next_addr(struct identify_walk *w, struct multiaddr *ret_addr);

enum identify_event_type { IDENTIFY_EV_MESSAGE, IDENTIFY_EV_FAILED };

struct identify_event {
    enum identify_event_type type;
    struct identify_message message;
    /* Reset the stream, keep the connection:
     * -ERR_LIMIT      a message or their number beyond the limits
     * -ERR_MALFORMED  not framed protobuf
     * -ERR_TRUNCATED  the bytes ended inside a message, or without any
     * -ETIMEDOUT, -ENOMEM */
    int error;
};

/* Embedded by its owner; fields are the engine's. */
struct identify_reader {
    struct mem *mem;
    uint8_t *data; /* whole messages, then the one being read: joined, messages are merged */
    size_t len;
    size_t message_start;
    struct frame_len message_len;
    uint8_t messages_count;
    bool in_message; /* its length is known */
    uint8_t state;
    bool has_event;
    int error;
    nsec_t deadline;
    nsec_t now;
};

void identify_reader_init(struct identify_reader *r, struct mem *mem, nsec_t now);

/* Frees; a message that it gave is invalid then. */
void identify_reader_done(struct identify_reader *r);

/* Takes everything.  Harmless after the last event. */
void identify_reader_recv(struct identify_reader *r, struct bytes in, nsec_t now);

/* The peer half-closed: what came is the message. */
void identify_reader_recv_end(struct identify_reader *r, nsec_t now);

/* One event in all; false when there is none. */
bool identify_reader_next_event(struct identify_reader *r, struct identify_event *ret_event);

/* NSEC_NEVER after the end. */
nsec_t identify_reader_deadline(const struct identify_reader *r);

/* Early calls are harmless. */
void identify_reader_tick(struct identify_reader *r, nsec_t now);
