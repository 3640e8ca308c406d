/* SPDX-License-Identifier: MIT */
#include "uring/sock.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h> /* the C library's struct tcp_info is an old one */
#include <netinet/in.h>
#include <netinet/udp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/log.h"
#include "uring/backend.h"
#include "uring/udp.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum {
    ECN_MASK = 3,
    KEEP_ALIVE_SECONDS = 30, /* of silence, and between probes: go's value */
};

/* --- Addresses --- */

static int name_from_ip(const struct net_addr *a, union sock_name *ret_name) {
    memset(ret_name, 0, sizeof(*ret_name));
    if (a->family == NET_IP4) {
        struct sockaddr_in *in = (void *)&ret_name->storage;
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->ip, 4);
        return sizeof(*in);
    }
    if (a->family == NET_IP6) {
        struct sockaddr_in6 *in6 = (void *)&ret_name->storage;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(a->port);
        in6->sin6_scope_id = a->scope_id;
        memcpy(&in6->sin6_addr, a->ip, 16);
        return sizeof(*in6);
    }
    return -EINVAL;
}

int sock_name_from(const struct sock_addr *a, union sock_name *ret_name) {
    if (a->ip.family != NET_NONE)
        return name_from_ip(&a->ip, ret_name);

    size_t len = strnlen(a->unix_path, UNIX_PATH_MAX);
    if (len == 0 || len == UNIX_PATH_MAX)
        return -EINVAL;
    memset(ret_name, 0, sizeof(*ret_name));
    ret_name->un.sun_family = AF_UNIX;
    memcpy(ret_name->un.sun_path, a->unix_path, len);
    return (int)(offsetof(struct sockaddr_un, sun_path) + len + 1);
}

static void ip_from_name(const union sock_name *name, struct net_addr *ret_addr) {
    *ret_addr = (struct net_addr){0};
    if (name->sa.sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)&name->storage;
        ret_addr->family = NET_IP4;
        ret_addr->port = ntohs(in->sin_port);
        memcpy(ret_addr->ip, &in->sin_addr, 4);
    } else if (name->sa.sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)&name->storage;
        ret_addr->family = NET_IP6;
        ret_addr->port = ntohs(in6->sin6_port);
        memcpy(ret_addr->ip, &in6->sin6_addr, 16);
        if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
            ret_addr->scope_id = in6->sin6_scope_id;
    }
}

void sock_name_to(const union sock_name *name, socklen_t len, struct sock_addr *ret_addr) {
    *ret_addr = (struct sock_addr){0};
    if (name->sa.sa_family != AF_UNIX) {
        ip_from_name(name, &ret_addr->ip);
        return;
    }
    size_t path_offset = offsetof(struct sockaddr_un, sun_path);
    if (len > path_offset)
        memcpy(ret_addr->unix_path, name->un.sun_path,
               strnlen(name->un.sun_path, len - path_offset));
    ret_addr->unix_path[UNIX_PATH_MAX - 1] = '\0';
}

/* --- Stream sockets --- */

static int option_set(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int family_of(const struct sock_addr *a) {
    if (a->ip.family == NET_IP4)
        return AF_INET;
    return a->ip.family == NET_IP6 ? AF_INET6 : AF_UNIX;
}

/* What the kernel takes beyond what the path carries now.  It would take megabytes, and whatever is
 * written later would wait behind them. */
enum { TCP_UNSENT_BYTES_MAX = 128 << 10 };

/* They cannot fail on a TCP socket, and accepted ones inherit them. */
static void tcp_options(int fd) {
    (void)option_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    (void)option_set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, TCP_UNSENT_BYTES_MAX);
    (void)option_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    (void)option_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_ALIVE_SECONDS);
    (void)option_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_ALIVE_SECONDS);
}

int sock_stream_open(struct backend *b, const struct sock_addr *peer) {
    int family = family_of(peer);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | b->socket_flags, 0);
    if (fd < 0)
        return -errno;
    if (family != AF_UNIX)
        tcp_options(fd);
    return fd;
}

