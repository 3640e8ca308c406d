# SPDX-License-Identifier: MIT
"""A client that reads 1 KiB/s of a download that never ends."""

import threading

from bed import MIB, expect, expect_works, pair, rss, wait_until
from cells import cell
from traffic import Traffic, connect_small
from tunnel import exchange

BULK_BYTES = 64 * MIB
STALL_S = 20  # for the tunnel to fill
STEADY_S = 1.0
SLOW_BYTES = 1024
# Two sockets' buffers on each machine (6 and 4 MiB at most by the kernel's defaults), the stream's
# window of 10 MiB and what may wait unsent.
TAKEN_BYTES_MAX = 32 * MIB
GROWTH_MAX = 16 * MIB


class SlowReader:
    """A thread that reads SLOW_BYTES every second."""

    def __init__(self, s):
        self.socket, self.bytes_read = s, 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self.socket.close()

    def _run(self):
        try:
            while not self.stop.wait(1.0):
                self.bytes_read += len(self.socket.recv(SLOW_BYTES))
        except OSError:
            pass


class Filled:
    """An endless download with a slow reader, once no more bytes fit into the tunnel."""

    def __init__(self, port, target):
        self.reader = SlowReader(connect_small(port))
        self.traffic = Traffic()
        self.source = None
        self.service = target.accept()

    def __enter__(self):
        self.reader.__enter__()
        self.traffic.__enter__()
        self.source = self.traffic.add(self.service, write=True)
        seen = [-1]

        def is_steady():
            last, seen[0] = seen[0], self.source.bytes_written
            self.reader.stop.wait(STEADY_S)
            return self.source.bytes_written - last <= 16 * SLOW_BYTES and last > 0

        wait_until(is_steady, STALL_S, "the tunnel fills up")
        return self

    def __exit__(self, *_):
        self.reader.__exit__()
        self.traffic.__exit__()

    def expect_bounded(self):
        expect(self.source.bytes_written <= TAKEN_BYTES_MAX,
               f"the tunnel took {self.source.bytes_written} bytes ahead of a slow reader")
        expect(self.source.how is None, f"the source's connection: {self.source.how}")


def bulk_beside(target, ports):
    """BULK_BYTES each way through each port at once."""
    pairs = [pair(port, target) for port in ports]
    failures = []

    def one(client, service):
        try:
            exchange(client, service, BULK_BYTES)
        except Exception as e:  # told by the main thread
            failures.append(e)

    threads = [threading.Thread(target=one, args=p) for p in pairs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]
    for s in sum(pairs, ()):
        s.close()


@cell("slow-reader", backends=True)
def a_slow_reader_stalls_itself_and_nobody_else(bed):
    target, _, _, ports = bed.tunnel(clients=2)
    with Filled(ports[0], target) as filled:
        bulk_beside(target, ports)
        filled.expect_bounded()
        before = filled.reader.bytes_read
        wait_until(lambda: filled.reader.bytes_read > before, 5, "the slow reader goes on")


@cell("slow-reader.memory", memory=True)
def a_slow_reader_does_not_grow_memory(bed):
    target, daemon, clients, ports = bed.tunnel(clients=2)
    watched = {"daemon": daemon.process, "proxy": clients[0].proxies[0]}
    expect_works(ports[0], target)
    idle = {name: rss(p) for name, p in watched.items()}

    def growth():
        return {name: rss(p) - idle[name] for name, p in watched.items()}

    def is_small():
        return all(g <= GROWTH_MAX for g in growth().values())

    with Filled(ports[0], target):
        expect(is_small(), f"idle {idle}, grown by {growth()} at a standstill")
        bulk_beside(target, ports)
        wait_until(is_small, 10, f"idle {idle}: memory of the bulk is given back")
    print(f"        idle {idle}, grown by {growth()}", flush=True)
