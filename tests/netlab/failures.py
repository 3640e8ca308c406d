# SPDX-License-Identifier: MIT
"""What fails, and how soon the program is over it, as users run it: decision 6 in the network lab.

    failures.py build/dev/peerup
    failures.py build/release/peerup --only relay

Prints a line for each: what was waited for, how long it took, the bound, and what was sent meanwhile.
Exits with 77 where there can be no bed.
"""

import argparse
import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bed import CONE, PUBLIC, BedError, command, unavailable
from pairs import PRINTING, READY_S, TRIES, Failed, Pair, told_at

EXIT_SKIPPED = 77
AT_ONCE = 3
AWAY_S = 40  # by then it is found dead
REFUSED_S = 20
RELAY = "45.32.10.0/24"
RESERVED = r'.*msg="reservation on the relay".*'
DIRECT = r'msg="(hole punch|direct dial) succeeded"'
# To a peer that does not answer (decision 6); and what a dead connection costs until it is given up,
# and a first round of dials to all addresses.
PACKETS_PER_S = 1
SLACK = 15

# A transfer that takes eight seconds; the exit status tells whether it went through.
SLOW_CLIENT = """
import socket, sys, time
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20) as s:
    s.settimeout(20)
    for i in range(160):
        s.sendall(b"x" * 1000)
        got = 0
        while got < 1000:
            got += len(s.recv(1000 - got)) or sys.exit("end")
        time.sleep(0.05)
"""

FAILURES = []


def failure(function):
    """Its first argument is the lab; returns (what was waited for, seconds, bound, a remark)."""
    FAILURES.append(function)
    return function


class Lab(Pair):
    def __init__(self, program, folder, kinds):
        super().__init__(program, *kinds, folder)
        self.set_up()

    def open_proxy(self):
        self.a.start(self.program, "proxy", self.b.run("whoami"), "echo", "0")
        self.port = self.a.wait_for("proxy", r"TCP proxy listening on localhost:(\d+)")[1]
        self.exchange(self.port)

    def open_direct(self):
        self.open_proxy()
        self.b.wait_for("daemon", DIRECT)

    def nft(self, name, rules):
        command(*self.bed.argv(name, ["nft", "-f", "-"]), text=rules)

    def cut(self, rule):
        """On the way between all networks."""
        self.nft("wan", f"table inet cut {{\n chain on_the_way {{\n  type filter hook forward "
                        f"priority filter\n  {rule}\n }}\n}}\n")

    def mend(self):
        self.nft("wan", "delete table inet cut")

    @contextlib.contextmanager
    def counting(self, seconds):
        """Counts what leaves b's NAT for the relay; yields a list that gets the number."""
        self.nft("b-nat", f"table ip count {{\n chain out {{\n  type filter hook postrouting "
                          f"priority filter\n  ip daddr {RELAY} counter\n }}\n}}\n")
        result = []
        yield result
        text = command(*self.bed.argv("b-nat", ["nft", "list", "table", "ip", "count"]))
        result.append(int(re.search(r"counter packets (\d+)", text)[1]))
        if result[0] > seconds * PACKETS_PER_S + SLACK:
            raise Failed(f"{result[0]} packets in {seconds:.0f} s to a relay that is away")

    def reservations(self):
        return re.findall(RESERVED, self.b.log("daemon"))

    def start_relay(self):
        """Returns when it listens."""
        self.relay.start(self.program, "relay", "serve")
        self.relay.wait_for("relay", "Private relay running")
        return time.time()

    def reserved_after(self, began, count):
        """Seconds from then to the next reservation but `count`."""
        deadline = time.monotonic() + READY_S
        while len(found := self.reservations()) <= count:
            if time.monotonic() > deadline:
                raise Failed(f"no reservation: {self.b.log('daemon')[-2000:]}")
            time.sleep(0.05)
        return max(0.0, told_at(found[count]).timestamp() - began)

    def exchanged_after(self, began):
        """Seconds from then until a new transfer has gone through; one begins each half second."""
        deadline = time.monotonic() + READY_S
        ended = threading.Event()
        threads = []
        while not ended.is_set() and time.monotonic() < deadline:
            threads.append(self.try_exchange(ended))
            ended.wait(0.5)
        seconds = time.monotonic() - began
        for thread in threads:
            thread.join()
        if not ended.is_set():
            raise Failed("no transfer goes through")
        return seconds

    def try_exchange(self, ended=None):
        """May fail: what it sends shows that something is wrong."""
        def run():
            with contextlib.suppress(Failed, subprocess.TimeoutExpired, BedError):
                self.exchange(self.port)
                if ended:
                    ended.set()
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread


