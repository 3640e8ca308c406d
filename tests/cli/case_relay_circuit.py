# SPDX-License-Identifier: MIT
"""A relay of one's own: a daemon that nobody has an address of is reached through it."""

import contextlib
import hashlib
import os
import re
import socket
import threading

from case_daemon import listen_at
from case_network import running
from case_relay_serve import RUNNING, Relay, free_port, get
from harness import Home, case, expect, expect_equal

BYTES = 4 << 20
PATIENCE_S = 20


class Echo:
    """A service: what comes goes back, the end too."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._echo, args=self.server.accept()[:1],
                                 daemon=True).start()

    @staticmethod
    def _echo(client):
        with client, contextlib.suppress(OSError):
            while data := client.recv(65536):
                client.sendall(data)

    def close(self):
        self.server.close()


def exchange(port):
    """Sends through a proxy and gets it back; raises OSError when the connection breaks."""
    data = os.urandom(BYTES)
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as s:
        s.settimeout(PATIENCE_S)
        sender = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
        sender.start()
        got = b""
        while piece := s.recv(1 << 20):
            got += piece
        sender.join()
    expect(got == data, f"{len(got)} bytes came back of {len(data)}, or others")


class Behind:
    """Two nodes that know the relay and one another's ID, and no address."""

    def __init__(self, home, extra=""):
        self.relay = Relay(home, extra)
        self.echo = Echo()
        self.a, self.c = Home(home.path / "a"), Home(home.path / "c")
        for node in (self.a, self.c):
            node.path.mkdir()
            node.run("init", "--relay", self.relay.target)
            # They listen on all addresses: no gateway of this machine's is to be asked for ports.
            text = node.config.read_text()
            node.config.write_text(text.replace("network:\n", "network:\n  port_mapping: false\n"))
        self.id_a, self.id_c = (n.run("whoami").strip() for n in (self.a, self.c))
        self.a.run("auth", "add", self.id_c)
        self.a.run("service", "add", "echo", f"127.0.0.1:{self.echo.port}")

    def authorize(self):
        for peer in (self.id_a, self.id_c):
            self.relay.home.run("relay", "authorize", peer)

    @contextlib.contextmanager
    def proxy(self):
        with running(self.c, "proxy", self.id_a, "echo", "0") as p:
            yield p, int(p.wait_for(r"TCP proxy listening on localhost:(\d+)")[1])


RESERVED = r'level=INFO msg="reservation on the relay"'


@case
def a_daemon_is_reached_through_a_relay_of_ones_own(home):
    nodes = Behind(home)
    with nodes.relay.serve() as r, running(nodes.a, "daemon") as d:
        r.wait_for(RUNNING)
        # Not in the list yet: the daemon is refused, and let in as soon as it is.
        d.wait_for("no reservation on the relay", d.complained)
        nodes.authorize()
        d.wait_for(RESERVED, d.complained)
        ping = nodes.c.run("ping", nodes.id_a, "-c", "1")
        expect(re.search(r"seq=1 rtt=\S+ path=\[RELAYED\]", ping), ping)
        with nodes.proxy() as (p, port):
            expect(re.search(r"Connected \[RELAYED\] via /p2p/\w+/p2p-circuit ", p.said()), p.said())
            exchange(port)
            expect_equal(p.stop(), 0, "exit status of the proxy")
        # Who cannot listen does without, and says why.
        listen_at(nodes.c, "/ip4/203.0.113.9/tcp/4001")
        with nodes.proxy() as (p, _):
            p.wait_for('not listening.*reason="cannot listen on /ip4/203.0.113.9/', p.complained)
            expect_equal(p.stop(), 0, "exit status of the proxy")
        expect_equal(d.stop(), 0, "exit status of the daemon")
        expect_equal(r.stop(), 0, "exit status of the relay")
    nodes.echo.close()


