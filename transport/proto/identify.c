/* SPDX-License-Identifier: MIT */
#include "transport/proto/identify.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/p2p/envelope.h"
#include "core/p2p/identity.h"
#include "core/p2p/pb.h"

enum field {
    FIELD_PUBLIC_KEY = 1,
    FIELD_LISTEN_ADDR = 2,
    FIELD_PROTOCOL = 3,
    FIELD_OBSERVED_ADDR = 4,
    FIELD_PROTOCOL_VERSION = 5,
    FIELD_AGENT = 6,
    FIELD_RECORD = 8,
};

/* --- writing --------------------------------------------------------------------------------- */

static bool is_loopback(const struct multiaddr *a) {
    static const uint8_t ip6_loopback[16] = {[15] = 1};
    struct bytes left = multiaddr_bytes(a);
    struct multiaddr_part part;

    while (multiaddr_next(&left, &part)) {
        if (part.code == MULTIADDR_IP4)
            return part.value.data[0] == 127;
        if (part.code == MULTIADDR_IP6)
            return bytes_equal(part.value, BYTES_OF(ip6_loopback));
        if (part.code != MULTIADDR_IP6ZONE)
            return false;
    }
    return false;
}

/* What the address is dialled with: the last part that tells, before a relay's ID. */
static unsigned transport_score(const struct multiaddr *a) {
    static const struct {
        uint32_t code;
        unsigned score;
    } scores[] = {
        {MULTIADDR_QUIC_V1, 5},      {MULTIADDR_TCP, 4},           {MULTIADDR_WSS, 3},
        {MULTIADDR_WEBTRANSPORT, 2}, {MULTIADDR_WEBRTC_DIRECT, 1},
    };
    struct bytes left = multiaddr_bytes(a);
    struct multiaddr_part part;
    unsigned score = 0;

    while (multiaddr_next(&left, &part) && part.code != MULTIADDR_P2P)
        for (size_t i = 0; i < ARRAY_COUNT(scores); i++)
            if (part.code == scores[i].code)
                score = scores[i].score;
    return score;
}

static unsigned addr_score(const struct multiaddr *a) {
    unsigned place = 2;
    if (multiaddr_class(a) == MULTIADDR_PUBLIC)
        place = 3;
    else if (is_loopback(a))
        place = 1;
    return place * 8 + transport_score(a);
}

void identify_sort_addrs(struct multiaddr *addrs, size_t addrs_count) {
    /* By insertion: stable, and the lists are short and nearly sorted. */
    for (size_t i = 1; i < addrs_count; i++) {
        struct multiaddr a = addrs[i];
        unsigned score = addr_score(&a);
        size_t at = i;
        for (; at > 0 && addr_score(&addrs[at - 1]) < score; at--)
            addrs[at] = addrs[at - 1];
        addrs[at] = a;
    }
}

/* The signed record with the first `count` addresses: an envelope of key, type, payload and
 * signature around peer ID, sequence number and addresses. */
static size_t record_size(const struct identify_info *info, const struct public_key *key,
                          size_t count) {
    size_t payload = pb_bytes_size(1, info->identity->id.len);
    if (info->record_seq != 0)
        payload += pb_uint_size(2, info->record_seq);
    for (size_t i = 0; i < count; i++)
        payload += pb_bytes_size(3, pb_bytes_size(1, info->addrs[i].len));
    return pb_bytes_size(1, key->len) + pb_bytes_size(2, ENVELOPE_TYPE_PEER_RECORD.len) +
           pb_bytes_size(3, payload) + pb_bytes_size(5, ED25519_SIGNATURE_BYTES);
}

/* How many of the first addresses and protocols are in a message. */
struct counts {
    size_t addrs;
    size_t protocols;
};

