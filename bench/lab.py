# SPDX-License-Identifier: MIT
"""Two network namespaces joined by a veth pair or an emulated link, and the processes in them.

Side "a" is where the service is, side "b" where its user is.  Of a relay's path, "r" stands between
them: both have a veth pair or an emulated link to it, and no way past it there.  Everything made here is removed by
Lab.close(); namespaces that a killed run left are removed by the next one, as the lock allows no two.
"""

import ctypes
import fcntl
import glob
import json
import os
import re
import signal
import subprocess
import tempfile
import time

from tools import EMULATOR

LOCK_PATH = "/tmp/peerup-bench.lock"
NAMESPACE_PREFIX = "peerup-bench-"
DEVICE = "bench0"
ADDRESSES = {"a": "10.90.0.1", "b": "10.90.0.2"}
RELAY_ADDRESS = "10.91.0.3"
RELAYED_ADDRESSES = {"a": "10.91.0.1", "b": "10.91.0.2"}  # which only the relay has a route to
# cubic: where the host's default is BBR it slows veth.  Ports and TIME_WAIT: the connection rate
# must not be the ephemeral range's.  UDP buffers need nothing: as root a program forces its own.
SYSCTLS = {
    "net/ipv4/tcp_congestion_control": "cubic",
    "net/ipv4/ip_local_port_range": "15000 65535",
    "net/ipv4/tcp_tw_reuse": "1",
    "net/ipv4/tcp_max_tw_buckets": "8192",
}
# A path of 1 Gbit/s and 60 ms holds 7.5 MB, twice what the kernel lets a TCP socket send ahead by
# default, and its accounting counts about twice the payload.
LINK_SYSCTLS = {
    "net/ipv4/tcp_rmem": "4096 131072 67108864",
    "net/ipv4/tcp_wmem": "4096 65536 67108864",
}
# A namespace may choose only what the host's list allows; the list is put back at the end.
ALLOWED_CONGESTION = "/proc/sys/net/ipv4/tcp_allowed_congestion_control"
REAL_PACKETS = ["tso", "off", "gso", "off", "gro", "off", "tx-udp-segmentation", "off"]
# A sender's whole window may come at once; the device keeps it until the emulator has read it.
LINK_BURST_PACKETS = "10000"
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PR_SET_PDEATHSIG = 1
TCP_LISTEN = "0A"  # in /proc/net/tcp


class BenchError(Exception):
    """A measurement or a start that failed; the text is for the user."""


def take_lock():
    """Waits until no other harness measures on this machine."""
    fd = os.open(LOCK_PATH, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("waiting for another benchmark to end ...", flush=True)
        fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def command(*argv):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(argv)}: {done.stdout.strip()}")
    return done.stdout


