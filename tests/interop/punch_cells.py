# SPDX-License-Identifier: MIT
"""Hole punching (DCUtR) between two hosts behind NATs, with a relay on the internet of a bed."""

import circuit_cells
from bed import CONE, PUBLIC, RANDOM, Bed
from circuit_cells import NEW, OLD, PEERUP, RUST, SEEDS, SOON_S, Cell, Trio, large_sums
from matrix_cells import STACKS
from peerup import expect

ROWS = (
    # relay, dialler, listener, stack, what is between dialler and internet, and listener
    (NEW, NEW, NEW, "quic", CONE, CONE),
    (NEW, NEW, NEW, "tcp-noise", CONE, CONE),
    (OLD, OLD, NEW, "quic", CONE, CONE),
    (OLD, NEW, OLD, "tcp-tls", CONE, CONE),
    (NEW, NEW, RUST, "quic", CONE, CONE),
    (NEW, NEW, RUST, "tcp-noise", CONE, CONE),
    (RUST, RUST, NEW, "quic", CONE, CONE),
    (NEW, RUST, NEW, "tcp-noise", CONE, CONE),
    (NEW, NEW, NEW, "quic", PUBLIC, CONE),
    (NEW, NEW, NEW, "quic", RANDOM, CONE),

    (NEW, PEERUP, NEW, "quic", CONE, CONE),
    (NEW, PEERUP, NEW, "tcp-noise", CONE, CONE),
    (NEW, PEERUP, OLD, "quic", CONE, CONE),
    (NEW, PEERUP, RUST, "quic", CONE, CONE),
    (NEW, PEERUP, RUST, "tcp-noise", CONE, CONE),
    (NEW, NEW, PEERUP, "quic", CONE, CONE),
    (NEW, NEW, PEERUP, "tcp-noise", CONE, CONE),
    (NEW, OLD, PEERUP, "quic", CONE, CONE),
    (NEW, RUST, PEERUP, "quic", CONE, CONE),
    (NEW, RUST, PEERUP, "tcp-noise", CONE, CONE),
    (NEW, PEERUP, PEERUP, "quic", CONE, CONE),
    (NEW, PEERUP, PEERUP, "tcp-tls", CONE, CONE),
    (NEW, PEERUP, NEW, "quic", PUBLIC, CONE),
    (NEW, NEW, PEERUP, "quic", PUBLIC, CONE),
    (NEW, PEERUP, NEW, "quic", RANDOM, CONE),
    (NEW, NEW, PEERUP, "quic", CONE, RANDOM),
    (PEERUP, PEERUP, PEERUP, "quic", CONE, CONE),
)
PORT = 4001
PUNCH_S = 15  # go looks for its public address up to 5 s late, and rust's first attempt may fail
GIVE_UP_S = 20


def needs(row):
    ends = {"dcutr"} if PEERUP in row[1:3] else set()
    return circuit_cells.needs(row[:4]) | ends


def group(row, built, log_dir, size):
    return Punchers(row, built, log_dir, size)


class Punchers(Trio):
    """A trio in a bed; the ends have the port that their NATs show where these can keep it."""

    def __init__(self, row, built, log_dir, size):
        super().__init__(row, built, log_dir, size)
        self.kinds = dict(zip(SEEDS, (PUBLIC, *row[4:]), strict=True))
        self.bed = Bed(self.kinds)

    def argv(self, part):
        return self.bed.argv(part, super().argv(part))

    def flags(self, part):
        where = STACKS[self.stack].replace("/0", f"/{PORT}")
        flags = super().flags(part) | {"listen": f"/ip4/{self.bed.address(part)}{where}"}
        return flags | ({} if part == "relay" else {"dcutr": "on"})

    def ends(self):
        return (self.dialler, self.listener), (self.listener, self.dialler)

    def can_punch(self):
        return RANDOM not in self.kinds.values()

    def close(self):
        super().close()
        self.bed.close()


# A punch is a matter of timing, and not each of them succeeds (97 of 100 is what is asked for).
TRIES = 2

CELLS = []


def cell(name):
    def add(function):
        CELLS.append(Cell(name, function))
        return function
    return add


@cell("ready")
def both_learn_where_they_are_seen(trio):
    """Of the relay; without it they have nothing to punch with."""
    relay, *ends = trio.begin()
    for end in ends:
        end.call("dial", addr=relay.addr)
    for end in ends:
        end.wait_event("punch", PUNCH_S, state="ready")


@cell("circuit")
def a_circuit_between_them(trio):
    trio.marks = trio.dialler.mark(), trio.listener.mark()
    for told in trio.dial():
        expect(told["relayed"] is True, f"connected {told}")


@cell("punch")
def a_direct_connection_or_none(trio):
    if not trio.can_punch():
        trio.listener.wait_event("punch", GIVE_UP_S, state="failed", peer=trio.dialler.id)
        for end, other in trio.ends():
            expect(not end.seen("connected", peer=other.id, relayed=False), "they met")
        return
    for (end, other), mark in zip(trio.ends(), trio.marks, strict=True):
        told = end.wait_event("connected", PUNCH_S, mark, peer=other.id, relayed=False)
        outside = trio.bed.outside(other.name)
        expect(told["remote"].startswith(f"/ip4/{outside}/"), f"{end.name} says {told}")
    reversal = trio.kinds["dialler"] == PUBLIC and "reversal" not in trio.listener.lacks
    trio.listener.wait_event("punch", SOON_S, state="reversed" if reversal else "succeeded",
                             peer=trio.dialler.id)


@cell("sum")
def the_relay_is_not_needed_any_more(trio):
    """Or still is."""
    if trio.can_punch():
        trio.running.pop("relay").stop()
    large_sums(trio)


@cell("end")
def both_end_well(trio):
    statuses = trio.stop()
    expect(not any(statuses.values()), f"exit statuses {statuses}")
