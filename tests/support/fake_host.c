/* SPDX-License-Identifier: MIT */
#include "tests/support/fake_host.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "transport/proto/write_pace.h"

enum { EV_READABLE = 1, EV_WRITABLE = 2, EV_STOPPED = 4, EV_RESET = 8, EV_CLOSED = 16 };

/* Enough for what the client has sent to be read and offered. */
enum { REFUSED_AFTER_TURNS = 30 };

/* On a connection of fake_host_silence(). */
#define SILENT_FOR SEC(60)

enum { FAKE_CONNS_MAX = 512 }; /* of a host */

struct pair;

struct stream {
    struct pair *pair;
    struct stream *other;
    const struct stream_events *events;
    void *user;
    struct quota quota;
    struct slice_queue in; /* written by the other side, not read */
    size_t uncredited;
    struct deferred tell;
    unsigned pending; /* events */
    uint64_t stop_code;
    uint64_t reset_code;
    int error;
    bool fin_in; /* the other side's end stands behind `in` */
    bool fin_told;
    bool fin_out;
    bool write_stopped;
    bool write_short; /* the last write took less than offered */
    bool read_reset;
    bool closed;
    bool released;
    uint32_t refused_in; /* turns until the peer refuses it; 0: agreed, or refused */
    bool is_refused;
    bool is_silent; /* not answered before fake_host_speak() */
    nsec_t heard_at;
};

struct pair {
    struct stream end[2];
    struct reactor *reactor;
    struct host *host;      /* that opened it, or NULL */
    struct fake_conn *conn; /* or NULL */
    int conn_end;           /* of end[0] */
    struct peer_id peers[2];
    const char *protocol;
    struct list node;
};

/* One connection, as both hosts see it. */
struct fake_conn {
    struct conn end[2]; /* the first is the dialler's */
    struct host *hosts[2];
    struct deferred over;
    struct list node; /* in the dialler's list */
    bool is_closed;
};

struct host {
    struct reactor *reactor;
    struct host *remote;
    struct identity identity;
    struct peer_id id;
    const struct multiaddr *advertised;
    size_t advertised_count;
    struct list conns; /* that it dialled */
    struct fake_conn *known[FAKE_CONNS_MAX];
    size_t known_count;
    struct list watches;
    struct list handlers;
    struct list requests;
    struct list pairs;
    struct deferred answer;
    uint32_t streams_max;
    uint32_t streams;
    uint32_t fail_count;
    int fail_error;
    uint32_t refuse_count;
    uint64_t refuse_code;
    uint32_t silent_count;
    uint32_t doubts;
    uint32_t starve_count;
    struct tcp_preface *preface;
};

static void tell(struct stream *s, unsigned events) {
    if (s->released)
        return;
    s->pending |= events;
    reactor_defer(s->pair->reactor, &s->tell);
}

static unsigned take(struct stream *s, unsigned event) {
    unsigned bit = s->pending & event;
    s->pending &= ~bit;
    return bit;
}

/* One event a call, since each may lead to the stream's release; the rest in the next turn. */
static void on_tell(struct deferred *d) {
    struct stream *s = CONTAINER_OF(d, struct stream, tell);
    if (s->refused_in > 0) {
        reactor_defer(s->pair->reactor, &s->tell);
        if (--s->refused_in > 0)
            return;
        s->write_stopped = true;
        s->read_reset = true;
        s->pending |= EV_STOPPED | EV_RESET;
    }
    if (s->events == NULL || s->pending == 0)
        return;
    if ((s->pending & (s->pending - 1)) != 0)
        reactor_defer(s->pair->reactor, &s->tell);
    if (take(s, EV_STOPPED))
        s->events->stopped(s, s->stop_code);
    else if (take(s, EV_RESET))
        s->events->reset(s, s->reset_code);
    else if (take(s, EV_READABLE))
        s->events->readable(s);
    else if (take(s, EV_WRITABLE))
        s->events->writable(s);
    else if (take(s, EV_CLOSED)) {
        s->closed = true;
        s->events->closed(s, s->error);
    }
}

