# SPDX-License-Identifier: MIT
"""How many round trips a dialogue took, read off the link emulator's log of packets.

A packet's flight is one more than the last flight that its sender had received by then, so a pause
in which nobody waits for the other is not counted, and neither is time that a machine takes."""

import collections

Packet = collections.namedtuple(
    "Packet", "in_ns out_ns side fate protocol source destination bytes payload flags flight")


def parse(lines, since_ns, until_ns):
    """The packets of TCP and UDP that came out, in the order of the log (bench/emulator/packet_log.h),
    with their flights: 1 is what side "b" says first."""
    packets = []
    received = {"a": collections.deque(), "b": collections.deque()}  # (out_ns, flight), by receiver
    heard = {"a": 0, "b": 0}
    for line in lines:
        in_ns, out_ns, side, fate, protocol, source, destination, size, payload, flags = line.split()
        in_ns, out_ns = int(in_ns), int(out_ns)
        if protocol not in ("tcp", "udp") or out_ns == 0 or not since_ns <= in_ns <= until_ns:
            continue
        arrived = received[side]
        while arrived and arrived[0][0] <= in_ns:
            heard[side] = max(heard[side], arrived.popleft()[1])
        if side == "a" and heard["a"] == 0:
            continue  # not an answer: the end of something earlier
        flight = heard[side] + 1
        received["b" if side == "a" else "a"].append((out_ns, flight))
        packets.append(Packet(in_ns, out_ns, side, fate, protocol, int(source), int(destination),
                              int(size), int(payload), flags, flight))
    return packets


def until_answer(packets, until_ns):
    """Those up to the last bytes that reached side "b" in time; none if there were none."""
    answers = [i for i, packet in enumerate(packets)
               if packet.side == "a" and packet.payload > 0 and packet.out_ns <= until_ns]
    return packets[:answers[-1] + 1] if answers else []


def describe(packets):
    """One line a flight."""
    flights = collections.defaultdict(list)
    for packet in packets:
        flights[packet.flight].append(packet)
    lines = []
    for number, flight in sorted(flights.items()):
        sides = "b to a" if flight[0].side == "b" else "a to b"
        text = f"{(flight[0].in_ns - packets[0].in_ns) / 1e6:7.1f} ms  {sides}  " + ", ".join(
            f"{p.protocol} {p.payload}" + (f" {p.flags}" if p.flags != "-" else "")
            for p in flight[:8])
        more = len(flight) - 8
        lines.append(text + (f", and {more} more" if more > 0 else ""))
    return lines
