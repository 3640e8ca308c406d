# SPDX-License-Identifier: MIT
"""The cells of the matrix, one function each, and the pair of peers that they look at.

A cell raises Failed, Skip or Lacks, or returns nothing, or returns in what small thing one of the
two implementations differs.
"""

import socket
import threading
from dataclasses import dataclass
from typing import Callable

from nodes import CommandError, Group
from peerup import NOBODY, Failed, Skip, expect, wait_until
from table import Lacks

STACKS = {"tcp-noise": "/tcp/0", "tcp-tls": "/tcp/0", "quic": "/udp/0/quic-v1",
          "ws-noise": "/tcp/0/ws"}
OUR_SEED, THEIR_SEED, HELPER_SEED = 0xa1, 0xb2, 0xc3

SUM, REVERSE = "/peerup-test/sum/1.0.0", "/peerup-test/reverse/1.0.0"
RESET, PERF = "/peerup-test/reset/1.0.0", "/perf/1.0.0"
PROTOCOLS = {"/ipfs/id/1.0.0", "/ipfs/ping/1.0.0", SUM, REVERSE, RESET, PERF}

PINGS = 5
STREAMS = 200
STREAM_BYTES = 64 << 10
HALF_BYTES = 1 << 20  # more than any first window
SUM_S = 60
SOON_S = 10
HEADER = b"\x13/multistream/1.0.0\n"


@dataclass
class Cell:
    name: str
    run: Callable


CELLS = []


def cell(name):
    def add(function):
        CELLS.append(Cell(name, function))
        return function
    return add


class Pair(Group):
    """Ours and theirs with one connection between them, started when a cell first asks for it."""

    def __init__(self, row, ours, theirs, go, log_dir, stand_in, size):
        super().__init__(row, log_dir)
        self.argv, self.go_argv = {"ours": ours, "theirs": theirs}, go
        self.stand_in, self.size = stand_in, size
        self.name, self.stack, self.way = row
        self.connected = False

    def start(self, part, argv, seed, **flags):
        flags = {"stack": self.stack, "listen": f"/ip4/127.0.0.1{STACKS[self.stack]}", **flags}
        return super().start(part, argv, seed, **flags)

    def _part(self, part, seed):
        return self.running.get(part) or self.start(part, self.argv[part], seed)

    @property
    def ours(self):
        return self._part("ours", OUR_SEED)

    @property
    def theirs(self):
        return self._part("theirs", THEIR_SEED)

    @property
    def go(self):
        """A go peer that is neither of the two."""
        if not self.go_argv:
            raise Skip("no go toolchain for the peer that hangs up")
        return self.running.get("helper") or self.start("helper", self.go_argv, HELPER_SEED)

    @property
    def dialler(self):
        return self.ours if self.way == "out" else self.theirs

    @property
    def listener(self):
        return self.theirs if self.way == "out" else self.ours

    def connect(self):
        """Returns (dialler, listener), connected."""
        if not self.connected:
            mark = self.listener.mark()
            self.dialler.call("dial", addr=self.listener.addr)
            # A dialler may be done before the listener has the connection.
            self.listener.wait_event("connected", SOON_S, since=mark, peer=self.dialler.id)
            self.connected = True
        return self.dialler, self.listener

    def openers(self):
        """(opener, acceptor), both ways around: a stream may be opened from either end."""
        dialler, listener = self.connect()
        return (dialler, listener), (listener, dialler)

    def stop(self):
        """Returns how ours ended, None if it did not run."""
        self.connected = False
        return super().stop().get("ours")


def stat(peer, name):
    return peer.call("stats")[name]


def count_up(peer, name, before, by=1):
    wait_until(lambda: stat(peer, name) >= before + by, SOON_S, f"{peer.name} counts {name}")


