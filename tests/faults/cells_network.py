# SPDX-License-Identifier: MIT
"""What strangers may send to the daemon's UDP port while it works."""

import random
import resource
import selectors
import socket
import subprocess
from collections import Counter

from bed import MIB, expect, expect_works, pair, rss, wait_until
from cells import cell
from traffic import Traffic, wait_moving

SEED = 8
NOISE_DATAGRAMS = 4000
FLOOD = 2000
HALF_OPEN_MAX = 256  # QUIC_HALF_OPEN_RETRY: beyond it a client must prove its address first
PING_S = 20
GROWTH_MAX, LEFT_MAX = 64 * MIB, 4 * MIB
HANDSHAKE_S = 10
UNKNOWN_VERSION = bytes.fromhex("0a1a2a3a")
INITIAL, RETRY = 0, 3


def make_initials(bed, count):
    done = subprocess.run([str(bed.initials), str(count)], stdout=subprocess.PIPE, check=True)
    packets, at = [], 0
    while at < len(done.stdout):
        size = int.from_bytes(done.stdout[at:at + 2], "big")
        packets.append(done.stdout[at + 2:at + 2 + size])
        at += 2 + size
    expect(len(packets) == count and min(map(len, packets)) >= 1200, "not the datagrams ordered")
    return packets


def make_noise(rng, initials):
    """One datagram that is no QUIC, or nearly."""
    initial = bytearray(rng.choice(initials))
    kind = rng.randrange(8)
    if kind == 0:
        return rng.randbytes(rng.randrange(0, 1500))
    if kind == 1:  # a short header for nobody; long enough to be worth a reset
        return bytes([0x40 | rng.randrange(64)]) + rng.randbytes(rng.randrange(8, 1400))
    if kind == 2:
        return bytes(initial[:rng.randrange(len(initial))])
    if kind == 3:
        for _ in range(rng.randrange(1, 20)):
            initial[rng.randrange(len(initial))] ^= 1 << rng.randrange(8)
        return bytes(initial)
    if kind == 4:  # Handshake, 0-RTT and Retry that belong to nothing
        initial[0] = initial[0] & 0xcf | rng.randrange(1, 4) << 4
        return bytes(initial)
    if kind == 5:  # connection IDs of all lengths
        return (bytes([0xc0 | rng.randrange(64)]) + rng.choice((b"\0\0\0\1", UNKNOWN_VERSION))
                + rng.randbytes(rng.randrange(1, 1400)))
    if kind == 6:
        return bytes(initial) * 2  # more than one packet, and more than a frame of Ethernet
    return bytes(initial)  # again and again


def expect_version_negotiation(address):
    dcid, scid = bytes(range(8)), bytes(range(100, 112))
    head = (b"\xc0" + UNKNOWN_VERSION + bytes([len(dcid)]) + dcid + bytes([len(scid)]) + scid)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(address)
        s.settimeout(0.3)

        def answer():
            s.send(head.ljust(1200, b"\0"))
            try:
                return s.recv(2048)
            except TimeoutError:
                return None

        got = wait_until(answer, 5, "an answer to an unknown version")
        wanted = b"\0\0\0\0" + bytes([len(scid)]) + scid + bytes([len(dcid)]) + dcid
        expect(got[0] & 0x80 and got[1:1 + len(wanted)] == wanted, f"answered by {got.hex()}")
        versions = got[1 + len(wanted):]
        expect(b"\0\0\0\1" in [versions[i:i + 4] for i in range(0, len(versions), 4)],
               f"version 1 is not among {versions.hex()}")
        while True:  # late answers to what was repeated
            try:
                s.recv(2048)
            except TimeoutError:
                break
        s.send(head.ljust(1199, b"\0"))  # too short to be worth one (RFC 9000, 6.1)
        try:
            raise AssertionError(f"answered by {s.recv(2048).hex()}")
        except TimeoutError:
            pass


