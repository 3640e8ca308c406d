# SPDX-License-Identifier: MIT
"""The bed's NATs behave as their names say.  Exits with 77 where there can be no bed."""

import contextlib
import subprocess
import sys
import unittest

from bed import CONE, DOUBLE, FIREWALL6, NO_UDP, PUBLIC, RANDOM, Bed, BedError, command, unavailable

EXIT_SKIPPED = 77
PORT = 4001
ANSWER_S = 5

# A UDP socket at the address, told what to do by lines: "send IP PORT TEXT" and "get SECONDS",
# which tells who sent what, or that nobody did.
AGENT = f"""
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], {PORT}))
print("bound", flush=True)
for line in sys.stdin:
    word, *rest = line.split()
    if word == "send":
        s.sendto(rest[2].encode(), (rest[0], int(rest[1])))
        print("sent", flush=True)
        continue
    s.settimeout(float(rest[0]))
    try:
        text, (host, port) = s.recvfrom(2000)
        print(host, port, text.decode(), flush=True)
    except TimeoutError:
        print("nothing", flush=True)
"""


class Agent:
    def __init__(self, bed, name):
        self.child = subprocess.Popen(
            bed.argv(name, [sys.executable, "-c", AGENT, bed.address(name)]), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._expect("bound")

    def _answer(self):
        return self.child.stdout.readline().strip()

    def _expect(self, answer):
        got = self._answer()
        if got != answer:
            raise AssertionError(f"{got!r} instead of {answer!r}")

    def send(self, host, port, text):
        print("send", host, port, text, file=self.child.stdin, flush=True)
        self._expect("sent")

    def get(self, seconds=ANSWER_S):
        """(host, port, text), or None."""
        print("get", seconds, file=self.child.stdin, flush=True)
        answer = self._answer()
        if answer == "nothing":
            return None
        host, port, text = answer.split()
        return host, int(port), text

    def close(self):
        self.child.stdin.close()
        self.child.wait()
        self.child.stdout.close()


class BedTest(unittest.TestCase):
    def build(self, **hosts):
        bed = Bed(hosts)
        self.addCleanup(bed.close)
        agents = [Agent(bed, name) for name in hosts]
        for agent in agents:
            self.addCleanup(agent.close)
        return bed, *agents

    def seen(self, bed, agent, name, by, at):
        """Under which port one host sees another."""
        agent.send(at, PORT, "hello")
        host, port, text = by.get()
        self.assertEqual((host, text), (bed.outside(name), "hello"))
        return port

    def test_a_cone_keeps_the_port_whoever_is_asked(self):
        bed, a, x, y = self.build(a=CONE, x=PUBLIC, y=PUBLIC)
        self.assertEqual(self.seen(bed, a, "a", x, bed.address("x")), PORT)
        self.assertEqual(self.seen(bed, a, "a", y, bed.address("y")), PORT)

    def test_a_random_one_shows_each_another_port(self):
        bed, a, x, y = self.build(a=RANDOM, x=PUBLIC, y=PUBLIC)
        at_x = self.seen(bed, a, "a", x, bed.address("x"))
        self.assertNotEqual(at_x, self.seen(bed, a, "a", y, bed.address("y")))
        x.send(bed.outside("a"), at_x, "answer")
        self.assertEqual(a.get()[2], "answer")

    def test_only_who_was_asked_gets_in(self):
        bed, a, x, y = self.build(a=CONE, x=PUBLIC, y=PUBLIC)
        port = self.seen(bed, a, "a", x, bed.address("x"))
        y.send(bed.outside("a"), port, "unasked")
        x.send(bed.outside("a"), port, "answer")
        self.assertEqual(a.get()[2], "answer")

    def test_two_cones_let_in_whom_their_hosts_wrote_to(self):
        bed, a, b = self.build(a=CONE, b=CONE)
        a.send(bed.outside("b"), PORT, "lost")
        b.send(bed.outside("a"), PORT, "first")
        self.assertEqual(a.get(), (bed.outside("b"), PORT, "first"))
        a.send(bed.outside("b"), PORT, "second")
        self.assertEqual(b.get(), (bed.outside("a"), PORT, "second"))

    def test_what_was_dropped_does_not_take_the_port(self):
        bed, a, x = self.build(a=CONE, x=PUBLIC)
        for _ in range(3):
            x.send(bed.outside("a"), PORT, "unasked")
        self.assertEqual(self.seen(bed, a, "a", x, bed.address("x")), PORT)

    def test_a_random_one_and_a_cone_never_meet(self):
        bed, a, b = self.build(a=RANDOM, b=CONE)
        for _ in range(2):
            a.send(bed.outside("b"), PORT, "lost")
            b.send(bed.outside("a"), PORT, "lost")
        self.assertIsNone(a.get(0.2))
        self.assertIsNone(b.get(0.2))

    def test_two_nats_keep_the_port_as_one_does(self):
        bed, a, x, y = self.build(a=DOUBLE, x=PUBLIC, y=PUBLIC)
        self.assertEqual(self.seen(bed, a, "a", x, bed.address("x")), PORT)
        self.assertEqual(self.seen(bed, a, "a", y, bed.address("y")), PORT)
        x.send(bed.outside("a"), PORT, "answer")
        self.assertEqual(a.get()[2], "answer")

    def test_where_udp_is_blocked_it_gets_nowhere(self):
        bed, a, x = self.build(a=NO_UDP, x=PUBLIC)
        a.send(bed.address("x"), PORT, "lost")
        self.assertIsNone(x.get(0.2))
        connect = f"import socket; socket.create_connection(('{bed.address('x')}', 9), 5)"
        with self.assertRaisesRegex(BedError, "ConnectionRefusedError"):
            command(*bed.argv("a", [sys.executable, "-c", connect]))

    def test_a_firewall_lets_no_ipv6_in_that_was_not_asked_for(self):
        bed, *_ = self.build(a=FIREWALL6, x=PUBLIC)
        inside = bed.address6("a")
        connect = "import socket; socket.create_connection(('{}', 9), 1)"
        with self.assertRaisesRegex(BedError, "ConnectionRefusedError"):
            command(*bed.argv("a", [sys.executable, "-c", connect.format(bed.address6("x"))]))
        with self.assertRaisesRegex(BedError, "imed out"):
            command(*bed.argv("x", [sys.executable, "-c", connect.format(inside)]))

    def test_a_forwarded_port_lets_anybody_in(self):
        bed, a, x = self.build(a=RANDOM, x=PUBLIC)
        bed.forward("a", "udp", PORT)
        x.send(bed.outside("a"), PORT, "knock")
        self.assertEqual(a.get(), (bed.address("x"), PORT, "knock"))

    def test_nothing_leaves(self):
        with contextlib.closing(Bed({"a": CONE})) as bed:
            with self.assertRaisesRegex(BedError, "unreachable"):
                command(*bed.argv("wan", ["ip", "route", "get", "8.8.8.8"]))

    def test_a_closed_bed_leaves_no_namespace(self):
        bed = Bed({"a": CONE, "x": PUBLIC})
        self.assertIn(bed.prefix, command("ip", "netns", "list"))
        prefix = bed.prefix
        bed.close()
        self.assertNotIn(prefix, command("ip", "netns", "list"))


def main():
    reason = unavailable()
    if reason:
        print(f"bed: skipped: {reason}")
        return EXIT_SKIPPED
    result = unittest.TextTestRunner(sys.stdout, verbosity=2).run(
        unittest.defaultTestLoader.loadTestsFromTestCase(BedTest))
    bad = len(result.failures) + len(result.errors)
    print(f"bed: {result.testsRun - bad} passed, {bad} failed, 0 skipped")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
