/* SPDX-License-Identifier: MIT */
#include "transport/upgrade.h"

#include "core/base/err.h"
#include "core/base/mem.h"
#include "transport/proto/multistream.h"
#include "transport/proto/noise.h"
#include "transport/proto/tls.h"
#include "transport/secure_link.h"
#include "transport/yamux_conn.h"

#define TLS_PROTOCOL   "/tls/1.0.0"
#define NOISE_PROTOCOL "/noise"
#define YAMUX_PROTOCOL "/yamux/1.0.0"

enum { READ_SLICES = 4 };

/* NEW -> SECURITY -> HANDSHAKE -> MUXER -> freed, with a connection (past MUXER when the handshake
 *                                          agreed on the muxer)
 * any -> OVER                              failed or cancelled: freed when the link is closed */
enum upgrade_state {
    UPGRADE_NEW,
    UPGRADE_SECURITY,
    UPGRADE_HANDSHAKE,
    UPGRADE_MUXER,
    UPGRADE_OVER,
};

struct upgrade {
    struct upgrader *upgrader;
    struct upgrade_config cfg; /* its pointers are to the copies below */
    struct peer_id expected;
    struct multiaddr remote;
    struct multiaddr local;
    enum upgrade_state state;
    struct link *link;     /* the lower one, then the secured one */
    struct secure *engine; /* made, and not the secured link's yet */
    struct multistream negotiation;
    const char *agreed;      /* by the negotiation that runs; NULL before */
    struct slice_queue rest; /* read, and not for the layer that read it */
    struct slice_queue out;
    struct slice_writer writer;
    struct timer timer;
    nsec_t lead_at; /* NSEC_NEVER: not, or not yet */
    struct deferred work;
};

static const struct link_events upgrade_events;

static nsec_t now_of(const struct upgrade *up) {
    return reactor_now(up->upgrader->reactor);
}

static struct mem *mem_of(const struct upgrade *up) {
    return reactor_mem(up->upgrader->reactor);
}

/* --- The ends --- */

static void drop_all(struct upgrade *up) {
    slice_writer_done(&up->writer);
    slice_queue_done(&up->out);
    slice_queue_done(&up->rest);
    up->engine = secure_free(up->engine);
    timer_done(&up->timer);
    deferred_cancel(&up->work);
}

static void end(struct upgrade *up) {
    up->state = UPGRADE_OVER;
    drop_all(up);
    link_close(up->link);
}

static void on_closed(struct link *l, int error) {
    struct upgrade *up = l->user;
    struct upgrader *u = up->upgrader;
    assert(up->state == UPGRADE_OVER);
    (void)error; /* told before, or nobody asked */
    assert(u->closing_count > 0);
    u->closing_count--;
    (void)mem_free(mem_of(up), up);
    u->upgrade_gone(u);
}

static void fail_with(struct upgrade *up, int error, const struct problem *why) {
    assert(error < 0);
    up->upgrader->closing_count++;
    end(up);
    up->cfg.done(up->cfg.user, NULL, error, why);
}

static void PRINTF(3, 4) fail(struct upgrade *up, int error, const char *format, ...) {
    struct problem why;
    va_list args;
    va_start(args, format);
    (void)problem_set_v(&why, error, format, args);
    va_end(args);
    fail_with(up, error, &why);
}

static void fail_by_link(struct upgrade *up, int error) {
    const struct secure *engine =
        up->state < UPGRADE_HANDSHAKE ? NULL : secure_link_engine(up->link);
    if (engine != NULL && engine->error == error && engine->problem.text[0] != '\0') {
        struct problem why = engine->problem;
        fail_with(up, error, &why);
    } else if (error == -ENODATA || error == -ERR_CONN_CLOSED || error == -ECONNRESET) {
        fail(up, -ERR_CONN_CLOSED, "the peer closed the connection before it was set up");
    } else if (error == -ECONNREFUSED) {
        fail(up, error, "the peer refused the connection");
    } else if (error == -ETIMEDOUT) {
        fail(up, error, "the peer does not answer");
    } else {
        fail(up, error, "the peer's address cannot be reached: %s", err_text(error));
    }
}

void upgrade_cancel(struct upgrade *up) {
    assert(up->state != UPGRADE_OVER);
    up->upgrader->closing_count++;
    end(up);
}