@cell("net.noise", backends=True)
def noise_on_the_port_disturbs_no_transfer(bed):
    rng = random.Random(SEED)
    target, daemon, (client,), (port,) = bed.tunnel()
    address = ("127.0.0.1", daemon.port)
    initials = make_initials(bed, 50)
    with Traffic() as traffic:
        one, service = pair(port, target)
        flows = [traffic.add(one, read=True, write=True),
                 traffic.add(service, read=True, write=True)]
        wait_moving(flows)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for number in range(NOISE_DATAGRAMS):
                s.sendto(make_noise(rng, initials), address)
                if number % 500 == 0:
                    wait_moving(flows, size=1)
        wait_moving(flows)
    expect_version_negotiation(address)
    expect_works(port, target)
    status, replies, stderr = client.ping(daemon.addr, 1)
    expect(status == 0 and len(replies) == 1, f"ping: {status}, {replies}: {stderr}")


class Flood:
    """One handshake begun from each of many ports, and what came back."""

    def __init__(self, packets, address):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.selector = selectors.DefaultSelector()
        self.answers = Counter()  # sockets by the type of the first packet that came back
        self.received = {}
        self.sockets = []
        for packet in packets:
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setblocking(False)
            s.connect(address)
            s.send(packet)
            self.sockets.append(s)
            self.received[s] = 0
            self.selector.register(s, selectors.EVENT_READ)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in self.sockets:
            s.close()
        self.selector.close()

    def collect(self):
        """Takes what is there; true when nothing has come for a moment."""
        events = self.selector.select(0.2)
        for key, _ in events:
            s = key.fileobj
            data = s.recv(2048)
            if not self.received[s]:
                self.answers[data[0] >> 4 & 3] += 1
            self.received[s] += len(data)
        return not events

    def expect_limits(self, packets):
        wait_until(self.collect, 10, "the daemon has answered")
        expect(0 < self.answers[INITIAL] <= HALF_OPEN_MAX,
               f"{self.answers[INITIAL]} handshakes are half open")
        expect(self.answers[RETRY] > 0, f"nobody is asked to prove its address: {self.answers}")
        for s, packet in zip(self.sockets, packets):
            expect(self.received[s] <= 3 * len(packet),
                   f"{self.received[s]} bytes to an address that proved nothing")


@cell("net.flood", backends=True)
def two_thousand_handshakes_that_nobody_goes_on_with(bed):
    packets = make_initials(bed, FLOOD)
    target, daemon, (client,), (port,) = bed.tunnel()
    with Traffic() as traffic:
        one, service = pair(port, target)
        flows = [traffic.add(one, read=True, write=True),
                 traffic.add(service, read=True, write=True)]
        wait_moving(flows)
        with Flood(packets, ("127.0.0.1", daemon.port)) as flood:
            # It must come back with a token meanwhile.
            status, replies, stderr = client.ping(daemon.addr, 1)
            expect(status == 0 and len(replies) == 1, f"ping: {status}, {replies}: {stderr}")
            flood.expect_limits(packets)
            wait_moving(flows)
    expect_works(port, target)


@cell("net.flood.memory", memory=True)
def handshakes_that_nobody_goes_on_with_are_forgotten(bed):
    """The second flood finds the memory of the first: the C library may keep it meanwhile."""
    packets = make_initials(bed, 2 * FLOOD)
    target, daemon, _, (port,) = bed.tunnel()
    address = ("127.0.0.1", daemon.port)
    expect_works(port, target)
    sizes = [rss(daemon.process)]
    for some in (packets[:FLOOD], packets[FLOOD:]):
        def is_answered(some=some):
            """Until the handshakes before are given up, a client is asked for a token."""
            with Flood([some.pop()], address) as probe:
                probe.collect()
                return probe.answers[INITIAL]

        wait_until(is_answered, HANDSHAKE_S + 5, "a place for a handshake")
        with Flood(some, address) as flood:
            flood.expect_limits(some)
            sizes.append(rss(daemon.process))
    print(f"        {sizes}", flush=True)
    expect(sizes[1] - sizes[0] <= GROWTH_MAX, f"idle and in the floods: {sizes}")
    expect(sizes[2] - sizes[1] <= LEFT_MAX, f"idle and in the floods: {sizes}")
