# SPDX-License-Identifier: MIT
"""Circuits of relay v2 on loopback: which three play together, and the cells that they pass.

A row is a relay, who dials through it, who listens behind it, and the stack that both reach the
relay over.  Inside a circuit there are always a security of that stack, or Noise, and yamux.
"""

import time
from dataclasses import dataclass
from typing import Callable

import matrix_cells
from matrix_cells import PINGS, STACKS, SUM_S, stat, transfer
from nodes import CommandError, Group
from peerup import NOBODY, Failed, expect

# What our node can do so far, of "circuit" (dial and reserve), "relay", "dcutr" and "autonat".  Rows
# that need more of it are printed as lacking.
PEERUP_HAS = frozenset({"autonat", "circuit", "dcutr", "relay"})

PEERUP = "peerup"
NEW, OLD, RUST = "go-latest", "go-v0.47", "rust"
ROWS = (
    # relay, dialler, listener, stack
    (NEW, NEW, NEW, "tcp-noise"),
    (OLD, OLD, OLD, "quic"),
    (NEW, RUST, RUST, "tcp-tls"),
    (NEW, RUST, NEW, "quic"),
    (OLD, NEW, RUST, "tcp-noise"),
    (RUST, NEW, NEW, "quic"),
    (RUST, OLD, RUST, "tcp-noise"),
    (RUST, RUST, NEW, "tcp-tls"),

    (PEERUP, NEW, NEW, "tcp-noise"),
    (PEERUP, OLD, OLD, "quic"),
    (PEERUP, RUST, RUST, "quic"),
    (PEERUP, NEW, RUST, "tcp-tls"),
    (PEERUP, RUST, NEW, "tcp-noise"),
    (NEW, PEERUP, NEW, "quic"),
    (NEW, PEERUP, RUST, "tcp-noise"),
    (OLD, PEERUP, OLD, "tcp-tls"),
    (RUST, PEERUP, NEW, "tcp-noise"),
    (RUST, PEERUP, RUST, "quic"),
    (NEW, NEW, PEERUP, "tcp-noise"),
    (NEW, RUST, PEERUP, "quic"),
    (OLD, OLD, PEERUP, "quic"),
    (RUST, NEW, PEERUP, "tcp-tls"),
    (RUST, RUST, PEERUP, "tcp-noise"),
    (NEW, PEERUP, PEERUP, "quic"),
    (RUST, PEERUP, PEERUP, "tcp-noise"),
    (PEERUP, PEERUP, NEW, "tcp-noise"),
    (PEERUP, RUST, PEERUP, "quic"),
    (PEERUP, PEERUP, PEERUP, "quic"),
    (PEERUP, PEERUP, PEERUP, "tcp-noise"),
)
SEEDS = {"relay": 0xd1, "dialler": 0xd2, "listener": 0xd3}

OK, REFUSED, EXHAUSTED, NO_RESERVATION = 100, 200, 201, 204
TTL_S = 3600
SHORT_TTL_S = 4
CLOCK_S = 5  # a relay's answer may be that old
UNLIMITED = "unlimited"
LIMIT = {"duration": 3, "data": 256 << 10}
LIMITED = "duration={duration},data={data}".format(**LIMIT)
# rust counts both directions together, and the handshakes count, too.
BELOW_LIMIT, ABOVE_LIMIT = LIMIT["data"] // 4, LIMIT["data"] * 4
SOON_S = 10
LOST_S = 20  # rust ends without a word over QUIC, and its idle timeout is 10 s
RETURN_S = 5  # when the loss is noticed and the relay listens
AGAIN_S = 0.2  # who is told again is told then


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


def needs(row):
    """What of our node the row needs."""
    relay, *ends, _ = row
    return ({"relay"} if relay == PEERUP else set()) | ({"circuit"} if PEERUP in ends else set())


def group(row, built, log_dir, size):
    return Trio(row, built, log_dir, size)


