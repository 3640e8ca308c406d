#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Interoperability with go-libp2p over QUIC, through the command line that users have.

    run.py --peerup build/release/peerup --build build/release/interop
    run.py --self-check --build build/interop      go-libp2p of the other version plays peerup

Exit status: 0 when no cell failed, 1 otherwise, 77 where there is no usable go toolchain.
README.md beside this file says what each cell claims.
"""

import argparse
import inspect
import os
import re
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "support"))

import peers  # noqa: E402
from cells import CELLS, IDLE_S  # noqa: E402
from env import Env  # noqa: E402
from nodes import CommandError  # noqa: E402
from peerup import Failed, NotRun, Skip, wait_until  # noqa: E402

EXIT_SKIPPED = 77
RUN_S = 1500  # no cell begins later than this; ctest would leave the processes behind


def parse_args():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--peerup", type=Path, help="our program")
    p.add_argument("--build", type=Path, required=True, help="where the go peers are built")
    p.add_argument("--self-check", action="store_true", help="try the suite without our program")
    p.add_argument("--only", default="", metavar="REGEX", help="cells whose name matches")
    p.add_argument("--idle", choices=("with", "without", "alone"), default="with",
                   help="the cells that leave a connection alone for %d s" % IDLE_S)
    p.add_argument("--versions", nargs="+", choices=peers.GO_VERSIONS, default=peers.GO_VERSIONS)
    p.add_argument("--size", type=int, default=256, metavar="MIB", help="bulk, each way")
    p.add_argument("--list", action="store_true", help="print the cells' names and stop")
    args = p.parse_args()
    if not args.self_check and not args.list:
        if args.peerup is None:
            p.error("--peerup or --self-check is needed")
        if not os.access(args.peerup, os.X_OK):
            p.error(f"{args.peerup} is no program")
        args.peerup = args.peerup.resolve()
    return args


def skip_all(reason):
    print(f"interop: skipped: {reason}")
    sys.exit(EXIT_SKIPPED)


def build_peers(build_dir, versions):
    """Returns the programs by version, and by version why one can't be built here."""
    built, unusable = {}, {}
    for version in versions:
        try:
            built[version] = peers.build_go(version, build_dir)
        except peers.Unusable as e:
            unusable[version] = str(e)
    if not built:
        skip_all("; ".join(f"{v} {why}" for v, why in unusable.items()))
    return built, unusable


class Results:
    """What came out of each cell, by (cell, column)."""

    def __init__(self):
        self.table, self.details = {}, []

    def add(self, cell, column, verdict, text="", logs=""):
        self.table[cell.name, column] = verdict
        print(f"{verdict:8}{cell.name:30}{column}{': ' + text if text else ''}", flush=True)
        if verdict in ("FAILED", "not run"):
            self.details.append((cell.name, column, verdict, text, logs))

    def print(self, cells, columns):
        for name, column, verdict, text, logs in self.details:
            print(f"\n==== {verdict}: {name}, {column}: {text}")
            if logs:
                print(logs)
        width = max(len(c.name) for c in cells) + 2
        print("\n" + " " * width + "".join(f"{c:16}" for c in columns))
        for cell in cells:
            row = [self.table.get((cell.name, c), "-") for c in columns]
            print(f"{cell.name:{width}}" + "".join(f"{v:16}" for v in row))
        n = Counter(self.table.values())
        failed = n["FAILED"] + n["not run"]
        if n["not run"]:
            print(f"\n{n['not run']} of the failed could not be run")
        print(f"\ninterop: {n['ok']} passed, {failed} failed, {n['skipped']} skipped")
        return failed


class Attempt:
    """One cell in one environment; an idle cell goes on after its pause."""

    def __init__(self, cell, env, column, size, results):
        self.cell, self.env, self.column, self.size = cell, env, column, size
        self.results, self.rest, self.due = results, None, 0.0

    def begin(self, run_ends):
        if time.monotonic() > run_ends:
            self.results.add(self.cell, self.column, "not run", "the time for the run is used up")
            return
        self.sizes = self.env.log_sizes()
        self._step(lambda: self.cell.run(self.env, self.size))

    def resume(self):
        if self.rest:
            rest, self.rest = self.rest, None
            self._step(lambda: next(rest, None))

    def _step(self, work):
        verdict, text = "ok", ""
        try:
            value = work()
            if inspect.isgenerator(value):
                self.due = time.monotonic() + next(value)
                self.rest = value
                return
            dead = self.env.dead()
            if dead:
                raise Failed("; ".join(dead))
        except Skip as e:
            verdict, text = "skipped", str(e)
        except NotRun as e:
            verdict, text = "not run", str(e)
        except (Failed, CommandError, OSError) as e:
            verdict, text = "FAILED", "; ".join([str(e), *self.env.dead()])
        except Exception:  # a fault of the suite itself is a failure too, and the rest goes on
            verdict, text = "FAILED", traceback.format_exc()
        logs = self.env.logs_since(self.sizes) if verdict == "FAILED" else ""
        self.results.add(self.cell, self.column, verdict, text, logs)
        # The next cell starts afresh.  Idle cells wait side by side and leave each other alone.
        if verdict == "FAILED" and not self.cell.idle:
            self.env.restart()


def run_all(args, cells, programs, results):
    envs, idle, run_ends = [], [], time.monotonic() + RUN_S
    try:
        for version, program in programs.items():
            other = [p for v, p in programs.items() if v != version] or [program]
            for family in (4, 6):
                mine = [c for c in cells if family in c.families]
                if not mine:
                    continue
                env = Env(program, family, peerup=args.peerup,
                          stand_in=other[0] if args.self_check else None)
                envs.append(env)
                attempts = [Attempt(c, env, f"{version} ip{family}", args.size << 20, results)
                            for c in mine]
                for attempt in attempts:
                    if not attempt.cell.idle:
                        attempt.begin(run_ends)
                env.restart()  # idle cells see no connections but their own
                for attempt in attempts:
                    if attempt.cell.idle:
                        attempt.begin(run_ends)
                idle += [a for a in attempts if a.rest]
        if idle:
            due = max(a.due for a in idle)
            wait_until(lambda: time.monotonic() >= due, IDLE_S + 60, "the idle time")
            for attempt in idle:
                attempt.resume()
        for text in sorted({e.go_version for e in envs if e.go_version}):
            print(f"peer: {text}, resource limits raised")
    finally:
        for env in envs:
            env.close()


def main():
    args = parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # through all `finally`
    cells = [c for c in CELLS if re.search(args.only, c.name)
             and (args.idle == "with" or c.idle == (args.idle == "alone"))]
    if args.list or not cells:
        print("\n".join(c.name for c in cells) or f"no cell matches {args.only!r}")
        return 0 if cells else 1
    programs, unusable = build_peers(args.build, args.versions)
    results = Results()
    for version, why in unusable.items():
        for cell in cells:
            results.add(cell, version, "skipped", why)
    run_all(args, cells, programs, results)
    columns = list(unusable) + [f"{v} ip{f}" for v in programs for f in (4, 6)]
    return 1 if results.print(cells, columns) else 0


if __name__ == "__main__":
    sys.exit(main())
