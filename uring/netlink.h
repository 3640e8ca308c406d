/* SPDX-License-Identifier: MIT */
#pragma once

/* What the kernel tells of addresses, links and routes (rtnetlink(7)), by libnl: one socket for
 * the notifications, which only say that something has changed, and for the dumps, which say what
 * there is.  No state is kept from one dump to the next, so nothing that was lost is missed for
 * longer than until the next one.
 *
 *   readable  -> netlink_read()          NETLINK_EVENT   -> a dump is due
 *   due       -> netlink_dump_start()    NETLINK_DUMPED  -> netlink_found()
 *
 * libnl's own caches are not used: they grow with the machine's routing table, and read a dump to
 * its end in one go.
 *
 * Memory: its own 32 KiB, and what libnl has for a socket.  Thread: one at a time; nothing blocks.
 */

#include "core/base/bytes.h"
#include "uring/netwatch.h"

struct mem;
struct netlink;

enum {
    NETLINK_EVENT = 1,  /* something has changed, or notifications were lost */
    NETLINK_DUMPED = 2, /* a dump is complete */
};

/* -ENOMEM; -EPERM, -EACCES, -EAFNOSUPPORT, ... where the system does not want us to. */
NODISCARD int netlink_open(struct mem *mem, struct netlink **ret_netlink);
/* Accepts NULL, returns NULL. */
struct netlink *netlink_close(struct netlink *n);

/* Readable when netlink_read() has something to do.  Closed by netlink_close(). */
int netlink_fd(const struct netlink *n);

/* Asks for all there is.  None may be running.  0; NETLINK_EVENT when memory was short, so another
 * try is due; or an error that will stay. */
NODISCARD int netlink_dump_start(struct netlink *n);
bool netlink_is_dumping(const struct netlink *n);

/* Reads a bounded number of the kernel's datagrams; the rest is for the next turn.  Flags of
 * NETLINK_...; 0 when there was nothing of interest; an error means that the socket, or a dump,
 * will not do any more. */
NODISCARD int netlink_read(struct netlink *n);

/* Of the last dump that was completed; stays until the next one starts. */
const struct netwatch_snapshot *netlink_found(const struct netlink *n);

/* --- Reading messages: pure, for netlink_read() and the tests --- */

/* What a dump has brought so far: addresses and routes, then the links that they are on. */
struct netlink_dump {
    struct netwatch_snapshot found;
    bool addr_is_up[NETWATCH_ADDRS_MAX];
    bool route_is_up[NETWATCH_ROUTES_MAX];
};

/* Adds what the messages in `datagram` bring.  What is malformed or of no interest is passed over.
 * The memory must be aligned for struct nlmsghdr. */
void netlink_dump_add(struct netlink_dump *d, struct bytes datagram);
/* No message will follow: takes out what is on no link that is up. */
void netlink_dump_end(struct netlink_dump *d);
/* Whether a notification in `datagram` is of something that a dump could list. */
bool netlink_is_event(struct bytes datagram);
