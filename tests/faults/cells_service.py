# SPDX-License-Identifier: MIT
"""The target service fails: what its client gets must tell."""

import signal
import socket
import subprocess
import sys

from bed import Failed, expect, expect_works, free_port, pair, wait_until
from cells import cell
from tunnel import (abort, connect, expect_refusal, expect_reset, read_exactly, read_to_end,
                    reset_in_midstream)

SOON_S = 5
FULL_S = 1  # no room for so long: the tunnel is full
TCP_ESTABLISHED = 1
CONNECT_S = 10  # how long the daemon tries to reach a service
CANNOT_CONNECT = "failed to connect to local service"

# Accepts one connection, says its first byte, reads nothing more and waits to be killed.
VICTIM = """
import socket, time
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
c, _ = s.accept()
c.sendall(c.recv(1))
time.sleep(600)
"""


@cell("service.refuses", backends=True)
def nobody_listens_at_the_services_port(bed):
    bed.expect_complaints(CANNOT_CONNECT)
    client = bed.client("client")
    daemon = bed.daemon({"gone": free_port(socket.SOCK_STREAM, 4)}, [client])
    port = client.proxy(daemon.addr, "gone")
    for _ in range(3):
        expect_refusal(port, SOON_S)


@cell("service.silent", backends=True)
def a_service_with_a_full_backlog_is_given_up_in_time(bed):
    """Linux drops the SYN of a connection that does not fit the backlog."""
    bed.expect_complaints(CANNOT_CONNECT)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = []
        for _ in range(3):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(address)
            waiting.append(s)
        client = bed.client("client")
        daemon = bed.daemon({"silent": address[1]}, [client])
        expect_refusal(client.proxy(daemon.addr, "silent"), CONNECT_S + SOON_S)
        for s in waiting:
            s.close()


@cell("service.resets", backends=True)
def a_service_that_resets_at_once_or_later_resets_its_client(bed):
    bed.expect_complaints(CANNOT_CONNECT)  # the reset may overtake the end of connect()
    target, _, _, (port,) = bed.tunnel()
    client = connect(port)
    abort(target.accept())
    expect_reset(client, SOON_S)
    client, service = pair(port, target)
    reset_in_midstream(service, client)
    client, service = pair(port, target)
    reset_in_midstream(client, service)
    expect_works(port, target)


@cell("service.stalled", backends=True)
def a_reset_passes_a_tunnel_that_is_full(bed):
    """Nobody reads, so no read tells either side that the other is gone."""
    target, _, _, (port,) = bed.tunnel()
    for which in (0, 1):
        ends = pair(port, target)
        breaker, other = ends[which], ends[1 - which]
        breaker.settimeout(FULL_S)
        try:
            while True:
                breaker.send(bytes(1 << 18))
        except TimeoutError:
            pass
        abort(breaker)
        # Not by reading: that would drain the tunnel.
        wait_until(lambda s=other: _state(s) != TCP_ESTABLISHED, SOON_S, "the other end is reset")
        other.close()
    expect_works(port, target)


def _state(s):
    return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


@cell("service.vanishes", backends=True)
def a_service_killed_after_accepting_resets_or_ends_its_client(bed):
    for unread, what in ((True, "reset"), (False, "end")):
        victim = subprocess.Popen([sys.executable, "-c", VICTIM], stdout=subprocess.PIPE, text=True)
        try:
            tcp_port = int(victim.stdout.readline())
            client = bed.client(f"client-{what}")
            daemon = bed.daemon({"victim": tcp_port}, [client])
            port = client.proxy(daemon.addr, "victim")
            s = connect(port)
            s.sendall(b"x")
            expect(read_exactly(s, 1) == b"x", "another echo")
            if unread:
                # The kernel answers for a dead process: unread bytes make it a reset.
                s.sendall(bytes(100000))
                wait_until(lambda: _receive_queue(tcp_port) > 0, SOON_S, "bytes at the service")
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            s.settimeout(SOON_S)
            if unread:
                expect_reset(s, SOON_S)
            else:
                expect(read_to_end(s) == b"", "bytes of a dead service")
            bed.expect_complaints(CANNOT_CONNECT)
            expect_refusal(port, SOON_S)
        finally:
            victim.kill()
            victim.wait()
            victim.stdout.close()


def _receive_queue(port):
    """Bytes that wait at an established connection of this local port."""
    for line in open("/proc/net/tcp", encoding="ascii").readlines()[1:]:
        local, _, state, queues = line.split()[1:5]
        if int(local.split(":")[1], 16) == port and state == "01":
            return int(queues.split(":")[1], 16)
    raise Failed(f"no connection at port {port}")
