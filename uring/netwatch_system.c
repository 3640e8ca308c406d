/* SPDX-License-Identifier: MIT */

/* The system's own watch.  An event of the kernel's only starts a timer; when that fires, all is
 * asked for anew and compared with what was known. */

#include <fcntl.h>

#include "core/base/mem.h"
#include "uring/netif.h"
#include "uring/netlink.h"
#include "uring/netwatch.h"
#include "uring/reactor.h"

/* From the first event to a look: one change, such as joining a network, is many events. */
#define SETTLE            MSEC(500)
#define POLL_EVERY        SEC(30)
/* Waking up shows in no event of the kernel's; a machine with a cable may have none at all. */
#define SLEEP_CHECK_EVERY SEC(5)
#define SLEEP_MIN         SEC(1)

/* Reads until the first snapshot is there; what a huge routing table takes more is for later. */
enum { READS_AT_START = 16 };

/* The way to the kernel. */
struct channel {
    struct fd_watch watch; /* of a duplicate: libnl and the reactor close one each */
    struct netlink *netlink;
    struct system_netwatch *owner;
};

struct system_netwatch {
    struct netwatch netwatch;
    struct reactor *reactor;
    struct channel *channel; /* NULL: netlink is refused */
    struct timer look;
    struct timer sleep_check;
    int64_t suspended;
    bool was_suspended; /* and nobody was told yet */
};

static void look_at(struct system_netwatch *s, nsec_t at) {
    if (!heap_node_is_linked(&s->look.node) || s->look.node.at > at)
        timer_start(&s->look, at);
}

static void look_in(struct system_netwatch *s, nsec_t delay) {
    look_at(s, reactor_now(s->reactor) + delay);
}

static void note_sleep(struct system_netwatch *s) {
    int64_t now = reactor_suspended(s->reactor);
    if (now - s->suspended < (int64_t)SLEEP_MIN)
        return;
    s->suspended = now;
    s->was_suspended = true;
}

/* The last thing that a callback does: the watch may be gone afterwards. */
static void publish(struct system_netwatch *s, const struct netwatch_snapshot *found) {
    note_sleep(s);
    bool was_suspended = s->was_suspended;
    s->was_suspended = false;
    netwatch_publish(&s->netwatch, found, was_suspended);
}

/* --- Without netlink --- */

static int poll_addrs(struct system_netwatch *s) {
    struct netwatch_snapshot found;
    look_in(s, POLL_EVERY);
    int e = netif_snapshot(&found);
    if (e == 0)
        publish(s, &found);
    return e;
}

static void channel_end(struct system_netwatch *s) {
    struct channel *ch = TAKE(s->channel);
    ch->netlink = netlink_close(ch->netlink);
    fd_watch_close(&ch->watch);
}

/* For good.  Like publish(). */
static void fall_back(struct system_netwatch *s, int error) {
    struct log *log = reactor_log(s->reactor);
    if (s->channel != NULL)
        channel_end(s);
    int e = poll_addrs(s);
    if (e == 0)
        log_warn(log, L_REACTOR, "the kernel does not tell of network changes: looking every 30 s",
                 kv_err(error));
    else
        log_warn(log, L_REACTOR, "this machine's addresses are unknown", kv_err(e));
}

/* --- By netlink --- */

/* What the channel did. */
static void take(struct system_netwatch *s, int got) {
    if (got < 0) {
        fall_back(s, got);
        return;
    }
    if ((got & NETLINK_EVENT) != 0)
        look_in(s, SETTLE);
    if ((got & NETLINK_DUMPED) != 0)
        publish(s, netlink_found(s->channel->netlink));
}

static void on_readable(struct fd_watch *watch) {
    struct channel *ch = CONTAINER_OF(watch, struct channel, watch);
    take(ch->owner, netlink_read(ch->netlink));
}

static void on_closed(struct fd_watch *watch) {
    struct channel *ch = CONTAINER_OF(watch, struct channel, watch);
    (void)mem_free(reactor_mem(watch->reactor), ch);
}

static const struct fd_watch_events watch_events = {.readable = on_readable, .closed = on_closed};

static int channel_open(struct system_netwatch *s) {
    struct mem *mem = reactor_mem(s->reactor);
    struct channel *ch = mem_alloc(mem, sizeof(*ch));
    if (ch == NULL)
        return -ENOMEM;
    ch->owner = s;
    int e = netlink_open(mem, &ch->netlink);
    int fd = -1;
    if (e == 0) {
        fd = fcntl(netlink_fd(ch->netlink), F_DUPFD_CLOEXEC, 0);
        e = fd < 0 ? -errno : 0;
    }
    if (e < 0) {
        (void)netlink_close(ch->netlink);
        (void)mem_free(mem, ch);
        return e;
    }
    fd_watch_open(&ch->watch, s->reactor, fd, &watch_events);
    s->channel = ch;
    return 0;
}

/* The kernel answers while it is asked, so this does not wait. */
static int first_look(struct system_netwatch *s) {
    int got = netlink_dump_start(s->channel->netlink);
    for (int i = 0; i < READS_AT_START && got >= 0 && (got & NETLINK_DUMPED) == 0; i++) {
        int more = netlink_read(s->channel->netlink);
        got = more < 0 ? more : got | more;
    }
    if (got < 0)
        return got;
    take(s, got);
    return 0;
}

/* --- Life --- */

static void on_look(struct timer *t) {
    struct system_netwatch *s = CONTAINER_OF(t, struct system_netwatch, look);
    if (s->channel == NULL) {
        (void)poll_addrs(s); /* once it was told; what is known stays */
        return;
    }
    if (netlink_is_dumping(s->channel->netlink)) {
        look_in(s, SETTLE);
        return;
    }
    take(s, netlink_dump_start(s->channel->netlink));
}

static void on_sleep_check(struct timer *t) {
    struct system_netwatch *s = CONTAINER_OF(t, struct system_netwatch, sleep_check);
    timer_start(t, reactor_now(s->reactor) + SLEEP_CHECK_EVERY);
    note_sleep(s);
    if (s->was_suspended)
        look_in(s, 0);
}

static int timers_open(struct system_netwatch *s) {
    int e = timer_init(&s->look, s->reactor, on_look);
    if (e < 0)
        return e;
    e = timer_init(&s->sleep_check, s->reactor, on_sleep_check);
    if (e < 0)
        timer_done(&s->look);
    return e;
}

int netwatch_system_new(struct reactor *r, struct netwatch **ret_watch) {
    struct system_netwatch *s = mem_alloc(reactor_mem(r), sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->reactor = r;
    s->suspended = reactor_suspended(r);
    int e = timers_open(s);
    if (e < 0) {
        (void)mem_free(reactor_mem(r), s);
        return e;
    }
    e = channel_open(s);
    if (e == 0)
        e = first_look(s);
    if (e == -ENOMEM) {
        (void)netwatch_system_free(&s->netwatch);
        return e;
    }
    if (e < 0)
        fall_back(s, e);
    timer_start(&s->sleep_check, reactor_now(r) + SLEEP_CHECK_EVERY);
    *ret_watch = &s->netwatch;
    return 0;
}

struct netwatch *netwatch_system_free(struct netwatch *w) {
    if (w == NULL)
        return NULL;
    struct system_netwatch *s = CONTAINER_OF(w, struct system_netwatch, netwatch);
    timer_done(&s->look);
    timer_done(&s->sleep_check);
    if (s->channel != NULL)
        channel_end(s);
    return mem_free(reactor_mem(s->reactor), s);
}
