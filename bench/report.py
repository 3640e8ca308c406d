# SPDX-License-Identifier: MIT
"""From the rounds' figures to tables: minimum, median and maximum, ratios, and the bars."""

import statistics

from contestants import CIRCUITS, SPLICED, STACKS

# name, label, digits
FIGURES = [
    ("up_1_mbit_s", "1 stream up, Mbit/s", 0),
    ("down_1_mbit_s", "1 stream down, Mbit/s", 0),
    ("up_10_mbit_s", "10 streams up, Mbit/s", 0),
    ("down_10_mbit_s", "10 streams down, Mbit/s", 0),
    ("up_1_link_percent", "share of the link, 1 up, %", 1),
    ("down_1_link_percent", "share of the link, 1 down, %", 1),
    ("up_1_cpu_tunnel_s_per_gib", "CPU s/GiB, 1 up, whole tunnel", 2),
    ("up_1_cpu_client_s_per_gib", "– sending side", 2),
    ("up_1_cpu_relay_s_per_gib", "– relay", 2),
    ("up_1_cpu_server_s_per_gib", "– receiving side", 2),
    ("down_1_cpu_tunnel_s_per_gib", "CPU s/GiB, 1 down, whole tunnel", 2),
    ("down_1_cpu_server_s_per_gib", "– sending side", 2),
    ("down_1_cpu_relay_s_per_gib", "– relay", 2),
    ("down_1_cpu_client_s_per_gib", "– receiving side", 2),
    ("up_10_cpu_tunnel_s_per_gib", "CPU s/GiB, 10 up, whole tunnel", 2),
    ("down_10_cpu_tunnel_s_per_gib", "CPU s/GiB, 10 down, whole tunnel", 2),
    ("latency_p50_us", "64-byte echo p50, µs", 0),
    ("latency_p99_us", "64-byte echo p99, µs", 0),
    ("latency_p999_us", "64-byte echo p99.9, µs", 0),
    ("loaded_up_p50_ms", "the same beside 1 stream up, p50, ms", 1),
    ("loaded_up_p99_ms", "– p99", 1),
    ("loaded_down_p50_ms", "the same beside 1 stream down, p50, ms", 1),
    ("loaded_down_p99_ms", "– p99", 1),
    ("connections_1_per_s", "connections/s, 1 in flight", 0),
    ("connections_16_per_s", "connections/s, 16 in flight", 0),
    ("connections_1_lost", "– lost, 1 in flight", 0),
    ("connections_16_lost", "– lost, 16 in flight", 0),
    ("handshakes_1_per_s", "handshakes/s, 1 in flight", 0),
    ("handshakes_8_per_s", "handshakes/s, 8 in flight", 0),
    ("handshakes_1_failed", "– failed, 1 in flight", 0),
    ("handshakes_8_failed", "– failed, 8 in flight", 0),
    ("handshakes_1_cpu_ms", "CPU ms a handshake, both sides, 1 in flight", 2),
    ("handshakes_8_cpu_ms", "– 8 in flight", 2),
    ("resident_idle_server_mib", "resident idle, service's side, MiB", 1),
    ("resident_idle_client_mib", "resident idle, user's side, MiB", 1),
    ("resident_held_100_server_mib", "resident, 100 held, service's side, MiB", 1),
    ("resident_held_100_client_mib", "– user's side", 1),
    ("resident_held_1000_server_mib", "resident, 1,000 held, service's side, MiB", 1),
    ("resident_held_1000_client_mib", "– user's side", 1),
    ("held_100", "held of 100", 0),
    ("held_1000", "held of 1,000", 0),
    ("resident_after_bulk_server_mib", "resident after bulk, service's side, MiB", 1),
    ("resident_after_bulk_client_mib", "– user's side", 1),
    ("resident_after_bulk_relay_mib", "– relay", 1),
    ("ready_s", "first byte after start, s", 2),
    ("up_1_cpu_load_s_per_gib", "CPU s/GiB of the load itself, 1 up", 2),
    ("up_1_other_cores", "cores taken by other programs, 1 up", 2),
    ("round_trips", "round trips to the first byte", 1),
    ("first_byte_ms", "first byte after the first packet, ms", 1),
]

OTHER_CORES_QUIET = 0.1  # Timer ticks and kernel threads stay below.