static size_t message_size(const struct identify_info *info, const struct public_key *key,
                           struct counts n) {
    size_t size = pb_bytes_size(FIELD_PUBLIC_KEY, key->len) +
                  pb_bytes_size(FIELD_PROTOCOL_VERSION, strlen(info->protocol_version)) +
                  pb_bytes_size(FIELD_AGENT, strlen(info->agent)) +
                  pb_bytes_size(FIELD_RECORD, record_size(info, key, n.addrs));
    if (info->observed != NULL)
        size += pb_bytes_size(FIELD_OBSERVED_ADDR, info->observed->len);
    for (size_t i = 0; i < n.protocols; i++)
        size += pb_bytes_size(FIELD_PROTOCOL, strlen(info->protocols[i]));
    for (size_t i = 0; i < n.addrs; i++)
        size += pb_bytes_size(FIELD_LISTEN_ADDR, info->addrs[i].len);
    return size;
}

/* Adds addresses, up to `addrs_max`, while the message stays within `limit` bytes. */
static struct counts add_addrs(const struct identify_info *info, const struct public_key *key,
                               struct counts n, size_t addrs_max, size_t limit) {
    for (struct counts more = n; more.addrs < addrs_max; n = more) {
        more.addrs++;
        if (message_size(info, key, more) > limit)
            break;
    }
    return n;
}

/* The best addresses come first, then all protocols that fit, then more addresses.  A protocol that
 * is left out costs its users a round trip at most: they ask instead of knowing. */
static struct counts choose(const struct identify_info *info, const struct public_key *key) {
    size_t kept = MIN(info->addrs_count, (size_t)IDENTIFY_ADDRS_KEPT);
    struct counts n = add_addrs(info, key, (struct counts){0, 0}, kept, IDENTIFY_WRITE_WANTED);
    for (struct counts more = n; more.protocols < info->protocols_count; n = more) {
        more.protocols++;
        if (message_size(info, key, more) > IDENTIFY_WRITE_MAX)
            break;
    }
    return add_addrs(info, key, n, info->addrs_count, IDENTIFY_WRITE_WANTED);
}

ssize_t identify_encode(const struct identify_info *info, uint8_t ret_out[IDENTIFY_OUT_MAX]) {
    struct public_key key;
    uint8_t record[IDENTIFY_WRITE_MAX];

    identity_public_key(info->identity, &key);
    struct counts n = choose(info, &key);
    size_t size = message_size(info, &key, n);
    if (size > IDENTIFY_WRITE_MAX)
        return -ERR_LIMIT;
    ssize_t record_len = peer_record_seal(info->identity, info->record_seq, info->addrs, n.addrs,
                                          record, sizeof(record));
    if (record_len < 0)
        return record_len;
    assert((size_t)record_len == record_size(info, &key, n.addrs));

    struct wr w = wr_init(ret_out, IDENTIFY_OUT_MAX);
    wr_uvarint(&w, size);
    size_t start = w.len;
    pb_wr_bytes(&w, FIELD_PUBLIC_KEY, public_key_protobuf(&key));
    for (size_t i = 0; i < n.addrs; i++)
        pb_wr_bytes(&w, FIELD_LISTEN_ADDR, multiaddr_bytes(&info->addrs[i]));
    for (size_t i = 0; i < n.protocols; i++)
        pb_wr_bytes(&w, FIELD_PROTOCOL, bytes_of_str(info->protocols[i]));
    if (info->observed != NULL)
        pb_wr_bytes(&w, FIELD_OBSERVED_ADDR, multiaddr_bytes(info->observed));
    pb_wr_bytes(&w, FIELD_PROTOCOL_VERSION, bytes_of_str(info->protocol_version));
    pb_wr_bytes(&w, FIELD_AGENT, bytes_of_str(info->agent));
    pb_wr_bytes(&w, FIELD_RECORD, bytes_of(record, (size_t)record_len));
    assert(w.error == 0);
    assert(w.len - start == size);
    return (ssize_t)w.len;
}

/* --- a merged message ------------------------------------------------------------------------ */

