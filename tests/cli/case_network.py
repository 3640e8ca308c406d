# SPDX-License-Identifier: MIT
"""daemon, ping and proxy: two nodes of ours on loopback, and what each says."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request

import harness
from case_daemon import listen_at
from harness import PEER_A, PEER_B, SHORT_A, Home, case, expect, expect_equal

START_S = 30


class Running:
    """A command that goes on until it is told to stop."""

    def __init__(self, home, *args, env=None):
        env = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")} | (env or {})
        env |= {"HOME": str(home.path), "PATH": os.environ["PATH"]}
        self.out_path = home.path / f"{args[0]}.out"
        self.err_path = home.path / f"{args[0]}.err"
        self.child = subprocess.Popen(
            [harness.PROGRAM, *args], env=env, cwd=home.path, stdin=subprocess.DEVNULL,
            stdout=self.out_path.open("w"), stderr=self.err_path.open("w"))

    def said(self):
        return self.out_path.read_text()

    def complained(self):
        return self.err_path.read_text()

    def wait_for(self, pattern, where=None):
        deadline = time.monotonic() + START_S
        while not (found := re.search(pattern, (where or self.said)())):
            expect(self.child.poll() is None and time.monotonic() < deadline,
                   f"{pattern!r} never came:\n{self.said()}{self.complained()}")
            time.sleep(0.02)
        return found

    def stop(self, signo=signal.SIGTERM):
        self.child.send_signal(signo)
        return self.child.wait(START_S)


@contextlib.contextmanager
def running(home, *args, env=None):
    r = Running(home, *args, env=env)
    try:
        yield r
    finally:
        if r.child.poll() is None:
            r.child.kill()
            r.child.wait()


class Pair:
    """Home A, whose daemon listens and knows B, and home B below it."""

    def __init__(self, home):
        self.a = home
        self.b = Home(home.path / "b")
        self.b.path.mkdir()
        home.make_node()
        self.b.run("init", "--no-relay")
        self.id_b = self.b.run("whoami").strip()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("127.0.0.1", 0))
            self.address = f"/ip4/127.0.0.1/udp/{s.getsockname()[1]}/quic-v1"
        self.target = f"{self.address}/p2p/{PEER_A}"
        listen_at(home, self.address)
        home.run("auth", "add", self.id_b)

    def daemon(self):
        return running(self.a, "daemon")


@contextlib.contextmanager
def service(home, name):
    with socket.create_server(("127.0.0.1", 0)) as s:
        s.settimeout(START_S)
        home.run("service", "add", name, f"127.0.0.1:{s.getsockname()[1]}")
        yield s


def says_hello(through, target):
    client = socket.create_connection(("localhost", through), START_S)
    client.sendall(b"hello")
    served, _ = target.accept()
    with client, served:
        expect_equal(served.recv(5, socket.MSG_WAITALL), b"hello", "the service's bytes")
        served.sendall(b"and bye")
        served.shutdown(socket.SHUT_WR)
        expect_equal(client.recv(7, socket.MSG_WAITALL), b"and bye", "the client's bytes")
        expect_equal(client.recv(1), b"", "the client's end")


@case
def a_daemon_tells_what_it_does_and_ends_in_order(home):
    pair = Pair(home)
    with service(home, "web"), pair.daemon() as d:
        d.wait_for("Exposing service: web -> 127.0.0.1")
        said = d.said()
        for line in (f"Loaded configuration from {home.config}", f"Peer ID: {PEER_A}",
                     f"Loading authorized peers from {home.keys}", f"Listening on {pair.target}"):
            expect(line + "\n" in said, f"{line!r} is missing in:\n{said}")
        d.wait_for("registered service", d.complained)
        expect_equal(d.stop(), 0, "exit status")
        expect(d.said().endswith("Received terminated, shutting down...\nDaemon stopped.\n"),
               d.said())
    expect((home.config.parent / ".config.last-good.yaml").exists(), "the config is not archived")


@case
def daemon_takes_start_and_its_config_in_any_place(home):
    pair = Pair(home)
    moved = home.config.rename(home.config.parent / "other.yaml")
    for args in (("--config", moved), ("start", "--config", moved), ("start", f"-config={moved}")):
        with running(home, "daemon", *map(str, args)) as d:
            d.wait_for(f"Listening on {re.escape(pair.target)}")
            expect_equal(d.stop(signal.SIGINT), 0, f"exit status with {args}")
            expect("Received interrupt" in d.said(), d.said())


@case
def a_daemon_warns_of_an_empty_list_and_of_no_gate(home):
    home.make_node()
    listen_at(home, "/ip4/127.0.0.1/udp/0/quic-v1")
    with running(home, "daemon") as d:
        d.wait_for("is empty - nobody can connect!")
    text = home.config.read_text()
    home.config.write_text(text.replace("gating: true", "gating: false"))
    with running(home, "daemon") as d:
        d.wait_for("WARNING: Connection gating is DISABLED")
        d.wait_for("Listening on")


@case
def a_daemon_without_its_list_does_not_start(home):
    home.make_node()
    home.keys.unlink()
    home.run("daemon", status=1, err_has="Failed to start: failed to open authorized_keys file")


@case
def one_identity_is_one_daemon_and_no_ping_or_proxy_beside_it(home):
    pair = Pair(home)
    with pair.daemon() as d:
        d.wait_for("Listening on")
        good = home.config.read_text()
        home.config.write_text(good + "# tried beside it\n")
        home.run("daemon", status=1, err_has="a daemon is already running")
        expect_equal((home.config.parent / ".config.last-good.yaml").read_text(), good,
                     "the archive")
        refusal = "a daemon is running with this identity"
        home.run("ping", "-c", "1", f"{pair.address}/p2p/{PEER_B}", status=1, err_has=refusal)
        home.run("proxy", f"{pair.address}/p2p/{PEER_B}", "web", "0", status=1, err_has=refusal)


@case
def a_peer_that_is_not_there_is_an_error_and_not_a_crash(home):
    home.make_node()
    nobody = f"/ip4/127.0.0.1/udp/9/quic-v1/p2p/{PEER_B}"
    home.run("ping", "-c", "1", nobody, status=1,
             err_has="Failed to connect: /ip4/127.0.0.1/udp/9/quic-v1: no answer")


@case
def the_transport_is_a_preference(home):
    pair = Pair(home)
    pair.b.run("ping", pair.target, "--transport", "udp", status=1,
               err_has='Invalid transport "udp": must be auto, quic or tcp')
    with pair.daemon() as d:
        d.wait_for("Listening on")
        for transport in ("auto", "quic", "tcp"):
            out = pair.b.run("ping", pair.target, "-c", "1", "--transport", transport)
            expect("seq=1 rtt=" in out, out)


@case
def pings_by_address_and_by_name(home):
    pair = Pair(home)
    with pair.daemon() as d:
        d.wait_for("Listening on")
        out = pair.b.run("ping", pair.target, "-c", "2", "--interval", "10ms")
        expect(re.fullmatch(
            rf"PING {re.escape(pair.target)} \({re.escape(SHORT_A)}\)\nConnecting\.\.\.\n\n"
            r"seq=1 rtt=\d+\.\dms path=\[DIRECT\]\nseq=2 rtt=\d+\.\dms path=\[DIRECT\]\n\n"
            rf"--- {re.escape(pair.target)} ping statistics ---\n"
            r"2 sent, 2 received, 0% loss, rtt min/avg/max = [\d.]+/[\d.]+/[\d.]+ ms\n", out), out)
        text = pair.b.config.read_text()
        pair.b.config.write_text(text.replace("names: {}", f"names:\n  home: {pair.target}"))
        lines = [json.loads(x) for x in
                 pair.b.run("ping", "home", "-n", "1", "--json").splitlines()]
        expect_equal(list(lines[0]), ["seq", "peer_id", "rtt_ms", "path", "error"], "the reply")
        expect_equal((lines[0]["seq"], lines[0]["peer_id"], lines[0]["path"], lines[0]["error"]),
                     (1, PEER_A, "DIRECT", ""), "the reply")
        expect_equal(list(lines[1]), ["sent", "received", "lost", "loss_pct", "min_ms", "avg_ms",
                                      "max_ms"], "the statistics")


@case
def loss_is_no_failure_and_ctrl_c_prints_the_statistics(home):
    pair = Pair(home)
    on = r"(ping_pong:\n(?: *#.*\n)*    enabled: )true"
    home.config.write_text(re.sub(on, r"\1false", home.config.read_text()))
    with pair.daemon() as d:
        d.wait_for("Ping-pong protocol disabled in config")
        out = pair.b.run("ping", pair.target, "-c", "1")
        expect("seq=1 error=stream: protocols not supported\n" in out, out)
        expect("1 sent, 0 received, 100% loss" in out, out)
        with running(pair.b, "ping", pair.target, "--interval", "10ms") as p:
            p.wait_for("seq=3 ")
            expect_equal(p.stop(signal.SIGINT), 0, "exit status")
            expect("ping statistics" in p.said(), p.said())


@case
def a_proxy_leads_to_the_service(home):
    pair = Pair(home)
    with service(home, "web") as target, pair.daemon() as d:
        d.wait_for("Exposing service")
        with running(pair.b, "proxy", pair.target, "web", "0") as p:
            port = int(p.wait_for(r"TCP proxy listening on localhost:(\d+)")[1])
            said = p.said()
            for line in ("=== TCP Proxy via P2P ===", f"Config: {pair.b.config}", "Service: web",
                         f"Client Peer ID: {pair.id_b}", f"Target Peer: {PEER_A}",
                         f"Connected [DIRECT] via {pair.address} ("):
                expect("\n" + line in "\n" + said, f"{line!r} is missing in:\n{said}")
            for _ in range(3):
                says_hello(port, target)
            expect_equal(p.stop(signal.SIGINT), 0, "exit status")
            expect(p.said().endswith("\nShutting down...\n"), p.said())


def metrics(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=START_S) as answer:
        expect_equal(answer.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8",
                     "the kind of metrics")
        return answer.read().decode()


@case
def a_daemon_serves_metrics_and_writes_an_audit_log_where_the_config_says_so(home):
    pair = Pair(home)
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    home.config.write_text(home.config.read_text() + "telemetry:\n  metrics: {enabled: true, "
                           f'listen_address: "127.0.0.1:{port}"}}\n  audit: {{enabled: true}}\n')
    with service(home, "web") as target, pair.daemon() as d:
        d.wait_for("Telemetry: audit logging enabled")
        d.wait_for(f"Telemetry: metrics enabled on 127.0.0.1:{port}")
        with running(pair.b, "proxy", pair.target, "web", "0") as p:
            through = int(p.wait_for(r"TCP proxy listening on localhost:(\d+)")[1])
            says_hello(through, target)
            home.run("auth", "remove", pair.id_b)
            d.wait_for('"msg":"auth_change","audit":{"action":"remove",', d.complained)
        pair.b.run("ping", pair.target, "-c", "1", status=1, err_has="the peer refused us")
        said = metrics(port)
        for line in ('peerup_proxy_connections_total{service="web"} 1',
                     'peerup_proxy_active_connections{service="web"} 0',
                     'peerup_proxy_duration_seconds_count{service="web"} 1',
                     'peerup_proxy_bytes_total{direction="rx",service="web"} 5',
                     'peerup_auth_decisions_total{decision="allow"} 1',
                     'peerup_holepunch_total{result="success"} 0',
                     'peerup_holepunch_duration_seconds_bucket{result="failure",le="+Inf"} 0'):
            expect(f"\n{line}\n" in said, f"{line} is missing in:\n{said}")
        expect(re.search(r'\npeerup_auth_decisions_total\{decision="deny"\} [1-9]', said), said)
        expect_equal(d.stop(), 0, "exit status")
        lines = [json.loads(x) for x in d.complained().splitlines() if x.startswith("{")]
        expect_equal(list(lines[0]), ["time", "level", "msg", "audit"], "an audit line")
        decided = [x["audit"] for x in lines if x["msg"] == "auth_decision"]
        short = pair.id_b[:16] + "..."
        expect_equal(decided[0], {"peer": short, "direction": "inbound", "result": "allow"},
                     "the first decision")
        expect_equal(decided[-1], {"peer": short, "direction": "inbound", "result": "deny"},
                     "the last decision")


@case
def a_proxy_outlives_its_peer_and_finds_it_again(home):
    pair = Pair(home)
    with service(home, "web") as target, contextlib.ExitStack() as stack:
        d = stack.enter_context(pair.daemon())
        d.wait_for("Exposing service")
        p = stack.enter_context(running(pair.b, "proxy", pair.target, "web", "0"))
        port = int(p.wait_for(r"listening on localhost:(\d+)")[1])
        says_hello(port, target)
        expect_equal(d.stop(), 0, "exit status")
        again = stack.enter_context(pair.daemon())
        again.wait_for("Exposing service")
        says_hello(port, target)


@case
def a_service_that_is_not_there_is_said_and_the_client_reset(home):
    pair = Pair(home)
    with pair.daemon() as d:
        d.wait_for("Listening on")
        with running(pair.b, "proxy", pair.target, "nothing", "0") as p:
            port = int(p.wait_for(r"listening on localhost:(\d+)")[1])
            with socket.create_connection(("localhost", port), START_S) as client:
                try:
                    expect_equal(client.recv(1), None, "what a refused client reads")
                except ConnectionResetError:
                    pass
            p.wait_for('The peer offers no service "nothing"', p.complained)


@case
def a_stranger_is_let_in_when_it_is_authorized_and_thrown_out_when_that_ends(home):
    pair = Pair(home)
    home.run("auth", "remove", pair.id_b)
    with pair.daemon() as d:
        d.wait_for("Listening on")
        pair.b.run("ping", pair.target, "-c", "1", status=1, err_has="Failed to connect: ")
        d.wait_for("inbound connection denied", d.complained)
        home.run("auth", "add", pair.id_b)
        d.wait_for("updated authorized peers list", d.complained)
        with running(pair.b, "ping", pair.target, "--interval", "50ms") as p:
            p.wait_for("seq=1 rtt=")
            home.run("auth", "remove", pair.id_b)
            p.wait_for(r"seq=\d+ error=")


@case
def a_list_that_cannot_be_read_leaves_the_old_one_in_force(home):
    pair = Pair(home)
    good = home.keys.read_text()
    with pair.daemon() as d:
        d.wait_for("Listening on")
        home.keys.write_text("rubbish\n")
        d.wait_for("authorized_keys not reloaded: the old list stays", d.complained)
        pair.b.run("ping", pair.target, "-c", "1")
        home.keys.unlink()
        d.wait_for("(?s)old list stays.*old list stays", d.complained)
        pair.b.run("ping", pair.target, "-c", "1")
        home.keys.write_text(good)
        d.wait_for("updated authorized peers list", d.complained)


@case
def sighup_reads_the_list_again(home):
    pair = Pair(home)
    with pair.daemon() as d:
        d.wait_for("Listening on")
        d.child.send_signal(signal.SIGHUP)
        d.wait_for("updated authorized peers list", d.complained)


@case
def an_authorization_that_expires_ends_the_connection(home):
    pair = Pair(home)
    end = time.gmtime(time.time() + 2)
    home.keys.write_text(f"{pair.id_b}  expires={time.strftime('%Y-%m-%dT%H:%M:%SZ', end)}\n")
    with pair.daemon() as d:
        d.wait_for("Listening on")
        with running(pair.b, "ping", pair.target, "--interval", "50ms") as p:
            p.wait_for("seq=1 rtt=")
            p.wait_for(r"seq=\d+ error=")
        pair.b.run("ping", pair.target, "-c", "1", status=1, err_has="Failed to connect: ")


@case
def systemd_is_told_of_the_start_the_end_and_that_it_lives(home):
    pair = Pair(home)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(home.path / "notify"))
        notify.settimeout(5)
        env = {"NOTIFY_SOCKET": str(home.path / "notify"), "WATCHDOG_USEC": "200000"}
        with running(home, "daemon", env=env) as d:
            d.wait_for(f"Listening on {re.escape(pair.target)}")
            try:
                expect_equal(notify.recv(4096), b"READY=1", "the first message")
            except TimeoutError:
                return  # built without libsystemd
            for _ in range(3):
                expect_equal(notify.recv(4096), b"WATCHDOG=1", "while it runs")
            expect_equal(d.stop(), 0, "exit status")
            while (told := notify.recv(4096)) == b"WATCHDOG=1":
                pass
            expect_equal(told, b"STOPPING=1", "the last message")


@case
def another_peer_at_the_address_is_an_error(home):
    pair = Pair(home)
    with pair.daemon() as d:
        d.wait_for("Listening on")
        wrong = f"{pair.address}/p2p/{PEER_B}"
        pair.b.run("ping", wrong, "-c", "1", status=1, err_has="Failed to connect: ")
        pair.b.run("proxy", wrong, "web", "0", status=1,
                   err_has="Failed to connect to target: ")


@case
def what_cannot_be_meant_is_said_at_once(home):
    home.make_node()
    home.run("ping", status=1, err_has="usage: peerup ping")
    home.run("ping", "nobody", status=1,
             err_has='Cannot resolve target "nobody": name not found: nobody')
    home.run("ping", PEER_B, status=1, err_has="no address is known for the peer")
    home.run("ping", PEER_B, "-c", "-1", status=1, err_has="Invalid count")
    home.run("ping", PEER_B, "--interval", "0", status=1, err_has="Invalid interval")
    home.run("ping", PEER_B, "--interval", "soon", status=2)
    home.run("ping", PEER_B, "--frequency", "1", status=2,
             err_has="flag provided but not defined: -frequency")
    expect(home.run("proxy", "home", "web", status=1).startswith("Usage: peerup proxy"), "usage")
    home.run("proxy", PEER_B, "web", "65536", status=1, err_has='Invalid local port "65536"')
    home.run("proxy", PEER_B, "No Name", "1", status=1, err_has="invalid service name")
    home.run("proxy", PEER_B, "web", "1", status=1, err_has="no address is known for the peer")


@case
def a_port_that_is_taken_ends_the_proxy(home):
    pair = Pair(home)
    with pair.daemon() as d, socket.create_server(("127.0.0.1", 0)) as taken:
        d.wait_for("Listening on")
        port = str(taken.getsockname()[1])
        pair.b.run("proxy", pair.target, "web", port, status=1,
                   err_has="Failed to create listener: listen on 127.0.0.1:" + port)