static bool is_over(const struct stream *s) {
    bool in_over = s->fin_told || s->read_reset;
    bool out_over = s->fin_out || s->write_stopped;
    return in_over && out_over;
}

static void close_if_over(struct stream *s) {
    if (!s->closed && is_over(s)) {
        s->closed = true;
        tell(s, EV_CLOSED);
    }
}

static void end_init(struct pair *p, int i) {
    struct stream *s = &p->end[i];
    s->pair = p;
    s->other = &p->end[1 - i];
    s->quota = QUOTA_INIT(4 * FAKE_WINDOW_BYTES, NULL);
    slice_queue_init(&s->in, mem_system());
    deferred_init(&s->tell, on_tell);
}

static struct pair *pair_new(struct reactor *r) {
    struct pair *p = mem_alloc(mem_system(), sizeof(*p));
    assert(p != NULL);
    p->reactor = r;
    list_init(&p->node);
    end_init(p, 0);
    end_init(p, 1);
    return p;
}

void fake_stream_pair(struct reactor *r, struct stream **ret_a, struct stream **ret_b) {
    struct pair *p = pair_new(r);
    *ret_a = &p->end[0];
    *ret_b = &p->end[1];
}

/* --- stream.h --- */

void stream_set_events(struct stream *s, const struct stream_events *events, void *user) {
    s->events = events;
    s->user = user;
    if (s->pending != 0)
        reactor_defer(s->pair->reactor, &s->tell);
}

void *stream_user(const struct stream *s) {
    return s->user;
}

/* As QUIC and yamux do: a stream takes what is charged to it already when nothing else is there. */
static bool takes(const struct stream *s, const struct slice *v) {
    const struct stream *to = s->other;
    bool is_paid = to->in.len == 0 && v->buf != NULL && v->buf->quota == &s->quota;
    return to->in.len + to->uncredited < FAKE_WINDOW_BYTES &&
           (quota_left(&s->quota) >= buf_class_size(BUF_64K) || is_paid);
}

ssize_t stream_write(struct stream *s, const struct slice *v, size_t count) {
    struct stream *to = s->other;
    assert(!s->released);
    if (s->closed && s->error != 0)
        return -ERR_CONN_CLOSED;
    if (s->fin_out || s->write_stopped)
        return -EPIPE;
    size_t taken = 0;
    while (taken < count && takes(s, &v[taken])) {
        struct slice one = v[taken];
        if (slice_queue_push(&to->in, one) < 0)
            break;
        taken++;
    }
    s->write_short = taken < count;
    if (taken > 0)
        tell(to, EV_READABLE);
    return (ssize_t)taken;
}

int stream_write_bytes(struct stream *s, struct bytes b) {
    struct buf *buf = buf_new(reactor_pool(s->pair->reactor), buf_class_for(b.len), &s->quota);
    if (buf == NULL)
        return -EAGAIN;
    memcpy(buf->data, b.data, b.len);
    struct slice v = slice_of(buf, 0, (uint32_t)b.len);
    ssize_t n = stream_write(s, &v, 1);
    if (n == 1)
        return 0;
    slice_unref(&v);
    return n < 0 ? (int)n : -EAGAIN;
}

ssize_t stream_read(struct stream *s, struct slice *out, size_t max) {
    size_t n = 0;
    assert(!s->released);
    if (s->read_reset)
        return -ECONNRESET;
    while (n < max && slice_queue_shift(&s->in, &out[n]))
        s->uncredited += out[n++].len;
    if (n == 0 && s->fin_in) {
        s->fin_told = true;
        close_if_over(s);
        return -ENODATA;
    }
    if (s->in.len > 0 || s->fin_in)
        tell(s, EV_READABLE);
    return (ssize_t)n;
}

void stream_credit(struct stream *s, size_t bytes) {
    assert(bytes <= s->uncredited);
    s->uncredited -= bytes;
    if (s->other->write_short) {
        s->other->write_short = false;
        tell(s->other, EV_WRITABLE);
    }
}