class Trio(Group):
    """The relay, the dialler and the listener, started when a cell first asks for them."""

    def __init__(self, row, built, log_dir, size):
        super().__init__(row, log_dir)
        self.built, self.size = built, size
        self.names = dict(zip(SEEDS, row, strict=False))
        self.stack, self.limits = row[3], None
        self.reserved = self.connected = False

    def argv(self, part):
        return self.built[self.names[part]]

    def flags(self, part):
        flags = {"stack": self.stack, "listen": f"/ip4/127.0.0.1{STACKS[self.stack]}"}
        return flags | ({"relay": self.limits} if part == "relay" else {"circuit": "on"})

    def begin(self, limits=UNLIMITED):
        """All three, with a relay of these limits; returns them."""
        if self.limits != limits:
            self.stop()
            self.limits = limits
            for part, seed in SEEDS.items():
                self.start(part, self.argv(part), seed, **self.flags(part))
        return self.relay, self.dialler, self.listener

    @property
    def relay(self):
        return self.running["relay"]

    @property
    def dialler(self):
        return self.running["dialler"]

    @property
    def listener(self):
        return self.running["listener"]

    def restart_relay(self):
        """At the same place, with the same identity."""
        place = self.relay.listen
        expect(self.relay.stop() == 0, "the relay did not end well")
        relay = self.start("relay", self.argv("relay"), SEEDS["relay"],
                           **self.flags("relay") | {"listen": place})
        self.reserved = self.connected = False
        return relay

    def circuit_to(self, peer):
        return f"{self.relay.addr}/p2p-circuit/p2p/{peer}"

    def reserve(self):
        if not self.reserved:
            self.listener.call("reserve", addr=self.relay.addr)
            self.reserved = True

    def dial(self):
        """A new circuit; returns what both told of it."""
        self.reserve()
        marks = self.dialler.mark(), self.listener.mark()
        self.dialler.call("dial", addr=self.circuit_to(self.listener.id))
        self.connected = True
        return (self.dialler.wait_event("connected", SOON_S, marks[0], peer=self.listener.id),
                self.listener.wait_event("connected", SOON_S, marks[1], peer=self.dialler.id))

    # What the cells of matrix_cells ask of a pair.

    def connect(self):
        if not self.connected or self.limits != UNLIMITED:
            self.begin()
            self.dial()
        return self.dialler, self.listener

    def openers(self):
        dialler, listener = self.connect()
        return (dialler, listener), (listener, dialler)

    def stop(self):
        self.limits, self.reserved, self.connected = None, False, False
        return super().stop()

    def close(self):
        self.stop()


def expect_limit(told, expected, relay):
    """Returns a note where the relay can't leave the limit out."""
    if expected is None and "unlimited" in relay.lacks:
        expect(told is not None and told["data"] == 0, f"limit {told}")
        return relay.lacks["unlimited"]
    expect(told == expected, f"limit {told} instead of {expected}")
    return None


# ---- without limits

@cell("reserve")
def a_reservation(trio):
    relay, _, listener = trio.begin()
    since = time.time()
    trio.reserve()
    granted = relay.wait_event("reservation", SOON_S, peer=listener.id)
    expect(granted["status"] == OK and not granted["renewal"], f"the relay says {granted}")
    told = listener.wait_event("reserved", SOON_S, relay=relay.id)
    expect(not told["renewal"], f"the listener says {told}")
    note = relay.lacks.get("unlimited")
    if told["limit"] is not None or not note:  # go's client takes a limit of zeros for none
        expect_limit(told["limit"], None, relay)
    if "reservation" in listener.lacks:
        return listener.lacks["reservation"]
    expect(since - CLOCK_S <= told["expire"] - TTL_S <= time.time() + CLOCK_S, f"expires {told}")
    expect(relay.addr in told["addrs"], f"addresses {told['addrs']}")
    expect(told["voucher"] is ("voucher" not in relay.lacks), f"voucher: {told['voucher']}")
    return relay.lacks.get("voucher") or note


@cell("dial")
def a_circuit(trio):
    relay, dialler, listener = trio.begin()
    trio.reserve()
    mark, notes = relay.mark(), []
    for told in trio.dial():
        expect(told["relayed"] is True, f"connected {told}")
        notes.append(expect_limit(told["limit"], None, relay))
    relayed = relay.wait_event("circuit", SOON_S, mark, src=dialler.id, dst=listener.id)
    expect(relayed["status"] == OK, f"the relay says {relayed}")
    return notes[0]


@cell("identify")
def both_identify_each_other(trio):
    for asker, teller in trio.openers():
        told = asker.wait_event("identified", SOON_S, peer=teller.id)
        expect(told["agent"] == f"interop/{teller.name}", f"agent {told['agent']!r}")
        missing = matrix_cells.PROTOCOLS - set(told["protocols"])
        expect(not missing, f"{teller.name} doesn't tell of {missing}")
    told = trio.dialler.wait_event("identified", peer=trio.listener.id)
    circuit = f"{trio.relay.addr}/p2p-circuit"
    expect(any(a.startswith(circuit) for a in told["listen"]), f"it listens on {told['listen']}")


@cell("ping")
def both_answer_pings(trio):
    for opener, acceptor in trio.openers():
        rtts = opener.call("ping", peer=acceptor.id, count=PINGS)["rtt_us"]
        expect(len(rtts) == PINGS, f"{rtts}")


cell("perf")(matrix_cells.both_serve_perf)
cell("half-close")(matrix_cells.either_end_may_end_first)


@cell("sum")
def large_sums(trio):
    """Each way, over a relay that allows it."""
    for opener, acceptor in trio.openers():
        transfer(opener, acceptor, "sum", trio.size)