static void copy_agent(char out[IDENTIFY_AGENT_SIZE], struct bytes agent) {
    size_t n = MIN(agent.len, (size_t)IDENTIFY_AGENT_SIZE - 1);
    for (size_t i = 0; i < n; i++)
        out[i] = agent.data[i] >= ' ' && agent.data[i] <= '~' ? (char)agent.data[i] : '?';
    out[n] = '\0';
}

/* Each message was checked when it was complete, so the joined ones parse. */
static void parse_merged(struct bytes merged, struct identify_message *ret_message) {
    struct rd r = rd_init(merged);
    struct pb_field f;

    *ret_message = (struct identify_message){.merged = merged};
    while (pb_next(&r, &f)) {
        if (pb_is_bytes(&f, FIELD_OBSERVED_ADDR))
            ret_message->observed = f.bytes;
        else if (pb_is_bytes(&f, FIELD_AGENT))
            copy_agent(ret_message->agent, f.bytes);
        else if (pb_is_bytes(&f, FIELD_RECORD))
            ret_message->record = f.bytes;
    }
    assert(r.error == 0);
}

/* The next value of a repeated field. */
static bool next_value(struct bytes *left, uint32_t field, struct bytes *ret_value) {
    struct rd r = rd_init(*left);
    struct pb_field f;
    while (pb_next(&r, &f))
        if (pb_is_bytes(&f, field)) {
            *left = r.left;
            *ret_value = f.bytes;
            return true;
        }
    *left = BYTES_EMPTY;
    return false;
}

struct identify_walk identify_protocols(const struct identify_message *m) {
    return (struct identify_walk){.left = m->merged};
}

bool identify_next_protocol(struct identify_walk *w, struct bytes *ret_name) {
    struct bytes name;
    while (w->given < IDENTIFY_PROTOCOLS_MAX && next_value(&w->left, FIELD_PROTOCOL, &name)) {
        if (name.len == 0 || name.len > IDENTIFY_PROTOCOL_BYTES_MAX)
            continue;
        w->given++;
        *ret_name = name;
        return true;
    }
    return false;
}

bool identify_has_protocol(const struct identify_message *m, const char *name) {
    struct identify_walk w = identify_protocols(m);
    struct bytes wanted = bytes_of_str(name);
    struct bytes each;
    while (identify_next_protocol(&w, &each))
        if (bytes_equal(each, wanted))
            return true;
    return false;
}

struct identify_walk identify_addrs(const struct identify_message *m, const struct peer_id *peer) {
    struct peer_record record;
    int e = m->record.len == 0 ? -ENOENT : peer_record_open(m->record, &record);
    if (e == -ERR_PEER_ID_MISMATCH || (e == 0 && !peer_id_equal(&record.peer, peer)))
        return (struct identify_walk){.left = BYTES_EMPTY};
    if (e == 0)
        return (struct identify_walk){.left = record.payload, .in_record = true};
    return (struct identify_walk){.left = m->merged};
}

bool identify_next_addr(struct identify_walk *w, struct multiaddr *ret_addr) {
    struct bytes value;
    if (w->given == IDENTIFY_ADDRS_MAX)
        return false;
    if (w->in_record) {
        w->given++;
        return peer_record_next(&w->left, ret_addr);
    }
    while (next_value(&w->left, FIELD_LISTEN_ADDR, &value))
        if (multiaddr_decode(value, ret_addr) == 0) {
            w->given++;
            return true;
        }
    return false;
}

/* --- the reader ------------------------------------------------------------------------------ */

/* READING -> WHOLE (half-closed behind a message) or DEAD; no way back. */
enum reader_state { READING, WHOLE, DEAD };

static void set_state(struct identify_reader *r, enum reader_state to) {
    assert(r->state == READING);
    assert(to != READING);
    assert(!r->has_event);
    r->state = (uint8_t)to;
    r->has_event = true;
}