# What must be reached: (subject, rival, figure, "at least" or "at most", bound).  With a rival the
# bound is for the ratio to it, without for the figure itself.
LOCAL_BARS = [
    ("peerup", "golibp2p", "up_1_mbit_s", "at least", 4.0),
    ("peerup", "golibp2p", "down_1_mbit_s", "at least", 4.0),
    ("peerup", "golibp2p", "up_1_cpu_tunnel_s_per_gib", "at most", 0.25),
    ("peerup", "golibp2p", "down_1_cpu_tunnel_s_per_gib", "at most", 0.25),
    ("peerup", "golibp2p", "latency_p50_us", "at most", 0.7),
    ("peerup", "golibp2p", "latency_p99_us", "at most", 0.7),
    ("peerup", "golibp2p", "connections_1_per_s", "at least", 2.0),
    ("peerup", "golibp2p", "connections_16_per_s", "at least", 2.0),
    ("peerup", None, "resident_idle_server_mib", "at most", 10.0),
    ("peerup", None, "resident_idle_client_mib", "at most", 10.0),
    ("peerup", None, "held_1000", "at least", 1000),
    ("peerup-tls", "golibp2p-tls", "up_1_mbit_s", "at least", 3.0),
    ("peerup-tls", "golibp2p-tls", "down_1_mbit_s", "at least", 3.0),
    ("peerup-tls", "golibp2p-tls", "up_1_cpu_tunnel_s_per_gib", "at most", 0.4),
    ("peerup-tls", "golibp2p-tls", "down_1_cpu_tunnel_s_per_gib", "at most", 0.4),
    ("peerup-tls", "ssh", "up_1_mbit_s", "at least", 1.0),
    ("peerup-tls", "ssh", "down_1_mbit_s", "at least", 1.0),
    ("peerup-noise", "golibp2p-noise", "up_1_mbit_s", "at least", 2.0),
    ("peerup-noise", "golibp2p-noise", "down_1_mbit_s", "at least", 2.0),
    ("peerup-noise", "golibp2p-noise", "up_1_cpu_tunnel_s_per_gib", "at most", 0.45),
    ("peerup-noise", "golibp2p-noise", "down_1_cpu_tunnel_s_per_gib", "at most", 0.45),
    ("relay", "go-relay-2k", "up_1_mbit_s", "at least", 4.0),
    ("relay", "go-relay-2k", "down_1_mbit_s", "at least", 4.0),
    ("relay", "go-relay-64k", "up_1_mbit_s", "at least", 2.0),
    ("relay", "go-relay-64k", "down_1_mbit_s", "at least", 2.0),
    ("relay", "go-relay-2k", "up_1_cpu_tunnel_s_per_gib", "at most", 0.3),
    ("relay", "go-relay-2k", "down_1_cpu_tunnel_s_per_gib", "at most", 0.3),
    ("relay-splice", "haproxy", "up_1_mbit_s", "at least", 0.8),
    ("relay-splice", "haproxy", "down_1_mbit_s", "at least", 0.8),
    ("relay-splice", "haproxy", "up_1_cpu_relay_s_per_gib", "at most", 1.25),
    ("relay-splice", "haproxy", "down_1_cpu_relay_s_per_gib", "at most", 1.25),
]
LINK_BARS = [
    *[(subject, None, figure, "at least", 80.0) for subject in ("peerup", "peerup-tls", "peerup-noise")
      for figure in ("up_1_link_percent", "down_1_link_percent")],
    ("peerup", None, "round_trips", "at most", 2),
    ("peerup-tls", None, "round_trips", "at most", 4),
    ("peerup-noise", None, "round_trips", "at most", 4),
]


def spread(values, digits):
    if not values:
        return "–"
    texts = [f"{v:.{digits}f}" for v in (min(values), statistics.median(values), max(values))]
    return texts[1] if texts[0] == texts[2] else " / ".join(texts)


def values_of(rounds, contestant, figure):
    return [r[contestant][figure] for r in rounds if figure in r.get(contestant, {})]


def ratios_of(rounds, subject, rival, figure):
    """Round by round, so that what slows the machine for a while slows both."""
    pairs = [(r[subject].get(figure), r[rival].get(figure)) for r in rounds
             if subject in r and rival in r]
    return [mine / theirs for mine, theirs in pairs if mine is not None and theirs]


def bars_of(run):
    return LINK_BARS if run.get("link") else LOCAL_BARS


def stacks(run):
    """The stacks of which the run has more than the path without a tunnel: (title, contestants)."""
    present = [(title, [name for name in names if name in run["contestants"]])
               for title, names in STACKS.items()]
    return [(title, names) for title, names in present if set(names) - {"direct"}]


def pairs(run, names):
    """Who of a stack is compared with whom: as the bars do."""
    compared = dict.fromkeys((subject, rival) for subject, rival, *_ in LOCAL_BARS if rival)
    return [(subject, rival) for subject, rival in compared if subject in names and rival in names]


