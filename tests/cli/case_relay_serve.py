# SPDX-License-Identifier: MIT
"""relay serve: behaviour.md 9."""

import contextlib
import http.client
import json
import random
import re
import signal
import socket
import urllib.error
import urllib.request

from case_network import running
from case_relay_server import make_relay
from harness import PEER_A, PEER_B, Home, Skip, case, expect, expect_equal


def free_port():
    """Below those that the kernel gives to clients, so that it stays free between two starts."""
    while True:
        port = random.randrange(20000, 30000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Relay:
    """A relay's home with A's key, and a node's home below it."""

    def __init__(self, home, extra=""):
        self.home = home
        self.address = f"/ip4/127.0.0.1/tcp/{free_port()}"
        self.target = f"{self.address}/p2p/{PEER_A}"
        self.config = make_relay(home, self.address)
        self.config.write_text(self.config.read_text() + extra)
        self.b = Home(home.path / "b")
        self.b.path.mkdir()
        self.b.run("init", "--no-relay")
        self.id_b = self.b.run("whoami").strip()

    def serve(self, *args, env=None):
        return running(self.home, "relay", "serve", *args, env=env)

    def is_let_in(self):
        """Whether the relay takes B's connection; it serves no ping, so none is answered."""
        return "seq=1 error=stream: protocols not supported\n" in self.b.run(
            "ping", self.target, "-c", "1")


RUNNING = "Private relay running.\n"


@case
def a_relay_tells_what_it_does_and_ends_in_order(home):
    relay = Relay(home)
    home.run("relay", "authorize", PEER_B)
    with relay.serve() as r:
        r.wait_for(RUNNING)
        said = r.said()
        expect(re.match(r"=== Private libp2p Relay Server \(.+\) ===\n\n"
                        r"Loaded configuration from relay-server\.yaml\n"
                        r"Authentication: true\n"
                        r"Loaded 1 authorized peer\(s\) from relay_authorized_keys\n"
                        r"Relay limits: max_reservations=128, max_circuits=16, "
                        r"session=unlimited, data=unlimited\n"
                        rf"Peer ID: {PEER_A}\n", said), said)
        expect(re.search(r"\nProtocols:\n(  /\S+\n)*  /ipfs/id/1\.0\.0\n", said), said)
        expect(f"\nMultiaddrs:\n  {relay.target}\n\n" in said, said)
        expect_equal(r.stop(), 0, "exit status")
        expect(r.said().endswith(RUNNING + "Shutting down...\n"), r.said())
    expect_equal((home.path / ".relay-server.last-good.yaml").read_text(),
                 relay.config.read_text(), "the archive")


@case
def limits_that_are_set_are_told(home):
    relay = Relay(home, "resources: {session_duration: 90s, session_data_limit: 64MB}\n")
    with relay.serve("--config", "relay-server.yaml") as r:
        r.wait_for("max_circuits=16, session=1m30s, data=64MB/direction\n")
        r.wait_for(RUNNING)
        expect_equal(r.stop(signal.SIGINT), 0, "exit status")


@case
def an_open_relay_and_a_shut_one_are_warned_of(home):
    relay = Relay(home)
    with relay.serve() as r:
        r.wait_for("WARNING: relay_authorized_keys is empty - nobody can use this relay!\n"
                   "Authorize a peer with: peerup relay authorize <peer-id>\n")
        r.wait_for(RUNNING)
        r.stop()  # the ring of a process that is killed holds the port for a moment
    text = relay.config.read_text()
    relay.config.write_text(text.replace("gating: true", "gating: false"))
    with relay.serve() as r:
        r.wait_for("Authentication: false\n"
                   "WARNING: Connection gating is DISABLED - any peer can use this relay!\n")
        r.wait_for(RUNNING)
        expect(relay.is_let_in(), "a stranger is refused")


@case
def a_relay_that_cannot_start_says_why(home):
    relay = Relay(home)
    with relay.serve() as r:
        r.wait_for(RUNNING)
        good = relay.config.read_text()
        relay.config.write_text(good + "# tried beside it\n")
        home.run("relay", "serve", status=1,
                 err_has="Failed to start: relay_node.key: a daemon is already running")
        expect_equal((home.path / ".relay-server.last-good.yaml").read_text(), good, "the archive")
        relay.config.write_text(good)
        home.run("relay", "setup", "--fresh", status=1, out="",
                 err="Error: a relay is running with ./relay_node.key. Stop it first.\n")
        home.run("relay", "setup", status=1, stdin="4\n\nn\n",
                 err="Error: a relay is running with ./relay_node.key. Stop it first.\n")
        expect(f"  {relay.target}\n" in home.run("relay", "info"), "info beside it")
    (home.path / "relay_authorized_keys").unlink()
    home.run("relay", "serve", status=1,
             err_has="Failed to load authorized keys: failed to open authorized_keys file")
    relay.config.write_text("identity: {key_file: k}\n")
    home.run("relay", "serve", status=1,
             err_has="Failed to start: relay-server.yaml: network.listen_addresses must contain")
    relay.config.unlink()
    home.run("relay", "serve", status=1, err_has="config file not found: relay-server.yaml")
    home.run("relay", "serve", "--bogus", status=2,
             err_has="flag provided but not defined: -bogus")


@case
def peers_are_let_in_and_thrown_out_while_a_relay_runs(home):
    relay = Relay(home)
    with relay.serve() as r:
        r.wait_for(RUNNING)
        relay.b.run("ping", relay.target, "-c", "1", status=1, err_has="Failed to connect: ")
        home.run("relay", "authorize", relay.id_b, "laptop")
        r.wait_for("updated authorized peers list", r.complained)
        expect(relay.is_let_in(), "an authorized peer is refused")
        with running(relay.b, "ping", relay.target, "--interval", "50ms") as p:
            p.wait_for("seq=1 error=stream: protocols not supported")
            home.run("relay", "deauthorize", relay.id_b)
            p.wait_for(r"seq=\d+ error=(?!stream: protocols)")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("relay", timeout=5)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def admin(home, method, path, cookie):
    connection = UnixConnection(home.path / ".relay-admin.sock")
    with contextlib.closing(connection):
        connection.request(method, path, headers={"Authorization": f"Bearer {cookie}"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@case
def the_admin_socket_of_a_relay_answers_who_has_its_cookie(home):
    relay = Relay(home)
    at, cookie = home.path / ".relay-admin.sock", home.path / ".relay-admin.cookie"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(at))
    with relay.serve() as r:
        r.wait_for(RUNNING)
        for file in (at, cookie):
            expect_equal(file.stat().st_mode & 0o777, 0o600, f"mode of {file.name}")
        expect(re.fullmatch("[0-9a-f]{64}", cookie.read_text()), cookie.read_text())
        expect_equal(admin(home, "GET", "/v1/pair", cookie.read_text()), (200, "[]\n"), "groups")
        expect_equal(admin(home, "DELETE", "/v1/pair/4248c4ca", cookie.read_text()),
                     (404, '{"error":"group not found"}\n'), "a group that is none")
        expect_equal(admin(home, "GET", "/v1/pair", "0" * 64),
                     (401, '{"error":"unauthorized"}\n'), "another cookie")
        expect_equal(r.stop(), 0, "exit status")
        r.wait_for('msg="removing a stale socket" socket=.relay-admin.sock', r.complained)
    expect(not at.exists() and not cookie.exists(), "socket or cookie is left")


@case
def a_relay_runs_without_its_admin_socket(home):
    relay = Relay(home)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(home.path / ".relay-admin.sock"))
        other.listen()
        with relay.serve() as r:
            r.wait_for(RUNNING)
            r.wait_for('msg="the relay admin socket is not served" '
                       'reason="relay admin socket already in use: .relay-admin.sock"',
                       r.complained)
            expect_equal(r.stop(), 0, "exit status")
    expect((home.path / ".relay-admin.sock").exists(), "another's socket was removed")


@case
def systemd_is_told_of_a_relays_start_and_end(home):
    relay = Relay(home)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(home.path / "notify"))
        notify.settimeout(5)
        env = {"NOTIFY_SOCKET": str(home.path / "notify"), "WATCHDOG_USEC": "200000"}
        with relay.serve(env=env) as r:
            r.wait_for(RUNNING)
            try:
                expect_equal(notify.recv(4096), b"READY=1", "the first message")
            except TimeoutError:
                return  # built without libsystemd
            expect_equal(notify.recv(4096), b"WATCHDOG=1", "while it runs")
            expect_equal(r.stop(), 0, "exit status")
            while (told := notify.recv(4096)) == b"WATCHDOG=1":
                pass
            expect_equal(told, b"STOPPING=1", "the last message")


