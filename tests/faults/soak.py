#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Mixed load for a long time, with restarts, on a daemon and two proxies.

    soak.py --peerup build/dev/peerup --seconds 600 --seed 1

Bulk both ways, connections opened and dropped in every way, resets, slow readers, and every two
minutes an end of the daemon, by SIGTERM or SIGKILL in turn.  A connection may fail only if a restart
fell into its life.  At the end all descriptors are given back, every process exits with 0 on
SIGTERM, and none has complained of anything that a restart does not explain: with ASan no leak.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(1, str(HERE.parent / "support"))

import cells_churn  # noqa: E402
from bed import MIB, Bed, descriptors, expect, rss  # noqa: E402
from cells_churn import Service  # noqa: E402
from load import Load  # noqa: E402

RESTART_EVERY_S = 120
SETTLE_S = 20  # after a restart: a silent peer is given up after 15 s
REPORT_EVERY_S = 60
RESTART_COMPLAINTS = (r"connection attempt failed", r"Connection refused", r"connection closed")


class Soak:
    def __init__(self, bed, seed, seconds):
        self.bed, self.seconds = bed, seconds
        self.begun = time.monotonic()
        self.quiet_from = self.restarted_at = 0.0
        self.load = Load(seed, seconds, self.failed)
        self.excused, self.failures = Counter(), []
        self.service = Service()

    def failed(self, kind, play, begun, error):
        if begun <= self.quiet_from and self.restarted_at <= time.monotonic():
            self.excused[kind] += 1
        else:
            self.failures.append(f"{time.monotonic() - self.begun:.0f} s: {play}: {error}")

    async def restarts(self, daemon):
        by_kill = False
        while True:
            await asyncio.sleep(min(RESTART_EVERY_S, self.seconds / 2))
            if self.load.ends_at - time.monotonic() < 2 * SETTLE_S:
                return
            self.restarted_at = time.monotonic()
            self.quiet_from = float("inf")
            await asyncio.to_thread(self._restart, daemon, by_kill)
            self.quiet_from = time.monotonic() + SETTLE_S
            by_kill = not by_kill

    def _restart(self, daemon, by_kill):
        if by_kill:
            self.bed.kill(daemon.process)
        else:
            self.failures += self.bed.end(daemon.process)
        daemon.start()
        print(f"{time.monotonic() - self.begun:6.0f} s  daemon restarted after "
              f"{'SIGKILL' if by_kill else 'SIGTERM'}", flush=True)

    async def reports(self, processes):
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            sizes = [f"{rss(p()) // MIB}" for p in processes]
            print(f"{time.monotonic() - self.begun:6.0f} s  done {dict(self.load.done)}, cut off by "
                  f"restarts {dict(self.excused)}, {len(self.failures)} failures, "
                  f"MiB resident {'/'.join(sizes)}", flush=True)

    async def run(self):
        await self.service.start()
        clients = [self.bed.client("one"), self.bed.client("two")]
        daemon = self.bed.daemon({"work": self.service.port}, clients)
        ports = [c.proxy(daemon.addr, "work") for c in clients]
        processes = [lambda: daemon.process, *(lambda c=c: c.proxies[0] for c in clients)]
        before = [descriptors(p()) for p in processes]
        helpers = [asyncio.ensure_future(self.restarts(daemon)),
                   asyncio.ensure_future(self.reports(processes))]
        await self.load.run(ports)
        for helper in helpers:
            helper.cancel()
        await self.settled(processes, before)
        self.service.server.close()

    async def settled(self, processes, before):
        for _ in range(cells_churn.DRAIN_S * 20):
            now = [descriptors(p()) for p in processes]
            if now == before and not self.service.open:
                return
            await asyncio.sleep(0.05)
        self.failures.append(f"descriptors {now}, {before} before; "
                             f"{len(self.service.open)} connections of the service are open")


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--peerup", type=Path, required=True, help="our program")
    p.add_argument("--seconds", type=int, default=600)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--io", choices=("io_uring", "epoll"), help="the backend of the event loop")
    args = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # through all `finally`
    if args.io:
        os.environ["PEERUP_IO"] = args.io
    with Bed(args.peerup.resolve()) as bed:
        bed.expect_complaints(*RESTART_COMPLAINTS)
        soak = Soak(bed, args.seed, args.seconds)
        asyncio.run(soak.run())
        failures = soak.failures + bed.finish()
        for text in failures:
            print(f"FAILED  {text}")
        if failures:
            print(bed.logs())
    expect(failures or soak.load.done["bulk"] > 0, "no bulk transfer came to its end")
    print(f"done {dict(soak.load.done)}, cut off by restarts {dict(soak.excused)}")
    print(f"\n{0 if failures else 1} passed, {1 if failures else 0} failed, 0 skipped")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
