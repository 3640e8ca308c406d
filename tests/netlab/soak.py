#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Mixed load through a relay for a long time, with restarts of the relay and of the daemon.

    soak.py build/dev/peerup --seconds 600 --seed 1
    soak.py build/dev/peerup --circuits

Both ends are behind NATs that cannot be punched, so that all goes through the relay: spliced, or with
--circuits as ordinary circuits.  Every minute and a half the relay or the daemon ends, by SIGTERM or
SIGKILL in turn.  A connection may fail only if a restart fell into its life.  At the end all
descriptors are given back, every process exits with 0 on SIGTERM, and none has told of an error: with
ASan no leak.  Exits with 77 where there can be no bed.
"""

import argparse
import itertools
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bed import RANDOM, unavailable
from pairs import Failed, Pair

EXIT_SKIPPED = 77
LOAD = Path(__file__).resolve().parent.parent / "faults" / "load.py"
RESTART_EVERY_S = 90
SETTLE_S = 20  # after a restart: a silent peer is given up after 15 s
REPORT_EVERY_S = 60
LOAD_ENDS_S = 70  # one connection lasts that long at most
DRAIN_S = 30
DESCRIPTORS_SLACK = 8  # connections between nodes, of which there may be more or fewer by then
MIB = 1 << 20
SPLICED = r'msg="spliced path opened"'
BROKEN = re.compile(r"Sanitizer|runtime error:|Assertion .* failed|left behind|not end in time")


class Lab(Pair):
    SERVICE = (LOAD, "serve", "8000")

    def __init__(self, program, folder, circuits):
        super().__init__(program, RANDOM, RANDOM, folder)
        self.circuits = circuits

    def configure(self):
        if self.circuits:
            with open(self.relay.home / "relay-server.yaml", "a", encoding="utf-8") as config:
                config.write("\nrelay:\n  splice: false\n")

    def processes(self):
        return {"relay": self.relay.children["relay"], "daemon": self.b.children["daemon"],
                "proxy": self.a.children["proxy"]}

    def descriptors(self):
        return {name: len(os.listdir(f"/proc/{p.pid}/fd")) for name, p in self.processes().items()}

    def resident(self):
        pages = os.sysconf("SC_PAGE_SIZE")
        return "/".join(str(int(Path(f"/proc/{p.pid}/statm").read_text().split()[1]) * pages // MIB)
                        for p in self.processes().values())


class Soak:
    def __init__(self, lab, seconds, seed):
        self.lab, self.seconds, self.seed = lab, seconds, seed
        self.begun = time.monotonic()
        self.restarts, self.failures = [], []  # (when, quiet again)
        self.done, self.excused, self.read = {}, Counter(), 0

    def say(self, text):
        print(f"{time.monotonic() - self.begun:6.0f} s  {text}", flush=True)

    def end(self, place, name, kill):
        child = place.children[name]
        if kill:
            child.kill()
        place.stop(name)
        if not kill and child.returncode != 0:
            self.failures.append(f"{name} exited with {child.returncode}")
        self.failures += [f"{name} says: {line}" for line in place.log(name).splitlines()
                          if BROKEN.search(line) or re.search(r"\bERROR\b", line)]

    def restart(self, what, kill):
        began = time.monotonic()
        if what == "relay":
            self.end(self.lab.relay, "relay", kill)
            self.lab.start_relay()
        else:
            self.end(self.lab.b, "daemon", kill)
            self.lab.start_daemon()
        self.restarts.append((began, time.monotonic() + SETTLE_S))
        self.say(f"{what} restarted after {'SIGKILL' if kill else 'SIGTERM'}")

    def take_results(self):
        """What the load told since."""
        *lines, rest = self.lab.a.log("load")[self.read:].split("\n")
        self.read += sum(len(line) + 1 for line in lines)
        for line in lines:
            told = json.loads(line)
            if "done" in told:
                self.done = told["done"]
            elif any(told["begun"] <= quiet and told["failed"] >= at for at, quiet in self.restarts):
                self.excused[told["kind"]] += 1
            else:
                self.failures.append(f"{told['failed'] - self.begun:.0f} s: {told['play']}, "
                                     f"{told['failed'] - told['begun']:.1f} s old: {told['error']}")
        return rest

    def await_load(self):
        """Restarts, and reports, until it ends."""
        child = self.lab.a.children["load"]
        turns = itertools.cycle(itertools.product((False, True), ("relay", "daemon")))
        pause = min(RESTART_EVERY_S, self.seconds / 4)
        restart_at, report_at = self.begun + pause, self.begun + REPORT_EVERY_S
        last = self.begun + self.seconds - 2 * SETTLE_S
        ends_at = self.begun + self.seconds + LOAD_ENDS_S
        while child.poll() is None:
            now = time.monotonic()
            if now > ends_at:
                raise Failed("the load does not end")
            if restart_at <= now <= last:
                kill, what = next(turns)
                self.restart(what, kill)
                restart_at = time.monotonic() + pause
            if now >= report_at:
                report_at += REPORT_EVERY_S
                self.take_results()
                self.say(f"cut off by restarts {dict(self.excused)}, {len(self.failures)} failures, "
                         f"MiB resident {self.lab.resident()}")
            time.sleep(0.1)
        rest = self.take_results()
        if rest or child.returncode != 0 or not self.done:
            raise Failed(f"the load is broken: {rest}{self.lab.a.log('load')[-2000:]}")

    def await_drain(self, before):
        deadline = time.monotonic() + DRAIN_S
        while any(now > before[name] + DESCRIPTORS_SLACK
                  for name, now in self.lab.descriptors().items()):
            if time.monotonic() > deadline:
                self.failures.append(f"descriptors {self.lab.descriptors()}, {before} before")
                return
            time.sleep(0.1)

    def run(self):
        lab = self.lab
        lab.set_up()
        port = lab.open_proxy()
        if not lab.circuits:
            lab.relay.wait_for("relay", SPLICED)
        before = lab.descriptors()
        self.begun = time.monotonic()
        lab.a.start(sys.executable, "-B", LOAD, "clients", port, str(self.seconds), "--seed",
                    str(self.seed), what="load")
        self.await_load()
        self.await_drain(before)
        for place, name in ((lab.a, "proxy"), (lab.b, "daemon"), (lab.relay, "relay")):
            self.end(place, name, kill=False)
        if lab.circuits == bool(re.search(SPLICED, lab.relay.log("relay"))):
            self.failures.append("the relay did not relay in the way that was asked for")
        if not self.done.get("bulk"):
            self.failures.append("no bulk transfer came to its end")


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program", type=Path)
    p.add_argument("--circuits", action="store_true", help="nothing is spliced")
    p.add_argument("--seconds", type=int, default=600)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    reason = unavailable()
    if reason:
        print(f"soak: skipped: {reason}")
        return EXIT_SKIPPED
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # through all `finally`
    folder = Path(tempfile.mkdtemp(prefix="peerup-soak-"))
    lab = None
    try:
        lab = Lab(args.program.resolve(), folder, args.circuits)
        soak = Soak(lab, args.seconds, args.seed)
        try:
            soak.run()
        except Failed as e:
            soak.failures.append(str(e))
        for text in soak.failures:
            print(f"FAILED  {text}")
        if soak.failures:
            for place in (lab.relay, lab.b, lab.a):
                for name in ("relay", "daemon", "proxy"):
                    if (place.home / f"{name}.log").exists():
                        print(f"---- {name}\n{place.log(name)[-4000:]}")
    finally:
        if lab:
            lab.close()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"done {soak.done}, cut off by restarts {dict(soak.excused)}")
    print(f"\n{0 if soak.failures else 1} passed, {1 if soak.failures else 0} failed, 0 skipped")
    return 1 if soak.failures else 0


if __name__ == "__main__":
    sys.exit(main())
