/* SPDX-License-Identifier: MIT */

/* The system's resolver: c-ares on the reactor.
 *
 * A channel of c-ares, and the epoll descriptor with its sockets, live as long as questions are in
 * flight: an idle process holds no socket, and the next question finds resolv.conf as it is then.
 * c-ares may call back inside any of its functions, so answers are noted, and told at the end of
 * the turn; only there is a channel ended. */

#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <unistd.h>

#define CARES_NO_DEPRECATED /* 1.34 would have us use what 1.18 lacks */
#include <ares.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "uring/reactor.h"
#include "uring/resolver.h"
#include "uring/sock.h"

enum {
    TIMEOUT_MS = 2000,
    ATTEMPTS = 3,
    EVENTS_AT_ONCE = 16,
    DNS_CLASS_IN = 1,
    DNS_TYPE_TXT = 16,
};

struct channel;

struct system_resolver {
    struct resolver resolver;
    struct reactor *reactor;
    struct resolver_options options;
    struct channel *channel; /* NULL: no question is in flight */
    struct list finished;    /* lookups, by .node, to be told at the end of the turn */
    struct deferred work;
    uint32_t lookups_count;
    bool freed;
};

/* One burst of questions. */
struct channel {
    struct reactor *reactor;
    ares_channel ares;
    struct timer timer;
    struct fd_watch watch; /* of the epoll descriptor */
};

struct lookup {
    struct system_resolver *owner;
    struct resolve_request *request; /* NULL: cancelled */
    struct list node;
    enum resolve_kind kind;
    struct net_addr addrs[RESOLVE_ADDRS_MAX];
    uint32_t count;
    char *text_memory;
    const char *texts[RESOLVE_TEXTS_MAX];
    uint32_t texts_count;
    int error;
    bool is_finished;
    char host[RESOLVE_HOST_MAX];
};

/* --- The channel --- */

static void channel_update(struct channel *ch) {
    struct timeval tv;
    const struct timeval *next = ares_timeout(ch->ares, NULL, &tv);
    if (next == NULL)
        timer_stop(&ch->timer);
    else
        timer_start(&ch->timer, reactor_now(ch->reactor) + SEC((nsec_t)next->tv_sec) +
                                    USEC((nsec_t)next->tv_usec) + MSEC(1));
}

