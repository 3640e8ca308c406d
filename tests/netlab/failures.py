# SPDX-License-Identifier: MIT
"""What fails, and how soon the program is over it, as users run it: decision 6 in the network lab.

    failures.py build/dev/peerup
    failures.py build/release/peerup --only relay
    failures.py build/dev/peerup --clock-shim build/dev/tests/netlab/clock_shim.so --only clock

Prints a line for each: what was waited for, how long it took, the bound, and what was sent meanwhile.
Exits with 77 where there can be no bed.
"""

import argparse
import contextlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

from bed import CONE, PUBLIC, BedError, command, unavailable
from pairs import PRINTING, READY_S, RESERVED, TRIES, Failed, Pair, told_at

EXIT_SKIPPED = 77
AT_ONCE = 3
AWAY_S = 40  # by then it is found dead
REFUSED_S = 20
STOPPED_S = 60
IDLE_S = 3
SETTLED_S = 11  # a relay whose connections end sooner is asked less often
DAY_S = 86400
EXPIRES_S = 65  # what ends by the wall clock is looked at each minute
RELAY = "45.32.10.0/24"
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


class Clock:
    """A wall clock of its own for what a place starts (clock_shim.c)."""

    def __init__(self, place, shim):
        self.path = place.home / "clock"
        self.set_ahead(0)
        place.env |= {"LD_PRELOAD": str(shim), "CLOCK_SHIM": str(self.path)}
        # Where the program has one, its sanitizer wants to come first.
        place.env["ASAN_OPTIONS"] = place.env.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"

    def set_ahead(self, seconds):
        """Jumps: in place, since it is mapped."""
        with open(self.path, "r+b" if self.path.exists() else "wb") as f:
            f.write(struct.pack("=q", seconds))


class Lab(Pair):
    def __init__(self, program, folder, kinds, shim):
        super().__init__(program, *kinds, folder)
        if shim:
            self.clocks = {p.name: Clock(p, shim) for p in (self.relay, self.a, self.b)}
        self.set_up()

    def open_proxy(self):
        self.port = super().open_proxy()
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
        super().start_relay()
        return time.time()

    def reserved_after(self, began, count):
        """Seconds from then to the next reservation but `count`."""
        deadline = time.monotonic() + READY_S
        while len(found := self.reservations()) <= count:
            if time.monotonic() > deadline:
                raise Failed(f"no reservation: {self.b.log('daemon')[-2000:]}")
            time.sleep(0.05)
        return max(0.0, told_at(found[count]).timestamp() - began)

    def reserved_from_now(self, count):
        """The same, whatever the clocks say."""
        began = time.monotonic()
        self.reserved_after(0, count)
        return time.monotonic() - began

    def begin_slow(self):
        return subprocess.Popen(self.bed.argv("a", [sys.executable, "-c", SLOW_CLIENT, self.port]),
                                stderr=subprocess.DEVNULL)

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
    slow = lab.begin_slow()
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


@failure
def daemon_killed_under_an_idle_proxy(lab):
    """Of whose end the proxy knows nothing: its first client is served all the same."""
    lab.open_direct()
    time.sleep(IDLE_S)
    lab.b.children["daemon"].kill()
    lab.b.stop("daemon")
    lab.b.start(lab.program, "daemon")  # whose log begins anew
    lab.b.wait_for("daemon", RESERVED)
    began = time.monotonic()
    lab.exchange(lab.port)
    return "its first client", time.monotonic() - began, 10, ""


@failure
def daemon_stopped_for_a_minute(lab):
    lab.open_direct()
    count = len(lab.reservations())
    lab.b.children["daemon"].send_signal(signal.SIGSTOP)
    time.sleep(STOPPED_S)
    lab.b.children["daemon"].send_signal(signal.SIGCONT)
    began = time.monotonic()
    reserved = lab.reserved_from_now(count)
    lab.exchanged_after(began)
    return "reservation", reserved, 5, f"a transfer after {time.monotonic() - began:.1f} s"


