/* SPDX-License-Identifier: MIT */
#include "tests/sim/tcp_model.h"

#include <string.h>

enum {
    BACKLOG_MAX = 4096,
    CWND_SEGMENTS_AT_START = 10,
    DUPACKS_FAST = 3,
    /* net.ipv4.tcp_syn_retries, tcp_retries2 and tcp_orphan_retries */
    SYN_RETRIES = 6,
    RETRIES = 15,
    ORPHAN_RETRIES = 8,
    BACKOFFS_MAX = 9,
    PROBES_MAX = 9, /* net.ipv4.tcp_keepalive_probes */
};

#define KEEP_ALIVE   SEC(30)
#define RTO_AT_START SEC(1)
#define RTO_MIN      MSEC(200)
#define RTO_MAX      SEC(120)
#define TIME_WAIT    SEC(60)

static void on_timer(struct sim_event *e);

static struct world *world_of(const struct sim_tcp *t) {
    return t->sock.host->net->world;
}

static size_t buffer_of(const struct sim_tcp *t) {
    const struct sim_host *h = t->sock.host;
    return net_host_has(h, &t->remote) ? h->loopback_buffer : h->wire_buffer;
}

/* --- Sending segments --- */

static uint64_t window_end(const struct sim_tcp *t) {
    size_t held = t->in.len;
    size_t room = buffer_of(t) > held ? buffer_of(t) - held : 0;
    return MAX(t->rcv_told, t->rcv_nxt + room);
}

static void add_sacks(const struct sim_tcp *t, struct packet *p) {
    list_for_each (node, &t->early) {
        const struct packet *early = LIST_ENTRY(node, const struct packet, node);
        uint64_t end = early->seq + early->len;
        if (p->sacks_count > 0 && p->sacks[p->sacks_count - 1].to >= early->seq) {
            p->sacks[p->sacks_count - 1].to = MAX(p->sacks[p->sacks_count - 1].to, end);
            continue;
        }
        if (p->sacks_count == SACKS_MAX)
            return;
        p->sacks[p->sacks_count].from = early->seq;
        p->sacks[p->sacks_count++].to = end;
    }
}

static void send_segment(struct sim_tcp *t, uint8_t flags, uint64_t seq, size_t len) {
    struct packet *p = packet_new(PROTO_TCP, &t->sock.local, &t->remote, len);
    p->flags = flags;
    p->is_leftover = t->closed || (t->state == TCPS_SYN_RCVD && t->listener != NULL);
    p->seq = seq;
    if (flags & TCP_ACK) {
        t->rcv_told = window_end(t);
        p->ack = t->rcv_nxt;
        p->window = t->rcv_told - t->rcv_nxt;
        add_sacks(t, p);
    }
    if (len > 0)
        memcpy(p->data, byte_queue_at(&t->out, seq - MAX(t->snd_una, (uint64_t)1)), len);
    net_send(t->sock.host, p);
}

static void send_ack(struct sim_tcp *t) {
    send_segment(t, TCP_ACK, t->snd_nxt, 0);
}

static void send_reset_for(struct sim_host *h, const struct packet *in) {
    if (in->flags & TCP_RST)
        return;
    struct packet *p = packet_new(PROTO_TCP, &in->dst, &in->src, 0);
    p->flags = TCP_RST | TCP_ACK;
    p->seq = in->flags & TCP_ACK ? in->ack : 0;
    p->ack = in->seq + in->len + ((in->flags & (TCP_SYN | TCP_FIN)) != 0);
    net_send(h, p);
}

/* Where the data ends, and so the number of a FIN. */
static uint64_t data_end(const struct sim_tcp *t) {
    return MAX(t->snd_una, (uint64_t)1) + t->out.len;
}

static nsec_t rto(const struct sim_tcp *t) {
    nsec_t base = t->srtt == 0 ? RTO_AT_START : t->srtt + MAX(RTO_MIN, 4 * t->rttvar);
    return MIN(base << MIN(t->backoffs, (uint32_t)BACKOFFS_MAX), RTO_MAX);
}