static void on_channel_timer(struct timer *t) {
    struct channel *ch = CONTAINER_OF(t, struct channel, timer);
    ares_process_fd(ch->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    channel_update(ch);
}

static void on_readable(struct fd_watch *watch) {
    struct channel *ch = CONTAINER_OF(watch, struct channel, watch);
    struct epoll_event events[EVENTS_AT_ONCE];
    int count = epoll_wait(watch->fd, events, EVENTS_AT_ONCE, 0);
    for (int i = 0; i < count; i++) {
        ares_socket_t fd = events[i].data.fd;
        bool writable = (events[i].events & EPOLLOUT) != 0;
        bool readable = (events[i].events & ~(uint32_t)EPOLLOUT) != 0;
        ares_process_fd(ch->ares, readable ? fd : ARES_SOCKET_BAD, writable ? fd : ARES_SOCKET_BAD);
    }
    channel_update(ch);
}

static void on_closed(struct fd_watch *watch) {
    struct channel *ch = CONTAINER_OF(watch, struct channel, watch);
    (void)mem_free(reactor_mem(ch->reactor), ch);
}

static const struct fd_watch_events watch_events = {.readable = on_readable, .closed = on_closed};

/* c-ares opened a socket, closes it, or waits for something else of it. */
static void on_socket_state(void *user, ares_socket_t fd, int readable, int writable) {
    struct channel *ch = user;
    struct epoll_event event = {.data.fd = fd};
    event.events = (readable != 0 ? EPOLLIN : 0u) | (writable != 0 ? EPOLLOUT : 0u);
    if (event.events == 0) {
        (void)epoll_ctl(ch->watch.fd, EPOLL_CTL_DEL, fd, &event); /* it may never have been there */
        return;
    }
    if (epoll_ctl(ch->watch.fd, EPOLL_CTL_MOD, fd, &event) < 0)
        (void)epoll_ctl(ch->watch.fd, EPOLL_CTL_ADD, fd, &event); /* else its timeout will end it */
}

static int error_of_ares(int status) {
    switch (status) {
    case ARES_SUCCESS:
        return 0;
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_EBADNAME:
        return -ERR_NAME_NOT_FOUND;
    case ARES_ENOMEM:
        return -ENOMEM;
    default: /* servers that do not answer, refuse, or answer with what is no answer */
        return -EAGAIN;
    }
}

static int channel_open_ares(struct channel *ch, const struct resolver_options *o) {
    struct ares_options options = {
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = ch,
        .timeout = o->timeout_ms > 0 ? o->timeout_ms : TIMEOUT_MS,
        .tries = o->attempts > 0 ? o->attempts : ATTEMPTS,
    };
    int status = ares_init_options(&ch->ares, &options,
                                   ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES);
    if (status == ARES_SUCCESS && o->servers != NULL) {
        status = ares_set_servers_ports_csv(ch->ares, o->servers);
        if (status != ARES_SUCCESS)
            ares_destroy(ch->ares);
    }
    return status == ARES_ENOMEM ? -ENOMEM : error_of_ares(status);
}

static int channel_init(struct channel *ch, const struct resolver_options *o) {
    int e = timer_init(&ch->timer, ch->reactor, on_channel_timer);
    if (e < 0)
        return e;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    e = epoll < 0 ? -errno : channel_open_ares(ch, o);
    if (e == 0) {
        fd_watch_open(&ch->watch, ch->reactor, epoll, &watch_events);
        return 0;
    }
    if (epoll >= 0)
        (void)close(epoll);
    timer_done(&ch->timer);
    return e;
}

static int channel_new(struct system_resolver *s) {
    struct channel *ch = mem_alloc(reactor_mem(s->reactor), sizeof(*ch));
    if (ch == NULL)
        return -ENOMEM;
    ch->reactor = s->reactor;
    int e = channel_init(ch, &s->options);
    if (e < 0) {
        (void)mem_free(reactor_mem(s->reactor), ch);
        return e;
    }
    s->channel = ch;
    return 0;
}

/* Ends what is still asked, too; the descriptor follows. */
static void channel_end(struct system_resolver *s) {
    struct channel *ch = TAKE(s->channel);
    ares_destroy(ch->ares);
    timer_done(&ch->timer);
    fd_watch_close(&ch->watch);
}

/* --- Answers --- */

static void lookup_free(struct lookup *l) {
    struct system_resolver *s = l->owner;
    list_remove(&l->node);
    assert(s->lookups_count > 0);
    s->lookups_count--;
    (void)mem_free(reactor_mem(s->reactor), l->text_memory);
    (void)mem_free(reactor_mem(s->reactor), l);
}

static void finish(struct lookup *l, int error) {
    struct system_resolver *s = l->owner;
    assert(!l->is_finished);
    l->is_finished = true;
    l->error = error;
    list_push(&s->finished, &l->node);
    if (!s->freed)
        reactor_defer(s->reactor, &s->work);
}

static void take_addrs(struct lookup *l, const struct ares_addrinfo *answer) {
    for (const struct ares_addrinfo_node *n = answer->nodes;
         n != NULL && l->count < RESOLVE_ADDRS_MAX; n = n->ai_next) {
        union sock_name name = {0};
        struct sock_addr addr;
        if (n->ai_addrlen > sizeof(name))
            continue;
        memcpy(&name, n->ai_addr, n->ai_addrlen);
        sock_name_to(&name, n->ai_addrlen, &addr);
        addr.ip.port = 0;
        if (addr.ip.family != NET_NONE)
            l->addrs[l->count++] = addr.ip;
    }
}

static void on_addrs(void *user, int status, int timeouts, struct ares_addrinfo *answer) {
    struct lookup *l = user;
    (void)timeouts;
    if (answer != NULL) {
        take_addrs(l, answer);
        ares_freeaddrinfo(answer);
    }
    int error = error_of_ares(status);
    finish(l, error == 0 && l->count == 0 ? -ERR_NAME_NOT_FOUND : error);
}

static size_t joined_size(const struct ares_txt_ext *answer) {
    size_t size = 1;
    for (const struct ares_txt_ext *t = answer; t != NULL; t = t->next)
        size += t->length + 1;
    return size;
}

/* A record's strings make one text (RFC 7208, 3.3, by which dnsaddr goes, too).  Texts with a NUL
 * are of no use to anybody and end there. */
static int take_texts(struct lookup *l, const struct ares_txt_ext *answer) {
    char *at = mem_alloc(reactor_mem(l->owner->reactor), joined_size(answer));
    if (at == NULL)
        return -ENOMEM;
    l->text_memory = at;
    for (const struct ares_txt_ext *t = answer; t != NULL; t = t->next) {
        if (t->record_start != 0 || l->texts_count == 0) {
            if (l->texts_count == RESOLVE_TEXTS_MAX)
                break;
            at += l->texts_count > 0; /* behind the last one's NUL */
            l->texts[l->texts_count++] = at;
        }
        memcpy(at, t->txt, t->length);
        at += t->length;
        *at = '\0';
    }
    return l->texts_count > 0 ? 0 : -ERR_NAME_NOT_FOUND;
}

static void on_texts(void *user, int status, int timeouts, unsigned char *packet, int len) {
    struct lookup *l = user;
    struct ares_txt_ext *answer = NULL;
    (void)timeouts;
    int error = error_of_ares(status);
    if (error == 0)
        error = error_of_ares(ares_parse_txt_reply_ext(packet, len, &answer));
    if (error == 0)
        error = take_texts(l, answer);
    if (answer != NULL)
        ares_free_data(answer);
    finish(l, error);
}

static void tell(struct lookup *l) {
    struct resolve_request *r = l->request;
    if (r != NULL) {
        memcpy(r->addrs, l->addrs, sizeof(r->addrs));
        r->count = l->count;
        r->texts = l->texts;
        r->texts_count = l->texts_count;
        r->lookup = NULL;
        r->done(r, l->error);
    }
    lookup_free(l);
}

static void on_work(struct deferred *d) {
    struct system_resolver *s = CONTAINER_OF(d, struct system_resolver, work);
    struct list *node;
    while ((node = list_shift(&s->finished)) != NULL)
        tell(LIST_ENTRY(node, struct lookup, node));
    if (s->lookups_count == 0 && s->channel != NULL)
        channel_end(s);
}

/* --- Questions --- */

static void ask(struct lookup *l) {
    static const int families[] = {
        [RESOLVE_ADDRS] = AF_UNSPEC, [RESOLVE_IP4] = AF_INET, [RESOLVE_IP6] = AF_INET6};
    ares_channel ares = l->owner->channel->ares;
    if (l->kind == RESOLVE_TEXTS) {
        ares_query(ares, l->host, DNS_CLASS_IN, DNS_TYPE_TXT, on_texts, l);
        return;
    }
    struct ares_addrinfo_hints hints = {.ai_family = families[l->kind], .ai_socktype = SOCK_STREAM};
    ares_getaddrinfo(ares, l->host, NULL, &hints, on_addrs, l);
}

/* An address needs no asking.  false: it is a name. */
static bool answer_literal(struct lookup *l) {
    struct net_addr ip;
    if (l->kind == RESOLVE_TEXTS || net_addr_parse_ip(l->host, &ip) < 0)
        return false;
    bool fits = l->kind == RESOLVE_ADDRS || (l->kind == RESOLVE_IP4) == (ip.family == NET_IP4);
    l->addrs[0] = ip;
    l->count = fits;
    finish(l, fits ? 0 : -ERR_NAME_NOT_FOUND);
    return true;
}

static int system_start(struct resolver *v, struct resolve_request *r, const char *host) {
    struct system_resolver *s = CONTAINER_OF(v, struct system_resolver, resolver);
    if (strlen(host) >= RESOLVE_HOST_MAX)
        return -EINVAL;
    if (s->lookups_count >= RESOLVE_QUESTIONS_MAX)
        return -EAGAIN;
    struct lookup *l = mem_alloc(reactor_mem(s->reactor), sizeof(*l));
    if (l == NULL)
        return -ENOMEM;
    l->owner = s;
    l->request = r;
    l->kind = r->kind;
    list_init(&l->node);
    (void)snprintf(l->host, sizeof(l->host), "%s", host);
    s->lookups_count++;
    if (!answer_literal(l)) {
        int e = s->channel == NULL ? channel_new(s) : 0;
        if (e < 0) {
            lookup_free(l);
            return e;
        }
        ask(l);
        channel_update(s->channel);
    }
    r->lookup = l;
    return 0;
}

/* c-ares cannot take back one question: it runs out unheard. */
static void system_cancel(struct resolver *v, struct resolve_request *r) {
    struct lookup *l = r->lookup;
    (void)v;

    l->request = NULL;
    r->lookup = NULL;
}

/* --- Life --- */

int resolver_system_new(struct reactor *r, const struct resolver_options *options,
                        struct resolver **ret_resolver) {
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
        return -ENOMEM;
    struct system_resolver *s = mem_alloc(reactor_mem(r), sizeof(*s));
    if (s == NULL) {
        ares_library_cleanup();
        return -ENOMEM;
    }
    s->reactor = r;
    if (options != NULL)
        s->options = *options;
    list_init(&s->finished);
    deferred_init(&s->work, on_work);
    s->resolver = (struct resolver){.start = system_start, .cancel = system_cancel};
    *ret_resolver = &s->resolver;
    return 0;
}

struct resolver *resolver_system_free(struct resolver *v) {
    if (v == NULL)
        return NULL;
    struct system_resolver *s = CONTAINER_OF(v, struct system_resolver, resolver);
    s->freed = true;
    deferred_cancel(&s->work);
    if (s->channel != NULL)
        channel_end(s); /* all that was cancelled is finished by that */
    struct list *node;
    while ((node = list_shift(&s->finished)) != NULL) {
        assert(LIST_ENTRY(node, struct lookup, node)->request == NULL);
        lookup_free(LIST_ENTRY(node, struct lookup, node));
    }
    assert(s->lookups_count == 0);
    (void)mem_free(reactor_mem(s->reactor), s);
    ares_library_cleanup();
    return NULL;
}