@failure
def clocks_jump_in_mid_transfer(lab):
    lab.open_direct()
    slow = lab.begin_slow()
    longest = 0.0
    for clock in lab.clocks.values():
        for ahead in (DAY_S, -DAY_S, 0):
            clock.set_ahead(ahead)
            longest = max(longest, lab.exchanged_after(time.monotonic()))
    if slow.wait(READY_S) != 0:
        raise Failed("the transfer broke")
    if "reservation on the relay lost" in lab.b.log("daemon"):
        raise Failed("the reservation is lost")
    return "new transfer", longest, 2, "the old one went on"


@failure
def clocks_differ_and_relay_restarts(lab):
    longest = 0.0
    for relay, client in ((DAY_S, 0), (-DAY_S, 0), (0, -DAY_S), (0, DAY_S)):
        time.sleep(SETTLED_S)
        lab.clocks["relay"].set_ahead(relay)
        lab.clocks["b"].set_ahead(client)
        count = len(lab.reservations())
        lab.relay.stop("relay")
        lab.start_relay()
        longest = max(longest, lab.reserved_from_now(count))
    return "reservation", longest, 5, ""


@failure
def clock_jumps_over_the_end_of_a_right(lab):
    lab.open_direct()
    until = datetime.now(timezone.utc) + timedelta(hours=1)
    path = next(lab.b.home.rglob("authorized_keys"))
    peer = lab.a.run("whoami")
    lines = [f"{line} expires={until:%Y-%m-%dT%H:%M:%SZ}" if line.startswith(peer) else line
             for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")
    lab.exchange(lab.port)
    lab.clocks["b"].set_ahead(DAY_S)
    began = time.monotonic()
    with contextlib.suppress(Failed):
        while time.monotonic() < began + 2 * EXPIRES_S:
            lab.exchange(lab.port)
            time.sleep(1)
    seconds = time.monotonic() - began
    lab.clocks["b"].set_ahead(0)
    lab.exchanged_after(time.monotonic())
    return "no transfer any more", seconds, EXPIRES_S, "and again when it jumped back"


def run_once(program, function, shim):
    folder = Path(tempfile.mkdtemp(prefix="peerup-failures-"))
    lab = None
    try:
        lab = Lab(program, folder, getattr(function, "kinds", (CONE, CONE)), shim)
        what, seconds, bound, remark = function(lab)
        if seconds > bound:
            raise Failed(f"{what} after {seconds:.2f} s, not {bound} s")
        return f"{what} after {seconds:.2f} s (bound {bound} s){', ' if remark else ''}{remark}"
    finally:
        if lab:
            lab.close()
        shutil.rmtree(folder, ignore_errors=True)


def run_failure(program, function, shim):
    """Returns whether it went as it should."""
    name = function.__name__.replace("_", " ")
    for attempt in range(TRIES):
        try:
            text = run_once(program, function, shim)
        except (Failed, BedError, subprocess.TimeoutExpired) as e:
            with PRINTING:
                print(f"{'again' if attempt + 1 < TRIES else 'FAILED':7}{name}: {e}", flush=True)
            continue
        with PRINTING:
            print(f"{'ok':7}{name:36}{text}", flush=True)
        return True
    return False


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program", type=Path)
    p.add_argument("--only", default="", metavar="REGEX", help="failures whose name matches")
    p.add_argument("--clock-shim", type=Path, metavar="FILE",
                   help="clock_shim.c as a shared object; without it no clock jumps")
    args = p.parse_args()
    reason = unavailable()
    if reason:
        print(f"failures: skipped: {reason}")
        return EXIT_SKIPPED
    shim = args.clock_shim and args.clock_shim.resolve()
    wanted = [f for f in FAILURES if re.search(args.only, f.__name__)
              and (shim or not f.__name__.startswith("clock"))]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = list(pool.map(lambda f: run_failure(args.program.resolve(), f, shim), wanted))
    print(f"\nfailures: {sum(done)} passed, {len(done) - sum(done)} failed, 0 skipped")
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