void stream_shutdown_write(struct stream *s) {
    if (s->fin_out || s->write_stopped)
        return;
    s->fin_out = true;
    s->other->fin_in = true;
    tell(s->other, EV_READABLE);
    close_if_over(s);
}

static void reset_reading(struct stream *s, uint64_t code) {
    if (s->fin_told || s->read_reset)
        return;
    slice_queue_done(&s->in);
    s->read_reset = true;
    s->reset_code = code;
    tell(s, EV_RESET);
    close_if_over(s);
}

void stream_stop_reading(struct stream *s, uint64_t code) {
    struct stream *other = s->other;
    slice_queue_done(&s->in);
    if (other->write_stopped || s->fin_told)
        return;
    other->write_stopped = true;
    other->stop_code = code;
    if (!other->fin_out)
        tell(other, EV_STOPPED);
    close_if_over(other);
}

void stream_reset(struct stream *s, uint64_t code) {
    if (!s->fin_out)
        reset_reading(s->other, code);
    s->fin_out = true;
    stream_stop_reading(s, code);
}

struct stream *stream_release(struct stream *s) {
    if (s == NULL)
        return NULL;
    struct pair *p = s->pair;
    assert(!s->released);
    if (!s->closed)
        stream_stop_reading(s, 0);
    if (!s->fin_out && !s->closed)
        reset_reading(s->other, 0);
    s->released = true;
    deferred_cancel(&s->tell);
    slice_queue_done(&s->in);
    if (s->other->released)
        slice_queue_done(&s->other->in);
    if (!s->other->released)
        return NULL;
    assert(p->end[0].quota.used_bytes == 0);
    assert(p->end[1].quota.used_bytes == 0);
    list_remove(&p->node);
    if (p->host != NULL)
        p->host->streams--;
    return mem_free(mem_system(), p);
}

struct conn *stream_conn(const struct stream *s) {
    const struct pair *p = s->pair;
    assert(p->conn != NULL);
    return &p->conn->end[p->conn_end ^ (s == &p->end[1])];
}

/* What it takes is with the other end at once. */
size_t stream_unsent(const struct stream *s) {
    (void)s;
    return 0;
}

size_t stream_batch(const struct stream *s) {
    (void)s;
    return WRITE_PACE_BYTES_MAX;
}

const struct peer_id *stream_peer(const struct stream *s) {
    return &s->pair->peers[s == &s->pair->end[0]];
}

bool stream_is_agreed(const struct stream *s) {
    return !s->is_refused && !s->is_silent;
}

bool stream_is_silent(const struct stream *s, nsec_t silence) {
    return reactor_now(s->pair->reactor) - s->heard_at >= silence;
}

const char *stream_protocol(const struct stream *s) {
    return s->pair->protocol;
}

struct quota *stream_quota(struct stream *s) {
    return &s->quota;
}

/* --- host.h --- */

struct peer_id fake_peer_id(const char *name) {
    struct peer_id id = {.len = 38, .bytes = {0x00, 0x24}};
    size_t len = strlen(name);
    memcpy(id.bytes + 2, name, MIN(len, (size_t)36));
    return id;
}

static struct protocol_handler *find_handler(struct host *h, const char *protocol) {
    list_for_each (node, &h->handlers) {
        struct protocol_handler *ph = LIST_ENTRY(node, struct protocol_handler, node);
        if (strcmp(ph->protocol, protocol) == 0)
            return ph;
    }
    return NULL;
}

/* The oldest one, but a relayed one only where there is no other. */
static struct fake_conn *find_conn(const struct host *h, const struct peer_id *peer, int *ret_end) {
    struct fake_conn *found = NULL;
    for (size_t i = 0; i < h->known_count; i++) {
        struct fake_conn *c = h->known[i];
        int end = c->hosts[1] == h;
        if (c->is_closed || !peer_id_equal(&c->hosts[1 - end]->id, peer))
            continue;
        if (found == NULL || (found->end[0].relayed && !c->end[0].relayed)) {
            found = c;
            *ret_end = end;
        }
    }
    return found;
}

