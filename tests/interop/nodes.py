# SPDX-License-Identifier: MIT
"""The test peers, and go peers that stand in for our daemon and client."""

import json
import socket
import subprocess
import threading

from peerup import READY_S, STOP_S, Failed, Process, expect, free_port, quic_addr


LOG_TAIL_LINES = 40


class CommandError(Exception):
    """A peer answered a command with an error, and maybe with the status of a relay."""

    def __init__(self, text, status=None):
        super().__init__(text)
        self.status = status


class Peer(Process):
    """A test peer of any implementation, driven by JSON lines."""

    def __init__(self, argv, name, log_dir):
        super().__init__(name, argv, log_dir, pipe=True)
        self.changed = threading.Condition()
        self.events, self.replies, self.next_id = [], {}, 0
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        with self.stopped_if_it_fails():
            ready = self.wait_event("ready", READY_S)
        self.id, self.version = ready["peer"], ready["version"]
        self.listen, self.lacks = ready["addrs"][0], ready.get("lacks", {})
        self.addr = f"{self.listen}/p2p/{self.id}"

    def _read(self):
        for line in self.child.stdout:
            message = json.loads(line)
            if "event" in message or "error" in message:
                self.log.write(line)
            with self.changed:
                if "event" in message:
                    self.events.append(message)
                else:
                    self.replies[message["id"]] = message
                self.changed.notify_all()

    def stop(self):
        """The end of its input asks it to end; what doesn't is ended.  Returns the exit status."""
        try:
            self.child.stdin.close()
            self.child.wait(STOP_S)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            pass
        return super().stop()

    def _closed(self):
        self.reader.join(STOP_S)
        self.child.stdout.close()

    def call(self, cmd, timeout=20, **args):
        with self.changed:
            self.next_id += 1
            number = self.next_id
            line = {"id": number, "cmd": cmd, "timeout_ms": int(timeout * 1000), **args}
            try:
                self.child.stdin.write(json.dumps(line).encode() + b"\n")
                self.child.stdin.flush()
            except BrokenPipeError:
                raise Failed(f"{self.name} is gone") from None
            # The peer bounds each command itself; the grace is for a peer that hangs.
            if not self.changed.wait_for(lambda: number in self.replies, timeout + 5):
                raise Failed(f"{self.name}: no answer to {cmd} within {timeout} s")
            reply = self.replies.pop(number)
        if "error" in reply:
            raise CommandError(f"{cmd}: {reply['error']}", reply.get("status"))
        return reply

    def mark(self):
        """A place in the list of events, for wait_event and seen."""
        with self.changed:
            return len(self.events)

    def seen(self, name, since=0, **match):
        with self.changed:
            return self._seen(name, since, match)

    def _seen(self, name, since, match):
        return [e for e in self.events[since:]
                if e["event"] == name and all(e.get(k) == v for k, v in match.items())]

    def wait_event(self, name, seconds=15, since=0, **match):
        with self.changed:
            if not self.changed.wait_for(lambda: self._seen(name, since, match), seconds):
                raise Failed(f"{self.name}: no event {name} {match} within {seconds} s")
            return self._seen(name, since, match)[0]


class Group:
    """The peers of a table's row, by the part that each of them has in it."""

    def __init__(self, row, log_dir):
        self.row, self.log_dir = row, log_dir
        self.running, self.versions = {}, set()
        self.remark = ""  # of the cell under way, for who reads the lines

    def start(self, part, argv, seed, **flags):
        words = [*argv, "-seed", f"{seed:02x}" * 32, "-agent", f"interop/{part}"]
        for name, value in flags.items():
            words += [f"-{name}", value]
        peer = Peer(words, part, self.log_dir)
        self.running[part] = peer
        self.versions.add(peer.version)
        return peer

    def stop(self):
        """Returns the exit statuses, by part."""
        statuses = {part: peer.stop() for part, peer in self.running.items()}
        self.running = {}
        return statuses

    def dead(self):
        return [f"{part} exited with {p.child.returncode}"
                for part, p in self.running.items() if not p.alive()]

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
                text += [f"---- {path.name}", *lines[-LOG_TAIL_LINES:]]
        return "\n".join(text)


class GoPeer(Peer):
    """The go-libp2p test peer over QUIC, on a port of its own."""

    def __init__(self, binary, name, seed, family, log_dir, port=None, agent="interop-go/1",
                 serve=None, allow=None, acl=None, limits="raised"):
        self.port = port or free_port(socket.SOCK_DGRAM, family)
        argv = [str(binary), "-seed", f"{seed:02x}" * 32, "-listen", quic_addr(family, self.port),
                "-agent", agent, "-limits", limits]
        for service, tcp_port in (serve or {}).items():
            argv += ["-serve", f"{service}=127.0.0.1:{tcp_port}"]
        for service, peer in (acl or {}).items():
            argv += ["-acl", f"{service}={peer}"]
        if allow is not None:
            argv.append("-gate")
            for peer in allow:
                argv += ["-allow", peer]
        super().__init__(argv, name, log_dir)

    def streams(self, peer):
        return self.call("stats", peer=peer)["streams"]


class StandInDaemon(GoPeer):
    """A go peer that plays our daemon, to try the cells without it."""

    def __init__(self, binary, family, log_dir, services, authorized):
        super().__init__(
            binary, "stand-in-daemon", 0xd0, family, log_dir, agent="peerup/self-check",
            serve={n: port for n, (port, _) in services.items()}, allow=authorized,
            acl={n: peer for n, (_, peer) in services.items() if peer})

    def dial(self, addr):
        self.call("dial", addr=addr)

    def processes(self):
        return [self]


class StandInClient(GoPeer):
    """A go peer that plays `peerup proxy` and `peerup ping`."""

    def __init__(self, binary, family, log_dir):
        super().__init__(binary, "stand-in-client", 0xc1, family, log_dir,
                         agent="peerup/self-check")

    def proxy(self, target, service):
        self.call("dial", addr=target)
        return self.call("proxy", peer=target.rpartition("/")[2], service=service)["port"]

    def ping(self, target, count):
        peer, replies = target.rpartition("/")[2], []
        try:
            self.call("dial", addr=target)
            for seq in range(1, count + 1):
                got = self.call("pingpong", peer=peer, line="ping\n")
                expect(got["answer"] == "pong\n", f"answer {got['answer']!r}")
                replies.append({"seq": seq, "peer_id": peer, "rtt_ms": got["rtt_us"] / 1000,
                                "path": "DIRECT", "error": ""})
        except CommandError as e:
            return 1, replies, str(e)
        return 0, replies, ""

    def processes(self):
        return [self]