/* --- Which protocols --- */

/* Those that we propose, best first, or accept.  Returns their number. */
static size_t names_of(const struct upgrade *up, const char **names) {
    size_t count = 0;
    if (up->state == UPGRADE_MUXER)
        names[count++] = YAMUX_PROTOCOL;
    if (up->state == UPGRADE_SECURITY && (up->upgrader->securities & UPGRADE_TLS) != 0)
        names[count++] = TLS_PROTOCOL;
    if (up->state == UPGRADE_SECURITY && (up->upgrader->securities & UPGRADE_NOISE) != 0)
        names[count++] = NOISE_PROTOCOL;
    return count;
}

static const char *find_name(const struct upgrade *up, struct bytes name) {
    const char *names[MULTISTREAM_CANDIDATES_MAX];
    size_t count = names_of(up, names);
    for (size_t i = 0; i < count; i++) {
        if (bytes_equal(bytes_of_str(names[i]), name))
            return names[i];
    }
    return NULL;
}

static int make_engine(struct upgrade *up, const char *protocol) {
    const struct peer_id *expected = up->cfg.expected;
    struct reactor *r = up->upgrader->reactor;
    if (strcmp(protocol, NOISE_PROTOCOL) == 0) {
        struct noise_config noise = {.mem = mem_of(up),
                                     .rng = reactor_rng(r),
                                     .identity = up->upgrader->identity,
                                     .expected = expected,
                                     .initiator = up->cfg.initiator};
        return noise_new(&noise, &up->engine);
    }
    struct tls_config tls = {.mem = mem_of(up),
                             .context = up->upgrader->tls,
                             .expected = expected,
                             .now = reactor_walltime(r),
                             .initiator = up->cfg.initiator};
    return tls_new(&tls, &up->engine);
}

/* --- Negotiating --- */

static bool write_copy(struct upgrade *up, const void *bytes, size_t len) {
    return slice_writer_add(&up->writer, bytes_of(bytes, len)) == len;
}

static bool pull_negotiation(struct upgrade *up) {
    uint8_t out[MULTISTREAM_OUT_MAX];
    size_t n;
    bool ok = true;
    while (ok && (n = multistream_pull(&up->negotiation, out, sizeof(out), now_of(up))) > 0)
        ok = write_copy(up, out, n);
    return ok;
}

/* With nothing else to propose the first message of the handshake goes right behind the name. */
static int begin_handshake_early(struct upgrade *up, const char *protocol) {
    uint8_t out[1024];
    size_t n;
    int e = make_engine(up, protocol);
    if (e < 0)
        return e;
    while ((n = secure_pull(up->engine, out, sizeof(out))) > 0) {
        if (!write_copy(up, out, n))
            return -ENOMEM;
    }
    return 0;
}

/* Into the state's negotiation; false: the upgrade has failed. */
static bool negotiation_begin(struct upgrade *up, enum upgrade_state state) {
    const char *names[MULTISTREAM_CANDIDATES_MAX];
    up->state = state;
    up->agreed = NULL;
    size_t count = names_of(up, names);
    struct multistream_config cfg = {.names = names};
    if (up->cfg.initiator)
        cfg.names_count = count;
    multistream_init(&up->negotiation, &cfg, now_of(up));
    slice_writer_init(&up->writer, &up->out, reactor_pool(up->upgrader->reactor),
                      link_quota(up->link));
    int e = pull_negotiation(up) ? 0 : -ENOMEM;
    if (e == 0 && up->cfg.initiator && state == UPGRADE_SECURITY && count == 1)
        e = begin_handshake_early(up, names[0]);
    if (e < 0)
        fail(up, e, "cannot negotiate: %s", err_text(e));
    return e == 0;
}

/* false: the upgrade has failed. */
static bool handle_event(struct upgrade *up, const struct multistream_event *ev) {
    switch (ev->type) {
    case MULTISTREAM_EV_PROPOSAL:
        up->agreed = find_name(up, ev->name);
        if (up->agreed != NULL)
            multistream_accept(&up->negotiation, now_of(up));
        else
            multistream_refuse(&up->negotiation, now_of(up));
        return true;
    case MULTISTREAM_EV_AGREED:
        up->agreed = find_name(up, ev->name);
        return true;
    case MULTISTREAM_EV_REFUSED:
        fail(up, -ERR_PROTOCOL_NOT_SUPPORTED,
             up->state == UPGRADE_MUXER ? "the peer does not speak yamux"
                                        : "the peer speaks no security protocol of ours");
        return false;
    case MULTISTREAM_EV_FAILED:
        if (ev->error == -ERR_TRUNCATED)
            fail_by_link(up, -ENODATA);
        else
            fail(up, ev->error, "the peer does not speak libp2p's multistream-select");
        return false;
    }
    return false;
}

