# SPDX-License-Identifier: MIT
"""Which pairs of NATs let two nodes meet, with the program as users run it.

    pairs.py build/dev/peerup
    pairs.py build/release/peerup --only 'cone random'

In each pair `b` is a daemon with a service, `a` runs the proxy to it by its ID alone, and both know a
relay in public.  The time is from when the daemon let the circuit in to the direct connection, by its
log.  Whether it is direct shows when the relay is ended.  Exits with 77 where there can be no bed.
"""

import argparse
import contextlib
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from bed import (CONE, DOUBLE, FIREWALL6, NEIGHBOUR, NO_UDP, PUBLIC, RANDOM, Bed, BedError,
                 unavailable)

EXIT_SKIPPED = 77
KINDS = (PUBLIC, CONE, DOUBLE, NO_UDP, FIREWALL6, RANDOM)
PAIRS = [*itertools.combinations_with_replacement(KINDS, 2),
         *((kind, NEIGHBOUR) for kind in (CONE, DOUBLE, NO_UDP, RANDOM))]
# A port that nobody foresees meets only whom the filter of the other side does not matter to.
UNPREDICTABLE = {RANDOM, FIREWALL6}
PAIRS_AT_ONCE = 3
DIRECT_S = 3  # decision 6
READY_S = 40
GIVEN_UP_S = 60  # three attempts
RESERVED = r'.*msg="reservation on the relay".*'
TRIES = 2  # timing is the machine's, too
BYTES = 200_000

ECHO = """
import socket, threading
server = socket.create_server(("127.0.0.1", 8000))
print("listening", flush=True)
def serve(s):
    with s:
        while data := s.recv(65536):
            s.sendall(data)
while True:
    threading.Thread(target=serve, args=server.accept()[:1], daemon=True).start()
"""
# Sends and gets it back; the exit status tells.
CLIENT = f"""
import os, socket, sys, threading
data = os.urandom({BYTES})
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20) as s:
    s.settimeout(20)
    def send():
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
    threading.Thread(target=send, daemon=True).start()
    got = b""
    while piece := s.recv(1 << 20):
        got += piece
sys.exit(got != data)
"""


class Failed(Exception):
    pass


