/* SPDX-License-Identifier: MIT */
#include "tests/sim/transfer.h"

#include <string.h>

enum { CLIENT, SERVER, CHUNK = 16384, ID_BYTES = 8 };

static const char *const side_names[] = {"client", "server"};

/* --- The bytes --- */

static uint64_t word_at(uint64_t id, uint32_t side, uint64_t index) {
    uint64_t z = (id * 2 + side + 1) * 0x9e3779b97f4a7c15u + index * 0xd1b54a32d192ed03u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* The client's first bytes are the transfer's number, by which the server knows it. */
static void bytes_of_transfer(uint64_t id, uint32_t side, uint64_t at, uint8_t *out, size_t len) {
    for (size_t i = 0; i < len;) {
        uint64_t word = side == CLIENT && at + i < ID_BYTES ? id : word_at(id, side, (at + i) / 8);
        size_t skip = (at + i) % 8;
        size_t n = MIN(8 - skip, len - i);
        memcpy(out + i, (uint8_t *)&word + skip, n);
        i += n;
    }
}

/* --- A side --- */

static void transfer_look(struct transfer *x) {
    bool over = x->client.over && (x->server == NULL || x->server->over) &&
                (x->broken || x->server_ended_well);
    if (x->done || !over)
        return;
    struct transfers *t = x->client.all;
    x->done = true;
    x->ended = t->world->now;
    world_cancel(t->world, &x->deadline);
    t->done += !x->broken;
    t->broken += x->broken;
    world_trace(t->world, "transfer %llu %s", (unsigned long long)x->id,
                x->broken ? "is broken" : "is complete");
    if (x->broken && x->plan.must_end != NSEC_NEVER)
        world_fail(t->world, "transfer %llu from node %u to %u had to succeed, and broke",
                   (unsigned long long)x->id, x->plan.proxy->owner->index,
                   x->plan.proxy->to->index);
}

static void side_over(struct transfer_side *s, bool well, bool reset) {
    struct transfer *x = s->transfer;
    s->over = true;
    world_cancel(s->all->world, &s->step);
    if (s->sock != NULL)
        tcp_close_sock(s->sock, reset);
    s->sock = NULL;
    if (x == NULL)
        return;
    if (!well)
        x->broken = true;
    else if (s->number == SERVER)
        x->server_ended_well = true;
    transfer_look(x);
}

static void side_broken(struct transfer_side *s, int error) {
    if (s->transfer != NULL)
        world_trace(s->all->world, "transfer %llu: %s: error %d after %llu sent, %llu received",
                    (unsigned long long)s->transfer->id, side_names[s->number], error,
                    (unsigned long long)s->sent, (unsigned long long)s->received);
    side_over(s, false, false);
}

static void side_check(struct transfer_side *s, const uint8_t *data, size_t len) {
    uint8_t wanted[CHUNK];
    struct transfer *x = s->transfer;
    uint32_t from = 1 - s->number;
    bytes_of_transfer(x->id, from, s->received, wanted, len);
    if (s->received + len > x->plan.bytes[from])
        world_fail(s->all->world, "transfer %llu: the %s got bytes beyond the end",
                   (unsigned long long)x->id, side_names[s->number]);
    else if (memcmp(wanted, data, len) != 0)
        world_fail(s->all->world, "transfer %llu: the %s got other bytes, near %llu",
                   (unsigned long long)x->id, side_names[s->number],
                   (unsigned long long)s->received);
    s->received += len;
    s->all->bytes += len;
}

static void side_end(struct transfer_side *s) {
    struct transfer *x = s->transfer;
    s->got_end = true;
    uint64_t wanted = x->plan.bytes[1 - s->number];
    world_trace(s->all->world, "transfer %llu: the %s got the end", (unsigned long long)x->id,
                side_names[s->number]);
    if (s->received != wanted)
        world_fail(s->all->world, "transfer %llu: the %s saw a clean end after %llu of %llu bytes",
                   (unsigned long long)x->id, side_names[s->number],
                   (unsigned long long)s->received, (unsigned long long)wanted);
}

/* A server learns whom it serves.  Returns whether it knows. */
static bool side_identify(struct transfer_side *s) {
    if (s->transfer != NULL)
        return true;
    if (s->sock->in.len < ID_BYTES) {
        if (tcp_is_hung_up(s->sock))
            side_broken(s, 0); /* the client went away before it had begun */
        return false;
    }
    uint64_t id;
    memcpy(&id, byte_queue_at(&s->sock->in, 0), sizeof(id));
    if (id >= s->all->count || s->all->items[id]->server != NULL) {
        world_fail(s->all->world, "a server got a stream for transfer %llu, which is none",
                   (unsigned long long)id);
        return false;
    }
    s->transfer = s->all->items[id];
    s->transfer->server = s;
    return true;
}

static void side_read(struct transfer_side *s) {
    struct world *w = s->all->world;
    uint64_t rate = s->transfer->plan.rate[s->number];
    uint8_t data[CHUNK];
    while (!s->over && !s->got_end && !world_has_failed(w)) {
        if (rate > 0 && w->now < s->reads_at) {
            world_at(w, &s->step, s->reads_at);
            return;
        }
        ssize_t n = tcp_read_sock(s->sock, data,
                                  rate > 0 ? MIN(sizeof(data), rate / 16 + 1) : sizeof(data));
        if (n == -EAGAIN)
            return;
        if (n < 0)
            side_broken(s, (int)n);
        else if (n == 0)
            side_end(s);
        else
            side_check(s, data, (size_t)n);
        if (n > 0 && rate > 0)
            s->reads_at = w->now + (nsec_t)n * SEC(1) / rate;
    }
}

static bool may_send(const struct transfer_side *s) {
    return s->number == CLIENT || s->transfer->plan.order != ORDER_ANSWER || s->got_end;
}

static bool may_end(const struct transfer_side *s) {
    enum transfer_order order = s->transfer->plan.order;
    if (s->number == CLIENT)
        return order != ORDER_SERVER_FIRST || s->got_end;
    return order != ORDER_CLIENT_FIRST || s->got_end;
}

/* Servers do wrong: what clients send tells servers whom they serve. */
static void side_sabotage(const struct transfer_side *s, uint8_t *data, size_t *len) {
    enum sabotage how = s->all->world->sabotage;
    if (s->number == CLIENT || *len == 0)
        return;
    if (how == SABOTAGE_BYTE)
        data[*len / 2] ^= 1;
    else if (how == SABOTAGE_DOUBLE && s->sent > 0)
        bytes_of_transfer(s->transfer->id, s->number, s->sent - 1, data, *len);
    else if (how == SABOTAGE_DOUBLE)
        *len = (*len + 1) / 2;
}

static void side_write(struct transfer_side *s) {
    uint64_t all = s->transfer->plan.bytes[s->number];
    uint8_t data[CHUNK];
    if (s->number == SERVER && s->all->world->sabotage == SABOTAGE_END)
        all--;
    while (!s->over && s->sent < all && may_send(s)) {
        size_t len = MIN(MIN((uint64_t)sizeof(data), all - s->sent), tcp_room(s->sock));
        bytes_of_transfer(s->transfer->id, s->number, s->sent, data, len);
        side_sabotage(s, data, &len);
        ssize_t n = tcp_write_sock(s->sock, data, len);
        if (n == -EAGAIN)
            return;
        if (n < 0) {
            /* Bytes may still stand to be read, but nobody has promised them. */
            side_broken(s, (int)n);
            return;
        }
        s->sent += (uint64_t)n;
    }
    if (s->number == SERVER && s->all->world->sabotage == SABOTAGE_HANG)
        return;
    if (!s->over && s->sent == all && !s->fin_sent && may_send(s) && may_end(s)) {
        s->fin_sent = true;
        (void)tcp_shutdown_sock(s->sock); /* what broke it, reading tells */
    }
}

static void side_step(struct transfer_side *s) {
    if (!s->is_open) {
        int e = tcp_connect_result(s->sock);
        if (e == -EINPROGRESS)
            return;
        s->is_open = true;
        if (e < 0) {
            side_broken(s, e);
            return;
        }
    }
    if (!side_identify(s))
        return;
    side_read(s);
    if (!s->over)
        side_write(s);
    if (s->over)
        return;
    if (s->sent + s->received >= s->transfer->plan.reset_at[s->number]) {
        world_trace(s->all->world, "transfer %llu: the %s resets",
                    (unsigned long long)s->transfer->id, side_names[s->number]);
        side_over(s, false, true);
    } else if (s->fin_sent && s->got_end) {
        side_over(s, true, false);
    }
}

static void on_step(struct sim_event *e) {
    side_step(CONTAINER_OF(e, struct transfer_side, step));
}

static void on_changed(struct sim_sock *sock, void *user) {
    struct transfer_side *s = user;
    (void)sock;
    world_at(s->all->world, &s->step, s->all->world->now);
}

static void side_init(struct transfer_side *s, struct transfers *all, struct sim_host *h,
                      uint32_t number) {
    *s = (struct transfer_side){.all = all, .host = h, .number = number};
    list_init(&s->node);
    sim_event_init(&s->step, on_step);
}

static void side_attach(struct transfer_side *s, struct sim_tcp *sock) {
    s->sock = sock;
    sock->sock.changed = on_changed;
    sock->sock.user = s;
}

/* --- Servers --- */

static void on_accept(struct sim_event *e) {
    struct service_port *p = CONTAINER_OF(e, struct service_port, step);
    struct sim_tcp *sock;
    while (p->listener != NULL && (sock = tcp_accept_sock(p->listener)) != NULL) {
        struct transfer_side *s = sim_alloc(sizeof(*s));
        side_init(s, p->all, p->host, SERVER);
        s->is_open = true;
        list_push(&p->all->servers, &s->node);
        side_attach(s, sock);
        on_changed(&sock->sock, s);
    }
}

static void on_listener_changed(struct sim_sock *sock, void *user) {
    struct service_port *p = user;
    (void)sock;
    world_at(p->all->world, &p->step, p->all->world->now);
}

struct service_port *transfers_add_port(struct transfers *t, struct sim_host *h, uint16_t port) {
    assert(t->ports_count < SERVICE_PORTS_MAX);
    struct service_port *p = &t->ports[t->ports_count++];
    *p = (struct service_port){.all = t, .host = h, .port = port};
    sim_event_init(&p->step, on_accept);
    return p;
}

void service_port_open(struct service_port *p) {
    struct net_addr at = {.family = NET_IP4, .ip = {127, 0, 0, 1}, .port = p->port};
    if (p->listener != NULL)
        return;
    int e = tcp_listen_sock(p->host, &at, &p->listener);
    assert(e == 0);
    p->listener->sock.changed = on_listener_changed;
    p->listener->sock.user = p;
}

void service_port_close(struct service_port *p) {
    world_cancel(p->all->world, &p->step);
    if (p->listener != NULL)
        tcp_close_listener(TAKE(p->listener));
}

/* --- Clients --- */

static void on_begin(struct sim_event *e) {
    struct transfer_side *s = CONTAINER_OF(e, struct transfer_side, step);
    struct transfer *x = s->transfer;
    struct net_addr to = {.family = NET_IP4, .ip = {127, 0, 0, 1}, .port = x->plan.proxy->port};
    world_trace(s->all->world, "transfer %llu begins: node %u to %u, %llu up, %llu down, order %d",
                (unsigned long long)x->id, x->plan.proxy->owner->index, x->plan.proxy->to->index,
                (unsigned long long)x->plan.bytes[CLIENT],
                (unsigned long long)x->plan.bytes[SERVER], (int)x->plan.order);
    s->step.run = on_step;
    if (s->host->is_down) {
        side_broken(s, -ENETDOWN);
        return;
    }
    side_attach(s, tcp_new_sock(s->host));
    int error = tcp_connect_sock(s->sock, &to);
    if (error < 0)
        side_broken(s, error);
}

static void on_deadline(struct sim_event *e) {
    struct transfer *x = CONTAINER_OF(e, struct transfer, deadline);
    world_fail(x->client.all->world,
               "transfer %llu from node %u to %u did not end in time: client sent %llu of %llu, "
               "received %llu of %llu",
               (unsigned long long)x->id, x->plan.proxy->owner->index, x->plan.proxy->to->index,
               (unsigned long long)x->client.sent, (unsigned long long)x->plan.bytes[CLIENT],
               (unsigned long long)x->client.received, (unsigned long long)x->plan.bytes[SERVER]);
}

struct transfer *transfers_add(struct transfers *t, const struct transfer_plan *plan) {
    if (t->count == TRANSFERS_MAX)
        return NULL;
    assert(plan->bytes[CLIENT] >= ID_BYTES);
    struct transfer *x = sim_alloc(sizeof(*x));
    x->plan = *plan;
    x->id = t->count;
    side_init(&x->client, t, plan->proxy->owner->host, CLIENT);
    x->client.transfer = x;
    x->client.step.run = on_begin;
    sim_event_init(&x->deadline, on_deadline);
    t->items[t->count++] = x;
    world_at(t->world, &x->client.step, plan->begins);
    if (plan->must_end != NSEC_NEVER)
        world_at(t->world, &x->deadline, plan->must_end);
    return x;
}

/* --- All of them --- */

void transfers_init(struct transfers *t, struct world *w) {
    memset(t, 0, sizeof(*t));
    t->world = w;
    list_init(&t->servers);
}

static void side_done(struct transfer_side *s) {
    world_cancel(s->all->world, &s->step);
    if (s->sock != NULL)
        tcp_drop(&TAKE(s->sock)->sock);
}

void transfers_done(struct transfers *t) {
    struct list *node;
    while ((node = list_shift(&t->servers)) != NULL) {
        struct transfer_side *s = LIST_ENTRY(node, struct transfer_side, node);
        side_done(s);
        sim_free(s);
    }
    for (uint32_t i = 0; i < t->count; i++) {
        side_done(&t->items[i]->client);
        world_cancel(t->world, &t->items[i]->deadline);
        sim_free(t->items[i]);
    }
    for (uint32_t i = 0; i < t->ports_count; i++)
        service_port_close(&t->ports[i]);
}

bool transfers_are_over(const struct transfers *t) {
    for (uint32_t i = 0; i < t->count; i++)
        if (!t->items[i]->done)
            return false;
    list_for_each (node, &t->servers) {
        if (!LIST_ENTRY(node, struct transfer_side, node)->over)
            return false;
    }
    return true;
}

static void drop_side(struct transfer_side *s, const struct sim_host *h) {
    if (s->host != h || s->sock == NULL)
        return;
    tcp_drop(&TAKE(s->sock)->sock);
    side_broken(s, -ENETDOWN);
}

void transfers_drop_host(struct transfers *t, struct sim_host *h) {
    list_for_each (node, &t->servers) {
        drop_side(LIST_ENTRY(node, struct transfer_side, node), h);
    }
    for (uint32_t i = 0; i < t->count; i++)
        drop_side(&t->items[i]->client, h);
    for (uint32_t i = 0; i < t->ports_count; i++)
        if (t->ports[i].host == h)
            service_port_close(&t->ports[i]);
}