static void arm(struct sim_tcp *t) {
    world_after(world_of(t), &t->timer, rto(t));
}

static void send_syn(struct sim_tcp *t) {
    send_segment(t, t->state == TCPS_SYN_RCVD ? TCP_SYN | TCP_ACK : TCP_SYN, 0, 0);
    t->snd_nxt = 1;
    t->snd_max = 1;
    arm(t);
}

/* --- Endings --- */

static void free_sock(struct sim_tcp *t) {
    world_cancel(world_of(t), &t->timer);
    world_cancel(world_of(t), &t->keep_alive);
    sock_unbind(&t->sock);
    list_remove(&t->accept_node);
    if (t->listener != NULL)
        t->listener->children--;
    struct list *node;
    while ((node = list_shift(&t->early)) != NULL)
        packet_free(LIST_ENTRY(node, struct packet, node));
    byte_queue_done(&t->out);
    byte_queue_done(&t->in);
    sim_free(t);
}

/* No segment goes or comes any more. */
static void break_off(struct sim_tcp *t, int error) {
    if (t->closed || (t->listener != NULL && t->state == TCPS_SYN_RCVD)) {
        free_sock(t);
        return;
    }
    world_cancel(world_of(t), &t->timer);
    world_cancel(world_of(t), &t->keep_alive);
    sock_unbind(&t->sock);
    byte_queue_done(&t->out);
    t->state = TCPS_DEAD;
    t->error = error;
    t->broken = true;
    sock_changed(&t->sock);
}

/* For who closed his side: the connection ends when both ends are told, and then lingers for
 * stragglers. */
static void linger_if_over(struct sim_tcp *t) {
    if (t->closed && t->fin_acked)
        world_after(world_of(t), &t->timer, TIME_WAIT);
}

/* --- Sending --- */

static bool timer_is_needed(const struct sim_tcp *t) {
    if (t->fin_acked)
        return false;
    return t->snd_una < t->snd_nxt || t->out.len > 0 || t->fin_wanted;
}

static void tcp_output(struct sim_tcp *t) {
    if (t->state != TCPS_OPEN || t->fin_acked)
        return;
    uint64_t end = data_end(t);
    uint64_t limit = MIN(t->snd_una + t->cwnd, t->snd_end);
    while (t->snd_nxt < end && t->snd_nxt < limit) {
        uint64_t len = MIN(MIN((uint64_t)t->mss, end - t->snd_nxt), limit - t->snd_nxt);
        if (t->rtt_began == 0 && t->snd_nxt == t->snd_max) {
            t->rtt_began = world_of(t)->now;
            t->rtt_seq = t->snd_nxt + len;
        }
        send_segment(t, TCP_ACK, t->snd_nxt, len);
        t->snd_nxt += len;
    }
    if (t->fin_wanted && t->snd_nxt == end) {
        send_segment(t, TCP_ACK | TCP_FIN, t->snd_nxt, 0);
        t->snd_nxt++;
    }
    t->snd_max = MAX(t->snd_max, t->snd_nxt);
    if (timer_is_needed(t) && !heap_node_is_linked(&t->timer.node))
        arm(t);
}

/* The first segment that is neither acknowledged nor sent again in this recovery, and that `p`
 * shows to be missing. */
static void resend_hole(struct sim_tcp *t, const struct packet *p) {
    uint64_t end = data_end(t);
    uint64_t at = MAX(t->snd_una, t->resent_to);
    uint64_t limit = at == t->snd_una ? end : 0; /* what is first is missing in any case */
    for (uint32_t i = 0; i < p->sacks_count; i++) {
        if (at < p->sacks[i].from) {
            limit = p->sacks[i].from;
            break;
        }
        at = MAX(at, p->sacks[i].to);
    }
    t->rtt_began = 0; /* Karn: what was sent twice measures nothing */
    if (at < limit) {
        uint64_t len = MIN((uint64_t)t->mss, limit - at);
        send_segment(t, TCP_ACK, at, len);
        t->resent_to = at + len;
    } else if (t->snd_una == end && t->fin_wanted && t->resent_to <= end) {
        send_segment(t, TCP_ACK | TCP_FIN, end, 0);
        t->resent_to = end + 1;
    }
}

