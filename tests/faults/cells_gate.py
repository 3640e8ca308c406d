# SPDX-License-Identifier: MIT
"""An authorized peer loses its right while it is connected."""

import signal
import time

from bed import expect, expect_works, pair
from cells import cell
from traffic import Traffic, expect_all_reset, wait_moving
from tunnel import expect_refusal

SOON_S = 5
EXPIRES_IN_S = 6  # until then the tunnel must stand
GATED = (r"Connection refused", r"connection attempt failed", r"inbound connection denied",
         r"not authorized", r"connection closed")


def keep_busy(traffic, target, port):
    client, service = pair(port, target)
    flows = [traffic.add(client, read=True, write=True), traffic.add(service, read=True)]
    wait_moving(flows[1:])
    return flows


def expect_shut_out(bed, client, daemon, port):
    expect_refusal(port, SOON_S)
    status, replies, stderr = client.ping(daemon.addr, 1)
    expect(status == 1 and not replies and "authorized" in stderr,
           f"ping: exit status {status}, {replies}: {stderr!r}")


@cell("gate.expires")
def a_right_that_expires_ends_the_connection_and_no_other(bed):
    bed.expect_complaints(*GATED)
    target = bed.target()
    guest, friend = bed.client("guest"), bed.client("friend")
    expires = int(time.time()) + EXPIRES_IN_S
    text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires))
    daemon = bed.daemon({"work": target.port}, [],
                        authorize=[f"{guest.id}  expires={text}", friend.id])
    with Traffic() as traffic:
        others = keep_busy(traffic, target, friend.proxy(daemon.addr, "work"))
        port = guest.proxy(daemon.addr, "work")
        flows = keep_busy(traffic, target, port)
        expect(not any(f.how for f in flows), "over before its time")
        expect_all_reset(flows, time.monotonic(), expires - time.time() + SOON_S, "connection")
        expect(time.time() >= expires, f"ended {expires - time.time():.2f} s before its time")
        expect_shut_out(bed, guest, daemon, port)
        wait_moving(others[1:])


@cell("gate.removed")
def a_peer_removed_and_reloaded_is_out_until_it_is_added_again(bed):
    bed.expect_complaints(*GATED)
    target, daemon, (guest, _), (port, other) = bed.tunnel(clients=2)
    config = ["--config", daemon.home.config]

    def auth(*args):
        done = daemon.home.run(["auth", *args, *config])
        expect(done.returncode == 0, f"auth {args}: {done.returncode}: {done.stderr}")
        daemon.process.child.send_signal(signal.SIGHUP)

    with Traffic() as traffic:
        others = keep_busy(traffic, target, other)
        flows = keep_busy(traffic, target, port)
        now = time.monotonic()
        auth("remove", guest.id)
        expect_all_reset(flows, now, SOON_S, "connection")
        expect_shut_out(bed, guest, daemon, port)
        auth("add", guest.id)
        daemon.process.wait_text(r"(?s)updated authorized peers list.*updated authorized peers")
        expect_works(port, target)
        wait_moving(others[1:])