/* Feeds what was read until something is agreed.  false: the upgrade has failed. */
static bool negotiate(struct upgrade *up) {
    bool more = true;
    while (more && up->agreed == NULL) {
        size_t n = 0;
        if (up->rest.count > 0)
            n = multistream_recv(&up->negotiation, slice_bytes(slice_queue_at(&up->rest, 0)),
                                 now_of(up));
        slice_queue_drop(&up->rest, n);
        link_credit(up->link, n);
        struct multistream_event ev;
        bool event = multistream_next_event(&up->negotiation, &ev);
        if (event && !handle_event(up, &ev))
            return false;
        if (!pull_negotiation(up)) {
            fail(up, -ENOMEM, "cannot negotiate: %s", err_text(-ENOMEM));
            return false;
        }
        more = n > 0 || event;
    }
    return true;
}

/* --- Two responders --- */

static void set_lead_at(struct upgrade *up, nsec_t at) {
    up->lead_at = at;
    timer_start(&up->timer, MIN(at, up->cfg.deadline));
}

static bool has_nothing_to_do(const struct upgrade *up) {
    return up->state == UPGRADE_SECURITY && !up->cfg.initiator && up->cfg.may_lead &&
           multistream_is_idle(&up->negotiation);
}

static void watch_for_lead(struct upgrade *up) {
    if (has_nothing_to_do(up) && up->lead_at == NSEC_NEVER)
        set_lead_at(up, now_of(up) + UPGRADE_LEAD_AFTER);
}

void upgrade_let_lead(struct upgrade *up) {
    up->cfg.may_lead = true;
    watch_for_lead(up);
}

/* What the peer sent meanwhile would have been read. */
static void lead(struct upgrade *up) {
    const char *names[MULTISTREAM_CANDIDATES_MAX];
    struct multistream_config cfg = {.names = names, .names_count = names_of(up, names)};
    up->cfg.initiator = true;
    multistream_lead(&up->negotiation, &cfg, now_of(up));
}

/* --- From layer to layer --- */

static void on_conn_gone(void *user, struct conn *c) {
    struct upgrader *u = user;
    u->conn_gone(u, c);
}

static void finish(struct upgrade *up) {
    const struct secure *engine = secure_link_engine(up->link);
    struct yamux_conn_config cfg = {
        .reactor = up->upgrader->reactor,
        .link = up->link,
        .rest = &up->rest,
        .peer = engine->peer,
        .remote = up->remote,
        .local = up->local,
        .initiator = up->cfg.initiator,
        .inbound = up->cfg.inbound,
        .gone = on_conn_gone,
        .user = up->upgrader,
    };
    struct conn *c;
    int e = yamux_conn_new(&cfg, &c);
    if (e < 0) {
        fail(up, e, "no memory for the connection");
        return;
    }
    drop_all(up);
    up->cfg.done(up->cfg.user, c, 0, NULL);
    (void)mem_free(mem_of(up), up);
}

static void look(struct upgrade *up);

static void on_secured(struct link *l) {
    struct upgrade *up = l->user;
    const struct secure *engine = secure_link_engine(l);
    if (engine->muxer != NULL && strcmp(engine->muxer, YAMUX_PROTOCOL) == 0)
        finish(up);
    else if (negotiation_begin(up, UPGRADE_MUXER))
        look(up);
}

static void begin_handshake(struct upgrade *up) {
    struct link *secured;
    int e = up->engine == NULL ? make_engine(up, up->agreed) : 0;
    if (e == 0)
        e = secure_link_new(up->upgrader->reactor, up->link, up->engine, &up->rest, on_secured,
                            &secured);
    if (e != 0) {
        fail(up, e, "cannot begin the handshake: %s", err_text(e));
        return;
    }
    up->engine = NULL;
    up->state = UPGRADE_HANDSHAKE;
    up->link = secured;
    link_set_events(secured, &upgrade_events, up);
}