@case
def a_relay_that_comes_back_is_used_again_and_one_who_lost_the_right_is_out(home):
    nodes = Behind(home)
    nodes.authorize()
    with running(nodes.a, "daemon") as d:
        with nodes.relay.serve() as r:
            r.wait_for(RUNNING)
            d.wait_for(RESERVED, d.complained)
            expect_equal(r.stop(), 0, "exit status of the relay")
        d.wait_for("reservation on the relay lost", d.complained)
        with nodes.relay.serve() as r:
            r.wait_for(RUNNING)
            d.wait_for(f"(?s){RESERVED}.*{RESERVED}", d.complained)
            with nodes.proxy() as (p, port):
                exchange(port)
                with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as s:
                    s.settimeout(PATIENCE_S)
                    s.sendall(b"x")
                    expect_equal(s.recv(1), b"x", "an echo")
                    nodes.relay.home.run("relay", "deauthorize", nodes.id_c)
                    with contextlib.suppress(ConnectionResetError):
                        expect_equal(s.recv(1), b"", "the connection of one who is out")
                # A circuit tells why it ends; a spliced path is two sockets, and the next attempt does.
                with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as s:
                    s.settimeout(PATIENCE_S)
                    with contextlib.suppress(ConnectionResetError):
                        expect_equal(s.recv(1), b"", "the next one of one who is out")
                p.wait_for("we are not authorized there", p.complained)
    nodes.echo.close()


def both_are_told(proxy, daemon, of, limit):
    proxy.wait_for(f"Connection ended: the relay's limit of {of} for a connection is met: {limit}",
                   proxy.complained)
    for node in (proxy, daemon):
        node.wait_for(f'msg="the relay ended a connection" service=echo limit="?{limit}"?',
                      node.complained)


@case
def a_daemon_asks_its_relay_what_its_nat_is(home):
    nodes = Behind(home)
    config, address = nodes.relay.config, nodes.relay.address
    udp = address.replace("/tcp/", "/udp/") + "/quic-v1"
    config.write_text(re.sub(rf"(.*){re.escape(address)}(.*\n)", rf"\g<0>\g<1>{udp}\g<2>",
                             config.read_text()))
    with nodes.relay.serve() as r:
        r.wait_for(RUNNING)
        r.wait_for("STUN is answered on the QUIC port and a second one", r.complained)
        with running(nodes.a, "daemon") as d:
            d.wait_for(r"Network interfaces: \d+ with global addresses\n")
            d.wait_for(r"NAT type: unknown\n")  # on loopback there is none
            d.wait_for("msg=reachability grade=", d.complained)
            expect_equal(d.stop(), 0, "exit status of the daemon")
        expect_equal(r.stop(), 0, "exit status of the relay")
    nodes.echo.close()


@case
def a_limit_that_is_set_ends_the_transfer_that_meets_it(home):
    nodes = Behind(home, "resources: {session_data_limit: 1MB}\n")
    nodes.authorize()
    with nodes.relay.serve() as r, running(nodes.a, "daemon") as d:
        r.wait_for(RUNNING)
        d.wait_for(RESERVED, d.complained)
        with nodes.proxy() as (p, port):
            try:
                exchange(port)
            except OSError:
                pass
            else:
                raise AssertionError(f"{BYTES} bytes passed a limit of 1 MB")
            r.wait_for('msg="(circuit|spliced path) closed".*reason="data limit"', r.complained)
            both_are_told(p, d, "data", "1MB each way")
    nodes.echo.close()


@case
def a_connection_that_lasts_longer_than_its_relay_allows_ends_with_that_reason(home):
    nodes = Behind(home, "resources: {session_duration: 2s}\n")
    nodes.authorize()
    with nodes.relay.serve() as r, running(nodes.a, "daemon") as d:
        r.wait_for(RUNNING)
        d.wait_for(RESERVED, d.complained)
        with nodes.proxy() as (p, port):
            with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as s:
                s.settimeout(PATIENCE_S)
                s.sendall(b"x")
                with contextlib.suppress(ConnectionResetError):
                    while s.recv(1) == b"x":
                        pass
            r.wait_for('msg="(circuit|spliced path) closed".*reason="duration limit"',
                       r.complained)
            both_are_told(p, d, "time", "2s")
    nodes.echo.close()


class Digest(Echo):
    """A service: the SHA-256 of what came."""

    @staticmethod
    def _echo(client):
        digest = hashlib.sha256()
        with client, contextlib.suppress(OSError):
            while data := client.recv(1 << 20):
                digest.update(data)
            client.sendall(digest.digest())


