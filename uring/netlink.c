/* SPDX-License-Identifier: MIT */
#include "uring/netlink.h"

#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <string.h>

#include "core/base/mem.h"

enum {
    /* The kernel fills what a reader offers, up to this much. */
    DATAGRAM_BYTES_MAX = 32768,
    READS_AT_ONCE = 32,
    /* A dump during which something changed may have missed it.  Where that is always so, one with
     * a hole is better than none. */
    INTERRUPTIONS_MAX = 3,
};

/* Addresses and routes before the links that they are on: of links a machine can have thousands. */
enum stage { STAGE_IDLE, STAGE_ADDRS, STAGE_ROUTES, STAGE_LINKS };

struct netlink {
    struct mem *mem;
    struct nl_sock *sock;
    enum stage stage;
    uint32_t port; /* of our socket: replies carry it */
    uint32_t seq;  /* of the request that is being answered */
    uint32_t interruptions;
    bool interrupted;
    struct netlink_dump dump;
    _Alignas(struct nlmsghdr) uint8_t datagram[DATAGRAM_BYTES_MAX];
};

/* --- Messages --- */

static bool read_ip(const struct nlattr *a, uint8_t family, struct net_addr *ret_ip) {
    int size = family == AF_INET ? 4 : 16;
    if (a == NULL || (family != AF_INET && family != AF_INET6) || nla_len(a) != size)
        return false;
    *ret_ip = (struct net_addr){.family = family == AF_INET ? NET_IP4 : NET_IP6};
    memcpy(ret_ip->ip, nla_data(a), (size_t)size);
    return true;
}

static uint8_t scope_of(uint8_t kernel_scope) {
    if (kernel_scope >= RT_SCOPE_HOST)
        return NETWATCH_SCOPE_HOST;
    return kernel_scope >= RT_SCOPE_LINK ? NETWATCH_SCOPE_LINK : NETWATCH_SCOPE_GLOBAL;
}

/* Duplicate address detection has not passed; an optimistic address works meanwhile (RFC 4429). */
static bool is_unproved(uint32_t flags) {
    return (flags & IFA_F_DADFAILED) != 0 ||
           (flags & (IFA_F_TENTATIVE | IFA_F_OPTIMISTIC)) == IFA_F_TENTATIVE;
}

/* False for what is not listed however long one waits. */
static bool read_addr(struct nlmsghdr *h, struct netwatch_addr *ret_addr, bool *ret_usable) {
    static const struct nla_policy policy[IFA_MAX + 1] = {[IFA_FLAGS] = {.type = NLA_U32}};
    struct nlattr *attrs[IFA_MAX + 1];
    struct netwatch_addr a = {0};
    if (nlmsg_parse(h, sizeof(struct ifaddrmsg), attrs, IFA_MAX, policy) < 0)
        return false;
    const struct ifaddrmsg *m = nlmsg_data(h);
    /* Where they differ, IFA_ADDRESS is the other end of a point-to-point link. */
    const struct nlattr *own = attrs[IFA_LOCAL] != NULL ? attrs[IFA_LOCAL] : attrs[IFA_ADDRESS];
    if (!read_ip(own, m->ifa_family, &a.ip) || !netwatch_lists(&a.ip))
        return false;
    uint32_t flags = attrs[IFA_FLAGS] != NULL ? nla_get_u32(attrs[IFA_FLAGS]) : m->ifa_flags;
    a.link_index = m->ifa_index;
    a.prefix_len = m->ifa_prefixlen;
    a.scope = scope_of(m->ifa_scope);
    /* The same bit means "secondary" for IPv4. */
    a.is_temporary = m->ifa_family == AF_INET6 && (flags & IFA_F_TEMPORARY) != 0;
    a.is_deprecated = (flags & IFA_F_DEPRECATED) != 0;
    *ret_addr = a;
    *ret_usable = !is_unproved(flags);
    return true;
}

/* RTA_VIA is a gateway of the other family. */
static bool read_via(const struct nlattr *via, struct net_addr *ret_gateway) {
    struct rtvia head;
    if (nla_len(via) < (int)sizeof(head))
        return false;
    memcpy(&head, nla_data(via), sizeof(head));
    size_t size = (size_t)nla_len(via) - sizeof(head);
    if (head.rtvia_family != AF_INET6 || size != 16)
        return false;
    *ret_gateway = (struct net_addr){.family = NET_IP6};
    memcpy(ret_gateway->ip, (const uint8_t *)nla_data(via) + sizeof(head), size);
    return true;
}