def get(url):
    """Status, content type and body."""
    try:
        with urllib.request.urlopen(url, timeout=10) as r:
            return r.status, r.headers["Content-Type"], r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.headers["Content-Type"], e.read().decode()


@case
def health_and_metrics_are_served_at_one_address(home):
    port, unused = free_port(), free_port()
    relay = Relay(home, f"health: {{enabled: true, listen_address: '127.0.0.1:{port}'}}\n"
                        "telemetry: {metrics: {enabled: true, "
                        f"listen_address: '127.0.0.1:{unused}'}}}}\n")
    relay.config.write_text(relay.config.read_text().replace("gating: true", "gating: false"))
    with relay.serve() as r:
        r.wait_for(RUNNING)
        expect(f"Telemetry: metrics enabled on 127.0.0.1:{port}\n"
               f"Health: http://127.0.0.1:{port}/healthz\n" in r.said(), r.said())
        status, kind, body = get(f"http://127.0.0.1:{port}/healthz")
        expect_equal((status, kind), (200, "application/json"), "the answer")
        health = json.loads(body)
        expect_equal(list(health), ["connected_peers", "status", "uptime_seconds"], "the keys")
        expect_equal((health["connected_peers"], health["status"]), (0, "ok"), "the values")
        with running(relay.b, "ping", relay.target, "--interval", "50ms") as p:
            p.wait_for("seq=1 ")
            expect_equal(json.loads(get(f"http://127.0.0.1:{port}/healthz")[2])["connected_peers"],
                         1, "peers")
            metrics = get(f"http://127.0.0.1:{port}/metrics")[2]
            expect('\npeerup_connected_peers{path_type="DIRECT",transport="tcp",ip_version="ipv4"} 1'
                   "\n" in metrics, metrics)
        status, kind, body = get(f"http://127.0.0.1:{port}/metrics")
        expect_equal((status, kind), (200, "text/plain; version=0.0.4; charset=utf-8"), "metrics")
        for line in body.splitlines():
            expect(re.fullmatch(r"# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[^{}]+\})? [0-9.e+]+", line),
                   f"not the format: {line!r}")
        for name in ("peerup_info", "process_cpu_seconds_total", "process_resident_memory_bytes"):
            expect(re.search(rf"^{name}(\{{.*\}})? [1-9.0e+]+$", body, re.M), f"{name}:\n{body}")
        expect_equal(get(f"http://127.0.0.1:{port}/")[0], 404, "another path")
        with socket.create_server(("127.0.0.1", unused)):
            pass  # nobody listens there