static void on_timer(struct sim_event *e) {
    struct sim_tcp *t = CONTAINER_OF(e, struct sim_tcp, timer);
    if (t->closed && t->fin_acked) { /* TIME_WAIT is over, or the peer never ended */
        free_sock(t);
        return;
    }
    bool opening = t->state == TCPS_SYN_SENT || t->state == TCPS_SYN_RCVD;
    uint32_t retries = opening ? SYN_RETRIES : t->closed ? ORPHAN_RETRIES : RETRIES;
    t->backoffs++;
    if (++t->unanswered > retries) {
        break_off(t, -ETIMEDOUT);
        return;
    }
    if (opening) {
        send_syn(t);
        return;
    }
    if (t->snd_una == t->snd_nxt && t->snd_nxt >= t->snd_end) {
        send_segment(t, TCP_ACK, t->snd_una - 1, 0); /* asks for the window */
    } else {
        t->ssthresh = MAX((t->snd_nxt - t->snd_una) / 2, 2 * (uint64_t)t->mss);
        t->cwnd = t->mss;
        t->snd_nxt = t->snd_una;
        t->recover = t->snd_max;
        t->recovers = false;
        t->dupacks = 0;
        t->rtt_began = 0;
        tcp_output(t);
    }
    if (timer_is_needed(t))
        arm(t);
}

/* --- Receiving acknowledgements --- */

static void take_rtt(struct sim_tcp *t) {
    if (t->rtt_began == 0 || t->snd_una < t->rtt_seq)
        return;
    nsec_t rtt = world_of(t)->now - t->rtt_began;
    nsec_t off = rtt > t->srtt ? rtt - t->srtt : t->srtt - rtt;
    t->rttvar = t->srtt == 0 ? rtt / 2 : (3 * t->rttvar + off) / 4;
    t->srtt = t->srtt == 0 ? rtt : (7 * t->srtt + rtt) / 8;
    t->rtt_began = 0;
}

static void take_new_ack(struct sim_tcp *t, uint64_t ack) {
    uint64_t end = data_end(t);
    uint64_t from = MAX(t->snd_una, (uint64_t)1);
    uint64_t data = MIN(ack, end) > from ? MIN(ack, end) - from : 0;
    byte_queue_drop(&t->out, data);
    t->fin_acked = t->fin_wanted && ack == end + 1;
    t->snd_una = ack;
    t->snd_nxt = MAX(t->snd_nxt, ack);
    t->dupacks = 0;
    t->backoffs = 0;
    take_rtt(t);
    if (t->cwnd < t->ssthresh)
        t->cwnd += MIN(data, 2 * (uint64_t)t->mss);
    else
        t->cwnd += MAX((uint64_t)1, (uint64_t)t->mss * t->mss / t->cwnd);
    world_cancel(world_of(t), &t->timer);
    t->recovers &= ack < t->recover;
    linger_if_over(t);
    if (data > 0)
        sock_changed(&t->sock);
}

static bool is_duplicate(const struct sim_tcp *t, const struct packet *p) {
    return p->ack == t->snd_una && p->len == 0 && t->snd_una < t->snd_nxt &&
           (p->flags & (TCP_SYN | TCP_FIN)) == 0;
}

static void take_ack(struct sim_tcp *t, const struct packet *p) {
    bool window_moved = p->ack + p->window > t->snd_end;
    t->snd_end = MAX(t->snd_end, p->ack + p->window);
    if (p->ack > t->snd_max)
        return;
    if (p->ack > t->snd_una) {
        take_new_ack(t, p->ack);
    } else if (is_duplicate(t, p) && (!window_moved || p->sacks_count > 0) &&
               ++t->dupacks >= DUPACKS_FAST && !t->recovers && t->snd_una >= t->recover) {
        t->ssthresh = MAX((t->snd_nxt - t->snd_una) / 2, 2 * (uint64_t)t->mss);
        t->cwnd = t->ssthresh;
        t->recover = t->snd_max;
        t->resent_to = t->snd_una;
        t->recovers = true;
    }
    if (t->recovers && !t->fin_acked)
        resend_hole(t, p); /* a segment for each that has left the network */
    tcp_output(t);
}