int sock_stream_bind(struct backend *b, int fd, const struct sock_addr *local) {
    (void)b;
    union sock_name name;
    int len = sock_name_from(local, &name);
    if (len < 0)
        return len;
    /* Several connections may leave from one port, as hole punching needs. */
    if (local->ip.family != NET_NONE && local->ip.port != 0) {
        int error = option_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (error == 0)
            error = option_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
        if (error < 0)
            return error;
    }
    /* The port is then chosen by connect(), which may share it between destinations. */
    if (local->ip.family != NET_NONE && local->ip.port == 0)
        (void)option_set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    return bind(fd, &name.sa, (socklen_t)len) < 0 ? -errno : 0;
}

static int listen_on(int fd, const struct sock_addr *at) {
    union sock_name name;
    int len = sock_name_from(at, &name);
    if (len < 0)
        return len;
    int error = 0;
    if (at->ip.family != NET_NONE)
        error = option_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (error == 0 && at->ip.family == NET_IP6)
        error = option_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (error < 0)
        return error;
    /* The mode is set before bind() makes the path, so that there is no moment in which others
     * could connect: on Linux a Unix socket's file takes the mode of its descriptor. */
    if (at->ip.family == NET_NONE && fchmod(fd, 0600) < 0)
        return -errno;
    if (bind(fd, &name.sa, (socklen_t)len) < 0 || listen(fd, SOMAXCONN) < 0)
        return -errno;
    /* So that connections may leave from this port too.  Only now: before bind() it would let two
     * processes listen on one port, and each get half of what comes. */
    return at->ip.family == NET_NONE ? 0 : option_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
}

int sock_stream_listen(struct backend *b, const struct sock_addr *at) {
    int fd = sock_stream_open(b, at);
    if (fd < 0)
        return fd;
    int error = listen_on(fd, at);
    if (error < 0) {
        (void)close(fd);
        return error;
    }
    return fd;
}

int sock_shutdown_write(struct backend *b, int fd) {
    (void)b;
    return shutdown(fd, SHUT_WR) < 0 ? -errno : 0;
}

int sock_stream_error(struct backend *b, int fd) {
    int error = 0;
    socklen_t len = sizeof(error);
    (void)b;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? -errno : -error;
}

int sock_stream_acked(struct backend *b, int fd, uint64_t *ret_bytes, nsec_t *ret_at) {
    struct tcp_info info;
    socklen_t len = sizeof(info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ||
        len < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof(info.tcpi_bytes_acked))
        return -ENOTSUP;
    nsec_t now = sock_now(b);
    *ret_bytes = info.tcpi_bytes_acked;
    *ret_at = now - MIN(now, MSEC(info.tcpi_last_ack_recv));
    return 0;
}

ssize_t sock_stream_unsent(struct backend *b, int fd) {
    int bytes = 0;
    (void)b;
    return ioctl(fd, SIOCOUTQNSD, &bytes) < 0 ? -ENOTSUP : bytes;
}

void sock_close(struct backend *b, int fd) {
    (void)b;
    (void)close(fd); /* the descriptor is gone whatever it answers */
}