@failure
def relay_restarted(lab):
    lab.relay.stop("relay")
    began = lab.start_relay()
    return "reservation", lab.reserved_after(began, 1), 5, ""


@failure
def relay_dies_and_comes_back(lab):
    with lab.counting(AWAY_S) as packets:
        lab.cut(f"ip saddr {RELAY} drop\nip daddr {RELAY} drop")
        lab.relay.children["relay"].kill()
        lab.relay.stop("relay")
        time.sleep(AWAY_S)
    count = len(lab.reservations())
    lab.mend()
    began = lab.start_relay()
    return "reservation", lab.reserved_after(began, count), 5, f"{packets[0]} packets while away"


@failure
def relay_refuses_then_authorizes(lab):
    count = len(lab.reservations())
    lab.relay.run("relay", "deauthorize", lab.b.run("whoami"))
    with lab.counting(REFUSED_S) as packets:
        time.sleep(REFUSED_S)
    lab.relay.run("relay", "authorize", lab.b.run("whoami"))
    began = time.time()
    return "reservation", lab.reserved_after(began, count), 25, f"{packets[0]} packets meanwhile"


@failure
def address_changes_in_mid_transfer(lab):
    lab.open_direct()
    slow = subprocess.Popen(lab.bed.argv("a", [sys.executable, "-c", SLOW_CLIENT, lab.port]),
                            stderr=subprocess.DEVNULL)
    time.sleep(2)
    old, new, router = (f"{lab.bed.networks['a']}.{n}" for n in (2, 7, 1))
    lab.bed.readdress("a", old, new, router)
    began = time.monotonic()
    seconds = lab.exchanged_after(began)
    survived = slow.wait(READY_S) == 0
    return "new transfer", seconds, 3, f"the old one {'went on' if survived else 'broke'}"


@failure
def udp_stops(lab):
    lab.open_direct()
    lab.cut("meta l4proto udp drop")
    began = time.monotonic()
    lab.try_exchange()
    time.sleep(5)
    later = time.monotonic()
    return "new transfer, begun after 5 s", lab.exchanged_after(later), 5, \
        f"{time.monotonic() - began:.1f} s in all"


udp_stops.kinds = CONE, PUBLIC


@failure
def one_way_partition(lab):
    lab.open_direct()
    lab.cut(f"ip saddr {lab.bed.outside('b')} ip daddr {lab.bed.outside('a')} drop")
    began = time.monotonic()
    seconds = lab.exchanged_after(began)
    lab.mend()
    lab.exchange(lab.port)
    return "new transfer, by the relay", seconds, 10, ""


def run_once(program, function):
    folder = Path(tempfile.mkdtemp(prefix="peerup-failures-"))
    lab = None
    try:
        lab = Lab(program, folder, getattr(function, "kinds", (CONE, CONE)))
        what, seconds, bound, remark = function(lab)
        if seconds > bound:
            raise Failed(f"{what} after {seconds:.2f} s, not {bound} s")
        return f"{what} after {seconds:.2f} s (bound {bound} s){', ' if remark else ''}{remark}"
    finally:
        if lab:
            lab.close()
        shutil.rmtree(folder, ignore_errors=True)


def run_failure(program, function):
    """Returns whether it went as it should."""
    name = function.__name__.replace("_", " ")
    for attempt in range(TRIES):
        try:
            text = run_once(program, function)
        except (Failed, BedError, subprocess.TimeoutExpired) as e:
            with PRINTING:
                print(f"{'again' if attempt + 1 < TRIES else 'FAILED':7}{name}: {e}", flush=True)
            continue
        with PRINTING:
            print(f"{'ok':7}{name:34}{text}", flush=True)
        return True
    return False


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program", type=Path)
    p.add_argument("--only", default="", metavar="REGEX", help="failures whose name matches")
    args = p.parse_args()
    reason = unavailable()
    if reason:
        print(f"failures: skipped: {reason}")
        return EXIT_SKIPPED
    wanted = [f for f in FAILURES if re.search(args.only, f.__name__)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = list(pool.map(lambda f: run_failure(args.program.resolve(), f), wanted))
    print(f"\nfailures: {sum(done)} passed, {len(done) - sum(done)} failed, 0 skipped")
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