/* --- Receiving data --- */

static void take_bytes(struct sim_tcp *t, const struct packet *p) {
    uint64_t skip = t->rcv_nxt - p->seq;
    if (p->len > skip) {
        byte_queue_add(&t->in, p->data + skip, p->len - skip);
        t->rcv_nxt += p->len - skip;
    }
}

static void keep_early(struct sim_tcp *t, struct packet *p) {
    struct list *before = t->early.next;
    while (before != &t->early && LIST_ENTRY(before, struct packet, node)->seq <= p->seq)
        before = before->next;
    if (t->early_bytes + p->len > buffer_of(t)) {
        packet_free(p);
        return;
    }
    t->early_bytes += p->len;
    list_insert_before(before, &p->node);
}

static void take_early(struct sim_tcp *t) {
    while (!list_is_empty(&t->early)) {
        struct packet *p = LIST_ENTRY(t->early.next, struct packet, node);
        if (p->seq > t->rcv_nxt)
            return;
        take_bytes(t, p);
        t->early_bytes -= p->len;
        packet_free(p);
    }
}

/* Takes the packet over. */
static void take_data(struct sim_tcp *t, struct packet *p) {
    bool asks = p->len > 0 || (p->flags & (TCP_SYN | TCP_FIN)) != 0 || p->seq != t->rcv_nxt;
    bool is_new = p->len > 0 && p->seq + p->len > t->rcv_nxt;
    uint64_t before = t->rcv_nxt;
    if (is_new && t->closed) {
        send_reset_for(t->sock.host, p);
        packet_free(p);
        break_off(t, -ECONNRESET);
        return;
    }
    if (p->flags & TCP_FIN)
        t->fin_at = p->seq + p->len;
    if (!is_new || p->seq + p->len > t->rcv_told) {
        packet_free(p);
    } else if (p->seq > t->rcv_nxt) {
        keep_early(t, p);
    } else {
        take_bytes(t, p);
        packet_free(p);
        take_early(t);
    }
    if (t->rcv_nxt == t->fin_at && !t->got_fin) {
        t->got_fin = true;
        t->rcv_nxt++;
    }
    if (asks)
        send_ack(t);
    if (t->rcv_nxt != before)
        sock_changed(&t->sock);
}

/* --- Arriving --- */

static void opened(struct sim_tcp *t, const struct packet *p) {
    t->state = TCPS_OPEN;
    t->backoffs = 0;
    t->snd_una = MAX(t->snd_una, (uint64_t)1);
    t->snd_end = p->ack + p->window;
    world_cancel(world_of(t), &t->timer);
    if (t->listener != NULL) {
        list_push(&t->listener->waiting, &t->accept_node);
        sock_changed(&t->listener->sock);
    } else {
        sock_changed(&t->sock);
    }
}

static void take_reset(struct sim_tcp *t, const struct packet *p) {
    if (t->state == TCPS_SYN_SENT) {
        if ((p->flags & TCP_ACK) && p->ack == t->snd_nxt)
            break_off(t, -ECONNREFUSED);
    } else if (p->seq == t->rcv_nxt) {
        break_off(t, -ECONNRESET);
    } else if (p->seq > t->rcv_nxt && p->seq <= t->rcv_told) {
        send_ack(t); /* RFC 5961: whoever really reset answers with the exact number */
    }
}