static struct stream *open_stream(struct host *h, struct host *to, struct fake_conn *conn,
                                  int conn_end, const char *protocol, struct stream **ret_far) {
    struct pair *p = pair_new(h->reactor);
    p->host = h;
    p->conn = conn;
    p->conn_end = conn_end;
    p->peers[0] = h->id;
    p->peers[1] = to->id;
    p->protocol = protocol;
    list_push(&h->pairs, &p->node);
    h->streams++;
    if (h->starve_count > 0) {
        h->starve_count--;
        p->end[0].quota.max_bytes = 0;
    }
    *ret_far = &p->end[1];
    return &p->end[0];
}

static void answer(struct host *h, struct stream_request *r) {
    if (h->fail_count > 0) {
        h->fail_count--;
        r->done(r, NULL, h->fail_error);
        return;
    }
    int end = 0;
    struct fake_conn *conn = find_conn(h, &r->base.peer, &end);
    struct host *to = conn == NULL ? h->remote : conn->hosts[1 - end];
    if (to == NULL) {
        bool must_stand = (r->base.flags & HOST_REQUEST_NO_DIAL) != 0;
        r->done(r, NULL, must_stand ? -ERR_NOT_CONNECTED : -ERR_NO_ADDRESSES);
        return;
    }
    if (h->streams >= h->streams_max) {
        r->done(r, NULL, -ERR_RESOURCE_LIMIT);
        return;
    }
    struct stream *far;
    struct stream *near = open_stream(h, to, conn, end, r->protocol, &far);
    struct protocol_handler *ph = find_handler(to, r->protocol);
    near->is_silent = h->silent_count > 0;
    h->silent_count -= near->is_silent;
    near->heard_at = reactor_now(h->reactor) - (near->is_silent ? SILENT_FOR : 0);
    if (h->refuse_count > 0) {
        h->refuse_count--;
        far->released = true;
        near->is_refused = true;
        near->refused_in = REFUSED_AFTER_TURNS;
        near->stop_code = h->refuse_code;
        near->reset_code = h->refuse_code;
        reactor_defer(h->reactor, &near->tell);
    } else if (ph != NULL) {
        ph->accept(ph, far);
        if (!near->is_silent)
            tell(near, EV_READABLE); /* as the peer's answer does */
    } else {
        far->released = true;
        near->error = -ERR_PROTOCOL_NOT_SUPPORTED;
        tell(near, EV_CLOSED);
    }
    r->done(r, near, 0);
}

static void on_answer(struct deferred *d) {
    struct host *h = CONTAINER_OF(d, struct host, answer);
    struct list *node;
    while ((node = list_shift(&h->requests)) != NULL) {
        struct stream_request *r = LIST_ENTRY(node, struct stream_request, base.node);
        r->base.pending = false;
        answer(h, r);
    }
}

struct host *fake_host_new(struct reactor *r, const char *peer_name, struct host *remote) {
    struct host *h = mem_alloc(mem_system(), sizeof(*h));
    assert(h != NULL);
    h->reactor = r;
    h->remote = remote;
    h->id = fake_peer_id(peer_name);
    h->streams_max = UINT32_MAX;
    list_init(&h->conns);
    list_init(&h->watches);
    list_init(&h->handlers);
    list_init(&h->requests);
    list_init(&h->pairs);
    deferred_init(&h->answer, on_answer);
    return h;
}

void fake_host_free(struct host *h) {
    assert(h->streams == 0);
    assert(list_is_empty(&h->requests));
    assert(list_is_empty(&h->handlers));
    assert(list_is_empty(&h->watches));
    assert(h->preface == NULL);
    struct list *node;
    while ((node = list_shift(&h->conns)) != NULL) {
        struct fake_conn *c = LIST_ENTRY(node, struct fake_conn, node);
        deferred_cancel(&c->over);
        (void)mem_free(mem_system(), c);
    }
    deferred_cancel(&h->answer);
    (void)mem_free(mem_system(), h);
}

void fake_host_set_key(struct host *h, uint8_t seed) {
    uint8_t bytes[ED25519_SEED_BYTES] = {seed};
    int e = identity_from_seed(bytes, &h->identity);
    assert(e == 0);
    h->id = h->identity.id;
}

