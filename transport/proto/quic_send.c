/* SPDX-License-Identifier: MIT */
#include "core/base/err.h"
#include "transport/proto/quic_conn_internal.h"

enum {
    STREAM_VECS_MAX = 4, /* slices offered for one packet */
    /* Below this round trip the peer is on the same link: pacing there costs a timer per batch and
     * smooths nothing that the link would drop. */
    PACING_RTT_MIN_NSEC = 2000000,
};

/* The outcome of one offer to ngtcp2 (datagram or stream). */
enum offer { OFFER_PACKET, OFFER_MORE, OFFER_ERROR };

struct packet {
    struct quic_conn *c;
    ngtcp2_path *path;
    ngtcp2_pkt_info *pi;
    uint8_t *dest;
    size_t dest_len;
    ngtcp2_tstamp ts;
    ngtcp2_ssize result;
};

static enum offer offered(struct packet *p, ngtcp2_ssize n) {
    p->result = n;
    if (n == NGTCP2_ERR_WRITE_MORE)
        return OFFER_MORE;
    return n < 0 ? OFFER_ERROR : OFFER_PACKET;
}

static enum offer offer_datagram(struct packet *p) {
    struct slice_queue *q = &p->c->datagrams_out;
    struct slice *s = slice_queue_at(q, 0);
    ngtcp2_vec vec = {.base = s->data, .len = s->len};
    int accepted = 0;
    ngtcp2_ssize n =
        ngtcp2_conn_writev_datagram(p->c->ngtcp2, p->path, p->pi, p->dest, p->dest_len, &accepted,
                                    NGTCP2_WRITE_DATAGRAM_FLAG_MORE, 0, &vec, 1, p->ts);
    if (accepted || n == NGTCP2_ERR_INVALID_ARGUMENT || n == NGTCP2_ERR_INVALID_STATE) {
        struct slice sent;
        (void)slice_queue_shift(q, &sent); /* there is one: it was just offered */
        slice_unref(&sent);
    }
    if (n == NGTCP2_ERR_INVALID_ARGUMENT || n == NGTCP2_ERR_INVALID_STATE)
        return OFFER_MORE; /* the peer changed its mind about sizes: that one is lost */
    return offered(p, n);
}

static void next_stream_turn(struct quic_conn *c) {
    struct list *first = list_shift(&c->sendable);
    if (first != NULL)
        list_push(&c->sendable, first);
    c->send_turn = 0;
}

/* While the peer's window for the whole connection is closed, streams are not offered: none of them
 * is to blame, and a loop would run over all for each packet. */
static bool connection_is_blocked(const struct quic_conn *c) {
    return ngtcp2_conn_get_max_data_left2(c->ngtcp2) == 0;
}

static enum offer offer_stream(struct packet *p) {
    struct quic_conn *c = p->c;
    struct quic_stream *s = LIST_ENTRY(c->sendable.next, struct quic_stream, send_node);
    ngtcp2_vec vecs[STREAM_VECS_MAX];
    size_t count = MIN((size_t)s->unsent.count, (size_t)STREAM_VECS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct slice *v = slice_queue_at(&s->unsent, i);
        vecs[i] = (ngtcp2_vec){.base = v->data, .len = v->len};
    }
    bool fin = s->fin_wanted && count == s->unsent.count;
    uint32_t flags = NGTCP2_WRITE_STREAM_FLAG_MORE;
    if (fin)
        flags |= NGTCP2_WRITE_STREAM_FLAG_FIN;
    /* A GSO batch wants equal packets: while there is plenty, a packet that came out some bytes
     * short is padded. */
    if (s->unsent.len > QUIC_PACKET_BYTES_MAX)
        flags |= NGTCP2_WRITE_STREAM_FLAG_PADDING;
    size_t wanted = 0;
    for (size_t i = 0; i < count; i++)
        wanted += vecs[i].len;

    ngtcp2_ssize taken = -1;
    ngtcp2_ssize n = ngtcp2_conn_writev_stream(c->ngtcp2, p->path, p->pi, p->dest, p->dest_len,
                                               &taken, flags, s->id, vecs, count, p->ts);
    switch (n) {
    case NGTCP2_ERR_STREAM_DATA_BLOCKED:
        if (!connection_is_blocked(c)) {
            s->blocked = true;
            quic_stream_update_sendable(s);
        }
        return OFFER_MORE;
    case NGTCP2_ERR_STREAM_SHUT_WR:
    case NGTCP2_ERR_STREAM_NOT_FOUND:
        s->write_stopped = true;
        quic_stream_update_sendable(s);
        return OFFER_MORE;
    default:
        break;
    }
    if (taken >= 0) {
        quic_stream_on_sent(s, (size_t)taken, fin && (size_t)taken == wanted);
        if (n >= 0 && ++c->send_turn >= QUIC_SEND_TURN_PACKETS)
            next_stream_turn(c);
    }
    return offered(p, n);
}