class Place:
    """A host of the bed with a home of its own, and what runs there."""

    def __init__(self, bed, name, program, folder):
        self.bed, self.name, self.program = bed, name, program
        self.home = folder / name
        self.home.mkdir()
        self.env = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
        self.env |= {"HOME": str(self.home), "PATH": os.environ["PATH"]}
        self.children = {}

    def run(self, *args):
        done = subprocess.run([self.program, *args], env=self.env, cwd=self.home, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=READY_S, check=False)
        if done.returncode != 0:
            raise Failed(f"peerup {' '.join(args)}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def start(self, *argv, what=None):
        name = what or argv[1]
        with open(self.home / f"{name}.log", "wb") as log:
            self.children[name] = subprocess.Popen(
                self.bed.argv(self.name, argv), env=self.env, cwd=self.home, stdout=log,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def log(self, name):
        return (self.home / f"{name}.log").read_text(errors="replace")

    def wait_for(self, name, pattern, seconds=READY_S):
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.log(name))):
            if self.children[name].poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{self.name}: {pattern!r} never came: {self.log(name)[-2000:]}")
            time.sleep(0.02)
        return found

    def stop(self, name):
        child = self.children.pop(name)
        child.terminate()
        try:
            child.wait(READY_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def close(self):
        for name in list(self.children):
            self.stop(name)


def told_at(line):
    return datetime.fromisoformat(re.search(r"time=(\S+)", line)[1].replace("Z", "+00:00"))


class Pair:
    SERVICE = ("-c", ECHO)  # of Python, on port 8000; says when it listens

    def __init__(self, program, kind_a, kind_b, folder):
        self.bed = Bed({"relay": PUBLIC, "a": kind_a, "b": kind_b})
        self.relay, self.a, self.b = (Place(self.bed, n, program, folder)
                                      for n in ("relay", "a", "b"))
        self.program = program

    def close(self):
        for place in (self.a, self.b, self.relay):
            place.close()
        self.bed.close()

    def start_relay(self):
        self.relay.start(self.program, "relay", "serve")
        self.relay.wait_for("relay", "Private relay running")

    def start_daemon(self):
        self.b.start(self.program, "daemon")
        self.b.wait_for("daemon", RESERVED)

    def configure(self):
        """Before the relay starts."""

    def set_up(self):
        relay = self.relay
        relay.run("relay", "setup", "--non-interactive")
        self.configure()
        self.start_relay()
        relay_id = relay.wait_for("relay", r"Peer ID: (\S+)")[1]
        at = f"/ip4/{self.bed.address('relay')}"
        for node in (self.a, self.b):
            node.run("init", "--relay", f"{at}/udp/7777/quic-v1/p2p/{relay_id}")
            node.run("relay", "add", f"{at}/tcp/7777/p2p/{relay_id}")
            relay.run("relay", "authorize", node.run("whoami"))
        self.b.run("auth", "add", self.a.run("whoami"))
        self.b.run("service", "add", "echo", "127.0.0.1:8000")
        self.b.start(sys.executable, *self.SERVICE, what="echo")
        self.b.wait_for("echo", "listening")
        self.start_daemon()

    def open_proxy(self):
        """Returns its port."""
        self.a.start(self.program, "proxy", self.b.run("whoami"), "echo", "0")
        return self.a.wait_for("proxy", r"TCP proxy listening on localhost:(\d+)")[1]

    def exchange(self, port):
        argv = self.bed.argv("a", [sys.executable, "-c", CLIENT, port])
        done = subprocess.run(argv, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise Failed(f"a transfer failed: {done.stderr[-500:]}")

    def run(self, is_direct):
        """Returns the seconds that it took, or None: it stayed relayed."""
        self.set_up()
        port = self.open_proxy()
        self.exchange(port)
        ended = r'.*msg="(hole punch succeeded|direct dial succeeded|hole punch failed)".*'
        outcome = self.b.wait_for("daemon", ended, GIVEN_UP_S)
        met = outcome[1] != "hole punch failed"
        began = re.search(r'.*msg="inbound connection allowed".*', self.b.log("daemon"))
        if met:
            self.relay.stop("relay")
        self.exchange(port)
        if met != is_direct:
            raise Failed(f"{outcome[1]}: {self.b.log('daemon')[-3000:]}")
        return (told_at(outcome[0]) - told_at(began[0])).total_seconds() if met else None


def can_meet(kind_a, kind_b):
    kinds = {kind_a, kind_b}
    return bool(kinds & {PUBLIC, NEIGHBOUR}) or not kinds & UNPREDICTABLE or kinds == {FIREWALL6}


def try_pair(program, kinds):
    folder = Path(tempfile.mkdtemp(prefix="peerup-pairs-"))
    pair = None
    try:
        pair = Pair(program, *kinds, folder)
        seconds = pair.run(can_meet(*kinds))
        if seconds is not None and seconds > DIRECT_S:
            raise Failed(f"direct after {seconds:.2f} s")
        return seconds
    finally:
        if pair:
            pair.close()
        shutil.rmtree(folder, ignore_errors=True)


PRINTING = threading.Lock()


def run_pair(program, kinds):
    """Returns a word for the matrix, and what failed."""
    for attempt in range(TRIES):
        try:
            seconds = try_pair(program, kinds)
        except (Failed, BedError, subprocess.TimeoutExpired) as e:
            error = str(e)
            with PRINTING:
                print(f"{'again' if attempt + 1 < TRIES else 'FAILED'} {' '.join(kinds)}: {error}",
                      flush=True)
            continue
        word = "relayed" if seconds is None else f"{seconds:.2f} s"
        with PRINTING:
            print(f"ok     {' '.join(kinds):20} {word}", flush=True)
        return word, None
    return "FAILED", error


def print_matrix(words):
    columns = (*KINDS, NEIGHBOUR)
    print(f"\n{'proxy at / daemon at':22}" + "".join(f"{k:>11}" for k in columns))
    for a in KINDS:
        print(f"{a:22}" + "".join(f"{words.get((a, b), ''):>11}" for b in columns).rstrip())


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program", type=Path)
    p.add_argument("--only", default="", metavar="REGEX", help="pairs whose words match")
    args = p.parse_args()
    reason = unavailable()
    if reason:
        print(f"pairs: skipped: {reason}")
        return EXIT_SKIPPED
    pairs = [k for k in PAIRS if re.search(args.only, " ".join(k))]
    with ThreadPoolExecutor(PAIRS_AT_ONCE) as pool:
        done = list(pool.map(lambda k: run_pair(args.program.resolve(), k), pairs))
    print_matrix({kinds: word for kinds, (word, _) in zip(pairs, done, strict=True)})
    failed = sum(error is not None for _, error in done)
    print(f"\npairs: {len(done) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