void sock_reset_on_close(struct backend *b, int fd) {
    (void)b;
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    /* Unix sockets ignore it: their peer sees an end of file, or ECONNRESET with unread data. */
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

/* --- From socket to socket --- */

static int make_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

int sock_pipe_open(struct backend *b, int from, int to, struct stream_pipe *ret_pipe) {
    int ends[2];
    sigset_t signals;
    (void)b;
    int e = make_nonblocking(from);
    if (e == 0)
        e = make_nonblocking(to);
    if (e < 0)
        return e;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    /* Refused to users whose pipes have many pages already; a smaller one does. */
    (void)fcntl(ends[1], F_SETPIPE_SZ, STREAM_PIPE_BYTES);
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    *ret_pipe = (struct stream_pipe){.in = ends[1], .out = ends[0]};
    return 0;
}

void sock_pipe_close(struct backend *b, struct stream_pipe *pipe) {
    (void)b;
    (void)close(pipe->in);
    (void)close(pipe->out);
}

static ssize_t move_pages(int from, int to, size_t max) {
    ssize_t n;
    do
        n = splice(from, NULL, to, NULL, max, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t sock_pipe_fill(struct backend *b, const struct stream_pipe *pipe, int from, size_t max) {
    (void)b;
    ssize_t n = move_pages(from, pipe->in, max);
    /* Behind urgent data there may be more, by poll(), but splice() does not go past the mark: one
     * would wait for the other for ever. */
    int is_at_mark = 0;
    if ((n == 0 || n == -EAGAIN) && ioctl(from, SIOCATMARK, &is_at_mark) == 0 && is_at_mark)
        return -EPROTO;
    return n;
}

ssize_t sock_pipe_drain(struct backend *b, const struct stream_pipe *pipe, int to, size_t held) {
    (void)b;
    return move_pages(pipe->out, to, held);
}

void sock_pipe_drop(struct backend *b, const struct stream_pipe *pipe, size_t held) {
    uint8_t bytes[4096];
    (void)b;
    while (held > 0) {
        ssize_t n = read(pipe->out, bytes, MIN(held, sizeof(bytes)));
        assert(n > 0); /* they are there, and nothing interrupts a pipe that has some */
        held -= (size_t)n;
    }
}

int sock_local_addr(struct backend *b, int fd, struct sock_addr *ret_addr) {
    (void)b;
    union sock_name name = {0};
    socklen_t len = sizeof(name);
    if (getsockname(fd, &name.sa, &len) < 0)
        return -errno;
    sock_name_to(&name, len, ret_addr);
    return 0;
}

int sock_remote_addr(struct backend *b, int fd, struct sock_addr *ret_addr) {
    (void)b;
    union sock_name name = {0};
    socklen_t len = sizeof(name);
    if (getpeername(fd, &name.sa, &len) < 0)
        return -errno;
    sock_name_to(&name, len, ret_addr);
    return 0;
}

/* --- UDP --- */

/* FORCE goes past the system's limit and needs CAP_NET_ADMIN.  The kernel doubles the value for its
 * own bookkeeping and reports it doubled. */
static int buffer_raise(int fd, int force_name, int name, int bytes) {
    if (option_set(fd, SOL_SOCKET, force_name, bytes) < 0)
        (void)option_set(fd, SOL_SOCKET, name, bytes);
    int got = 0;
    socklen_t len = sizeof(got);
    if (getsockopt(fd, SOL_SOCKET, name, &got, &len) < 0)
        return 0;
    return got / 2;
}

static void buffers_raise(struct backend *b, int fd) {
    int rcv = buffer_raise(fd, SO_RCVBUFFORCE, SO_RCVBUF, UDP_RCVBUF_BYTES);
    int snd = buffer_raise(fd, SO_SNDBUFFORCE, SO_SNDBUF, UDP_SNDBUF_BYTES);
    if ((rcv < UDP_RCVBUF_BYTES || snd < UDP_SNDBUF_BYTES) && !b->buffers_warned) {
        b->buffers_warned = true;
        log_warn(b->cfg.log, L_REACTOR,
                 "UDP socket buffers are smaller than wished, bursts may be lost: raise "
                 "net.core.rmem_max and net.core.wmem_max",
                 kv_int("receive_bytes", rcv), kv_int("send_bytes", snd),
                 kv_int("wished_bytes", UDP_RCVBUF_BYTES));
    }
}

static int udp_options_ip(int fd, int family) {
    const struct {
        int level;
        int name;
        int value;
        int family;
    } options[] = {
        {IPPROTO_IP, IP_PKTINFO, 1, AF_INET},
        {IPPROTO_IP, IP_RECVTOS, 1, AF_INET},
        /* PROBE: "don't fragment", and the kernel's own idea of the path's MTU is ignored. */
        {IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, AF_INET},
        {IPPROTO_IPV6, IPV6_V6ONLY, 1, AF_INET6},
        {IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, AF_INET6},
        {IPPROTO_IPV6, IPV6_RECVTCLASS, 1, AF_INET6},
        {IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE, AF_INET6},
    };
    for (size_t i = 0; i < ARRAY_COUNT(options); i++) {
        if (options[i].family != family)
            continue;
        int error = option_set(fd, options[i].level, options[i].name, options[i].value);
        if (error < 0)
            return error;
    }
    return 0;
}

static int udp_bind(struct backend *b, int fd, const struct net_addr *local) {
    union sock_name name;
    int len = name_from_ip(local, &name);
    if (len < 0)
        return len;
    int error = udp_options_ip(fd, name.sa.sa_family);
    if (error < 0)
        return error;
    if (b->features.udp_gro)
        (void)option_set(fd, IPPROTO_UDP, UDP_GRO, 1); /* was accepted when it was probed */
    buffers_raise(b, fd);
    return bind(fd, &name.sa, (socklen_t)len) < 0 ? -errno : 0;
}

int sock_udp_open(struct backend *b, const struct net_addr *local) {
    int family = local->family == NET_IP6 ? AF_INET6 : AF_INET;
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | b->socket_flags, 0);
    if (fd < 0)
        return -errno;
    int error = udp_bind(b, fd, local);
    if (error < 0) {
        (void)close(fd);
        return error;
    }
    return fd;
}

static bool udp_takes_option(int name, int value) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool taken = option_set(fd, IPPROTO_UDP, name, value) == 0;
    (void)close(fd);
    return taken;
}

bool sock_has_udp_gso(void) {
    return udp_takes_option(UDP_SEGMENT, 1200);
}

bool sock_has_udp_gro(void) {
    return udp_takes_option(UDP_GRO, 1);
}

/* --- Slabs for a receive --- */

uint32_t sock_slabs_lend(struct buf_pool *pool, size_t size, struct recv_result *into) {
    assert(into->count == 0);
    uint32_t count = 0;
    for (size_t room = 0; room < size && count < RECV_SLICES_MAX; count++) {
        struct buf *slab = buf_new(pool, BUF_64K, NULL);
        if (slab == NULL)
            break;
        into->slices[count] = slice_of(slab, 0, (uint32_t)MIN(size - room, (size_t)slab->size));
        room += into->slices[count].len;
    }
    return count;
}

void sock_slabs_keep(struct recv_result *into, ssize_t len) {
    size_t left = len > 0 ? (size_t)len : 0;
    assert(into->count == 0);
    for (uint32_t i = 0; i < into->lent_count; i++) {
        struct slice *s = &into->slices[i];
        if (left == 0) {
            slice_unref(s);
            continue;
        }
        s->len = (uint32_t)MIN(left, (size_t)s->len);
        left -= s->len;
        into->count++;
    }
    assert(left == 0);
    into->lent_count = 0;
}

/* --- Control data --- */

static struct cmsghdr *control_add(struct udp_out *out, struct cmsghdr *at, int level, int type,
                                   const void *value, size_t size) {
    at->cmsg_level = level;
    at->cmsg_type = type;
    at->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(at), value, size);
    out->msg.msg_controllen += CMSG_SPACE(size);
    assert(out->msg.msg_controllen <= sizeof(out->control));
    return (struct cmsghdr *)(void *)(out->control + out->msg.msg_controllen);
}