def send(port, size):
    """Sends so much through a proxy; returns whether the service saw the same."""
    digest = hashlib.sha256()
    piece = os.urandom(1 << 20)
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as s:
        s.settimeout(PATIENCE_S)
        for number in range(size >> 20):
            data = number.to_bytes(8, "big") + piece[8:]
            digest.update(data)
            s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        return s.recv(32) == digest.digest()


STANDS = r'level=INFO msg="spliced path stands"'
SPLICED_BYTES = 300 << 20


def relay_metrics(port):
    """What a relay tells of its own work: by name and labels."""
    text = get(f"http://127.0.0.1:{port}/metrics")[2]
    rows = re.findall(r"^peerup_relay_(\w+)(?:\{(.*)\})? (\d+)$", text, re.M)
    return {name + (f" {labels}" if labels else ""): int(value) for name, labels, value in rows}


@case
def what_is_sent_through_a_relay_of_ones_own_takes_a_spliced_path(home):
    metrics = free_port()
    nodes = Behind(home, "telemetry: {metrics: {enabled: true, "
                         f"listen_address: '127.0.0.1:{metrics}'}}}}\n")
    nodes.authorize()
    digest = Digest()
    nodes.a.run("service", "add", "digest", f"127.0.0.1:{digest.port}")
    with nodes.relay.serve() as r, running(nodes.a, "daemon") as d:
        r.wait_for(RUNNING)
        d.wait_for(RESERVED, d.complained)
        with running(nodes.c, "proxy", nodes.id_a, "digest", "0", env={"PEERUP_LOG": "info"}) as p:
            port = int(p.wait_for(r"TCP proxy listening on localhost:(\d+)")[1])
            p.wait_for(STANDS, p.complained)
            d.wait_for(STANDS, d.complained)
            r.wait_for('msg="spliced path opened"', r.complained)
            expect(send(port, SPLICED_BYTES), "the service saw something else")
            now = relay_metrics(metrics)
            for name in ("reservations", "circuits", "spliced_paths",
                         'spliced_paths_total result="joined"',
                         'requests_total request="reserve",status="ok"',
                         'requests_total request="connect",status="ok"'):
                expect_equal(now[name], 1, name)
            for name, value in now.items():
                if "total" in name and not name.startswith("bytes") and 'ok"' not in name \
                        and 'joined"' not in name:
                    expect_equal(value, 0, name)
            expect_equal(now["half_open"], 0, "half_open")
            sent = now['bytes_total path="spliced",direction="to_destination"']
            expect(sent > SPLICED_BYTES, now)
            expect(0 < now['bytes_total path="circuit",direction="to_destination"'] < sent >> 4, now)
            expect_equal(p.stop(), 0, "exit status of the proxy")
        line = r.wait_for(r'msg="spliced path closed".* to_destination=(\d+)', r.complained)
        expect(int(line[1]) > SPLICED_BYTES, line[0])
        line = r.wait_for(r'msg="circuit closed".* to_destination=(\d+)', r.complained)
        expect(int(line[1]) < SPLICED_BYTES >> 4, line[0])
        now = relay_metrics(metrics)
        expect_equal((now["circuits"], now["spliced_paths"], now["reservations"]), (0, 0, 1),
                     "circuits, paths and reservations afterwards")
    for service in (nodes.echo, digest):
        service.close()


@case
def who_minds_spliced_paths_has_none(home):
    for who in ("relay", "daemon", "proxy"):
        path = home.path / who
        path.mkdir()
        nodes = Behind(Home(path), "relay: {splice: false}\n" if who == "relay" else "")
        nodes.authorize()
        for node in {"daemon": [nodes.a], "proxy": [nodes.c]}.get(who, []):
            text = node.config.read_text()
            node.config.write_text(text.replace("\nrelay:\n", "\nrelay:\n  splice: false\n"))
        with nodes.relay.serve() as r, running(nodes.a, "daemon") as d:
            r.wait_for(RUNNING)
            d.wait_for(RESERVED, d.complained)
            with nodes.proxy() as (p, port):
                exchange(port)
                expect("spliced" not in p.complained() + d.complained() + r.complained(), who)
        nodes.echo.close()
