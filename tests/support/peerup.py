# SPDX-License-Identifier: MIT
"""The processes of a test: what any child has in common, and our daemon and client."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

READY_S = 15  # the longest that a process may take until it serves
STOP_S = 15  # the longest that a process may take to end after SIGTERM

# Test identity R of peerup-protocols.md section 1.1: a valid ID that no process here has.
NOBODY = "12D3KooWCKq9ZvccjmCqhBbPsrgpAKBHWQpgB61ruM19CyAvH1Cp"

ASSIGNED_PORTS = set()


class Failed(Exception):
    """The cell's claim doesn't hold."""


class Skip(Exception):
    """The cell can't be asked of these two programs."""


class NotRun(Exception):
    """The cell should run but can't yet.  Counts as failed."""


def expect(condition, message):
    if not condition:
        raise Failed(message)


def wait_until(check, seconds, what):
    """Poll until check() gives something true, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def host_of(family):
    return "127.0.0.1" if family == 4 else "::1"


def free_port(kind, family):
    """A port that was free a moment ago and that no other call returned."""
    while True:
        with socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, kind) as s:
            s.bind((host_of(family), 0))
            port = s.getsockname()[1]
        if port not in ASSIGNED_PORTS:
            ASSIGNED_PORTS.add(port)
            return port


def quic_addr(family, port):
    return f"/ip{family}/{host_of(family)}/udp/{port}/quic-v1"


def tcp_addr(family, port):
    return f"/ip{family}/{host_of(family)}/tcp/{port}"


class Process:
    """A child with a log file: standard error, and standard output where that is not piped."""

    def __init__(self, name, argv, log_dir, env=None, pipe=False):
        self.name = name
        self.log_path = Path(log_dir) / f"{name}-{time.monotonic_ns()}.log"
        self.log = open(self.log_path, "wb", buffering=0)
        self.log.write(f"$ {' '.join(map(str, argv))}\n".encode())
        self.child = subprocess.Popen(
            argv, env=env, stdin=subprocess.PIPE if pipe else subprocess.DEVNULL,
            stdout=subprocess.PIPE if pipe else self.log, stderr=self.log)

    def alive(self):
        return self.child.poll() is None

    def text(self):
        return self.log_path.read_text(errors="replace")

    def wait_text(self, pattern, seconds=READY_S):
        def look():
            found = re.search(pattern, self.text())
            if not found and not self.alive():
                raise Failed(f"{self.name} exited with {self.child.returncode}")
            return found
        return wait_until(look, seconds, f"{self.name}: /{pattern}/ in its output")

    @contextlib.contextmanager
    def stopped_if_it_fails(self):
        """Around waiting for readiness: a process that doesn't get there is nobody's yet."""
        try:
            yield
        except Failed:
            self.stop()
            raise

    def stop(self):
        """SIGTERM, and SIGKILL to what ignores it.  Returns the exit status, or None if killed."""
        status = None
        if self.alive():
            self.child.send_signal(signal.SIGTERM)
        try:
            status = self.child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self._closed()
        self.log.close()
        return status

    def _closed(self):
        """The child has ended and its log is about to be closed."""


def yaml_config(family, port, services):
    lines = [
        "version: 1", "identity:", '  key_file: "identity.key"', "network:",
        "  listen_addresses:", f'    - "{quic_addr(family, port)}"', "discovery:",
        '  rendezvous: "peerup-default-network"', "security:",
        '  authorized_keys_file: "authorized_keys"', "  enable_connection_gating: true",
        "protocols:", "  ping_pong:", "    enabled: true", '    id: "/pingpong/1.0.0"']
    if services:
        lines.append("services:")
    for name, (tcp_port, allowed) in services.items():
        lines += [f"  {name}:", "    enabled: true", f'    local_address: "127.0.0.1:{tcp_port}"']
        if allowed:
            lines += ["    allowed_peers:", f'      - "{allowed}"']
    return "\n".join(lines) + "\n"


class OurHome:
    """A home directory with a config, as a user would write it, and the identity in it."""

    def __init__(self, peerup, path, family, port, services, authorized):
        self.peerup, self.home = peerup, Path(path)
        config_dir = self.home / ".config" / "peerup"
        config_dir.mkdir(parents=True, mode=0o700, exist_ok=True)
        self.config = config_dir / "config.yaml"
        self._write(self.config, yaml_config(family, port, services))
        self._write(config_dir / "authorized_keys", "".join(f"{p}\n" for p in authorized))
        self.env = {**os.environ, "HOME": str(self.home)}
        self.env.pop("NOTIFY_SOCKET", None)
        done = self.run(["whoami", "--config", self.config])
        expect(done.returncode == 0, f"peerup whoami exited with {done.returncode}: {done.stderr}")
        self.id = done.stdout.strip()
        expect(re.fullmatch(r"12D3KooW\w{44}", self.id), f"whoami printed {done.stdout!r}")

    @staticmethod
    def _write(path, text):
        path.write_text(text)
        path.chmod(0o600)

    def run(self, args, seconds=20):
        argv = [str(self.peerup), *map(str, args)]
        try:
            return subprocess.run(argv, env=self.env, timeout=seconds, text=True,
                                  stdin=subprocess.DEVNULL, capture_output=True, check=False)
        except subprocess.TimeoutExpired:
            raise Failed(f"{' '.join(argv)}: still running after {seconds} s") from None


class OurDaemon:
    """`peerup daemon`, ready when it says READY=1."""

    def __init__(self, peerup, path, family, log_dir, services, authorized):
        self.port = free_port(socket.SOCK_DGRAM, family)
        self.listen = quic_addr(family, self.port)
        self.log_dir = log_dir
        self.home = OurHome(peerup, path, family, self.port, services, authorized)
        self.id = self.home.id
        self.addr = f"{self.listen}/p2p/{self.id}"
        self.start()

    def start(self):
        path = self.home.home / "notify"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(path))
            notify.settimeout(0.2)
            self.process = Process(
                "our-daemon", [str(self.home.peerup), "daemon", "--config", str(self.home.config)],
                self.log_dir, env={**self.home.env, "NOTIFY_SOCKET": str(path)})
            with self.process.stopped_if_it_fails():
                wait_until(lambda: self._said_ready(notify), READY_S, "our daemon says READY=1")

    def _said_ready(self, notify):
        expect(self.process.alive(), f"our daemon exited with {self.process.child.poll()}")
        try:
            return b"READY=1" in notify.recv(4096)
        except TimeoutError:
            return False

    def dial(self, addr):
        """The daemon dials its bootstrap peers when it starts."""
        config = self.home.config
        text = config.read_text()
        self.process.stop()
        config.write_text(text.replace("discovery:", f'discovery:\n  bootstrap_peers: ["{addr}"]'))
        self.start()

    def listen_on_tcp(self):
        """The daemon starts again and listens there, too.  Returns the address and the port."""
        port = free_port(socket.SOCK_STREAM, 4)
        at = tcp_addr(4, port)
        config = self.home.config
        text = config.read_text()
        self.process.stop()
        config.write_text(text.replace("discovery:", f'    - "{at}"\ndiscovery:', 1))
        self.start()
        return f"{at}/p2p/{self.id}", port

    def processes(self):
        return [self.process]


class OurClient:
    """`peerup proxy` and `peerup ping` from another home, without a daemon."""

    def __init__(self, peerup, path, family, log_dir):
        self.home = OurHome(peerup, path, family, 0, {}, [])
        self.id, self.log_dir, self.proxies = self.home.id, log_dir, []

    def proxy(self, target, service):
        """Returns the port that leads to the target's service, once it listens."""
        port = free_port(socket.SOCK_STREAM, 4)
        process = Process(
            "our-proxy", [str(self.home.peerup), "proxy", "--config", str(self.home.config),
                          target, service, str(port)], self.log_dir, env=self.home.env)
        self.proxies.append(process)
        process.wait_text("TCP proxy listening")
        return port

    def ping(self, target, count):
        """Returns exit status, the replies' objects, and standard error."""
        done = self.home.run(["ping", "--config", self.home.config, "-c", count, "--interval",
                              "100ms", "--json", target])
        replies = []
        for line in done.stdout.splitlines():
            try:
                replies.append(json.loads(line))
            except ValueError:
                raise Failed(f"ping --json printed {line!r}") from None
        return done.returncode, [r for r in replies if "seq" in r], done.stderr

    def processes(self):
        return self.proxies
