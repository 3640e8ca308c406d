# SPDX-License-Identifier: MIT
"""The TCP ends of a tunnel, and what is done through it."""

import hashlib
import os
import socket
import struct
import threading

from peerup import Failed, expect

STALL_S = 30  # no single socket operation may take longer
CHUNK = 1 << 18


def abort(s):
    """Close with a TCP reset."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


class Target:
    """A TCP service whose connections the cell takes and works by hand."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]

    def accept(self, seconds=15):
        self.listener.settimeout(seconds)
        try:
            s, _ = self.listener.accept()
        except TimeoutError:
            raise Failed(f"no connection reached the service within {seconds} s") from None
        s.settimeout(STALL_S)
        return s

    def expect_untouched(self):
        """Nothing may be waiting: what was refused never got here."""
        self.listener.setblocking(False)
        try:
            self.listener.accept()[0].close()
        except BlockingIOError:
            return
        raise Failed("a refused stream reached the service")

    def close(self):
        self.listener.close()


class SumTarget:
    """A TCP service speaking the sum protocol, which answers none before `together` have asked."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.barrier = threading.Barrier(1)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def together(self, count):
        self.barrier = threading.Barrier(count)

    def _serve(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(s,), daemon=True).start()

    def _one(self, s):
        s.settimeout(STALL_S)
        try:
            size = struct.unpack(">Q", read_exactly(s, 8))[0]
            self.barrier.wait(STALL_S)
            body = read_to_end(s)
            if len(body) == size:
                s.sendall(hashlib.sha256(body).digest())
                s.close()
                return
        except (Failed, OSError, threading.BrokenBarrierError):
            pass
        abort(s)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def connect(port):
    s = socket.create_connection(("localhost", port), 10)
    s.settimeout(STALL_S)
    return s


def read_exactly(s, size):
    data = bytearray()
    while len(data) < size:
        part = s.recv(size - len(data))
        if not part:
            raise Failed(f"end after {len(data)} of {size} bytes")
        data += part
    return bytes(data)


def read_to_end(s):
    """All bytes up to a clean end."""
    data = bytearray()
    while True:
        try:
            part = s.recv(CHUNK)
        except ConnectionResetError:
            raise Failed(f"reset after {len(data)} bytes instead of an end") from None
        except TimeoutError:
            raise Failed(f"silence after {len(data)} bytes instead of an end") from None
        if not part:
            return bytes(data)
        data += part


def expect_reset(s, seconds=10):
    """Reads on until the connection is reset; an orderly end is not enough."""
    s.settimeout(seconds)
    got = 0
    while True:
        try:
            part = s.recv(CHUNK)
        except ConnectionResetError:
            return
        except TimeoutError:
            raise Failed(f"no reset within {seconds} s, {got} bytes") from None
        expect(part, f"an orderly end after {got} bytes instead of a reset")
        got += len(part)


def expect_refusal(port, seconds, end_will_do=False):
    """A new connection is reset soon, perhaps before connect() returned; nothing is said on it.

    With end_will_do an orderly end is as good as a reset.
    """
    try:
        s = connect(port)
    except ConnectionResetError:
        return
    s.settimeout(seconds)
    try:
        data = s.recv(1)
    except ConnectionResetError:
        return
    except TimeoutError:
        raise Failed(f"still open after {seconds} s") from None
    expect(not data, f"data {data!r} from a service that refuses")
    expect(end_will_do, "an orderly end instead of a reset")


def send_stream(s, size, seed, ret):
    """Send size bytes, no two blocks alike, and half-close.  The digest goes to ret."""
    digest, block, number = hashlib.sha256(), bytearray(seed), 0
    try:
        while size > 0:
            struct.pack_into(">Q", block, 0, number)
            part = memoryview(block)[:size]
            digest.update(part)
            s.sendall(part)
            size -= len(part)
            number += 1
        s.shutdown(socket.SHUT_WR)
        ret.append(digest.hexdigest())
    except OSError as e:
        ret.append(f"sending failed with {size} bytes to go: {e}")


def receive_stream(s, ret):
    digest, size = hashlib.sha256(), 0
    try:
        while part := s.recv(CHUNK):
            digest.update(part)
            size += len(part)
        ret.append((size, digest.hexdigest()))
    except OSError as e:
        ret.append((size, f"receiving failed: {e}"))


def exchange(a, b, size):
    """Both ways at once, size bytes each, to a clean end; the digests must agree."""
    sent_a, sent_b, got_a, got_b = [], [], [], []
    threads = [
        threading.Thread(target=send_stream, args=(a, size, os.urandom(1 << 20), sent_a)),
        threading.Thread(target=send_stream, args=(b, size, os.urandom(1 << 20), sent_b)),
        threading.Thread(target=receive_stream, args=(a, got_a)),
        threading.Thread(target=receive_stream, args=(b, got_b))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()  # each socket operation in it is bounded
    for way, sent, got in (("to the service", sent_a, got_b), ("back", sent_b, got_a)):
        expect(got[0] == (size, sent[0]), f"{way}: sent {size} {sent[0]}, received {got[0]}")


def reset_in_midstream(breaker, other):
    """Fill the tunnel from one end, abort that end, and see the other being reset."""
    breaker.setblocking(False)
    block = os.urandom(CHUNK)
    try:
        while True:
            breaker.send(block)
    except BlockingIOError:
        pass
    read_exactly(other, CHUNK)
    abort(breaker)
    expect_reset(other)


def sum_clients(port, count, size, all_open):
    """count sum exchanges through a proxy's port.  No body is sent until all_open() returned."""
    clients = [connect(port) for _ in range(count)]
    for s in clients:
        s.sendall(struct.pack(">Q", size))
    all_open()
    bodies = [os.urandom(size) for _ in clients]
    for s, body in zip(clients, bodies):
        s.sendall(body)
        s.shutdown(socket.SHUT_WR)
    for number, (s, body) in enumerate(zip(clients, bodies)):
        answer = read_to_end(s)
        expect(answer == hashlib.sha256(body).digest(), f"stream {number}: wrong sum {answer.hex()}")
        s.close()