def table(run, names):
    """Rows of text cells for some contestants, the head first."""
    rounds, compared = run["rounds"], pairs(run, names)
    rows = [["min / median / max"] + [run["titles"][name] for name in names]
            + [f"{subject} ÷ {rival}" for subject, rival in compared]]
    for figure, label, digits in FIGURES:
        cells = [values_of(rounds, name, figure) for name in names]
        if any(cells):
            rows.append([label] + [spread(values, digits) for values in cells]
                        + [spread(ratios_of(rounds, *pair, figure), 2) for pair in compared])
    return rows


def bars(run):
    """(text, met) for each bar that this run measured."""
    labels = {name: label for name, label, _ in FIGURES}
    verdicts = []
    for subject, rival, figure, sense, bound in bars_of(run):
        if rival:
            values = ratios_of(run["rounds"], subject, rival, figure)
        else:
            values = values_of(run["rounds"], subject, figure)
        if not values:
            continue
        value = statistics.median(values)
        met = value >= bound if sense == "at least" else value <= bound
        what = f"{run['titles'][subject]}: {labels[figure]}"
        against = f", ratio to {run['titles'][rival]}" if rival else ""
        verdicts.append((f"{what}{against} {value:.2f}, {sense} {bound:g}", met))
    return verdicts


def others_text(run):
    """A warning when other programs took part of the machine while bulk was measured."""
    taken = [value for figures in run["rounds"] for contestant in figures.values()
             for figure, value in contestant.items() if figure.endswith("_other_cores")]
    if not taken or max(taken) < OTHER_CORES_QUIET:
        return []
    return [f"The machine was not quiet: other programs took a median of "
            f"{statistics.median(taken):.2f} and up to {max(taken):.2f} cores during bulk. "
            "CPU seconds and ratios hold, rates do not."]


def aligned(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join([row[0].ljust(widths[0])]
                               + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])])
                     for row in rows)


def plain_text(run):
    parts = [f"{title}\n{aligned(table(run, names))}\n" for title, names in stacks(run)]
    parts += [f"{run['titles'][name]}\n" + "\n".join(lines) + "\n"
              for name, lines in run["flights"].items()]
    parts += [f"{'met   ' if met else 'MISSED'}  {text}" for text, met in bars(run)]
    return "\n".join(parts)


def path_of(run):
    if run.get("service_link"):
        return (f"emulated links, {run['link']} between the relay and the user's side, "
                f"{run['service_link']} between it and the service's")
    if run["link"]:
        return f"emulated link, {run['link']}"
    if run["real_packets"]:
        return "real 1,500-byte packets: tso, gso, gro and tx-udp-segmentation off"
    return "veth offloads on"


def section_of(run):
    """The name of the run's results, and of its section in the document."""
    if run.get("only") == ["loaded"]:
        return "loaded-relay" if run.get("service_link") else "loaded"
    if run["link"]:
        return "round-trips" if run["flights"] else "link"
    if set(run["contestants"]) <= set(STACKS[CIRCUITS]):
        return "circuits"
    if set(run["contestants"]) <= set(STACKS[SPLICED]):
        return "spliced"
    return "real-packets" if run["real_packets"] else "offloads"


def describe(run):
    m = run["machine"]
    lines = [f"{run['time']}, commit {run['commit']}, {len(run['rounds'])} interleaved rounds, "
             f"{path_of(run)}.",
             f"{m['cores']} cores of {m['cpu']} ({m['cpu_features']}), {m['memory_gib']:.0f} GiB, "
             f"Linux {m['kernel']}; load average {m['load_before']} before, {m['load_after']} after.",
             f"`{run['command']}`"]
    for name in run["contestants"]:
        if run["versions"][name]:
            lines.append(f"{run['titles'][name]}: {run['versions'][name]}.")
        if run["notes"][name]:
            lines.append(f"{run['titles'][name]}: {run['notes'][name]}.")
    return lines + others_text(run)


def markdown(run):
    lines = [line + "  " for line in describe(run)]
    for title, names in stacks(run):
        rows = table(run, names)
        lines += ["", f"**{title}**", "", "| " + " | ".join(rows[0]) + " |",
                  "|---" * len(rows[0]) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in rows[1:]]
    for name, flights in run["flights"].items():
        lines += ["", f"{run['titles'][name]}, the packets' payloads:", "", "```", *flights, "```"]
    verdicts = bars(run)
    if verdicts:
        lines += ["", "| bar | |", "|---|---|"]
        lines += [f"| {text} | {'met' if met else '**missed**'} |" for text, met in verdicts]
    return "\n".join(lines) + "\n"


def replace_section(document, name, text):
    """Puts a text between <!-- bench:NAME --> and <!-- /bench:NAME -->."""
    start, end = f"<!-- bench:{name} -->\n", f"<!-- /bench:{name} -->"
    before, found_start, rest = document.partition(start)
    _, found_end, after = rest.partition(end)
    if not found_start or not found_end:
        raise ValueError(f"no section {name} in the document")
    return before + start + text + end + after