/* Writes one packet: datagrams first, then streams in turn, then whatever the connection itself has
 * to say.  Called by ngtcp2 as often as a batch has room. */
static ngtcp2_ssize write_packet(ngtcp2_conn *conn, ngtcp2_path *path, ngtcp2_pkt_info *pi,
                                 uint8_t *dest, size_t dest_len, ngtcp2_tstamp ts, void *user) {
    struct packet p = {user, path, pi, dest, dest_len, ts, 0};
    struct quic_conn *c = p.c;
    enum offer o = OFFER_MORE;
    while (o == OFFER_MORE && c->datagrams_out.count > 0 && c->state == QUIC_OPEN)
        o = offer_datagram(&p);
    while (o == OFFER_MORE && !list_is_empty(&c->sendable) && !connection_is_blocked(c) &&
           !c->send_failed)
        o = offer_stream(&p);
    if (o == OFFER_MORE)
        p.result = ngtcp2_conn_writev_stream(conn, path, pi, dest, dest_len, NULL,
                                             NGTCP2_WRITE_STREAM_FLAG_NONE, -1, NULL, 0, ts);
    return p.result;
}

static bool pull_close(struct quic_conn *c, void *out, size_t out_size,
                       struct quic_batch *ret_batch) {
    if (!c->send_close || c->close_packet_len == 0 || c->close_packet_len > out_size)
        return false;
    c->send_close = false;
    memcpy(out, c->close_packet, c->close_packet_len);
    *ret_batch = (struct quic_batch){
        .len = c->close_packet_len, .segment_len = c->close_packet_len, .path = c->send_path};
    return true;
}

/* Data that is outstanding makes silence meaningful: from now on the peer must be heard. */
static void note_outstanding(struct quic_conn *c, nsec_t now, const ngtcp2_conn_info *info) {
    if (info->bytes_in_flight == 0)
        c->unanswered_since = NSEC_NEVER;
    else if (c->unanswered_since == NSEC_NEVER)
        c->unanswered_since = now;
}

static void note_probe(struct quic_conn *c, const ngtcp2_conn_info *info) {
    if (!c->probes || info->bytes_in_flight == 0)
        return;
    c->probes = false;
    ngtcp2_conn_set_keep_alive_timeout(c->ngtcp2, c->keep_alive);
}

/* ngtcp2 sets the pace by all bytes since it did so last.  When a path was near and now is not,
 * those may be many megabytes, and nothing but acknowledgements would leave for as long as they
 * take: such a connection goes on without. */
static bool is_paced(const struct quic_conn *c, const ngtcp2_conn_info *info) {
    return info->smoothed_rtt >= PACING_RTT_MIN_NSEC && c->unpaced_bytes <= info->cwnd;
}

bool quic_conn_pull(struct quic_conn *c, void *out, size_t out_size, struct quic_batch *ret_batch,
                    nsec_t now) {
    assert(now >= c->now);
    c->now = now;
    if (c->state > QUIC_OPEN)
        return pull_close(c, out, out_size, ret_batch);
    if (now < c->ack_hold_until && quic_conn_only_ack_is_due(c))
        return false;

    c->small_packets =
        ngtcp2_conn_get_path_max_tx_udp_payload_size2(c->ngtcp2) < QUIC_PACKET_BYTES_MAX;
    ngtcp2_conn_info info;
    ngtcp2_conn_get_conn_info2(c->ngtcp2, &info);
    bool paced = is_paced(c, &info);
    if (paced)
        out_size = MIN(
            out_size, MAX(ngtcp2_conn_get_send_quantum2(c->ngtcp2), (size_t)QUIC_PACKET_BYTES_MAX));
    ngtcp2_pkt_info pi = {0};
    size_t segment_len = 0;
    ngtcp2_ssize n = ngtcp2_conn_write_aggregate_pkt2(c->ngtcp2, &c->send_storage.path, &pi, out,
                                                      out_size, &segment_len, write_packet, 0, now);
    if (c->send_failed)
        n = NGTCP2_ERR_NOMEM;
    if (n < 0) {
        quic_conn_fail(c, (int)n);
        return pull_close(c, out, out_size, ret_batch);
    }
    ngtcp2_conn_get_conn_info2(c->ngtcp2, &info);
    note_outstanding(c, now, &info);
    note_probe(c, &info);
    c->urgent = false;
    c->unacked_packets = 0;
    c->uncredited_bytes = 0;
    c->ack_hold_until = NSEC_NEVER;
    if (n == 0)
        return false;
    if (paced)
        ngtcp2_conn_update_pkt_tx_time(c->ngtcp2, now);
    c->unpaced_bytes = paced ? 0 : c->unpaced_bytes + (uint64_t)n;
    quic_path_from_ngtcp2(&c->send_storage.path, &c->send_path);
    *ret_batch = (struct quic_batch){
        .len = (size_t)n, .segment_len = segment_len, .path = c->send_path, .ecn = (uint8_t)pi.ecn};
    return true;
}
