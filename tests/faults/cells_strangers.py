# SPDX-License-Identifier: MIT
"""Strangers who open TCP connections to the daemon and do not go on with their handshakes."""

import json
import resource
import selectors
import socket
import statistics
import time
from pathlib import Path

from bed import MIB, descriptors, expect, expect_works, rss, wait_until
from cells import cell

CROWD = 1000
HALF_OPEN_MAX = 1024  # TCP_HALF_OPEN_MAX
UPGRADE_S = 10  # UPGRADE_TIMEOUT
PINGS = 5
GROWTH_MAX, LEFT_MAX = 64 * MIB, 4 * MIB
GREETING = b"\x13/multistream/1.0.0\n"
VECTORS = Path(__file__).resolve().parent.parent / "vectors"


def clients_hello():
    """go's first message of TLS."""
    with open(VECTORS / "transcripts.json", encoding="utf-8") as file:
        for vector in json.load(file)["vectors"]:
            for chunk in vector["chunks"]:
                if chunk["from"] == "dialer" and chunk["bytes"].startswith("160301"):
                    return bytes.fromhex(chunk["bytes"])
    raise AssertionError("no ClientHello in the transcripts")


class Crowd:
    """Connections that stop: at once, after each byte, in multistream, in TLS, in Noise."""

    def __init__(self, port, count):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        tls = GREETING + b"\x0b/tls/1.0.0\n" + clients_hello()
        words = [b"", GREETING[:1], GREETING, tls, tls[:-700],
                 GREETING + b"\x07/noise\n" + b"\0\x20" + bytes([9] * 32)]
        self.selector = selectors.DefaultSelector()
        self.sockets, self.slow, self.open = [], [], set()
        for i in range(count):
            s = socket.create_connection(("127.0.0.1", port), 10)
            s.setblocking(False)
            word = words[i % len(words)]
            if word:
                s.send(word)
            if word == GREETING[:1]:
                self.slow.append(s)
            self.sockets.append(s)
            self.open.add(s)
            self.selector.register(s, selectors.EVENT_READ)
        self.begun = self.said = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in self.sockets:
            s.close()
        self.selector.close()

    def go_on(self):
        """Says the next slow byte when it is time, and sees who was shown out; how many are left."""
        if time.monotonic() - self.said >= 1:
            self.said += 1
            at = int(self.said - self.begun)
            for s in self.slow:
                if s in self.open and at < len(GREETING):
                    self._say(s, GREETING[at:at + 1])
        for key, _ in self.selector.select(0):
            try:
                data = key.fileobj.recv(65536)
            except OSError:
                data = b""
            if not data:
                self._ended(key.fileobj)
        return len(self.open)

    def _say(self, s, data):
        try:
            s.send(data)
        except OSError:
            self._ended(s)

    def _ended(self, s):
        self.open.discard(s)
        self.selector.unregister(s)


def ping_ms(client, addr):
    """Least and median of some pings, each from a process of its own: start, connect, answer."""
    times = []
    for _ in range(PINGS):
        begun = time.monotonic()
        status, replies, stderr = client.ping(addr, 1)
        times.append((time.monotonic() - begun) * 1e3)
        expect(status == 0 and len(replies) == 1, f"ping: {status}, {replies}: {stderr}")
    return f"{min(times):.1f} / {statistics.median(times):.1f} ms"


def make_tunnel(bed):
    target = bed.target()
    client = bed.client("client")
    daemon = bed.daemon({"work": target.port}, [client])
    addr, tcp_port = daemon.listen_on_tcp()
    port = client.proxy(addr, "work")
    expect_works(port, target)
    return target, daemon, client, addr, tcp_port, port


@cell("tcp.slow", backends=True)
def a_thousand_slow_strangers_keep_nobody_out(bed):
    target, daemon, client, addr, tcp_port, port = make_tunnel(bed)
    alone = ping_ms(client, addr)
    held = descriptors(daemon.process)
    with Crowd(tcp_port, CROWD) as crowd:
        wait_until(lambda: descriptors(daemon.process) >= held + CROWD, 10, "all are accepted")
        crowded = ping_ms(client, addr)
        expect(crowd.go_on() == CROWD, f"{CROWD - len(crowd.open)} were shown out before their time")
        expect_works(port, target)
        wait_until(lambda: crowd.go_on() == 0, UPGRADE_S + 10, "all are shown out")
        lasted = time.monotonic() - crowd.begun
    expect(lasted >= UPGRADE_S - 2, f"shown out after {lasted:.1f} s already")
    wait_until(lambda: descriptors(daemon.process) <= held, 10, "their descriptors are back")
    print(f"        start, connect and ping: {alone} alone, {crowded} beside {CROWD} strangers",
          flush=True)
    expect_works(port, target)


@cell("tcp.crowd", backends=True)
def more_than_the_limit_push_out_the_oldest(bed):
    target, daemon, client, addr, tcp_port, port = make_tunnel(bed)
    held = descriptors(daemon.process)
    with Crowd(tcp_port, HALF_OPEN_MAX + 200) as crowd:
        wait_until(lambda: crowd.go_on() <= HALF_OPEN_MAX, UPGRADE_S - 2, "the oldest have gone")
        expect(descriptors(daemon.process) <= held + HALF_OPEN_MAX + 50,
               f"{descriptors(daemon.process)} descriptors")
        newest = crowd.sockets[-HALF_OPEN_MAX // 2:]
        expect(all(s in crowd.open for s in newest), "one of the newest was shown out")
        status, replies, stderr = client.ping(addr, 1)
        expect(status == 0 and len(replies) == 1, f"ping: {status}, {replies}: {stderr}")
    expect_works(port, target)


@cell("tcp.slow.memory", memory=True)
def strangers_hold_little_and_are_forgotten(bed):
    target, daemon, _, _, tcp_port, port = make_tunnel(bed)
    sizes = [rss(daemon.process)]
    for _ in range(2):
        with Crowd(tcp_port, CROWD) as crowd:
            wait_until(lambda: descriptors(daemon.process) >= CROWD, 10, "all are accepted")
            crowd.go_on()
            sizes.append(rss(daemon.process))
        wait_until(lambda: descriptors(daemon.process) < 100, 10, "their descriptors are back")
    print(f"        {sizes}", flush=True)
    expect(sizes[1] - sizes[0] <= GROWTH_MAX, f"idle and in the crowds: {sizes}")
    expect(sizes[2] - sizes[1] <= LEFT_MAX, f"idle and in the crowds: {sizes}")
    expect_works(port, target)