static void arrive_syn_sent(struct sim_tcp *t, const struct packet *p) {
    /* The far end still has an older connection of these ports, which a reset ends (RFC 9293). */
    if ((p->flags & TCP_ACK) && p->ack != 1) {
        send_reset_for(t->sock.host, p);
        return;
    }
    if ((p->flags & TCP_SYN) == 0)
        return;
    t->rcv_nxt = 1;
    if ((p->flags & TCP_ACK) && p->ack == 1) {
        t->srtt = t->backoffs > 0 ? 0 : world_of(t)->now - t->rtt_began;
        t->rttvar = t->srtt / 2;
        t->rtt_began = 0;
        opened(t, p);
        send_ack(t);
        tcp_output(t);
    } else {
        t->state = TCPS_SYN_RCVD; /* both dialled at once */
        t->snd_end = p->window;
        send_syn(t);
    }
}

static void on_keep_alive(struct sim_event *e) {
    struct sim_tcp *t = CONTAINER_OF(e, struct sim_tcp, keep_alive);
    nsec_t silent = world_of(t)->now - t->heard_at;
    if (silent < KEEP_ALIVE || timer_is_needed(t)) {
        world_at(world_of(t), e, MAX(t->heard_at, world_of(t)->now - KEEP_ALIVE / 2) + KEEP_ALIVE);
    } else if (++t->probes > PROBES_MAX) {
        break_off(t, -ETIMEDOUT);
    } else {
        send_segment(t, TCP_ACK, t->snd_nxt - 1, 0);
        world_after(world_of(t), e, KEEP_ALIVE);
    }
}

void tcp_keep_alive(struct sim_tcp *t) {
    t->heard_at = world_of(t)->now;
    world_after(world_of(t), &t->keep_alive, KEEP_ALIVE);
}

static void arrive_at(struct sim_tcp *t, struct packet *p) {
    t->unanswered = 0;
    t->probes = 0;
    t->heard_at = world_of(t)->now;
    if (p->flags & TCP_RST) {
        take_reset(t, p);
        packet_free(p);
        return;
    }
    if (t->state == TCPS_SYN_SENT) {
        arrive_syn_sent(t, p);
        packet_free(p);
        return;
    }
    if (t->state == TCPS_SYN_RCVD) {
        if ((p->flags & TCP_ACK) && p->ack >= 1) {
            opened(t, p);
        } else {
            if (p->flags & TCP_SYN)
                send_segment(t, TCP_SYN | TCP_ACK, 0, 0);
            packet_free(p);
            return;
        }
    }
    if (p->flags & TCP_ACK)
        take_ack(t, p);
    take_data(t, p);
}

static struct sim_sock *find(struct sim_host *h, const struct packet *p) {
    struct sim_sock *found = NULL;
    list_for_each (node, net_bucket(h, PROTO_TCP, p->dst.port)) {
        struct sim_sock *s = LIST_ENTRY(node, struct sim_sock, bucket_node);
        if (s->local.port != p->dst.port || s->local.family != p->dst.family)
            continue;
        if (s->kind == SOCK_TCP && net_addr_ip_equal(&s->local, &p->dst) &&
            net_addr_equal(&tcp_of(s)->remote, &p->src))
            return s;
        if (s->kind == SOCK_LISTENER &&
            (net_addr_is_unspecified(&s->local) || net_addr_ip_equal(&s->local, &p->dst)))
            found = s;
    }
    return found;
}

static void arrive_at_listener(struct sim_listener *l, const struct packet *p) {
    if ((p->flags & TCP_SYN) == 0 || (p->flags & TCP_ACK) != 0) {
        send_reset_for(l->sock.host, p);
        return;
    }
    if (l->children >= BACKLOG_MAX)
        return;
    struct sim_tcp *t = tcp_new_sock(l->sock.host);
    t->sock.local = p->dst;
    t->sock.bound = true;
    list_push(net_bucket(l->sock.host, PROTO_TCP, p->dst.port), &t->sock.bucket_node);
    t->remote = p->src;
    t->mss = net_payload_max(l->sock.host->net, l->sock.host, &p->src, PROTO_TCP);
    t->cwnd = (uint64_t)CWND_SEGMENTS_AT_START * t->mss;
    t->listener = l;
    t->rcv_nxt = 1;
    t->state = TCPS_SYN_RCVD;
    l->children++;
    send_syn(t);
}

