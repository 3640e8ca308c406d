#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The interop matrix: our node against go-, rust- and js-libp2p over each transport stack.

    matrix.py --node build/release/tests/interop/node/interop-node --build build/release/interop
    matrix.py --node … --build … --peers rust --stacks tcp-tls --only 'sum|reset'
    matrix.py --ours rust --build build/interop        rust-libp2p in our node's place

Exit status: 0 when no cell failed, 1 otherwise, 77 where no toolchain of the peers is there.
README.md beside this file says what each cell claims.
"""

import argparse
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "support"))

import peers  # noqa: E402
from matrix_cells import CELLS, STACKS, Lacks, Pair  # noqa: E402
from nodes import CommandError  # noqa: E402
from peerup import Failed, Skip  # noqa: E402

EXIT_SKIPPED = 77
RUN_S = 900  # no cell begins later than this
WAYS = ("out", "in")  # ours dials, theirs dials


def parse_args():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--node", type=Path, help="our test node")
    p.add_argument("--ours", choices=peers.IMPLEMENTATIONS, help="another peer in its place")
    p.add_argument("--build", type=Path, required=True, help="where the go peers are built")
    p.add_argument("--cache", type=Path, default=peers.default_cache(),
                   help="where the rust and js peers are built")
    p.add_argument("--peers", nargs="+", choices=peers.IMPLEMENTATIONS,
                   default=peers.IMPLEMENTATIONS)
    p.add_argument("--stacks", nargs="+", choices=STACKS, default=list(STACKS))
    p.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    p.add_argument("--only", default="", metavar="REGEX", help="cells whose name matches")
    p.add_argument("--size", type=int, default=64, metavar="MIB", help="of the large sums")
    args = p.parse_args()
    if (args.node is None) == (args.ours is None):
        p.error("either --node or --ours is needed")
    return args


class Results:
    """What came out of each cell, by (row, cell)."""

    def __init__(self, cells):
        self.cells, self.table, self.rows, self.details, self.notes = cells, {}, [], [], Counter()

    def add(self, row, cell, verdict, text="", logs="", seconds=0.0, remark=""):
        if row not in self.rows:
            self.rows.append(row)
        self.table[row, cell] = verdict
        print(f"{verdict:8}{' '.join(row):26}{cell:14}{seconds:6.2f} s  {text or remark}".rstrip(),
              flush=True)
        if verdict == "FAILED":
            self.details.append((row, cell, text, logs))
        elif text:
            self.notes[verdict, text] += 1

    def print(self):
        for row, cell, text, logs in self.details:
            print(f"\n==== FAILED: {' '.join(row)}, {cell}: {text}\n{logs}")
        widths = [max(8, len(c.name) + 2) for c in self.cells]
        print("\n" + " " * 26 + "".join(f"{c.name:{w}}" for c, w in zip(self.cells, widths)))
        for row in self.rows:
            verdicts = [self.table.get((row, c.name), "-") for c in self.cells]
            print(f"{' '.join(row):26}" + "".join(f"{v:{w}}" for v, w in zip(verdicts, widths)))
        for (verdict, text), count in sorted(self.notes.items()):
            print(f"{verdict} ({count}): {text}")
        n = Counter(self.table.values())
        print(f"\ninterop matrix: {n['ok'] + n['ok*']} passed, {n['FAILED']} failed, {n['lacks']} lacking, "
              f"{n['skipped']} skipped")
        return n["FAILED"]


def build_all(args):
    """Command lines by name, and by name why a peer can't be built here."""
    built, unusable = {}, {}
    # go-latest also plays the QUIC listener that hangs up.
    for name in dict.fromkeys([*args.peers, *([args.ours] if args.ours else []), "go-latest"]):
        try:
            built[name] = peers.build(name, args.build, args.cache)
        except peers.Unusable as e:
            unusable[name] = str(e)
    if args.ours and args.ours not in built:
        print(f"interop: skipped: {unusable[args.ours]}")
        sys.exit(EXIT_SKIPPED)
    if not any(name in built for name in args.peers):
        print("interop: skipped: " + "; ".join(f"{n}: {why}" for n, why in unusable.items()))
        sys.exit(EXIT_SKIPPED)
    return built, unusable


def run_cell(cell, pair, results):
    """Returns whether the pair can be used for another cell."""
    started, sizes, pair.remark = time.monotonic(), pair.log_sizes(), ""
    verdict, text = "ok", ""
    try:
        note = cell.run(pair)
        if pair.dead():
            raise Failed("; ".join(pair.dead()))
        if note:
            verdict, text = "ok*", note
    except Lacks as e:
        verdict, text = "lacks", str(e)
    except Skip as e:
        verdict, text = "skipped", str(e)
    except (Failed, CommandError, OSError) as e:
        verdict, text = "FAILED", "; ".join([str(e), *pair.dead()])
    except Exception:  # a fault of the suite itself is a failure too, and the rest goes on
        verdict, text = "FAILED", traceback.format_exc()
    logs = pair.logs_since(sizes) if verdict == "FAILED" else ""
    results.add(pair.row, cell.name, verdict, text, logs, time.monotonic() - started, pair.remark)
    return verdict != "FAILED"


def run_row(args, cells, built, row, results, run_ends):
    name, stack, way = row
    ours = built[args.ours] if args.ours else [str(args.node.resolve())]
    log_dir = Path(tempfile.mkdtemp(prefix="peerup-matrix-"))
    pair = Pair(row, ours, built[name], built.get("go-latest"), log_dir,
                stand_in=args.ours is not None, size=args.size << 20)
    try:
        for cell in cells:
            if time.monotonic() > run_ends:
                results.add(row, cell.name, "FAILED", "the time for the run is used up")
            elif not run_cell(cell, pair, results):
                pair.stop()
    finally:
        pair.stop()
        shutil.rmtree(log_dir, ignore_errors=True)
    return pair.versions


def main():
    args = parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # through all `finally`
    cells = [c for c in CELLS if re.search(args.only, c.name)]
    built, unusable = build_all(args)
    results, versions, run_ends = Results(cells), set(), time.monotonic() + RUN_S
    for name in args.peers:
        for stack in args.stacks:
            for way in args.ways:
                row = (name, stack, way)
                if name in built:
                    versions |= run_row(args, cells, built, row, results, run_ends)
                    continue
                for cell in cells:
                    results.add(row, cell.name, "skipped", unusable[name])
    failed = results.print()
    for text in sorted(versions):
        print(f"peer: {text}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
