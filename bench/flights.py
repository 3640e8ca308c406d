# SPDX-License-Identifier: MIT
"""How many round trips a dialogue took, read off the link emulator's log of packets.

A packet's flight is one more than the last flight that its sender had received by then, so a pause
in which nobody waits for the other is not counted, and neither is time that a machine takes."""

import collections

Packet = collections.namedtuple(
    "Packet", "in_ns out_ns side fate protocol source destination bytes payload flags flight")


def opens(side, protocol, payload, flags):
    """Whether a packet begins a dialogue: a SYN, or a client's first QUIC packet (RFC 9000, 14.1)."""
    return side == "b" and ("S" in flags if protocol == "tcp" else payload >= 1200)


def parse(lines, since_ns, until_ns):
    """The packets of the first dialogue that side "b" begins, but for those that were lost, in the
    order of the log (bench/emulator/packet_log.h), with their flights: 1 is the first word."""
    packets, flow = [], None
    received = {"a": collections.deque(), "b": collections.deque()}  # (out_ns, flight), by receiver
    heard = {"a": 0, "b": 0}
    for line in lines:
        in_ns, out_ns, side, fate, protocol, source, destination, size, payload, flags = line.split()
        in_ns, out_ns, payload = int(in_ns), int(out_ns), int(payload)
        if protocol not in ("tcp", "udp") or not since_ns <= in_ns <= until_ns:
            continue
        if flow is None and opens(side, protocol, payload, flags):
            flow = protocol, {source, destination}
        if flow != (protocol, {source, destination}) or out_ns == 0:
            continue
        arrived = received[side]
        while arrived and arrived[0][0] <= in_ns:
            heard[side] = max(heard[side], arrived.popleft()[1])
        flight = heard[side] + 1
        received["b" if side == "a" else "a"].append((out_ns, flight))
        packets.append(Packet(in_ns, out_ns, side, fate, protocol, int(source), int(destination),
                              int(size), payload, flags, flight))
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