static void read_gateway(struct nlattr **attrs, uint8_t family, struct netwatch_route *route) {
    route->gateway = (struct net_addr){.family = NET_NONE};
    if (attrs[RTA_VIA] != NULL)
        (void)read_via(attrs[RTA_VIA], &route->gateway);
    else
        (void)read_ip(attrs[RTA_GATEWAY], family, &route->gateway);
    if (route->gateway.family == NET_IP6 && net_addr_is_link_local(&route->gateway))
        route->gateway.scope_id = route->link_index;
}

/* One default route over several links. */
static void read_hops(const struct nlattr *hops, uint8_t family, struct netwatch_route route,
                      struct netwatch_snapshot *into) {
    const uint8_t *at = nla_data(hops);
    size_t left = (size_t)nla_len(hops);
    struct rtnexthop hop;
    while (left >= sizeof(hop)) {
        struct nlattr *attrs[RTA_MAX + 1];
        memcpy(&hop, at, sizeof(hop));
        if (hop.rtnh_len < sizeof(hop) || hop.rtnh_len > left)
            return;
        struct nlattr *first = (struct nlattr *)(uintptr_t)(at + sizeof(hop));
        if (nla_parse(attrs, RTA_MAX, first, hop.rtnh_len - (int)sizeof(hop), NULL) < 0)
            return;
        if ((hop.rtnh_flags & RTNH_F_DEAD) == 0) {
            route.link_index = (uint32_t)hop.rtnh_ifindex;
            read_gateway(attrs, family, &route);
            netwatch_add_route(into, &route);
        }
        size_t step = MIN((size_t)RTNH_ALIGN(hop.rtnh_len), left);
        at += step;
        left -= step;
    }
}

static bool is_default_route(const struct rtmsg *m) {
    return (m->rtm_family == AF_INET || m->rtm_family == AF_INET6) && m->rtm_dst_len == 0 &&
           m->rtm_src_len == 0 && m->rtm_table == RT_TABLE_MAIN && m->rtm_type == RTN_UNICAST &&
           (m->rtm_flags & (RTM_F_CLONED | RTNH_F_DEAD)) == 0;
}

/* NULL: another kind of route. */
static const struct rtmsg *default_route_of(const struct nlmsghdr *h) {
    if (nlmsg_datalen(h) < (int)sizeof(struct rtmsg))
        return NULL;
    const struct rtmsg *m = nlmsg_data(h);
    return is_default_route(m) ? m : NULL;
}

static void read_routes(struct nlmsghdr *h, struct netwatch_snapshot *into) {
    static const struct nla_policy policy[RTA_MAX + 1] = {
        [RTA_OIF] = {.type = NLA_U32},
        [RTA_PRIORITY] = {.type = NLA_U32},
    };
    struct nlattr *attrs[RTA_MAX + 1];
    struct netwatch_route route = {0};
    const struct rtmsg *m = default_route_of(h);
    if (m == NULL || nlmsg_parse(h, sizeof(*m), attrs, RTA_MAX, policy) < 0)
        return;
    route.family = m->rtm_family == AF_INET ? NET_IP4 : NET_IP6;
    if (attrs[RTA_PRIORITY] != NULL)
        route.metric = nla_get_u32(attrs[RTA_PRIORITY]);
    if (attrs[RTA_MULTIPATH] != NULL) {
        read_hops(attrs[RTA_MULTIPATH], m->rtm_family, route, into);
    } else if (attrs[RTA_OIF] != NULL) {
        route.link_index = nla_get_u32(attrs[RTA_OIF]);
        read_gateway(attrs, m->rtm_family, &route);
        netwatch_add_route(into, &route);
    }
}

/* Marks what is on the link, which is listed if anything is. */
static void read_link(struct nlmsghdr *h, struct netlink_dump *d) {
    static const struct nla_policy policy[IFLA_MAX + 1] = {[IFLA_IFNAME] = {.type = NLA_STRING}};
    struct nlattr *attrs[IFLA_MAX + 1];
    struct netwatch_link link = {0};
    if (nlmsg_parse(h, sizeof(struct ifinfomsg), attrs, IFLA_MAX, policy) < 0)
        return;
    const struct ifinfomsg *m = nlmsg_data(h);
    if ((m->ifi_flags & IFF_UP) == 0)
        return;
    link.index = (uint32_t)m->ifi_index;
    link.is_running = (m->ifi_flags & IFF_RUNNING) != 0;
    if (attrs[IFLA_IFNAME] != NULL)
        (void)nla_strlcpy(link.name, attrs[IFLA_IFNAME], sizeof(link.name));
    bool is_used = false;
    for (uint32_t i = 0; i < d->found.addrs_count; i++) {
        if (d->found.addrs[i].link_index == link.index)
            is_used = d->addr_is_up[i] = true;
    }
    for (uint32_t i = 0; i < d->found.routes_count; i++) {
        if (d->found.routes[i].link_index == link.index && link.is_running)
            is_used = d->route_is_up[i] = true;
    }
    if (is_used && netwatch_link_of(&d->found, link.index) == NULL)
        netwatch_add_link(&d->found, &link);
}