void tcp_arrive(struct sim_host *h, struct packet *p) {
    struct sim_sock *s = find(h, p);
    if (s != NULL && s->kind == SOCK_TCP) {
        arrive_at(tcp_of(s), p);
        return;
    }
    if (s == NULL)
        send_reset_for(h, p);
    else
        arrive_at_listener(listener_of(s), p);
    packet_free(p);
}

/* --- The owner's calls --- */

struct sim_tcp *tcp_new_sock(struct sim_host *h) {
    struct sim_tcp *t = sim_alloc(sizeof(*t));
    sock_init(&t->sock, h, SOCK_TCP);
    list_init(&t->accept_node);
    list_init(&t->early);
    sim_event_init(&t->timer, on_timer);
    sim_event_init(&t->keep_alive, on_keep_alive);
    t->ssthresh = UINT64_MAX;
    t->fin_at = UINT64_MAX;
    return t;
}

static bool is_taken(const struct sim_tcp *t, const struct net_addr *to) {
    list_for_each (node, net_bucket(t->sock.host, PROTO_TCP, t->sock.local.port)) {
        struct sim_sock *s = LIST_ENTRY(node, struct sim_sock, bucket_node);
        if (s != &t->sock && s->kind == SOCK_TCP && net_addr_equal(&s->local, &t->sock.local) &&
            net_addr_equal(&tcp_of(s)->remote, to))
            return true;
    }
    return false;
}

int tcp_connect_sock(struct sim_tcp *t, const struct net_addr *to) {
    struct net_addr from;
    int e = net_source_for(t->sock.host, to, &from);
    if (e < 0)
        return e;
    if (!t->sock.bound)
        e = sock_bind(&t->sock, &from);
    else if (net_addr_is_unspecified(&t->sock.local))
        memcpy(t->sock.local.ip, from.ip, sizeof(from.ip));
    if (e == 0 && is_taken(t, to))
        e = -EADDRNOTAVAIL;
    if (e < 0)
        return e;
    t->remote = *to;
    t->mss = net_payload_max(t->sock.host->net, t->sock.host, to, PROTO_TCP);
    t->cwnd = (uint64_t)CWND_SEGMENTS_AT_START * t->mss;
    t->state = TCPS_SYN_SENT;
    t->rtt_began = world_of(t)->now;
    send_syn(t);
    return 0;
}

int tcp_connect_result(struct sim_tcp *t) {
    if (t->state == TCPS_SYN_SENT || t->state == TCPS_SYN_RCVD)
        return -EINPROGRESS;
    if (t->state == TCPS_OPEN)
        return 0;
    int e = tcp_take_error(t);
    return e < 0 ? e : -ECONNABORTED;
}

int tcp_listen_sock(struct sim_host *h, const struct net_addr *at,
                    struct sim_listener **ret_listener) {
    struct sim_listener *l = sim_alloc(sizeof(*l));
    sock_init(&l->sock, h, SOCK_LISTENER);
    list_init(&l->waiting);
    int e = sock_bind(&l->sock, at);
    if (e < 0) {
        sim_free(l);
        return e;
    }
    *ret_listener = l;
    return 0;
}

struct sim_tcp *tcp_accept_sock(struct sim_listener *l) {
    struct list *node = list_shift(&l->waiting);
    if (node == NULL)
        return NULL;
    struct sim_tcp *t = LIST_ENTRY(node, struct sim_tcp, accept_node);
    t->listener = NULL;
    l->children--;
    return t;
}

bool tcp_can_read(const struct sim_tcp *t) {
    return t->in.len > 0 || t->got_fin || t->broken;
}

size_t tcp_room(const struct sim_tcp *t) {
    size_t size = buffer_of(t);
    return t->state == TCPS_OPEN && t->out.len < size ? size - t->out.len : 0;
}

size_t tcp_unsent_bytes(const struct sim_tcp *t) {
    uint64_t end = data_end(t);
    return end - MIN(end, MAX(t->snd_max, (uint64_t)1));
}

