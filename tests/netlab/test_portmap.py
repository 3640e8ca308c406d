# SPDX-License-Identifier: MIT
"""usage: test_portmap.py PROGRAM: a daemon behind a gateway has its ports mapped, and a stranger on
the internet comes in by them.  Exits with 77 where there can be no bed."""

import contextlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

from bed import CONE, PUBLIC, Bed, command, unavailable

EXIT_SKIPPED = 77
PATIENCE_S = 30
PORT = 4001
PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve()) if len(sys.argv) > 1 else "peerup"
HERE = pathlib.Path(__file__).parent


class Node:
    """A home of its own in one of the bed's hosts."""

    def __init__(self, bed, host, folder):
        self.bed, self.host, self.folder = bed, host, pathlib.Path(folder)
        self.folder.mkdir()
        self.env = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
        self.env |= {"HOME": str(folder), "PATH": os.environ["PATH"]}
        self.run("init", "--no-relay")
        self.id = self.run("whoami").strip()
        self.config = next(self.folder.glob(".config/*/config.yaml"))

    def argv(self, *args):
        return self.bed.argv(self.host, [PROGRAM, *args])

    def run(self, *args):
        done = subprocess.run(self.argv(*args), env=self.env, capture_output=True, text=True,
                              check=False, timeout=PATIENCE_S)
        if done.returncode != 0:
            raise AssertionError(f"{args}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def listen(self, *addresses):
        items = "".join(f'    - "{a}"\n' for a in addresses)
        text = re.sub(r"(  listen_addresses:\n)(    - .*\n)+", rf"\g<1>{items}",
                      self.config.read_text())
        self.config.write_text(text)

    @contextlib.contextmanager
    def daemon(self):
        log = self.folder / "log"
        with log.open("w") as out:
            child = subprocess.Popen(self.argv("daemon"), env=self.env, stdout=out, stderr=out,
                                     stdin=subprocess.DEVNULL)
        try:
            yield Daemon(child, log)
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()


class Daemon:
    def __init__(self, child, log):
        self.child, self.log = child, log

    def wait_for(self, pattern):
        until = time.monotonic() + PATIENCE_S
        while not (found := re.search(pattern, self.log.read_text())):
            if time.monotonic() > until or self.child.poll() is not None:
                raise AssertionError(f"{pattern!r} is not in:\n{self.log.read_text()}")
            time.sleep(0.05)
        return found

    def resident_kib(self):
        status = pathlib.Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def stop(self):
        self.child.terminate()
        return self.child.wait(PATIENCE_S)


class Gateway:
    """What the NAT in front of "a" says to those who ask it for ports."""

    def __init__(self, bed, protocol):
        self.bed = bed
        for kind, ports in (("udp", "5351"), ("udp", "1900"), ("tcp", "5000")):
            command(*bed.argv("a-nat", ["nft", "add", "rule", "ip", "filter", "input", "iifname",
                                        "lan", kind, "dport", ports, "accept"]))
        self.child = subprocess.Popen(
            bed.argv("a-nat", [sys.executable, "-B", str(HERE / "gateway.py"), protocol,
                               bed.address("a").rsplit(".", 1)[0] + ".1", bed.outside("a")]),
            stdout=subprocess.PIPE, text=True)
        if self.line() != "ready":
            raise AssertionError("the gateway does not start")

    def line(self):
        return self.child.stdout.readline().strip()

    def close(self):
        self.child.kill()
        self.child.wait()
        self.child.stdout.close()


class Portmap(unittest.TestCase):
    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.bed = stack.enter_context(contextlib.closing(Bed({"a": CONE, "b": PUBLIC})))
        self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.stack = stack

    def _start(self, protocol):
        self.gateway = self.stack.enter_context(contextlib.closing(Gateway(self.bed, protocol)))
        a = Node(self.bed, "a", self.folder / "a")
        a.listen(f"/ip4/0.0.0.0/udp/{PORT}/quic-v1", f"/ip4/0.0.0.0/tcp/{PORT}")
        return a

    def _maps(self):
        """What is granted: the port outside, by the name of the protocol."""
        granted = {}
        for _ in range(2):
            word, kind, outside, inside = self.gateway.line().split()
            self.assertEqual((word, inside), ("map", str(PORT)))
            granted[kind] = int(outside)
            self.bed.forward("a", kind, int(outside), PORT)
        self.assertEqual(set(granted), {"udp", "tcp"})
        return granted

    def _come_in(self, protocol):
        a = self._start(protocol)
        b = Node(self.bed, "b", self.folder / "b")
        a.run("auth", "add", b.id)
        ip = self.bed.outside("a")
        with a.daemon() as d:
            ports = self._maps()
            for kind, port in ports.items():
                d.wait_for(rf'msg="port mapped" protocol={kind} port={PORT} '
                           rf"external={re.escape(ip)}:{port} public=true")
            for address in (f"/ip4/{ip}/udp/{ports['udp']}/quic-v1", f"/ip4/{ip}/tcp/{ports['tcp']}"):
                said = b.run("ping", f"{address}/p2p/{a.id}", "-c", "1")
                self.assertRegex(said, r"seq=1 rtt=\S+ path=\[DIRECT\]")
            self.assertEqual(d.stop(), 0)
        forgotten = {self.gateway.line() for _ in range(2)}
        self.assertEqual(forgotten, {f"unmap {kind} {port}" for kind, port in ports.items()})
        return ports

    def test_by_pcp(self):
        self._come_in("pcp")

    def test_by_natpmp_where_the_gateway_knows_no_pcp(self):
        self._come_in("natpmp")

    def test_by_upnp_where_it_knows_neither(self):
        self.assertEqual(self._come_in("upnp"), {"udp": PORT, "tcp": PORT})

    def test_by_upnp_that_has_permanent_mappings_only(self):
        self._come_in("upnp-permanent")

    def test_by_upnp_under_another_port_where_the_wished_one_is_taken(self):
        self.assertNotIn(PORT, self._come_in("upnp-taken").values())

    def _give_up(self, kind):
        a = self._start(kind)
        with a.daemon() as d:
            self.assertEqual(self.gateway.line(), "described")
            d.wait_for(r'msg="port not mapped" protocol=\w+ port=4001 way=upnp')
            self.assertLess(d.resident_kib(), 200 << 10)
            self.assertEqual(d.stop(), 0)

    def test_a_gateway_that_drips_is_given_up(self):
        self._give_up("upnp-drips")

    def test_a_gateway_that_pours_is_given_up(self):
        self._give_up("upnp-pours")

    def test_a_gateway_that_sends_us_elsewhere_is_not_followed(self):
        a = self._start("upnp-elsewhere")
        with a.daemon() as d:
            d.wait_for(r'msg="port not mapped" protocol=\w+ port=4001 way=upnp')
            self.assertEqual(d.stop(), 0)

    def test_not_where_it_is_turned_off(self):
        gateway = self.stack.enter_context(contextlib.closing(Gateway(self.bed, "pcp")))
        a = Node(self.bed, "a", self.folder / "a")
        text = a.config.read_text()
        a.config.write_text(text.replace("network:\n", "network:\n  port_mapping: false\n"))
        with a.daemon() as d:
            d.wait_for("Listening on")
            self.assertEqual(d.stop(), 0)
        gateway.child.kill()
        self.assertEqual(gateway.child.stdout.read(), "")


if __name__ == "__main__":
    reason = unavailable()
    if reason is not None:
        print(f"skipped: {reason}")
        sys.exit(EXIT_SKIPPED)
    unittest.main()