void fake_host_advertise(struct host *h, const struct multiaddr *addrs, size_t count) {
    h->advertised = addrs;
    h->advertised_count = count;
}

/* --- Connections --- */

static void tell_watches(struct host *h, struct conn *c, bool opened) {
    list_for_each_safe (node, &h->watches) {
        struct host_watch *w = LIST_ENTRY(node, struct host_watch, node);
        void (*told)(struct host_watch *, struct conn *) = opened ? w->opened : w->closed;
        if (told != NULL)
            told(w, c);
    }
}

/* Its streams hear of it first. */
static bool has_untold(const struct host *h, const struct fake_conn *c) {
    list_for_each (node, &h->pairs) {
        const struct pair *p = LIST_ENTRY(node, struct pair, node);
        for (int i = 0; i < 2 && p->conn == c; i++)
            if (!p->end[i].released && p->end[i].events != NULL && p->end[i].pending != 0)
                return true;
    }
    return false;
}

static void on_conn_over(struct deferred *d) {
    struct fake_conn *c = CONTAINER_OF(d, struct fake_conn, over);
    if (has_untold(c->hosts[0], c) || has_untold(c->hosts[1], c)) {
        reactor_defer(c->hosts[0]->reactor, &c->over);
        return;
    }
    for (int i = 0; i < 2; i++)
        tell_watches(c->hosts[i], &c->end[i], false);
}

struct fake_conn *fake_connect(struct host *from, struct host *to, const char *from_addr,
                               const char *to_addr) {
    const char *addrs[] = {from_addr, to_addr};
    struct fake_conn *c = mem_alloc(mem_system(), sizeof(*c));
    assert(c != NULL);
    c->hosts[0] = from;
    c->hosts[1] = to;
    deferred_init(&c->over, on_conn_over);
    list_init(&c->node);
    list_push(&from->conns, &c->node);
    for (int i = 0; i < 2; i++) {
        struct conn *end = &c->end[i];
        end->peer = c->hosts[1 - i]->id;
        end->inbound = i == 1;
        int e = multiaddr_parse(addrs[i], &end->local);
        assert(e == 0);
        e = multiaddr_parse(addrs[1 - i], &end->remote);
        assert(e == 0);
        assert(c->hosts[i]->known_count < FAKE_CONNS_MAX);
        c->hosts[i]->known[c->hosts[i]->known_count++] = c;
    }
    for (int i = 0; i < 2; i++)
        c->end[i].relayed =
            multiaddr_is_relayed(&c->end[0].local) || multiaddr_is_relayed(&c->end[0].remote);
    for (int i = 0; i < 2; i++)
        tell_watches(c->hosts[i], &c->end[i], true);
    return c;
}

void fake_conn_limit(struct fake_conn *c, const struct conn_limit *limit) {
    for (int i = 0; i < 2; i++) {
        c->end[i].limited = true;
        c->end[i].limit = *limit;
    }
}

void fake_disconnect(struct fake_conn *c, int error) {
    assert(!c->is_closed);
    c->is_closed = true;
    for (int i = 0; i < 2; i++) {
        list_for_each (node, &c->hosts[i]->pairs) {
            struct pair *p = LIST_ENTRY(node, struct pair, node);
            if (p->conn == c)
                fake_stream_kill(&p->end[0], error);
        }
    }
    reactor_defer(c->hosts[0]->reactor, &c->over);
}

/* There is no gate. */
bool host_denies(const struct host *h, const struct peer_id *peer) {
    (void)h;
    (void)peer;
    return false;
}

void fake_conn_silent(struct fake_conn *c, const struct host *at) {
    int i = c->hosts[1] == at;
    assert(c->hosts[i] == at);
    list_for_each_safe (node, &at->watches) {
        struct host_watch *w = LIST_ENTRY(node, struct host_watch, node);
        if (w->silent != NULL)
            w->silent(w, &c->end[i]);
    }
}

void host_watch(struct host *h, struct host_watch *w) {
    list_init(&w->node);
    list_push(&h->watches, &w->node);
}

void host_unwatch(struct host_watch *w) {
    list_remove(&w->node);
}