bool tcp_can_write(const struct sim_tcp *t) {
    return tcp_room(t) > 0 || t->broken;
}

ssize_t tcp_read_sock(struct sim_tcp *t, void *out, size_t size) {
    size_t n = MIN(size, t->in.len);
    if (n == 0) {
        int e = tcp_take_error(t);
        if (e < 0)
            return e;
        return t->got_fin || t->broken ? 0 : -EAGAIN;
    }
    memcpy(out, byte_queue_at(&t->in, 0), n);
    byte_queue_drop(&t->in, n);
    size_t buffer = buffer_of(t);
    uint64_t told = t->rcv_told - MIN(t->rcv_told, t->rcv_nxt);
    uint64_t gained = window_end(t) - t->rcv_told;
    if (t->state == TCPS_OPEN && !t->got_fin && told < buffer / 2 &&
        gained >= MIN(2 * (size_t)t->mss, buffer / 4))
        send_ack(t);
    return (ssize_t)n;
}

ssize_t tcp_write_sock(struct sim_tcp *t, const void *data, size_t size) {
    int e = tcp_take_error(t);
    if (e < 0)
        return e;
    if (t->broken || t->fin_wanted)
        return -EPIPE;
    size_t n = MIN(size, tcp_room(t));
    if (n == 0)
        return -EAGAIN;
    byte_queue_add(&t->out, data, n);
    tcp_output(t);
    return (ssize_t)n;
}

int tcp_shutdown_sock(struct sim_tcp *t) {
    if (t->state != TCPS_OPEN)
        return -ENOTCONN;
    t->fin_wanted = true;
    tcp_output(t);
    return 0;
}

int tcp_take_error(struct sim_tcp *t) {
    int e = t->error;
    t->error = 0;
    return e;
}

bool tcp_is_hung_up(const struct sim_tcp *t) {
    return t->fin_at != UINT64_MAX || t->broken;
}

void tcp_close_sock(struct sim_tcp *t, bool reset) {
    t->closed = true;
    t->sock.changed = NULL;
    if (t->state != TCPS_OPEN) {
        free_sock(t);
        return;
    }
    if (reset || t->in.len > 0) {
        send_segment(t, TCP_RST | TCP_ACK, t->snd_nxt, 0);
        free_sock(t);
        return;
    }
    t->fin_wanted = true;
    tcp_output(t);
    linger_if_over(t);
}

void tcp_close_listener(struct sim_listener *l) {
    l->sock.changed = NULL;
    for (size_t i = 0; i < PORT_BUCKETS && l->children > 0; i++) {
        list_for_each_safe (node, &l->sock.host->ports[PROTO_TCP].buckets[i]) {
            struct sim_sock *s = LIST_ENTRY(node, struct sim_sock, bucket_node);
            if (s->kind != SOCK_TCP || tcp_of(s)->listener != l)
                continue;
            if (tcp_of(s)->state == TCPS_OPEN)
                send_segment(tcp_of(s), TCP_RST | TCP_ACK, tcp_of(s)->snd_nxt, 0);
            free_sock(tcp_of(s));
        }
    }
    /* Those that broke while they waited are in no bucket. */
    struct list *node;
    while ((node = list_shift(&l->waiting)) != NULL)
        free_sock(LIST_ENTRY(node, struct sim_tcp, accept_node));
    assert(l->children == 0);
    sock_unbind(&l->sock);
    sim_free(l);
}

void tcp_drop(struct sim_sock *s) {
    if (s->kind == SOCK_TCP) {
        free_sock(tcp_of(s));
        return;
    }
    struct sim_listener *l = listener_of(s);
    /* Its children, complete or not, are dropped by themselves. */
    list_for_each_safe (node, &l->waiting) {
        struct sim_tcp *t = LIST_ENTRY(node, struct sim_tcp, accept_node);
        list_remove(node);
        t->listener = NULL;
        if (t->state == TCPS_DEAD)
            free_sock(t);
    }
    sock_unbind(s);
    sim_free(l);
}
