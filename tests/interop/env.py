# SPDX-License-Identifier: MIT
"""One go version and IP family: all processes of a cell, started when it first asks for them."""

import os
import shutil
import socket
import tempfile
from pathlib import Path

from nodes import GoPeer, StandInClient, StandInDaemon
from peerup import NOBODY, OurClient, OurDaemon, expect, free_port
from tunnel import STALL_S, SumTarget, Target, connect, read_exactly

GO_SEED, STRANGER_SEED, LIMITED_SEED = 0x60, 0x66, 0x68
LOG_TAIL_LINES = 60


class Env:
    """`go` is the peer that our daemon authorizes, `stranger` the one that it doesn't.

    The word `out` stands for what our side opens (our client to go's services), `in` for what
    go opens (to our daemon's services).
    """

    def __init__(self, go_binary, family, peerup=None, stand_in=None):
        self.go_binary, self.family = go_binary, family
        self.peerup, self.stand_in = peerup, stand_in
        self.dir = Path(tempfile.mkdtemp(prefix="peerup-interop-"))
        self.log_dir = self.dir / "logs"
        self.log_dir.mkdir()
        self.go_version = None  # what it says of itself, once it has run
        self.parts, self.ports, self.identified_since = {}, {}, 0

    def _part(self, name, make):
        if name not in self.parts:
            self.parts[name] = make()
        return self.parts[name]

    @property
    def target(self):
        return self._part("target", Target)

    @property
    def sums(self):
        return self._part("sums", SumTarget)

    @property
    def go(self):
        return self._part("go", self._make_go)

    def _make_go(self):
        go = GoPeer(self.go_binary, "go", GO_SEED, self.family, self.log_dir, serve={
            "bulk": self.target.port, "refused": free_port(socket.SOCK_STREAM, 4)})
        self.go_version = go.version
        return go

    @property
    def stranger(self):
        return self._part("stranger", lambda: GoPeer(
            self.go_binary, "go-stranger", STRANGER_SEED, self.family, self.log_dir))

    @property
    def limited(self):
        """A go peer that keeps to go-libp2p's default limits."""
        return self._part("limited", lambda: GoPeer(
            self.go_binary, "go-limited", LIMITED_SEED, self.family, self.log_dir,
            limits="default"))

    @property
    def daemon(self):
        return self._part("daemon", self._make_daemon)

    def _make_daemon(self):
        services = {  # name: TCP port, the only peer that may use it
            "bulk": (self.target.port, None), "sum": (self.sums.port, None),
            "refused": (free_port(socket.SOCK_STREAM, 4), None),
            "private": (self.target.port, NOBODY)}
        authorized = [self.go.id]
        if self.stand_in:
            return StandInDaemon(self.stand_in, self.family, self.log_dir, services, authorized)
        return OurDaemon(self.peerup, self.dir / "daemon-home", self.family, self.log_dir,
                         services, authorized)

    @property
    def client(self):
        return self._part("client", self._make_client)

    def _make_client(self):
        if self.stand_in:
            return StandInClient(self.stand_in, self.family, self.log_dir)
        return OurClient(self.peerup, self.dir / "client-home", self.family, self.log_dir)

    def dial_daemon(self):
        """go's connection to our daemon, identified; returns what identify told."""
        self.go.call("dial", addr=self.daemon.addr)
        return self.go.wait_event("identified", since=self.identified_since, peer=self.daemon.id)

    def stop_part(self, name):
        """Stop the daemon or the client; the next one has the same identity.

        Returns the exit statuses.
        """
        statuses = [p.stop() for p in self.parts.pop(name).processes()]
        if name == "daemon":
            self.identified_since = self.go.mark()
        self.ports = {}
        return statuses

    def port(self, way, service):
        """The local TCP port that leads to a service on the other side."""
        if (way, service) not in self.ports:
            if way == "out":
                port = self.client.proxy(self.go.addr, service)
            else:
                self.dial_daemon()
                port = self.go.call("proxy", peer=self.daemon.id, service=service)["port"]
            self.ports[way, service] = port
        return self.ports[way, service]

    def pair(self, way):
        """Two TCP sockets joined by a new stream: the client's and the service's."""
        client = connect(self.port(way, "bulk"))
        token = os.urandom(16)
        client.sendall(token)
        service = self.target.accept()
        expect(read_exactly(service, len(token)) == token, "the service got another stream's bytes")
        client.settimeout(STALL_S)
        return client, service

    def processes(self):
        found = []
        for name in ("go", "stranger", "limited"):
            if name in self.parts:
                found.append(self.parts[name])
        for name in ("daemon", "client"):
            if name in self.parts:
                found += self.parts[name].processes()
        return found

    def log_sizes(self):
        return {path: path.stat().st_size for path in self.log_dir.iterdir()}

    def logs_since(self, sizes):
        """The tail of what each process wrote since log_sizes(), for a failure's report."""
        text = []
        for path in sorted(self.log_dir.iterdir()):
            with open(path, "rb") as f:
                f.seek(sizes.get(path, 0))
                lines = f.read().decode(errors="replace").splitlines()
            if lines:
                text.append(f"---- {path.name}")
                text += lines[-LOG_TAIL_LINES:]
        return "\n".join(text)

    def dead(self):
        return [f"{p.name} exited with {p.child.returncode}"
                for p in self.processes() if not p.alive()]

    def restart(self):
        """Stop everything; what is asked for next starts afresh."""
        for p in self.processes():
            p.stop()
        for name in ("target", "sums"):
            if name in self.parts:
                self.parts[name].close()
        self.parts, self.ports, self.identified_since = {}, {}, 0

    def close(self):
        self.restart()
        shutil.rmtree(self.dir, ignore_errors=True)