uint32_t host_conns_count(const struct host *h, const struct peer_id *peer) {
    uint32_t count = 0;
    for (size_t i = 0; i < h->known_count; i++) {
        const struct fake_conn *c = h->known[i];
        count += !c->is_closed && peer_id_equal(&c->hosts[c->hosts[0] == h]->id, peer);
    }
    return count;
}

const struct identity *host_identity(const struct host *h) {
    return &h->identity;
}

size_t host_advertised_addrs(const struct host *h, const struct conn *c,
                             struct multiaddr ret_addrs[HOST_ADVERTISED_MAX]) {
    (void)c;
    if (h->advertised_count > 0)
        memcpy(ret_addrs, h->advertised, h->advertised_count * sizeof(*ret_addrs));
    return h->advertised_count;
}

/* --- What goes wrong --- */

void fake_host_fail(struct host *h, int error, uint32_t count) {
    h->fail_error = error;
    h->fail_count = count;
}

void fake_host_refuse(struct host *h, uint64_t code, uint32_t count) {
    h->refuse_code = code;
    h->refuse_count = count;
}

void host_doubt(struct host *h, const struct stream *s) {
    assert(s->pair->host == h);
    h->doubts++;
}

uint32_t fake_host_doubts(const struct host *h) {
    return h->doubts;
}

void fake_host_silence(struct host *h, uint32_t count) {
    h->silent_count = count;
}

void fake_host_speak(struct host *h) {
    list_for_each (node, &h->pairs) {
        struct stream *near = &LIST_ENTRY(node, struct pair, node)->end[0];
        if (near->is_silent && !near->closed)
            tell(near, EV_READABLE);
        near->is_silent = false;
    }
    fake_host_stir(h);
}

void fake_host_stir(struct host *h) {
    list_for_each (node, &h->pairs)
        LIST_ENTRY(node, struct pair, node)->end[0].heard_at = reactor_now(h->reactor);
}

void fake_host_starve(struct host *h, uint32_t count) {
    h->starve_count = count;
}

void fake_stream_starve(struct stream *s) {
    s->other->quota.max_bytes = 0;
}

void fake_host_limit(struct host *h, uint32_t streams_max) {
    h->streams_max = streams_max;
}

void fake_stream_kill(struct stream *s, int error) {
    for (int i = 0; i < 2; i++) {
        struct stream *end = &s->pair->end[i];
        if (end->closed)
            continue;
        end->error = error;
        end->closed = true;
        end->pending = 0;
        tell(end, EV_CLOSED);
    }
}

void fake_host_kill(struct host *h, int error) {
    list_for_each (node, &h->pairs)
        fake_stream_kill(&LIST_ENTRY(node, struct pair, node)->end[0], error);
}

uint32_t fake_host_streams(const struct host *h) {
    return h->streams;
}

int host_handle(struct host *h, struct protocol_handler *ph) {
    if (find_handler(h, ph->protocol) != NULL)
        return -EEXIST;
    list_init(&ph->node);
    list_push(&h->handlers, &ph->node);
    return 0;
}

void host_set_preface(struct host *h, struct tcp_preface *p) {
    h->preface = p;
}

struct tcp_preface *fake_host_preface(const struct host *h) {
    return h->preface;
}

void host_unhandle(struct host *h, struct protocol_handler *ph) {
    (void)h;
    list_remove(&ph->node);
}

void host_open_stream_with(struct host *h, struct stream_request *r, const struct peer_id *peer,
                           const char *protocol, unsigned flags, nsec_t deadline,
                           void (*done)(struct stream_request *r, struct stream *s, int error)) {
    (void)deadline;
    r->base.peer = *peer;
    r->base.flags = flags;
    r->protocol = protocol;
    r->done = done;
    r->base.pending = true;
    list_init(&r->base.node);
    list_push(&h->requests, &r->base.node);
    reactor_defer(h->reactor, &h->answer);
}

void stream_request_cancel(struct stream_request *r) {
    if (r->base.pending) {
        r->base.pending = false;
        list_remove(&r->base.node);
    }
}
