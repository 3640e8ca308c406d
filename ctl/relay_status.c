/* SPDX-License-Identifier: MIT */
#include "ctl/relay_status.h"

#include "core/base/strbuf.h"
#include "core/p2p/peer_id.h"
#include "ctl/connected_peers.h"

static void write_status(const struct connected_peers *p, struct strbuf *out) {
    char id[PEER_ID_SHORT_MAX];
    size_t shown = MIN(p->count, (size_t)RELAY_STATUS_PEERS_MAX);

    strbuf_addf(out, "--- %zu connected peers ---", p->count);
    for (size_t i = 0; i < shown; i++)
        strbuf_addf(out, "\n%s", peer_id_format_short(&p->ids[i], id));
    if (p->count > shown)
        strbuf_addf(out, "\n... and %zu more", p->count - shown);
}

static void on_timer(struct timer *t) {
    SCOPED(strbuf_free) struct strbuf text = STRBUF_INIT(SAY_BYTES_MAX);
    struct relay_status *s = CONTAINER_OF(t, struct relay_status, timer);
    struct connected_peers p;

    timer_start(t, reactor_now(t->reactor) + s->cfg.every);
    if (connected_peers_find(s->cfg.host, reactor_mem(t->reactor), &p) < 0)
        return; /* next time there may be memory again */
    write_status(&p, &text);
    connected_peers_done(&p);
    s->cfg.say(s->cfg.user, strbuf_text(&text));
}

int relay_status_open(struct relay_status *s, const struct relay_status_config *cfg) {
    *s = (struct relay_status){.cfg = *cfg};
    int e = timer_init(&s->timer, cfg->reactor, on_timer);
    if (e < 0)
        return e;
    timer_start(&s->timer, reactor_now(cfg->reactor) + cfg->every);
    s->is_open = true;
    return 0;
}

void relay_status_close(struct relay_status *s) {
    if (s->is_open)
        timer_done(&s->timer);
    s->is_open = false;
}