static void add_message(struct netlink_dump *d, struct nlmsghdr *h) {
    struct netwatch_addr addr;
    bool usable;
    switch (h->nlmsg_type) {
    case RTM_NEWADDR:
        if (read_addr(h, &addr, &usable) && usable)
            netwatch_add_addr(&d->found, &addr);
        break;
    case RTM_NEWROUTE:
        read_routes(h, &d->found);
        break;
    case RTM_NEWLINK:
        read_link(h, d);
        break;
    default: /* the kernel's types are not ours to list */
        break;
    }
}

static bool message_is_event(struct nlmsghdr *h) {
    struct netwatch_addr addr;
    bool usable;
    switch (h->nlmsg_type) {
    case RTM_NEWADDR:
    case RTM_DELADDR:
        return read_addr(h, &addr, &usable);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        return default_route_of(h) != NULL;
    case RTM_NEWLINK:
    case RTM_DELLINK:
        return true;
    default:
        return false;
    }
}

/* libnl's functions take what they only read as if they wrote to it. */
static struct nlmsghdr *first_of(struct bytes datagram, int *ret_left) {
    *ret_left = (int)datagram.len;
    return (struct nlmsghdr *)(uintptr_t)datagram.data;
}

void netlink_dump_add(struct netlink_dump *d, struct bytes datagram) {
    int left;
    for (struct nlmsghdr *h = first_of(datagram, &left); nlmsg_ok(h, left);
         h = nlmsg_next(h, &left))
        add_message(d, h);
}

bool netlink_is_event(struct bytes datagram) {
    int left;
    for (struct nlmsghdr *h = first_of(datagram, &left); nlmsg_ok(h, left);
         h = nlmsg_next(h, &left)) {
        if (message_is_event(h))
            return true;
    }
    return false;
}

void netlink_dump_end(struct netlink_dump *d) {
    struct netwatch_snapshot *s = &d->found;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->addrs_count; i++) {
        if (d->addr_is_up[i])
            s->addrs[kept++] = s->addrs[i];
    }
    s->addrs_count = kept;
    kept = 0;
    for (uint32_t i = 0; i < s->routes_count; i++) {
        if (d->route_is_up[i])
            s->routes[kept++] = s->routes[i];
    }
    s->routes_count = kept;
    s->knows_routes = true;
}

/* --- Dumps --- */

static int error_of(int nl_error) {
    switch (-nl_error) {
    case NLE_NOMEM:
        return -ENOMEM;
    case NLE_PERM:
        return -EPERM;
    case NLE_NOACCESS:
        return -EACCES;
    case NLE_AF_NOSUPPORT:
        return -EAFNOSUPPORT;
    case NLE_PROTO_MISMATCH:
        return -EPROTONOSUPPORT;
    case NLE_OPNOTSUPP:
        return -EOPNOTSUPP;
    default:
        return -EIO;
    }
}

/* What another dump may get past. */
static bool is_passing(int error) {
    return error == -ENOMEM || error == -ENOBUFS || error == -EBUSY || error == -EAGAIN ||
           error == -EINTR;
}

/* Gives up a dump: another one is due, unless that will fare no better. */
static int dump_failed(struct netlink *n, int error) {
    n->stage = STAGE_IDLE;
    return is_passing(error) ? NETLINK_EVENT : error;
}

/* Begins a stage. */
static int request(struct netlink *n, enum stage stage) {
    static const struct {
        uint16_t type;
        uint16_t body_size;
    } requests[] = {
        [STAGE_ADDRS] = {RTM_GETADDR, sizeof(struct ifaddrmsg)},
        [STAGE_ROUTES] = {RTM_GETROUTE, sizeof(struct rtmsg)},
        [STAGE_LINKS] = {RTM_GETLINK, sizeof(struct ifinfomsg)},
    };
    struct {
        struct nlmsghdr header;
        union { /* zeros: of every family */
            struct ifaddrmsg addr;
            struct rtmsg route;
            struct ifinfomsg link;
        } body;
    } message = {0};
    n->stage = stage;
    n->seq = nl_socket_use_seq(n->sock);
    message.header.nlmsg_len = (uint32_t)NLMSG_LENGTH(requests[stage].body_size);
    message.header.nlmsg_type = requests[stage].type;
    message.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    message.header.nlmsg_seq = n->seq;
    message.header.nlmsg_pid = n->port;
    int e = nl_sendto(n->sock, &message, message.header.nlmsg_len);
    return e < 0 ? dump_failed(n, error_of(e)) : 0;
}