@cell("no-reserv.")
def nobody_without_a_reservation(trio):
    relay, dialler, _ = trio.begin()
    mark = relay.mark()
    expect_refused(dialler, "dial", trio.circuit_to(NOBODY), (NO_RESERVATION,))
    refused = relay.wait_event("circuit", SOON_S, mark, src=dialler.id, dst=NOBODY)
    expect(refused["status"] == NO_RESERVATION, f"the relay says {refused}")


def expect_refused(peer, command, addr, statuses):
    try:
        peer.call(command, addr=addr)
    except CommandError as e:
        expect(e.status in statuses, f"status {e.status}: {e}")
        return e.status
    raise Failed(f"{command} {addr}: not refused")


@cell("end")
def all_end_well(trio):
    trio.connect()
    statuses = trio.stop()
    expect(not any(statuses.values()), f"exit statuses {statuses}")


# ---- with limits

@cell("full")
def a_relay_without_a_place_left(trio):
    relay, dialler, listener = trio.begin(f"{UNLIMITED},reservations=1")
    trio.reserve()
    mark = relay.mark()
    # rust says that it's a resource that is used up.
    status = expect_refused(dialler, "reserve", relay.addr, (REFUSED, EXHAUSTED))
    refused = relay.wait_event("reservation", SOON_S, mark, peer=dialler.id)
    expect(refused["status"] == status, f"the relay says {refused}, the dialler {status}")
    trio.dial()
    dialler.call("ping", peer=listener.id, count=1)


@cell("renewal")
def a_reservation_is_renewed(trio):
    relay, _, listener = trio.begin(f"{UNLIMITED},ttl={SHORT_TTL_S}")
    trio.reserve()
    note = listener.lacks.get("renewal")
    if note:
        listener.call("reserve", addr=relay.addr)
    renewed = relay.wait_event("reservation", SHORT_TTL_S + 1, peer=listener.id, renewal=True)
    expect(renewed["status"] == OK, f"the relay says {renewed}")
    listener.wait_event("reserved", SOON_S, relay=relay.id, renewal=True)
    trio.dial()
    return note


@cell("restart")
def a_relay_comes_back(trio):
    """Circuits end with it.  Our node reserves again by itself, the others when they are told."""
    _, dialler, listener = trio.begin(f"{UNLIMITED},ttl={TTL_S}")
    trio.dial()
    marks = dialler.mark(), listener.mark()
    relay = trio.restart_relay()
    dialler.wait_event("closed", LOST_S, marks[0], peer=listener.id)
    listener.wait_event("closed", LOST_S, marks[1], peer=dialler.id)
    if listener.version.startswith("peerup"):
        listener.wait_event("reserved", RETURN_S, marks[1], relay=relay.id)
        trio.reserved = True
    tell_until_done(trio, trio.reserve)
    tell_until_done(trio, lambda: ping_anew(trio))


def ping_anew(trio):
    # Two of ours may have found a direct way meanwhile, in doubt of the one that broke: no event then.
    trio.dialler.call("dial", addr=trio.circuit_to(trio.listener.id))
    trio.dialler.call("ping", peer=trio.listener.id, count=1)


def tell_until_done(trio, tell):
    """go and rust may still take a connection for alive that ended with the relay, and try it; where
    all are ours, the first try has to succeed."""
    if set(trio.names.values()) == {PEERUP}:
        return tell()
    gives_up, refusals = time.monotonic() + LOST_S, []
    while True:
        try:
            return tell()
        except CommandError as e:
            if time.monotonic() > gives_up:
                raise
            refusals.append(str(e))
            trio.remark = f"told again after: {'; '.join(refusals)}"
            time.sleep(AGAIN_S)


@cell("limits")
def a_circuit_ends_at_its_limits(trio):
    relay, dialler, listener = trio.begin(LIMITED)
    for told in trio.dial():
        expect_limit(told["limit"], LIMIT, relay)
    transfer(dialler, listener, "sum", BELOW_LIMIT)
    ended = ends(trio)
    before = stat(listener, "sums")
    try:
        dialler.call("sum", peer=listener.id, count=1, size=ABOVE_LIMIT, timeout=SUM_S)
    except CommandError:
        ended()
    else:
        raise Failed(f"{ABOVE_LIMIT} bytes within a limit of {LIMIT['data']}")
    expect(stat(listener, "sums") == before, "the listener has had it all")
    begun = time.monotonic()
    trio.dial()
    ends(trio)()
    lasted = time.monotonic() - begun
    expect(lasted > LIMIT["duration"] - 1, f"a circuit of {LIMIT['duration']} s: {lasted:.1f} s")


def ends(trio):
    """A function that waits until all three have seen the end of the circuit."""
    relay, dialler, listener = trio.relay, trio.dialler, trio.listener
    marks = relay.mark(), dialler.mark(), listener.mark()

    def wait():
        relay.wait_event("circuit-ended", SOON_S, marks[0])
        dialler.wait_event("closed", SOON_S, marks[1], peer=listener.id)
        listener.wait_event("closed", SOON_S, marks[2], peer=dialler.id)
    return wait