def transfer(opener, acceptor, command, size, count=1):
    """Sum or reverse; the acceptor's count proves that the last bytes arrived there."""
    counter = {"sum": "sums", "reverse": "reverses"}[command]
    before = stat(acceptor, counter)
    opener.call(command, peer=acceptor.id, count=count, size=size, timeout=SUM_S)
    count_up(acceptor, counter, before, count)


# ---- one connection

@cell("identify")
def both_identify_each_other(pair):
    dialler, listener = pair.connect()
    for asker, teller in ((dialler, listener), (listener, dialler)):
        told = asker.wait_event("identified", peer=teller.id)
        part = "ours" if teller is pair.ours else "theirs"
        expect(told["agent"] == f"interop/{part}", f"agent {told['agent']!r}")
        missing = PROTOCOLS - set(told["protocols"])
        expect(not missing, f"{part} doesn't tell of {missing}")
        expect(teller.listen in told["listen"], f"{part} listens on {told['listen']}")
        expect(told["observed"].startswith("/ip4/127.0.0.1/"), f"observed {told['observed']!r}")


@cell("ping")
def both_answer_pings(pair):
    note = None
    for opener, acceptor in pair.openers():
        note = note or acceptor.lacks.get("pings")
        count = 1 if "pings" in acceptor.lacks else PINGS
        rtts = opener.call("ping", peer=acceptor.id, count=count)["rtt_us"]
        expect(len(rtts) == count, f"{rtts}")
    return note


@cell("perf")
def both_serve_perf(pair):
    for opener, acceptor in pair.openers():
        for up, down in ((0, 0), (5, 3), (3 << 20, 0), (1, 3 << 20)):
            got = opener.call("perf", peer=acceptor.id, up=up, down=down, timeout=SUM_S)
            expect(got["received"] == down and not got["early"], f"up {up}, down {down}: {got}")


@cell("sum")
def a_large_sum(pair):
    transfer(*pair.connect(), "sum", pair.size)


@cell("reverse")
def a_large_reverse(pair):
    transfer(*pair.connect(), "reverse", pair.size)


@cell("streams")
def two_hundred_streams_at_once(pair):
    for opener, acceptor in pair.openers():
        transfer(opener, acceptor, "sum", STREAM_BYTES, STREAMS)
        transfer(opener, acceptor, "reverse", STREAM_BYTES, STREAMS)


@cell("half-close")
def either_end_may_end_first(pair):
    for opener, acceptor in pair.openers():
        got = opener.call("perf", peer=acceptor.id, up=HALF_BYTES, down=HALF_BYTES)
        expect(got["received"] == HALF_BYTES, f"{got} after the opener's end")
        transfer(opener, acceptor, "reverse", HALF_BYTES)


def resets(resetter, other):
    """What one side resets, as opener and as acceptor, is a reset at the other."""
    if "reset" in resetter.lacks:
        raise Lacks(resetter.lacks["reset"])
    before = stat(other, "resets")
    resetter.call("reset", peer=other.id)
    count_up(other, "resets", before)
    got = other.call("open", peer=resetter.id, proto=RESET, size=8)
    expected = "end" if "read-reset" in other.lacks else "reset"
    expect(got["outcome"] == expected, f"{got}")
    transfer(resetter, other, "sum", STREAM_BYTES)
    return other.lacks.get("read-reset")


@cell("our-reset")
def they_see_our_reset(pair):
    pair.connect()
    return resets(pair.ours, pair.theirs)


@cell("their-reset")
def we_see_their_reset(pair):
    pair.connect()
    return resets(pair.theirs, pair.ours)


# ---- handshakes that end half-way

