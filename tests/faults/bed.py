# SPDX-License-Identifier: MIT
"""What every cell of this suite stands on: daemons and proxies whose ends are looked at."""

import os
import re
import shutil
import socket
import tempfile
from pathlib import Path

from peerup import (Failed, OurClient, OurDaemon, Process, Skip, expect, free_port,
                    wait_until)
from tunnel import Target, connect, exchange, read_exactly

FAMILY = 4
MIB = 1 << 20
LOG_TAIL_LINES = 40

# A finding of ASan, LSan or UBSan, an assertion, or a node that could not put itself away.
BROKEN = re.compile(r"Sanitizer|runtime error:|Assertion .* failed|left behind|not end in time")
COMPLAINT = re.compile(r"\b(ERROR|WARN)\b|^Error")
NO_IO_URING = r"io_uring"  # the warning that epoll is used, where the machine refuses io_uring


def rss(process):
    """Resident bytes."""
    pages = Path(f"/proc/{process.child.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def descriptors(process):
    return len(os.listdir(f"/proc/{process.child.pid}/fd"))


class Bed:
    """Processes in a directory of their own.  At the end each must exit with 0 on SIGTERM and have
    complained of nothing that the cell did not announce."""

    def __init__(self, peerup, initials=None):
        self.peerup, self._initials = peerup, initials
        self.dir = Path(tempfile.mkdtemp(prefix="peerup-faults-"))
        self.log_dir = self.dir / "logs"
        self.log_dir.mkdir()
        self.nodes, self.targets = [], []
        self.complaints = [NO_IO_URING]
        self.killed, self.ended = set(), set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.finish()
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- making

    def target(self):
        made = Target()
        self.targets.append(made)
        return made

    def client(self, name):
        made = OurClient(self.peerup, self.dir / name, FAMILY, self.log_dir)
        self.nodes.append(made)
        return made

    def daemon(self, services, clients, authorize=None):
        """services: name to TCP port.  authorize: the lines of authorized_keys, else all clients."""
        made = OurDaemon(self.peerup, self.dir / f"daemon-{len(self.nodes)}", FAMILY, self.log_dir,
                         {name: (port, None) for name, port in services.items()},
                         authorize or [c.id for c in clients])
        self.nodes.append(made)
        return made

    def tunnel(self, clients=1):
        """A daemon with one service, and a proxy to it for each client."""
        target = self.target()
        people = [self.client(f"client-{i}") for i in range(clients)]
        daemon = self.daemon({"work": target.port}, people)
        return target, daemon, people, [p.proxy(daemon.addr, "work") for p in people]

    @property
    def initials(self):
        """The program that makes handshakes' first datagrams."""
        if self._initials is None:
            raise Skip("no program faults-initials")
        return self._initials

    # ---- watching

    def expect_complaints(self, *patterns):
        self.complaints += patterns

    def kill(self, process):
        """SIGKILL.  The only process that may have another exit status than 0."""
        self.killed.add(process)
        process.child.kill()
        process.child.wait()

    def end(self, process):
        """SIGTERM, and what was wrong with how it ended."""
        self.ended.add(process)
        status = process.stop()
        text = process.text()
        faults = []
        if process not in self.killed and status != 0:
            faults.append(f"{process.name} exited with {status}")
        for line in text.splitlines():
            announced = any(re.search(p, line) for p in self.complaints)
            if BROKEN.search(line) or (COMPLAINT.search(line) and not announced):
                faults.append(f"{process.name} says: {line}")
        return faults

    def processes(self):
        return [p for node in self.nodes for p in node.processes()]

    def finish(self):
        """Ends what still runs, and returns what was wrong."""
        faults = []
        # The daemons first, so that they, too, end with connections open.
        for process in sorted(self.processes(), key=lambda p: "daemon" not in p.name):
            if process not in self.ended:
                faults += self.end(process)
        while self.targets:
            self.targets.pop().close()
        return faults

    def logs(self):
        text = []
        for path in sorted(self.log_dir.iterdir()):
            lines = path.read_text(errors="replace").splitlines()
            text += [f"---- {path.name}", *lines[-LOG_TAIL_LINES:]]
        return "\n".join(text)


def pair(port, target):
    """Two TCP sockets joined by a new stream: the client's and the service's."""
    client = connect(port)
    token = os.urandom(16)
    client.sendall(token)
    service = target.accept()
    expect(read_exactly(service, len(token)) == token, "the service got another stream's bytes")
    return client, service


def expect_works(port, target, size=MIB):
    """A new connection through the tunnel carries bytes both ways to a clean end."""
    client, service = pair(port, target)
    exchange(client, service, size)
    client.close()
    service.close()


__all__ = ["FAMILY", "MIB", "Bed", "Failed", "Process", "descriptors", "expect", "expect_works",
           "free_port", "pair", "rss", "socket", "wait_until"]