def read_text(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write_text(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def process_tree(pid):
    """A process and its descendants; those whose parent ended are not found."""
    found = [pid]
    for parent in found:
        for children in glob.glob(f"/proc/{parent}/task/*/children"):
            found += map(int, read_text(children).split())
    return found


def cpu_ticks(pid):
    fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def resident_bytes(pid):
    return int(read_text(f"/proc/{pid}/statm").split()[1]) * PAGE_BYTES


def popen(argv, **options):
    return subprocess.Popen(argv, start_new_session=True, preexec_fn=die_with_parent, **options)


class Process:
    """A program in a namespace, its output in a file."""

    def __init__(self, name, popen, log_path):
        self.name = name
        self.popen = popen
        self.pid = popen.pid
        self.log_path = log_path

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def check(self):
        if self.popen.poll() is not None:
            raise BenchError(f"{self.name} ended with status {self.popen.returncode}:\n"
                             + self.log()[-2000:])

    def cpu_seconds(self):
        """User and system time of all its threads, also of those that ended, and of the processes
        that it started and that still run."""
        self.check()
        return sum(cpu_ticks(pid) for pid in process_tree(self.pid)) / CLOCK_TICKS

    def resident_mib(self):
        self.check()
        return sum(resident_bytes(pid) for pid in process_tree(self.pid)) / 2**20

    def wait_line(self, pattern, timeout_s=20):
        """The first match of a regular expression in its output."""
        return self._wait(lambda: re.search(pattern, self.log(), re.MULTILINE), timeout_s,
                          f"no line like {pattern!r}")

    def wait_udp(self, port, timeout_s=20):
        """Until a UDP port is bound in its namespace."""
        return self._wait(lambda: self._has_socket("udp", port), timeout_s, f"no UDP port {port}")

    def wait_tcp(self, port, timeout_s=20):
        """Until a TCP port is listened on in its namespace; connections of before may still be there."""
        return self._wait(lambda: self._has_socket("tcp", port, TCP_LISTEN), timeout_s,
                          f"no TCP port {port}")

    def _has_socket(self, kind, port, state=None):
        for table in (kind, kind + "6"):
            sockets = map(str.split, read_text(f"/proc/{self.pid}/net/{table}").splitlines())
            if any(fields[1].endswith(f":{port:04X}") and state in (None, fields[3])
                   for fields in sockets):
                return True
        return False

    def _wait(self, condition, timeout_s, complaint):
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            self.check()
            found = condition()
            if found:
                return found
            time.sleep(0.002)
        raise BenchError(f"{self.name}: {complaint} in {timeout_s} s\n" + self.log()[-2000:])

    def stop(self):
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(timeout=3)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        self.popen.wait()


def remove_namespaces(prefix):
    for line in command("ip", "netns", "list").splitlines():
        name = line.split()[0]
        if name.startswith(prefix):
            command("ip", "netns", "del", name)


def remove_stale_namespaces():
    """For the holder of the lock: nobody else's can be in use."""
    remove_namespaces(NAMESPACE_PREFIX)


class Lab:
    def __init__(self, real_packets=False, link=None, log_packets=False, prefix=NAMESPACE_PREFIX,
                 relay_links=None):
        """`link` is a specification of bench/emulator/spec.h, or None for a veth pair;
        `relay_links` are those of the sides' links to a relay, if they have others."""
        self.real_packets = real_packets
        self.link = link
        self.relay_links = relay_links or {side: link for side in "ab"}
        self.log_packets = log_packets
        self.emulator = None
        self.relay_emulators = []
        self.start_time = 0.0
        self.dial_ns = 0
        self.processes = []
        self.scratch = tempfile.TemporaryDirectory(prefix=prefix)
        self.packet_log = os.path.join(self.scratch.name, "packets")
        self.prefix = f"{prefix}{os.getpid()}-"
        self.namespaces = {side: self.prefix + side for side in "ab"}
        self.allowed_congestion = read_text(ALLOWED_CONGESTION)
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self):
        if "cubic" not in self.allowed_congestion.split():
            write_text(ALLOWED_CONGESTION, self.allowed_congestion.strip() + " cubic")
        for namespace in self.namespaces.values():
            command("ip", "netns", "add", namespace)
        log = ["--log", self.packet_log] if self.log_packets else []
        self.emulator = self._join(self.namespaces["a"], self.namespaces["b"], DEVICE, self.link,
                                   *log)
        for side, namespace in self.namespaces.items():
            self._set_sysctls(namespace, self._sysctls())
            command("ip", "-n", namespace, "link", "set", "lo", "up")
            self._set_up(namespace, DEVICE, ADDRESSES[side] + "/24")

    def _sysctls(self):
        return {**SYSCTLS, **(LINK_SYSCTLS if self.link else {})}

    @staticmethod
    def _set_sysctls(namespace, sysctls):
        writes = [f"echo '{value}' > /proc/sys/{key}" for key, value in sysctls.items()]
        command("ip", "netns", "exec", namespace, "sh", "-e", "-c", "\n".join(writes))

    def _set_up(self, namespace, device, *address):
        # What only the kernel would say there is no part of a measurement.
        self._set_sysctls(namespace, {f"net/ipv6/conf/{device}/disable_ipv6": "1"})
        command("ip", "-n", namespace, "addr", "add", *address, "dev", device)
        command("ip", "-n", namespace, "link", "set", device, "up")
        if self.real_packets:
            command("ip", "netns", "exec", namespace, "ethtool", "-K", device, *REAL_PACKETS)

    def add_relay(self):
        """Makes the side "r", once."""
        if "r" in self.namespaces:
            return
        sides, relay = dict(self.namespaces), self.prefix + "r"
        command("ip", "netns", "add", relay)
        self.namespaces["r"] = relay
        self._set_sysctls(relay, self._sysctls())
        for side, namespace in sides.items():
            device = "relay-" + side
            emulator = self._join(namespace, relay, device, self.relay_links[side])
            if emulator:
                self.relay_emulators.append(emulator)
            address = RELAYED_ADDRESSES[side]
            self._set_up(namespace, device, address, "peer", RELAY_ADDRESS)
            self._set_up(relay, device, RELAY_ADDRESS, "peer", address)

    def _join(self, one, other, device, link, *options):
        """Joins two namespaces by a device of that name in both; returns the emulator, if any."""
        if not link:
            command("ip", "link", "add", device, "netns", one, "type", "veth",
                    "peer", "name", device, "netns", other)
            return None
        emulator = self._start("emulator", [EMULATOR, *options, one, other, device, link])
        emulator.wait_line("^ready$")
        for namespace in (one, other):
            command("ip", "-n", namespace, "link", "set", device, "txqueuelen", LINK_BURST_PACKETS)
        return emulator

    def emulators(self):
        return [*([self.emulator] if self.emulator else []), *self.relay_emulators]

    def stop_emulator(self):
        """Ends the link; returns what it counted, by the sending side."""
        emulator, self.emulator = self.emulator, None
        emulator.stop()
        return json.loads(emulator.log().splitlines()[-1])

    def mark_start(self):
        """The moment that "first byte after start" counts from; a contestant may call it again
        after its preparations."""
        self.start_time = time.monotonic()
        self.mark_dial()

    def mark_dial(self):
        """The moment before side "b" says its first word."""
        self.dial_ns = time.monotonic_ns()

    def directory(self, name):
        return tempfile.mkdtemp(prefix=name + "-", dir=self.scratch.name)

    def _enter(self, side, argv):
        return ["ip", "netns", "exec", self.namespaces[side], *argv]

    def popen(self, side, argv, **options):
        return popen(self._enter(side, argv), **options)

    def _start(self, name, argv, env=None):
        log_fd, log_path = tempfile.mkstemp(prefix="log-", dir=self.scratch.name)
        started = popen(argv, stdin=subprocess.DEVNULL, stdout=log_fd, stderr=subprocess.STDOUT,
                        env={**os.environ, **(env or {})})
        os.close(log_fd)
        return Process(name, started, log_path)

    def spawn(self, name, side, argv, env=None):
        process = self._start(name, self._enter(side, argv), env)
        self.processes.append(process)
        return process

    def stop(self):
        """Ends every process, the last started first."""
        while self.processes:
            self.processes.pop().stop()

    def close(self):
        self.stop()
        for emulator in self.emulators():
            emulator.stop()
        remove_namespaces(self.prefix)
        write_text(ALLOWED_CONGESTION, self.allowed_congestion)
        self.scratch.cleanup()