def prefixes(stack):
    """What a peer may have said when it goes away."""
    security = {"tcp-noise": b"\x07/noise\n", "ws-noise": b"\x07/noise\n",
                "tcp-tls": b"\x0b/tls/1.0.0\n"}[stack]
    opening = HEADER + security
    if stack == "ws-noise":
        # An upgrade that ends half-way; what follows it in frames is the same as over TCP.
        request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        return [b"", request, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: web"]
    return [b"", HEADER[:7], HEADER, opening, opening + b"\x00", opening + b"\x16\x03\x01\x00"]


def port_of(addr):
    return int(addr.split("/")[4])


def leave_the_listener(pair):
    """Sockets that connect to our listener, say a little and close; one of them with a reset."""
    for prefix in prefixes(pair.stack):
        for linger in (b"\0" * 8, b"\1\0\0\0\0\0\0\0"):
            with socket.create_connection(("127.0.0.1", port_of(pair.ours.listen)), 5) as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                s.sendall(prefix)


def leave_the_dialler(pair):
    """A listener that says a little to our dialler and closes: an error, and that soon."""
    suffix = STACKS[pair.stack].rpartition("/tcp/0")[2]
    for prefix in prefixes(pair.stack):
        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=say_and_close, args=(server, prefix))
            thread.start()
            addr = f"/ip4/127.0.0.1/tcp/{server.getsockname()[1]}{suffix}/p2p/{NOBODY}"
            try:
                expect_no_connection(pair.ours, addr)
            finally:
                thread.join()


def say_and_close(server, prefix):
    server.settimeout(SOON_S)
    try:
        s = server.accept()[0]
    except TimeoutError:
        return  # the dialler's failure tells more
    with s:
        s.sendall(prefix)


def expect_no_connection(dialler, addr):
    try:
        dialler.call("dial", addr=addr, timeout=SOON_S)
    except CommandError as e:
        expect("timed out" not in str(e).lower(), f"{dialler.name} waited: {e}")
    else:
        raise Failed(f"{dialler.name} has connected to {addr}")


@cell("handshake")
def a_handshake_left_half_way(pair):
    """And whoever dials another peer ID leaves in the midst of it, whatever the stack."""
    dialler, listener = pair.dialler, pair.listener
    pair.ours.call("stats")
    expect_no_connection(dialler, f"{listener.listen}/p2p/{NOBODY}")
    if pair.stack != "quic":
        (leave_the_dialler if pair.way == "out" else leave_the_listener)(pair)
    elif pair.way == "out":
        port = pair.go.call("hang-up", addr="127.0.0.1:0", timeout=SOON_S)["port"]
        expect_no_connection(pair.ours, f"/ip4/127.0.0.1/udp/{port}/quic-v1/p2p/{NOBODY}")
    pair.connect()
    dialler.call("ping", peer=listener.id, count=1)


@cell("any")
def ours_offers_all_and_theirs_one(pair):
    """As our host ships: TLS is proposed first, and Noise to who declines it."""
    if pair.stand_in:
        raise Skip("only ours is asked this")
    expect(pair.stop() in (None, 0), "our node did not end well")
    pair.start("ours", pair.argv["ours"], OUR_SEED, stack="any")
    for opener, acceptor in pair.openers():
        transfer(opener, acceptor, "sum", STREAM_BYTES)
    pair.stop()


# ---- limits

@cell("defaults")
def at_their_default_limits_ours_queues(pair):
    if pair.stand_in:
        raise Skip("only ours queues")
    expect(pair.stop() in (None, 0), "our node did not end well")
    pair.start("theirs", pair.argv["theirs"], THEIR_SEED, limits="default")
    pair.connect()
    before = stat(pair.theirs, "sums")
    got = pair.ours.call("sum", peer=pair.theirs.id, count=STREAMS, size=STREAM_BYTES, queue=True,
                         timeout=SUM_S)
    pair.remark = f"{got['refusals']} refused and started again"
    done = stat(pair.theirs, "sums") - before
    expect(done >= STREAMS, f"theirs counts {done} of {STREAMS}")
    # No ping: rust keeps one open on each connection, and we let a peer have two, as go does.
    transfer(pair.theirs, pair.ours, "sum", STREAM_BYTES)


@cell("end")
def ours_ends_well(pair):
    """Status 0, which with sanitizers also says that nothing is left behind."""
    pair.connect()
    status = pair.stop()
    expect(status == 0, f"exit status {status}")