/* Whether all is with the link; else writable() follows.  Its failures are read. */
static bool flush(struct upgrade *up) {
    slice_writer_done(&up->writer);
    while (up->out.count > 0) {
        if (link_write(up->link, slice_queue_at(&up->out, 0), 1) != 1)
            return false;
        struct slice taken;
        (void)slice_queue_shift(&up->out, &taken); /* its reference was taken over */
    }
    return true;
}

/* Until -ENODATA or an error, which is returned, or nothing is there: 0. */
static int receive(struct upgrade *up) {
    struct slice in[READ_SLICES];
    ssize_t n;
    while ((n = link_read(up->link, in, ARRAY_COUNT(in))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (slice_queue_push(&up->rest, in[i]) == 0)
                continue;
            for (; i < n; i++)
                slice_unref(&in[i]);
            return -ENOMEM;
        }
    }
    return (int)n;
}

/* Everything that can be done now, whatever happened. */
static void look(struct upgrade *up) {
    int e = receive(up);
    if (e < 0 && e != -ENODATA) {
        fail_by_link(up, e);
        return;
    }
    if (up->state == UPGRADE_HANDSHAKE) {
        if (e == -ENODATA)
            fail_by_link(up, e);
        return;
    }
    if (!negotiate(up))
        return;
    watch_for_lead(up);
    bool flushed = flush(up);
    if (up->agreed == NULL && e == -ENODATA) {
        fail_by_link(up, e);
    } else if (up->agreed != NULL && flushed) {
        if (up->state == UPGRADE_MUXER)
            finish(up);
        else
            begin_handshake(up);
    }
}

static void on_event(struct link *l) {
    struct upgrade *up = l->user;
    if (up->state != UPGRADE_NEW)
        look(up);
}

static const struct link_events upgrade_events = {
    .readable = on_event,
    .writable = on_event,
    .closed = on_closed,
};

static void on_timer(struct timer *timer) {
    struct upgrade *up = CONTAINER_OF(timer, struct upgrade, timer);
    if (now_of(up) >= up->cfg.deadline) {
        fail_by_link(up, -ETIMEDOUT);
        return;
    }
    bool is_to_lead = has_nothing_to_do(up);
    set_lead_at(up, NSEC_NEVER);
    if (is_to_lead) {
        lead(up);
        look(up);
    }
}

static void on_work(struct deferred *d) {
    struct upgrade *up = CONTAINER_OF(d, struct upgrade, work);
    if (negotiation_begin(up, UPGRADE_SECURITY))
        look(up);
}

/* --- Making --- */

static void on_abandoned(struct link *l, int error) {
    struct upgrader *u = l->user;
    (void)error;
    assert(u->closing_count > 0);
    u->closing_count--;
    u->upgrade_gone(u);
}

static const struct link_events abandoned_events = {.closed = on_abandoned};

void upgrade_abandon(struct upgrader *u, struct link *link) {
    u->closing_count++;
    link_set_events(link, &abandoned_events, u);
    link_close(link);
}

int upgrade_start(struct upgrader *u, const struct upgrade_config *cfg,
                  struct upgrade **ret_upgrade) {
    struct mem *mem = reactor_mem(u->reactor);
    struct upgrade *up = mem_alloc(mem, sizeof(*up));
    if (up == NULL || timer_init(&up->timer, u->reactor, on_timer) < 0) {
        (void)mem_free(mem, up);
        upgrade_abandon(u, cfg->link);
        return -ENOMEM;
    }
    up->upgrader = u;
    up->cfg = *cfg;
    up->lead_at = NSEC_NEVER;
    up->link = cfg->link;
    up->remote = *cfg->remote;
    if (cfg->local != NULL)
        up->local = *cfg->local;
    if (cfg->expected != NULL) {
        up->expected = *cfg->expected;
        up->cfg.expected = &up->expected;
    }
    slice_queue_init(&up->rest, mem);
    slice_queue_init(&up->out, mem);
    deferred_init(&up->work, on_work);
    timer_start(&up->timer, cfg->deadline);
    link_set_events(up->link, &upgrade_events, up);
    /* Nothing is told from inside this call: also not that this failed. */
    reactor_defer(u->reactor, &up->work);
    *ret_upgrade = up;
    return 0;
}
