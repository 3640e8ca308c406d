# SPDX-License-Identifier: MIT
"""Sockets kept busy until they end, by one thread; how each ended is the result."""

import selectors
import socket
import threading
import time

from peerup import expect, wait_until

CHUNK = 1 << 16
IDLE_S = 0.1


class Flow:
    """One socket: what it reads is dropped, what it writes is zeros."""

    def __init__(self, s, read, write):
        self.socket, self.read, self.write = s, read, write
        self.bytes_read = self.bytes_written = 0
        self.how = None  # "reset" or "end", once it has ended
        self.when = None

    def events(self):
        return (selectors.EVENT_READ if self.read else 0) | (
            selectors.EVENT_WRITE if self.write else 0)

    def step(self, events):
        """A reset is told once by the kernel, to whichever call comes first."""
        try:
            if events & selectors.EVENT_READ:
                got = self.socket.recv(CHUNK)
                self.bytes_read += len(got)
                if not got:
                    self.how = "end"
            if events & selectors.EVENT_WRITE and not self.how:
                self.bytes_written += self.socket.send(bytes(CHUNK))
        except BlockingIOError:
            return
        except OSError:
            self.how = "reset"


class Traffic:
    """with Traffic() as t: flow = t.add(socket, read=…, write=…)"""

    def __init__(self):
        self.selector, self.lock = selectors.DefaultSelector(), threading.Lock()
        self.flows, self.stopping = [], False
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.thread.join()
        for flow in self.flows:
            flow.socket.close()
        self.selector.close()

    def add(self, s, read=False, write=False):
        s.setblocking(False)
        flow = Flow(s, read, write)
        with self.lock:
            self.flows.append(flow)
            self.selector.register(s, flow.events(), flow)
        return flow

    def _run(self):
        while not self.stopping:
            # Not under the lock: epoll takes new sockets while it waits.
            for key, events in self.selector.select(IDLE_S):
                flow = key.data
                flow.step(events)
                if flow.how:
                    flow.when = time.monotonic()
                    with self.lock:
                        self.selector.unregister(flow.socket)


def wait_moving(flows, seconds=15, size=1 << 20):
    """Until each flow has carried so many more bytes."""
    before = [f.bytes_read + f.bytes_written for f in flows]
    wait_until(lambda: all(f.bytes_read + f.bytes_written >= b + size
                           for f, b in zip(flows, before)), seconds, "bytes under way")


def expect_all_reset(flows, since, seconds, what):
    wait_until(lambda: all(f.how for f in flows), max(0, since + seconds - time.monotonic()),
               f"{what}: all connections are over")
    for number, flow in enumerate(flows):
        expect(flow.how == "reset", f"{what} {number}: an orderly end instead of a reset")
        expect(flow.when - since <= seconds, f"{what} {number}: after {flow.when - since:.1f} s")


def connect_small(port):
    """A client whose kernel takes little in advance."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    s.settimeout(10)
    s.connect(("127.0.0.1", port))
    return s
