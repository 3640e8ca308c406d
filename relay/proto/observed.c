/* SPDX-License-Identifier: MIT */
#include "relay/proto/observed.h"

enum { IP4_GROUP_BYTES = 3, IP6_GROUP_BYTES = 7 }; /* /24 and /56 */

void observed_init(struct observed *o, bool accept_private) {
    *o = (struct observed){.accept_private = accept_private};
}

/* --- reports --------------------------------------------------------------------------------- */

static struct net_addr group_of(const struct net_addr *observer) {
    struct net_addr group = {.family = observer->family};
    memcpy(group.ip, observer->ip, observer->family == NET_IP4 ? IP4_GROUP_BYTES : IP6_GROUP_BYTES);
    return group;
}

/* 64:ff9b::/96 and 64:ff9b:1::/48: a translator's view of an IPv4 address. */
static bool is_nat64(const struct net_addr *a) {
    static const uint8_t prefix[] = {0x00, 0x64, 0xff, 0x9b};
    return a->family == NET_IP6 && memcmp(a->ip, prefix, sizeof(prefix)) == 0;
}

static bool is_tcp_kind(enum multiaddr_kind kind) {
    return kind == MULTIADDR_KIND_TCP || kind == MULTIADDR_KIND_WS || kind == MULTIADDR_KIND_WSS;
}

static bool is_udp_kind(enum multiaddr_kind kind) {
    return kind == MULTIADDR_KIND_QUIC || kind == MULTIADDR_KIND_UDP;
}

/* The external address of a report that is of use. */
static bool read_external(const struct observed *o, const struct observed_report *r,
                          struct net_addr *ret_external) {
    struct multiaddr a;
    struct net_addr ip;
    if (multiaddr_decode(r->addr, &a) < 0 || multiaddr_to_net_addr(&a, &ip) < 0)
        return false;
    enum multiaddr_kind kind = multiaddr_kind(&a);
    if (is_tcp_kind(r->kind) ? !is_tcp_kind(kind) : !is_udp_kind(kind))
        return false;
    if (ip.family != r->local.family || ip.port == 0 || is_nat64(&ip))
        return false;
    if (net_addr_is_unspecified(&ip) || net_addr_is_loopback(&ip) || net_addr_is_link_local(&ip))
        return false;
    if (!o->accept_private && !net_addr_is_public(&ip))
        return false;
    *ret_external = ip;
    return true;
}

static bool is_of_socket(const struct observed_entry *e, const struct net_addr *local,
                         bool is_tcp) {
    return e->is_tcp == is_tcp && net_addr_equal(&e->local, local);
}

static bool is_said_again(const struct observed *o, size_t at) {
    const struct observed_entry *e = &o->entries[at];
    for (size_t i = at + 1; i < o->entries_count && !peer_id_is_none(&e->peer); i++) {
        const struct observed_entry *later = &o->entries[i];
        if (peer_id_equal(&later->peer, &e->peer) && is_of_socket(later, &e->local, e->is_tcp))
            return true;
    }
    return false;
}

static void supersede(struct observed *o) {
    for (size_t i = 0; i < o->entries_count; i++)
        o->entries[i].is_superseded = is_said_again(o, i);
}

static void remove_entry(struct observed *o, size_t at) {
    o->entries_count--;
    memmove(&o->entries[at], &o->entries[at + 1], (o->entries_count - at) * sizeof(o->entries[0]));
    supersede(o);
}

void observed_conn_closed(struct observed *o, uint64_t conn) {
    for (size_t i = 0; i < o->entries_count; i++)
        if (o->entries[i].conn == conn) {
            remove_entry(o, i);
            return; /* there is one a connection */
        }
}

/* The one to be forgotten: connections, which are anybody's, do not push out what the user's own
 * relay says. */
static size_t find_oldest(const struct observed *o) {
    for (size_t i = 0; i < o->entries_count; i++) {
        if (!o->entries[i].is_trusted)
            return i;
    }
    return 0;
}

bool observed_add(struct observed *o, const struct observed_report *report) {
    assert(is_tcp_kind(report->kind) || report->kind == MULTIADDR_KIND_QUIC);
    struct net_addr external;
    if (!read_external(o, report, &external))
        return false;
    observed_conn_closed(o, report->conn);
    if (o->entries_count == OBSERVED_REPORTS_MAX)
        remove_entry(o, find_oldest(o));
    o->entries[o->entries_count++] = (struct observed_entry){
        .conn = report->conn,
        .peer = report->peer,
        .local = report->local,
        .external = external,
        .group = group_of(&report->observer),
        .is_tcp = is_tcp_kind(report->kind),
        .is_trusted = report->is_trusted,
    };
    supersede(o);
    return true;
}

