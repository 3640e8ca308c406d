# SPDX-License-Identifier: MIT
"""From the rounds' figures to tables: minimum, median and maximum, ratios, and the bars."""

import statistics

# name, label, digits
FIGURES = [
    ("up_1_mbit_s", "1 stream up, Mbit/s", 0),
    ("down_1_mbit_s", "1 stream down, Mbit/s", 0),
    ("up_10_mbit_s", "10 streams up, Mbit/s", 0),
    ("down_10_mbit_s", "10 streams down, Mbit/s", 0),
    ("up_1_cpu_tunnel_s_per_gib", "CPU s/GiB, 1 up, both sides", 2),
    ("up_1_cpu_client_s_per_gib", "– sending side", 2),
    ("up_1_cpu_server_s_per_gib", "– receiving side", 2),
    ("down_1_cpu_tunnel_s_per_gib", "CPU s/GiB, 1 down, both sides", 2),
    ("down_1_cpu_server_s_per_gib", "– sending side", 2),
    ("down_1_cpu_client_s_per_gib", "– receiving side", 2),
    ("up_10_cpu_tunnel_s_per_gib", "CPU s/GiB, 10 up, both sides", 2),
    ("down_10_cpu_tunnel_s_per_gib", "CPU s/GiB, 10 down, both sides", 2),
    ("latency_p50_us", "64-byte echo p50, µs", 0),
    ("latency_p99_us", "64-byte echo p99, µs", 0),
    ("latency_p999_us", "64-byte echo p99.9, µs", 0),
    ("connections_1_per_s", "connections/s, 1 in flight", 0),
    ("connections_16_per_s", "connections/s, 16 in flight", 0),
    ("connections_1_lost", "– lost, 1 in flight", 0),
    ("connections_16_lost", "– lost, 16 in flight", 0),
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
    ("ready_s", "first byte after start, s", 2),
    ("up_1_cpu_load_s_per_gib", "CPU s/GiB of the load itself, 1 up", 2),
    ("up_1_other_cores", "cores taken by other programs, 1 up", 2),
]

OTHER_CORES_QUIET = 0.1  # Timer ticks and kernel threads stay below.

# What the QUIC proxy must reach: (figure, "ratio" to the rival or "value", "at least" or "at most", bound).
BARS = [
    ("up_1_mbit_s", "ratio", "at least", 4.0),
    ("down_1_mbit_s", "ratio", "at least", 4.0),
    ("up_1_cpu_tunnel_s_per_gib", "ratio", "at most", 0.25),
    ("down_1_cpu_tunnel_s_per_gib", "ratio", "at most", 0.25),
    ("latency_p50_us", "ratio", "at most", 0.7),
    ("latency_p99_us", "ratio", "at most", 0.7),
    ("connections_1_per_s", "ratio", "at least", 2.0),
    ("connections_16_per_s", "ratio", "at least", 2.0),
    ("resident_idle_server_mib", "value", "at most", 10.0),
    ("resident_idle_client_mib", "value", "at most", 10.0),
    ("held_1000", "value", "at least", 1000),
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


def table(run):
    """Rows of text cells, the head first."""
    names, rounds = run["contestants"], run["rounds"]
    subject, rival = run["subject"], run["rival"]
    compared = subject in names and rival in names
    head = ["min / median / max"] + [run["titles"][name] for name in names]
    rows = [head + ([f"{subject} ÷ {rival}"] if compared else [])]
    for figure, label, digits in FIGURES:
        cells = [values_of(rounds, name, figure) for name in names]
        if not any(cells):
            continue
        row = [label] + [spread(values, digits) for values in cells]
        if compared:
            row.append(spread(ratios_of(rounds, subject, rival, figure), 2))
        rows.append(row)
    return rows


def bars(run):
    """(text, met) for each bar that this run measured."""
    labels = {name: label for name, label, _ in FIGURES}
    verdicts = []
    for figure, kind, sense, bound in BARS:
        if kind == "ratio":
            values = ratios_of(run["rounds"], run["subject"], run["rival"], figure)
        else:
            values = values_of(run["rounds"], run["subject"], figure)
        if not values:
            continue
        value = statistics.median(values)
        met = value >= bound if sense == "at least" else value <= bound
        verdicts.append((f"{labels[figure]}: {kind} {value:.2f}, {sense} {bound:g}", met))
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


def plain_text(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join([row[0].ljust(widths[0])]
                               + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])])
                     for row in rows)


def describe(run):
    m = run["machine"]
    offloads = ("real 1,500-byte packets: tso, gso, gro and tx-udp-segmentation off"
                if run["real_packets"] else "veth offloads on")
    lines = [f"{run['time']}, commit {run['commit']}, {len(run['rounds'])} interleaved rounds, "
             f"{offloads}.",
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
    rows = table(run)
    lines = [line + "  " for line in describe(run)] + [""]
    lines.append("| " + " | ".join(rows[0]) + " |")
    lines.append("|---" * len(rows[0]) + "|")
    lines += ["| " + " | ".join(row) + " |" for row in rows[1:]]
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
