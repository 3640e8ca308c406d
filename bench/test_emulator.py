# SPDX-License-Identifier: MIT
"""What the link emulator does to packets is what it was asked for.

    test_emulator.py EMULATOR LOAD        the programs to test

Needs root, network namespaces and /dev/net/tun; exits 77 where one of them is missing."""

import contextlib
import json
import os
import subprocess
import sys
import unittest

import lab as lab_module
from lab import ADDRESSES, Lab

EXIT_SKIPPED = 77
PREFIX = "peerup-emulator-"
PORT = 9000
DATAGRAMS = 4000

# Sends numbered datagrams, slowly enough that no queue but the emulator's matters.
SENDER = f"""
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range({DATAGRAMS}):
    s.sendto(i.to_bytes(4, "big") + bytes(96), ("{ADDRESSES['a']}", {PORT}))
    if i % 20 == 19:
        time.sleep(0.001)
"""
RECEIVER = f"""
import json, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("{ADDRESSES['a']}", {PORT}))
s.settimeout(20)
print("bound", flush=True)
got = []
try:
    while True:
        got.append(int.from_bytes(s.recv(200)[:4], "big"))
        s.settimeout(1)
except TimeoutError:
    print(json.dumps(got))
"""


class Emulator(unittest.TestCase):
    def load(self, link, mode, count, seconds):
        with contextlib.closing(Lab(link=link, prefix=PREFIX)) as lab:
            service = lab.spawn("service", "a", [LOAD, "serve", "0.0.0.0", str(PORT)])
            service.wait_tcp(PORT)
            client = lab.popen("b", [LOAD, mode, ADDRESSES["a"], str(PORT), str(count),
                                     str(int(seconds * 1000))], stdout=subprocess.PIPE)
            return json.loads(client.communicate(timeout=60)[0])

    def datagrams(self, link):
        """The numbers that arrived, in their order, and what the emulator counted."""
        with contextlib.closing(Lab(link=link, prefix=PREFIX)) as lab:
            receiver = lab.spawn("receiver", "a", [sys.executable, "-c", RECEIVER])
            receiver.wait_line("^bound$")
            sender = lab.spawn("sender", "b", [sys.executable, "-c", SENDER])
            sender.popen.wait(timeout=60)
            receiver.popen.wait(timeout=60)
            counted = lab.stop_emulator()["b"]
            return json.loads(receiver.log().splitlines()[-1]), counted

    def test_a_round_trip_takes_the_delay_of_both_directions(self):
        echo = self.load("delay=10ms", "latency", 64, 1)
        self.assertGreaterEqual(echo["p50_us"], 20000)
        self.assertLess(echo["p50_us"], 23000)

    def test_a_stream_gets_the_rate_and_no_more(self):
        bulk = self.load("delay=2ms,rate=100mbit", "up", 1, 2)
        self.assertGreater(bulk["mbit_s"], 85)
        self.assertLess(bulk["mbit_s"], 100)

    def test_packets_are_lost_doubled_and_overtaken_as_often_as_asked(self):
        got, counted = self.datagrams(
            "delay=5ms,loss=5%,duplicate=5%,reorder=5%,reorder-by=10ms,seed=7")
        # Four standard deviations of a binomial of DATAGRAMS and 5 %.
        for fate in ("lost", "duplicated", "reordered"):
            self.assertAlmostEqual(counted[fate], DATAGRAMS / 20, delta=56, msg=fate)
        self.assertEqual(len(set(got)), DATAGRAMS - counted["lost"])
        self.assertEqual(len(got) - len(set(got)), counted["duplicated"])
        highest, overtaken = -1, set()
        for number in got:
            if number < highest:
                overtaken.add(number)
            highest = max(highest, number)
        # One that is held back among the last ones may be overtaken by nobody.
        self.assertAlmostEqual(len(overtaken), counted["reordered"], delta=5)

    def test_jitter_alone_keeps_the_order(self):
        got, _ = self.datagrams("delay=2ms,jitter=10ms")
        self.assertEqual(got, list(range(DATAGRAMS)))

    def test_the_same_seed_loses_the_same_packets(self):
        link = "delay=1ms,loss=10%,seed="
        first, again, other = (self.datagrams(link + seed)[0] for seed in ("1", "1", "2"))
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)

    def test_what_is_too_much_for_the_queue_is_dropped(self):
        got, counted = self.datagrams("rate=1mbit,queue=20kb")
        self.assertGreater(counted["overflowed"], 0)
        self.assertEqual(len(got), DATAGRAMS - counted["overflowed"])


def missing():
    """What the machine lacks, or None.  In a bare chroot, whose root is no mount point, namespaces
    can be made and not entered."""
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        return "the link emulator needs root and /dev/net/tun"
    name = f"{PREFIX}{os.getpid()}-probe"
    try:
        lab_module.command("ip", "netns", "add", name)
    except lab_module.BenchError as error:
        return f"no network namespaces: {error}"
    try:
        lab_module.command("ip", "netns", "exec", name, "true")
    except lab_module.BenchError as error:
        return f"network namespaces cannot be entered: {error}"
    finally:
        lab_module.command("ip", "netns", "delete", name)
    return None


if __name__ == "__main__":
    reason = missing()
    if reason:
        print(f"skipped: {reason}")
        sys.exit(EXIT_SKIPPED)
    LOAD = sys.argv.pop()
    lab_module.EMULATOR = sys.argv.pop()
    unittest.main()