int netlink_dump_start(struct netlink *n) {
    assert(n->stage == STAGE_IDLE);
    n->dump = (struct netlink_dump){0};
    n->interrupted = false;
    return request(n, STAGE_ADDRS);
}

bool netlink_is_dumping(const struct netlink *n) {
    return n->stage != STAGE_IDLE;
}

const struct netwatch_snapshot *netlink_found(const struct netlink *n) {
    assert(n->stage == STAGE_IDLE);
    return &n->dump.found;
}

static int stage_done(struct netlink *n) {
    if (n->stage != STAGE_LINKS)
        return request(n, n->stage + 1);
    n->stage = STAGE_IDLE;
    if (n->interrupted && ++n->interruptions < INTERRUPTIONS_MAX)
        return NETLINK_EVENT;
    n->interruptions = 0;
    netlink_dump_end(&n->dump);
    return NETLINK_DUMPED;
}

/* --- The socket --- */

/* The end of a dump carries an error, too. */
static int error_in(const struct nlmsghdr *h) {
    int error = 0;
    if (nlmsg_datalen(h) >= (int)sizeof(error))
        memcpy(&error, nlmsg_data(h), sizeof(error));
    return error;
}

/* Flags of NETLINK_..., or an error. */
static int take_message(struct netlink *n, struct nlmsghdr *h) {
    if (n->stage == STAGE_IDLE || h->nlmsg_pid != n->port || h->nlmsg_seq != n->seq)
        return message_is_event(h) ? NETLINK_EVENT : 0;
    if ((h->nlmsg_flags & NLM_F_DUMP_INTR) != 0)
        n->interrupted = true;
    int error = 0;
    if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
        error = error_in(h);
    if (error < 0)
        return dump_failed(n, error);
    if (h->nlmsg_type == NLMSG_DONE)
        return stage_done(n);
    add_message(&n->dump, h);
    return 0;
}

static int take_datagram(struct netlink *n, size_t size) {
    int got = 0;
    int left;
    for (struct nlmsghdr *h = first_of(bytes_of(n->datagram, size), &left); nlmsg_ok(h, left);
         h = nlmsg_next(h, &left)) {
        int e = take_message(n, h);
        if (e < 0)
            return e;
        got |= e;
    }
    return got;
}

/* nl_recv() would allocate for each datagram, and nl_recvmsgs() read a dump to its end.
 * -EAGAIN: there is none. */
static int read_datagram(struct netlink *n) {
    struct sockaddr_nl from = {0};
    struct iovec iov = {.iov_base = n->datagram, .iov_len = sizeof(n->datagram)};
    struct msghdr msg = {
        .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
    ssize_t size = recvmsg(nl_socket_get_fd(n->sock), &msg, MSG_DONTWAIT);
    if (size < 0 && (errno == ENOBUFS || errno == ENOMEM))
        return NETLINK_EVENT; /* notifications were lost; of a dump the kernel loses nothing */
    if (size < 0)
        return errno == EINTR ? 0 : -errno;
    if (from.nl_pid != 0) /* not from the kernel */
        return 0;
    if ((msg.msg_flags & MSG_TRUNC) != 0) {
        n->interrupted = true;
        return NETLINK_EVENT;
    }
    return take_datagram(n, (size_t)size);
}

int netlink_read(struct netlink *n) {
    int got = 0;
    for (int i = 0; i < READS_AT_ONCE && (got & NETLINK_DUMPED) == 0; i++) {
        int e = read_datagram(n);
        if (e == -EAGAIN)
            break;
        if (e < 0)
            return e;
        got |= e;
    }
    return got;
}

int netlink_fd(const struct netlink *n) {
    return nl_socket_get_fd(n->sock);
}

static int open_socket(struct netlink *n) {
    n->sock = nl_socket_alloc();
    if (n->sock == NULL)
        return -ENOMEM;
    int e = nl_connect(n->sock, NETLINK_ROUTE);
    if (e == 0)
        e = nl_socket_set_nonblocking(n->sock);
    if (e == 0)
        e = nl_socket_add_memberships(n->sock, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR,
                                      RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
                                      RTNLGRP_NONE);
    if (e < 0)
        return error_of(e);
    n->port = nl_socket_get_local_port(n->sock);
    return 0;
}

int netlink_open(struct mem *mem, struct netlink **ret_netlink) {
    struct netlink *n = mem_alloc(mem, sizeof(*n));
    if (n == NULL)
        return -ENOMEM;
    n->mem = mem;
    int e = open_socket(n);
    if (e < 0) {
        (void)netlink_close(n);
        return e;
    }
    *ret_netlink = n;
    return 0;
}

struct netlink *netlink_close(struct netlink *n) {
    if (n == NULL)
        return NULL;
    nl_socket_free(n->sock);
    return mem_free(n->mem, n);
}