@case
def metrics_alone_have_their_own_address_and_no_health(home):
    port = free_port()
    relay = Relay(home, "telemetry: {metrics: {enabled: true, "
                        f"listen_address: 'localhost:{port}'}}}}\n")
    with relay.serve() as r:
        r.wait_for(f"Telemetry: metrics enabled on localhost:{port}\n")
        r.wait_for(RUNNING)
        expect_equal(get(f"http://localhost:{port}/metrics")[0], 200, "metrics")
        expect_equal(get(f"http://localhost:{port}/healthz")[0], 404, "health")


@case
def an_address_that_is_taken_is_logged_and_the_relay_runs(home):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        at = f"127.0.0.1:{taken.getsockname()[1]}"
        relay = Relay(home, f"health: {{enabled: true, listen_address: '{at}'}}\n")
        with relay.serve() as r:
            r.wait_for(RUNNING)
            r.wait_for(f"HTTP is not served.*listen on {at}: Address already in use", r.complained)
            expect("Health:" not in r.said(), r.said())
            expect_equal(r.stop(), 0, "exit status")


@case
def health_is_for_this_machine_alone(home):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # sends nothing: which address would it leave from?
        except OSError:
            raise Skip("no address but loopback here") from None
        own = s.getsockname()[0]
    port = free_port()
    relay = Relay(home, f"health: {{enabled: true, listen_address: ':{port}'}}\n")
    with relay.serve() as r:
        r.wait_for(RUNNING)
        expect_equal(get(f"http://{own}:{port}/healthz"),
                     (403, "text/plain; charset=utf-8", "forbidden\n"), "from another address")
        expect_equal(get(f"http://127.0.0.1:{port}/healthz")[0], 200, "from loopback")