static void set_now(struct identify_reader *r, nsec_t now) {
    assert(now >= r->now);
    r->now = now;
}

static void fail(struct identify_reader *r, int error) {
    set_state(r, DEAD);
    r->error = error;
}

void identify_reader_init(struct identify_reader *r, struct mem *mem, nsec_t now) {
    *r = (struct identify_reader){
        .mem = mem, .state = READING, .deadline = now + IDENTIFY_TIMEOUT, .now = now};
}

void identify_reader_done(struct identify_reader *r) {
    r->data = mem_free(r->mem, r->data);
    r->len = 0;
}

/* Whether the message just read parses.  Checked one by one: joined, a field could reach from one
 * message into the next. */
static bool is_message_good(const struct identify_reader *r) {
    if (r->message_len.value == 0)
        return true;
    struct rd m = rd_init(bytes_of(r->data + r->message_start, (size_t)r->message_len.value));
    struct pb_field f;
    while (pb_next(&m, &f)) {
    }
    return rd_done(&m) == 0;
}

static void end_message(struct identify_reader *r) {
    if (!is_message_good(r)) {
        fail(r, -ERR_MALFORMED);
        return;
    }
    r->messages_count++;
    r->in_message = false;
    r->message_len = (struct frame_len){.count = 0};
}

static void begin_message(struct identify_reader *r) {
    if (r->messages_count == IDENTIFY_MESSAGES_MAX) {
        fail(r, -ERR_LIMIT);
        return;
    }
    if (r->message_len.value > 0) {
        uint8_t *data = mem_resize(r->mem, r->data, r->len + (size_t)r->message_len.value);
        if (data == NULL) {
            fail(r, -ENOMEM);
            return;
        }
        r->data = data;
    }
    r->message_start = r->len;
    r->in_message = true;
    if (r->message_len.value == 0)
        end_message(r);
}

static void take_prefix(struct identify_reader *r, uint8_t byte) {
    int e = frame_len_take(&r->message_len, byte, IDENTIFY_MESSAGE_MAX);
    if (e < 0)
        fail(r, e);
    else if (e == 1)
        begin_message(r);
}

void identify_reader_recv(struct identify_reader *r, struct bytes in, nsec_t now) {
    set_now(r, now);
    while (in.len > 0 && r->state == READING) {
        if (!r->in_message) {
            take_prefix(r, in.data[0]);
            in = bytes_skip(in, 1);
            continue;
        }
        size_t end = r->message_start + (size_t)r->message_len.value;
        size_t n = MIN(in.len, end - r->len);
        memcpy(r->data + r->len, in.data, n);
        r->len += n;
        in = bytes_skip(in, n);
        if (r->len == end)
            end_message(r);
    }
}

void identify_reader_recv_end(struct identify_reader *r, nsec_t now) {
    set_now(r, now);
    if (r->state != READING)
        return;
    if (r->in_message || r->message_len.count > 0 || r->messages_count == 0)
        fail(r, -ERR_TRUNCATED);
    else
        set_state(r, WHOLE);
}

bool identify_reader_next_event(struct identify_reader *r, struct identify_event *ret_event) {
    if (!r->has_event)
        return false;
    r->has_event = false;
    if (r->state == DEAD) {
        *ret_event = (struct identify_event){.type = IDENTIFY_EV_FAILED, .error = r->error};
        return true;
    }
    *ret_event = (struct identify_event){.type = IDENTIFY_EV_MESSAGE};
    parse_merged(bytes_of(r->data, r->len), &ret_event->message);
    return true;
}

nsec_t identify_reader_deadline(const struct identify_reader *r) {
    return r->state == READING ? r->deadline : NSEC_NEVER;
}

void identify_reader_tick(struct identify_reader *r, nsec_t now) {
    set_now(r, now);
    if (now >= identify_reader_deadline(r))
        fail(r, -ETIMEDOUT);
}
