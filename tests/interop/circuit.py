#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Relays, hole punching and reachability: our node, go- and rust-libp2p in each part of them.

    circuit.py --build build/release/interop                     the others among themselves
    circuit.py --build … --node build/release/tests/interop/node/interop-node
    circuit.py --build … --parts punch --rows 'rust.*quic' --only punch
    circuit.py --build … --ours rust                             rust in our node's place

Exit status: 0 when no cell failed, 1 otherwise, 77 where nothing can be run.  README.md beside this
file says what each cell claims.
"""

import argparse
import re
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[1:1] = [str(TESTS / "support"), str(TESTS / "netlab")]

import bed  # noqa: E402
import circuit_cells  # noqa: E402
import peers  # noqa: E402
import probe_cells  # noqa: E402
import punch_cells  # noqa: E402
from circuit_cells import PEERUP, PEERUP_HAS  # noqa: E402
from table import Results, run_cell  # noqa: E402

EXIT_SKIPPED = 77
RUN_S = 600  # no cell begins later than this
ROW_WIDTH = 50
PARTS = {"circuit": circuit_cells, "punch": punch_cells, "probe": probe_cells}
PLAYERS = (*peers.GO_VERSIONS, "rust")
IN_A_BED = ("punch", "probe")
ROWS_AT_ONCE = {"circuit": 2, "punch": 4, "probe": 4}  # they wait more than they work


def parse_args():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--node", type=Path, help="our test node; without it, only the others play")
    p.add_argument("--ours", choices=PLAYERS, help="another peer in its place")
    p.add_argument("--build", type=Path, required=True, help="where the go peers are built")
    p.add_argument("--cache", type=Path, default=peers.default_cache(),
                   help="where the rust peer is built")
    p.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    p.add_argument("--rows", default="", metavar="REGEX", help="rows whose words match")
    p.add_argument("--only", default="", metavar="REGEX", help="cells whose name matches")
    p.add_argument("--size", type=int, default=64, metavar="MIB", help="of the large sums")
    args = p.parse_args()
    if args.node and args.ours:
        p.error("either --node or --ours")
    return args


def players(row):
    return [word for word in row if word == PEERUP or word in PLAYERS]


def build_all(args, rows):
    """Command lines by name, and by name why a peer can't be built here."""
    built, unusable = {}, {}
    named = [name for row in rows for name in players(row) if name != PEERUP]
    for name in dict.fromkeys([*named, *([args.ours] if args.ours else [])]):
        try:
            built[name] = peers.build(name, args.build, args.cache)
        except peers.Unusable as e:
            unusable[name] = str(e)
    if args.node:
        built[PEERUP] = [str(args.node.resolve())]
    elif args.ours in built:
        built[PEERUP] = built[args.ours]
    return built, unusable


class Run:
    """All the rows of one part."""

    def __init__(self, part, args, built, unusable):
        self.module, self.args, self.built, self.unusable = PARTS[part], args, built, unusable
        self.cells = [c for c in self.module.CELLS if re.search(args.only, c.name)]
        self.rows = [r for r in self.module.ROWS if re.search(args.rows, " ".join(r))]
        self.no_bed = bed.unavailable() if part in IN_A_BED else None
        self.jobs = ROWS_AT_ONCE[part]
        self.results = Results(part, [c.name for c in self.cells], ROW_WIDTH)
        self.versions, self.ends = set(), time.monotonic() + RUN_S

    def obstacle(self, row):
        """(verdict, why) of a row that can't be run, or None."""
        lacking = self.module.needs(row) - PEERUP_HAS
        if lacking and not self.args.ours:
            return "lacks", "not built yet: " + ", ".join(sorted(lacking))
        if PEERUP in row and PEERUP not in self.built:
            return "skipped", self.unusable.get(self.args.ours, "no --node")
        for name in players(row):
            if name in self.unusable:
                return "skipped", self.unusable[name]
        return ("skipped", self.no_bed) if self.no_bed else None

    def run(self):
        pool = ThreadPoolExecutor(self.jobs)
        try:
            list(pool.map(self.run_row, self.rows))
        finally:
            self.ends = 0.0  # for the rows under way, if this is an exit
            pool.shutdown(cancel_futures=True)

    def run_row(self, row):
        obstacle = self.obstacle(row)
        if obstacle:
            self.results.add_row(row, *obstacle)
            return
        for _ in range(self.tries(row) - 1):
            self.try_row(row)
            failed = self.results.forget(row)
            if not failed:
                return
            print(f"again   {' '.join(row)}: {', '.join(failed)}", flush=True)
        self.try_row(row)

    def tries(self, row):
        """A row without us shows that a cell can hold; now and then the others fail one by chance."""
        tries = getattr(self.module, "TRIES", 1)
        return tries if PEERUP in row else max(tries, 2)

    def try_row(self, row):
        log_dir = Path(tempfile.mkdtemp(prefix="peerup-circuit-"))
        group = None
        try:
            group = self.module.group(row, self.built, log_dir, self.args.size << 20)
            self.run_cells(row, group)
            self.versions |= group.versions
        except bed.BedError as e:
            self.results.add(row, self.cells[0].name, "FAILED", str(e))
        finally:
            if group:
                group.close()
            shutil.rmtree(log_dir, ignore_errors=True)

    def run_cells(self, row, group):
        for cell in self.cells:
            if time.monotonic() > self.ends:
                self.results.add(row, cell.name, "FAILED", "the time for the run is used up")
            elif not run_cell(cell, group, self.results):
                group.stop()

    def report(self):
        """Returns whether something failed; None where nothing could be run."""
        if all(v in ("lacks", "skipped") for v in self.results.table.values()):
            reasons = dict.fromkeys(why for _, why in self.results.notes)
            print(f"{self.results.title}: skipped: " + "; ".join(reasons or ["no such rows"]))
            return None
        return self.results.print(self.versions) > 0


def main():
    args = parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # through all `finally`
    rows = [row for part in args.parts for row in PARTS[part].ROWS
            if re.search(args.rows, " ".join(row))]
    built, unusable = build_all(args, rows)
    runs = [Run(part, args, built, unusable) for part in args.parts]
    for run in runs:
        run.run()
    failed = [run.report() for run in runs]
    if all(f is None for f in failed):
        return EXIT_SKIPPED
    return 1 if any(failed) else 0


if __name__ == "__main__":
    sys.exit(main())
