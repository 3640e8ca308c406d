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
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "support"))

import peers  # noqa: E402
from matrix_cells import CELLS, STACKS, Pair  # noqa: E402
from table import Results, run_cell  # noqa: E402

EXIT_SKIPPED = 77
RUN_S = 900  # no cell begins later than this
WAYS = ("out", "in")  # ours dials, theirs dials
ROW_WIDTH = 26


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
    results = Results("matrix", [c.name for c in cells], ROW_WIDTH)
    versions, run_ends = set(), time.monotonic() + RUN_S
    for name in args.peers:
        for stack in args.stacks:
            for way in args.ways:
                row = (name, stack, way)
                if name in built:
                    versions |= run_row(args, cells, built, row, results, run_ends)
                    continue
                for cell in cells:
                    results.add(row, cell.name, "skipped", unusable[name])
    return 1 if results.print(versions) else 0


if __name__ == "__main__":
    sys.exit(main())