static struct cmsghdr *control_add_source(struct udp_out *out, struct cmsghdr *at) {
    if (out->local.family == NET_IP4) {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, out->local.ip, 4);
        return control_add(out, at, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    }
    struct in6_pktinfo info = {.ipi6_ifindex = out->local.scope_id};
    memcpy(&info.ipi6_addr, out->local.ip, 16);
    return control_add(out, at, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
}

void sock_udp_out_prepare(struct udp_out *out) {
    union sock_name name;
    int name_len = name_from_ip(&out->remote, &name);
    assert(name_len > 0);
    out->name = name.storage;
    /* The kernel only reads through iov_base, but its type does not say so. */
    out->iov = (struct iovec){.iov_base = (void *)(uintptr_t)out->data, .iov_len = out->len};
    out->msg = (struct msghdr){
        .msg_name = &out->name,
        .msg_namelen = (socklen_t)name_len,
        .msg_iov = &out->iov,
        .msg_iovlen = 1,
    };
    struct cmsghdr *at = (struct cmsghdr *)(void *)out->control;
    if (out->local.family != NET_NONE && !net_addr_is_unspecified(&out->local))
        at = control_add_source(out, at);
    if (out->ecn != 0) {
        int tos = out->ecn & ECN_MASK;
        bool v4 = out->remote.family == NET_IP4;
        at = control_add(out, at, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, &tos,
                         sizeof(tos));
    }
    if (out->segment_len < out->len) {
        uint16_t segment = (uint16_t)out->segment_len;
        (void)control_add(out, at, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment));
    }
    if (out->msg.msg_controllen > 0)
        out->msg.msg_control = out->control;
}

