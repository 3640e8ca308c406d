# SPDX-License-Identifier: MIT
"""Two network namespaces joined by a veth pair, and the processes in them.

Side "a" is where the service is, side "b" where its user is.  Everything made here is removed by
Lab.close(); namespaces that a killed run left are removed by the next one, as the lock allows no two.
"""

import ctypes
import fcntl
import os
import re
import signal
import subprocess
import tempfile
import time

LOCK_PATH = "/tmp/peerup-bench.lock"
NAMESPACE_PREFIX = "peerup-bench-"
ADDRESSES = {"a": "10.90.0.1", "b": "10.90.0.2"}
# cubic: where the host's default is BBR it slows veth.  Ports and TIME_WAIT: the connection rate
# must not be the ephemeral range's.  UDP buffers need nothing: as root a program forces its own.
SYSCTLS = {
    "net/ipv4/tcp_congestion_control": "cubic",
    "net/ipv4/ip_local_port_range": "15000 65535",
    "net/ipv4/tcp_tw_reuse": "1",
    "net/ipv4/tcp_max_tw_buckets": "8192",
}
# A namespace may choose only what the host's list allows; the list is put back at the end.
ALLOWED_CONGESTION = "/proc/sys/net/ipv4/tcp_allowed_congestion_control"
REAL_PACKETS = ["tso", "off", "gso", "off", "gro", "off", "tx-udp-segmentation", "off"]
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PR_SET_PDEATHSIG = 1


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
        """User and system time of all its threads, also of those that ended."""
        self.check()
        fields = read_text(f"/proc/{self.pid}/stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def resident_mib(self):
        self.check()
        return int(read_text(f"/proc/{self.pid}/statm").split()[1]) * PAGE_BYTES / 2**20

    def wait_line(self, pattern, timeout_s=20):
        """The first match of a regular expression in its output."""
        return self._wait(lambda: re.search(pattern, self.log(), re.MULTILINE), timeout_s,
                          f"no line like {pattern!r}")

    def wait_udp(self, port, timeout_s=20):
        """Until a UDP port is bound in its namespace."""
        return self._wait(lambda: self._has_socket("udp", port), timeout_s, f"no UDP port {port}")

    def wait_tcp(self, port, timeout_s=20):
        """Until a TCP port is bound in its namespace."""
        return self._wait(lambda: self._has_socket("tcp", port), timeout_s, f"no TCP port {port}")

    def _has_socket(self, kind, port):
        for table in (kind, kind + "6"):
            sockets = read_text(f"/proc/{self.pid}/net/{table}").splitlines()
            if any(line.split()[1].endswith(f":{port:04X}") for line in sockets):
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


class Lab:
    def __init__(self, real_packets):
        self.real_packets = real_packets
        self.start_time = 0.0
        self.processes = []
        self.scratch = tempfile.TemporaryDirectory(prefix=NAMESPACE_PREFIX)
        self.namespaces = {side: f"{NAMESPACE_PREFIX}{os.getpid()}-{side}" for side in "ab"}
        self._remove_namespaces(NAMESPACE_PREFIX)
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
        a, b = self.namespaces["a"], self.namespaces["b"]
        command("ip", "link", "add", "veth0", "netns", a, "type", "veth",
                "peer", "name", "veth0", "netns", b)
        for side, namespace in self.namespaces.items():
            command("ip", "-n", namespace, "link", "set", "lo", "up")
            command("ip", "-n", namespace, "addr", "add", ADDRESSES[side] + "/24", "dev", "veth0")
            command("ip", "-n", namespace, "link", "set", "veth0", "up")
            writes = [f"echo '{value}' > /proc/sys/{key}" for key, value in SYSCTLS.items()]
            command("ip", "netns", "exec", namespace, "sh", "-e", "-c", "\n".join(writes))
            if self.real_packets:
                command("ip", "netns", "exec", namespace, "ethtool", "-K", "veth0", *REAL_PACKETS)

    @staticmethod
    def _remove_namespaces(prefix):
        for line in command("ip", "netns", "list").splitlines():
            name = line.split()[0]
            if name.startswith(prefix):
                command("ip", "netns", "del", name)

    def mark_start(self):
        """The moment that "first byte after start" counts from; a contestant may call it again
        after its preparations."""
        self.start_time = time.monotonic()

    def directory(self, name):
        return tempfile.mkdtemp(prefix=name + "-", dir=self.scratch.name)

    def popen(self, side, argv, **options):
        return subprocess.Popen(["ip", "netns", "exec", self.namespaces[side], *argv],
                                start_new_session=True, preexec_fn=die_with_parent, **options)

    def spawn(self, name, side, argv, env=None):
        log_fd, log_path = tempfile.mkstemp(prefix="log-", dir=self.scratch.name)
        popen = self.popen(side, argv, stdin=subprocess.DEVNULL, stdout=log_fd,
                           stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        os.close(log_fd)
        process = Process(name, popen, log_path)
        self.processes.append(process)
        return process

    def stop(self):
        """Ends every process, the last started first."""
        while self.processes:
            self.processes.pop().stop()

    def close(self):
        self.stop()
        self._remove_namespaces(f"{NAMESPACE_PREFIX}{os.getpid()}-")
        write_text(ALLOWED_CONGESTION, self.allowed_congestion)
        self.scratch.cleanup()
