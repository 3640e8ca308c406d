#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures peerup beside other tunnels and no tunnel, in interleaved rounds of one run.

    bench/run.py --peerup build/release/peerup             the full run: four rounds
    bench/run.py --peerup build/release/peerup --quick     one round, under 90 s
    bench/run.py --only bulk,latency --contestants golibp2p,peerup --rounds 2
    bench/run.py --quick --only bulk --profile             where the time goes, by function
    bench/run.py --contestants go-relay-2k,go-relay-64k,relay --only bulk      through a relay
    bench/run.py --real-packets                            no offloads on the veth pair
    bench/run.py --link delay=30ms,rate=1gbit              bulk over an emulated link
    bench/run.py --link delay=50ms --only round-trips      up to the first byte, counted on the wire

Needs root (network namespaces), iproute2, ethtool, a C compiler, and go for the rival.  Prints a
table; writes JSON and Markdown beside it in build/benchmark/.  docs/performance.md says how to read it.
"""

import argparse
import datetime
import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys

import contestants
import measure
import report
import tools
from lab import BenchError, Lab, remove_stale_namespaces, take_lock

EXIT_SKIPPED = 77  # what the machine lacks is no failure
CPU_FEATURES = ("aes", "vaes", "avx2", "avx512f", "vpclmulqdq")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peerup", default=os.path.join(tools.ROOT, "build/release/peerup"),
                        help="the program to measure")
    parser.add_argument("--contestants", default=",".join(contestants.DEFAULT),
                        help="of " + ", ".join(contestants.TABLE) + "; default: those without a "
                        "relay")
    parser.add_argument("--only", help="of " + ", ".join(measure.KINDS) + "; default: " +
                        ", ".join(measure.DEFAULT_KINDS) + "; with --link " +
                        ", ".join(measure.LINK_KINDS))
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--bulk-seconds", type=float, default=5)
    parser.add_argument("--latency-seconds", type=float, default=3)
    parser.add_argument("--connection-seconds", type=float, default=3)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--real-packets", action="store_true",
                        help="1,500-byte packets: the veth pair's offloads off")
    parser.add_argument("--link", metavar="SPEC",
                        help="an emulated link in place of the veth pair, such as "
                             "delay=30ms,rate=1gbit (bench/emulator/spec.h)")
    parser.add_argument("--service-link", metavar="SPEC",
                        help="that between the relay and the service's side, if it is not as --link")
    parser.add_argument("--streams", help="of bulk; default: 1,10, with --link 1")
    parser.add_argument("--out", default=tools.BUILD, help="directory of the results")
    parser.add_argument("--update-doc", metavar="FILE",
                        help="also put the table into this document's bench section")
    parser.add_argument("--profile", action="store_true",
                        help="also sample the tunnels with perf; its cost is in the figures")
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar is missed")
    options = parser.parse_args()
    if options.only is None:
        options.only = ",".join(measure.LINK_KINDS if options.link else measure.DEFAULT_KINDS)
    options.streams = [int(count) for count in
                       (options.streams or ("1" if options.link else "1,10")).split(",")]
    for name, known in (("contestants", contestants.TABLE), ("only", measure.KINDS)):
        chosen = getattr(options, name).split(",")
        unknown = [item for item in chosen if item not in known]
        if unknown:
            parser.error(f"--{name}: unknown {', '.join(unknown)}")
        setattr(options, name, chosen)
    if options.link and options.real_packets:
        parser.error("--real-packets: an emulated link has no others")
    if "round-trips" in options.only and (not options.link or len(options.only) > 1):
        parser.error("--only round-trips: needs --link, and stands alone: all packets are logged")
    if options.service_link and not options.link:
        parser.error("--service-link: needs --link")
    if options.profile and shutil.which("perf") is None:
        parser.error("--profile: perf is not installed")
    options.peerup = os.path.abspath(options.peerup)
    os.makedirs(options.out, exist_ok=True)
    if options.quick:
        options.rounds = 1
        options.bulk_seconds = 2
        options.latency_seconds = options.connection_seconds = 1
    return options


def load_average():
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def describe_machine():
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        cpu = dict(line.split(":", 1) for line in cpuinfo.read().split("\n\n")[0].split("\n")
                   if ":" in line)
    cpu = {key.strip(): value.strip() for key, value in cpu.items()}
    flags = cpu.get("flags", "").split()
    return {
        "cpu": cpu.get("model name", platform.machine()),
        "cpu_features": " ".join(f for f in CPU_FEATURES if f in flags) or "no known features",
        "cores": os.cpu_count(),
        "memory_gib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30,
        "kernel": platform.release(),
        "load_before": load_average(),
    }


def describe_commit():
    described = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"],
                               cwd=tools.ROOT, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
    return described.stdout.strip() or "unknown"


def prepare(options):
    """Builds what is missing; leaves out, with a word, what this machine cannot run."""
    tools.build("load")
    if options.link:
        tools.build("emulator")
    versions = {}
    for name in options.contestants:
        try:
            versions[name] = contestants.TABLE[name].prepare(options)
        except BenchError as error:
            print(f"left out: {name}: {error}", flush=True)
    options.contestants = list(versions)
    return versions


def new_run(options, versions):
    table = {name: contestants.TABLE[name] for name in options.contestants}
    return {
        "time": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": shlex.join(["bench/run.py", *sys.argv[1:]]),
        "commit": describe_commit(),
        "machine": describe_machine(),
        "real_packets": options.real_packets,
        "link": options.link,
        "service_link": options.service_link,
        "only": options.only,
        "contestants": options.contestants,
        "titles": {name: entry.title for name, entry in table.items()},
        "notes": {name: entry.note for name, entry in table.items()},
        "versions": versions,
        "rounds": [],
        "flights": {},  # of the first round, by contestant
        "errors": [],
    }


def measure_rounds(lab, options, run):
    for number in range(options.rounds):
        figures = {}
        run["rounds"].append(figures)
        # Each round starts with another contestant: none is always the first or after the same.
        shift = number % len(options.contestants)
        for name in options.contestants[shift:] + options.contestants[:shift]:
            print(f"round {number + 1} of {options.rounds}: {name} "
                  f"(load average {load_average()})", flush=True)
            current = measure.Round(lab, options, name)
            # What was measured before a failure still counts.
            figures[name] = current.figures
            try:
                current.run()
                if current.flights:
                    run["flights"].setdefault(name, current.flights)
            except BenchError as error:
                print(f"  failed: {error}", flush=True)
                run["errors"].append({"round": number + 1, "contestant": name, "text": str(error)})


def write_results(options, run):
    section = report.section_of(run)
    stem = os.path.join(options.out, "results-" + section)
    with open(stem + ".json", "w", encoding="utf-8") as file:
        json.dump(run, file, indent=1)
    text = report.markdown(run)
    with open(stem + ".md", "w", encoding="utf-8") as file:
        file.write(text)
    if options.update_doc:
        with open(options.update_doc, encoding="utf-8") as file:
            document = file.read()
        document = report.replace_section(document, section, text)
        with open(options.update_doc, "w", encoding="utf-8") as file:
            file.write(document)
    return stem


def stop_on_signal(number, frame):
    raise SystemExit(128 + number)


def main():
    options = parse_arguments()
    if os.geteuid() != 0:
        print("skipped: network namespaces need root")
        return EXIT_SKIPPED
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop_on_signal)
    versions = prepare(options)
    if not versions:
        print("skipped: no contestant can run here")
        return EXIT_SKIPPED
    lock = take_lock()
    run = new_run(options, versions)
    remove_stale_namespaces()
    lab = Lab(options.real_packets, options.link, "round-trips" in options.only,
              relay_links={"a": options.service_link or options.link, "b": options.link})
    try:
        measure_rounds(lab, options, run)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        lab.close()
    os.close(lock)
    run["machine"]["load_after"] = load_average()
    stem = write_results(options, run)
    print("\n" + "\n".join(report.describe(run)))
    print("\n" + report.plain_text(run))
    verdicts = report.bars(run)
    print(f"\nwritten: {stem}.json, {stem}.md")
    missed = options.check and not all(met for _, met in verdicts)
    return 1 if missed or run["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