/* --- what they tell -------------------------------------------------------------------------- */

/* Another's word for what `e` says. */
static bool confirms(const struct observed_entry *other, const struct observed_entry *e) {
    return !other->is_superseded && is_of_socket(other, &e->local, e->is_tcp) &&
           net_addr_equal(&other->external, &e->external);
}

static bool is_vouched_for(const struct observed *o, const struct observed_entry *e) {
    for (size_t i = 0; i < o->entries_count; i++) {
        if (o->entries[i].is_trusted && confirms(&o->entries[i], e))
            return true;
    }
    return false;
}

/* The networks that found what entry `at` did; 0 unless it is the first that counts. */
static unsigned count_observers(const struct observed *o, size_t at) {
    const struct observed_entry *e = &o->entries[at];
    const struct net_addr *groups[OBSERVED_REPORTS_MAX];
    unsigned count = 0;
    if (e->is_superseded)
        return 0;
    for (size_t i = 0; i < o->entries_count; i++) {
        const struct observed_entry *other = &o->entries[i];
        if (!confirms(other, e))
            continue;
        if (i < at)
            return 0;
        unsigned known = 0;
        while (known < count && !net_addr_equal(groups[known], &other->group))
            known++;
        if (known == count)
            groups[count++] = &other->group;
    }
    return count;
}

/* Who forges observers does not push out what the user's own relay says. */
static bool is_behind(const struct observed_addr *a, const struct observed_addr *b) {
    if (a->is_trusted != b->is_trusted)
        return b->is_trusted;
    return a->observers_count <= b->observers_count;
}

/* Puts an address behind those that are as sure, and drops the least of its socket when that has
 * too many.  Returns the new count. */
static size_t insert(struct observed_addr *list, size_t count, const struct observed_addr *a) {
    size_t of_socket = 0;
    size_t at = 0;
    for (; at < count && is_behind(a, &list[at]); at++)
        of_socket += list[at].is_tcp == a->is_tcp && net_addr_equal(&list[at].local, &a->local);
    if (of_socket >= OBSERVED_PER_LOCAL_MAX)
        return count;
    memmove(&list[at + 1], &list[at], (count - at) * sizeof(*list));
    list[at] = *a;
    count++;
    for (size_t i = at + 1; i < count; i++) {
        of_socket += list[i].is_tcp == a->is_tcp && net_addr_equal(&list[i].local, &a->local);
        if (of_socket < OBSERVED_PER_LOCAL_MAX)
            continue;
        count--;
        memmove(&list[i], &list[i + 1], (count - i) * sizeof(*list));
        break;
    }
    return count;
}

size_t observed_addrs(const struct observed *o, unsigned observers_min, struct observed_addr *out,
                      size_t out_max) {
    struct observed_addr list[OBSERVED_REPORTS_MAX]; /* each entry adds one at most */
    size_t count = 0;
    assert(observers_min > 0);
    for (size_t i = 0; i < o->entries_count; i++) {
        const struct observed_entry *e = &o->entries[i];
        unsigned observers = count_observers(o, i);
        bool is_trusted = is_vouched_for(o, e);
        if (observers == 0 || (observers < observers_min && !is_trusted))
            continue;
        count = insert(list, count,
                       &(struct observed_addr){.local = e->local,
                                               .external = e->external,
                                               .is_tcp = e->is_tcp,
                                               .observers_count = observers,
                                               .is_trusted = is_trusted});
    }
    count = MIN(count, out_max);
    memcpy(out, list, count * sizeof(*out));
    return count;
}

enum nat_type observed_nat_type(const struct observed *o, const struct net_addr *local,
                                bool is_tcp) {
    const struct observed_entry *best = NULL;
    unsigned best_count = 0;
    unsigned all = 0;
    for (size_t i = 0; i < o->entries_count; i++) {
        if (!is_of_socket(&o->entries[i], local, is_tcp))
            continue;
        unsigned observers = count_observers(o, i);
        all += observers;
        if (observers > best_count) {
            best_count = observers;
            best = &o->entries[i];
        }
    }
    if (all < 2)
        return NAT_UNKNOWN;
    if (2 * best_count > all)
        return net_addr_equal(&best->external, local) ? NAT_NONE : NAT_ADDRESS_RESTRICTED;
    return best_count == 1 ? NAT_SYMMETRIC : NAT_UNKNOWN;
}