static void control_read(const struct cmsghdr *c, struct udp_batch *batch) {
    const void *value = CMSG_DATA(c);
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;
        memcpy(&info, value, sizeof(info));
        batch->local.family = NET_IP4;
        memcpy(batch->local.ip, &info.ipi_addr, 4);
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo info;
        memcpy(&info, value, sizeof(info));
        batch->local.family = NET_IP6;
        memcpy(batch->local.ip, &info.ipi6_addr, 16);
        if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
            batch->local.scope_id = info.ipi6_ifindex;
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
        batch->ecn = *(const uint8_t *)value & ECN_MASK; /* one byte, unlike IPv6's int */
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
        int tclass;
        memcpy(&tclass, value, sizeof(tclass));
        batch->ecn = (uint8_t)(tclass & ECN_MASK);
    } else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
        int segment;
        memcpy(&segment, value, sizeof(segment));
        if (segment > 0 && (size_t)segment < batch->len)
            batch->segment_len = (size_t)segment;
    }
}

int sock_udp_batch_read(struct msghdr *msg, uint8_t *data, size_t len,
                        struct udp_batch *ret_batch) {
    if (msg->msg_flags & (MSG_TRUNC | MSG_CTRUNC))
        return -EINVAL;
    if (msg->msg_namelen < sizeof(struct sockaddr_in))
        return -EINVAL;
    union sock_name name = {0};
    memcpy(&name, msg->msg_name, MIN((size_t)msg->msg_namelen, sizeof(name)));
    struct udp_batch batch = {.len = len, .segment_len = len};
    batch.data = data;
    ip_from_name(&name, &batch.remote);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c))
        control_read(c, &batch);
    *ret_batch = batch;
    return 0;
}

/* --- The world --- */

static nsec_t read_clock(clockid_t which) {
    struct timespec ts;
    (void)clock_gettime(which, &ts); /* cannot fail */
    return SEC((nsec_t)ts.tv_sec) + (nsec_t)ts.tv_nsec;
}

nsec_t sock_now(struct backend *b) {
    (void)b;
    return read_clock(CLOCK_MONOTONIC);
}

/* The two clocks differ in nothing else, but for a constant in a time namespace. */
int64_t sock_suspended(struct backend *b) {
    (void)b;
    nsec_t with_sleep = read_clock(CLOCK_BOOTTIME);
    return (int64_t)(with_sleep - read_clock(CLOCK_MONOTONIC));
}

walltime_t sock_walltime(struct backend *b) {
    (void)b;
    struct timespec ts;
    (void)clock_gettime(CLOCK_REALTIME, &ts); /* cannot fail */
    return ts.tv_sec;
}

void sock_random(struct backend *b, void *out, size_t size) {
    (void)b;
    uint8_t *at = out;
    while (size > 0) {
        ssize_t n = getrandom(at, size, 0);
        /* Interrupted is the only failure left: the call exists on every kernel that we support. */
        assert(n > 0 || errno == EINTR);
        if (n > 0) {
            at += n;
            size -= (size_t)n;
        }
    }
}
