# SPDX-License-Identifier: MIT
"""The claims of the suite, one function each.

A cell raises nodes.Failed, Skip or NotRun, or returns.  A cell that is a generator yields the
number of seconds for which its connections are to be left alone, and is then resumed.
"""

import os
import threading
from dataclasses import dataclass
from typing import Callable

from nodes import CommandError
from peerup import NOBODY, Failed, Skip, expect, wait_until
from tunnel import (connect, exchange, expect_refusal, expect_reset, read_exactly,
                    read_to_end, reset_in_midstream, sum_clients)

BOTH_FAMILIES, IPV4_ONLY = (4, 6), (4,)
IDLE_S = 40
SOON_S = 3  # a refusal takes round trips, not retries (decisions.md, 7)
GATED, SHUTDOWN = 0x1007, 0x1006  # connection error codes

STREAM_COUNT = 200
BEYOND_GO_LIMIT = 300  # go-libp2p allows 256 incoming streams a QUIC connection
SUM_BYTES = 64 << 10
LIMITED_COUNT, LIMITED_BYTES = 400, 16 << 10

HEADER = b"\x13/multistream/1.0.0\n"
MINIMAL_IDENTIFY = bytes.fromhex("052a00320178")  # empty protocol version, agent "x"
OVERLONG_IDENTIFY = bytes.fromhex("8180808001") + bytes(64)  # announces 256 MiB and a byte
DAEMON_PROTOCOLS = {
    "/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0", "/pingpong/1.0.0",
    "/peerup/bulk/1.0.0", "/peerup/sum/1.0.0"}


@dataclass
class Cell:
    name: str
    run: Callable
    families: tuple
    idle: bool = False


CELLS = []


def cell(name, families=IPV4_ONLY, idle=False):
    def add(function):
        CELLS.append(Cell(name, function, families, idle))
        return function
    return add


def each_way(name, families=IPV4_ONLY, idle=False):
    """The same cell twice: for what our side opens and for what go opens."""
    def add(function):
        for way in ("out", "in"):
            CELLS.append(Cell(f"{name}.{way}", lambda env, size, w=way: function(env, w, size),
                              families, idle))
        return function
    return add


def expect_goodbye(closed):
    expect(closed["kind"] == "application" and closed["remote"]
           and closed["code"] in (0, SHUTDOWN), f"closed by {closed}")


def frame(text):
    return bytes([len(text) + 1]) + text.encode() + b"\n"


# ---- connections

@cell("dial.out", BOTH_FAMILIES)
def our_client_dials_go(env, _):
    mark = env.go.mark()
    status, replies, stderr = env.client.ping(env.go.addr, 1)
    expect(status == 0 and len(replies) == 1, f"exit status {status}, {replies}: {stderr}")
    seen = env.go.wait_event("connected", since=mark, peer=env.client.id)
    expect(seen["dir"] == "inbound", f"go saw {seen}")
    expect(seen["remote"].startswith(env.go.listen.rpartition("/udp/")[0]), f"go saw {seen}")
    if not env.stand_in:  # which is not a program that ends with its ping
        expect_goodbye(env.go.wait_event("closed", SOON_S, since=mark, conn=seen["conn"]))


@cell("dial.in", BOTH_FAMILIES)
def go_dials_our_daemon(env, _):
    mark = env.go.mark()
    env.go.call("dial", addr=env.daemon.addr)
    seen = env.go.wait_event("connected", since=mark, peer=env.daemon.id)
    expect(seen["dir"] == "outbound" and seen["remote"] == env.daemon.listen, f"go saw {seen}")


@cell("wrong-id.out")
def our_client_refuses_another_peer_id(env, _):
    mark = env.go.mark()
    status, replies, stderr = env.client.ping(f"{env.go.listen}/p2p/{NOBODY}", 1)
    expect(status == 1, f"exit status {status}, {replies}: {stderr}")
    expect(env.go.id in stderr, f"the error doesn't name the ID that answered: {stderr!r}")
    expect(not env.go.seen("connected", mark), "go has a connection of it")


@cell("wrong-id.in")
def go_refuses_our_daemon_under_another_peer_id(env, _):
    try:
        env.go.call("dial", addr=f"{env.daemon.listen}/p2p/{NOBODY}")
    except CommandError as e:
        expect("peer id mismatch" in str(e) and env.daemon.id in str(e), f"go says {e}")
    else:
        raise Failed("go has connected")
    env.dial_daemon()


@cell("gate.in")
def a_stranger_is_closed_before_any_stream(env, _):
    daemon, stranger = env.daemon, env.stranger
    request = HEADER + frame("/peerup/bulk/1.0.0") + b"let me in"
    got = stranger.call("raw", addr=daemon.addr, hex=request.hex(), count=1)
    expect(got["hex"] == "", f"our daemon answered a stranger: {got}")
    expect(got["outcome"] in ("not connected", "not opened", "connection closed"), f"{got}")
    if got["outcome"] != "not connected":
        closed = stranger.wait_event("closed", peer=daemon.id)
        expect(closed["kind"] == "application" and closed["remote"] and closed["code"] == GATED,
               f"closed by {closed}")
    expect("inbound streams" not in stranger.streams(daemon.id), "our daemon opened a stream to it")
    expect(not stranger.seen("identified"), "our daemon told a stranger who it is")
    env.target.expect_untouched()
    env.pair("in")


@cell("gate.dialled")
def a_stranger_that_we_dialled_may_use_no_service(env, _):
    daemon, stranger = env.daemon, env.stranger
    daemon.dial(stranger.addr)
    stranger.wait_event("connected", peer=daemon.id, dir="inbound")
    for protocol in ("/peerup/bulk/1.0.0", "/pingpong/1.0.0"):
        got = stranger.call("open", peer=daemon.id, proto=protocol, size=5, then="read")
        expect(got["outcome"] == "reset", f"{protocol}: {got}")
    env.target.expect_untouched()
    stranger.call("ping", peer=daemon.id, count=1)


# ---- identify and ping

def check_identify(env, told, our_id):
    expect(told["agent"].startswith("peerup/"), f"agent {told['agent']!r}")
    expect(told["protocol_version"] == "", f"protocol version {told['protocol_version']!r}")
    expect(told["observed"] == env.go.listen, f"observed {told['observed']}, not {env.go.listen}")
    expect("/peerup/rtt-probe/1.0.0" not in told["protocols"], "serves the traceroute probe's ID")
    wait_until(lambda: env.go.streams(our_id).get("inbound /ipfs/id/1.0.0"), 10,
               "our side asks go to identify itself")


@cell("identify.out", BOTH_FAMILIES)
def identify_over_a_connection_that_we_dialled(env, _):
    env.port("out", "bulk")
    told = env.go.wait_event("identified", peer=env.client.id)
    check_identify(env, told, env.client.id)
    missing = {"/ipfs/id/1.0.0", "/ipfs/ping/1.0.0"} - set(told["protocols"])
    expect(not missing, f"missing {missing} in {told['protocols']}")


@cell("identify.in", BOTH_FAMILIES)
def identify_over_a_connection_that_go_dialled(env, _):
    told = env.dial_daemon()
    check_identify(env, told, env.daemon.id)
    missing = DAEMON_PROTOCOLS - set(told["protocols"])
    expect(not missing, f"missing {missing} in {told['protocols']}")
    expect(env.daemon.listen in told["listen"], f"listen addresses {told['listen']}")


@cell("ping.out", BOTH_FAMILIES)
def our_ping_is_answered(env, _):
    before = env.go.streams(env.client.id).get("inbound /pingpong/1.0.0", 0)
    status, replies, stderr = env.client.ping(env.go.addr, 3)
    expect(status == 0, f"exit status {status}: {stderr}")
    expect([r["seq"] for r in replies] == [1, 2, 3], f"{replies}")
    for r in replies:
        expect(not r["error"] and r["path"] == "DIRECT" and 0 < r["rtt_ms"] < 5000, f"{r}")
    after = env.go.streams(env.client.id).get("inbound /pingpong/1.0.0", 0)
    expect(after - before == 3, f"go served {after - before} pings")


@cell("ping.in", BOTH_FAMILIES)
def our_daemon_answers_both_pings(env, _):
    env.dial_daemon()
    rtts = env.go.call("ping", peer=env.daemon.id, count=5)["rtt_us"]
    expect(len(rtts) == 5, f"{rtts}")
    for line, answer in (("ping\n", "pong\n"), (" ping\r\n", "pong\n"), ("hello\n", "unknown\n")):
        got = env.go.call("pingpong", peer=env.daemon.id, line=line)
        expect(got["answer"] == answer, f"{line!r} is answered by {got['answer']!r}")


@cell("negotiate.in")
def an_unknown_protocol_is_declined_and_the_next_one_taken(env, _):
    """All of it in one write, as a lazy opener may: header, two proposals, payload."""
    ball = os.urandom(32)
    ping = frame("/ipfs/ping/1.0.0")
    request = HEADER + frame("/peerup/rtt-probe/1.0.0") + ping + ball
    answer = HEADER + frame("na") + ping + ball
    got = env.go.call("raw", addr=env.daemon.addr, hex=request.hex(), count=len(answer))
    expect(bytes.fromhex(got["hex"]) == answer, f"{got}")


BAD_MULTISTREAM = {
    "another header": b"\x13/multistream/2.0.0\n",
    "no newline": b"\x13/multistream/1.0.0/",
    "an empty frame": HEADER + b"\x00",
    "a frame of 64 KiB": HEADER + b"\x80\x80\x04" + b"/" * 2000,
    "a length of 2^63": HEADER + b"\x80" * 9 + b"\x01",
    "a length without end": HEADER + b"\x80" * 64,
    "a length in too many bytes": HEADER + b"\x8f\x80\x00" + b"/ipfs/ping/1.0.0\n",
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nUser-Agent: lost" + bytes(50),
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(200),
}
TRUNCATED_MULTISTREAM = {
    "nothing": b"", "half a header": HEADER[:9], "a header": HEADER,
    "half a name": HEADER + frame("/ipfs/ping/1.0.0")[:8]}


@cell("multistream.in")
def malformed_negotiation_ends_its_stream_and_no_other(env, _):
    env.dial_daemon()
    conns = env.go.call("conns", peer=env.daemon.id)["conns"]
    for rows, then in ((BAD_MULTISTREAM, "read"), (TRUNCATED_MULTISTREAM, "end")):
        for what, request in rows.items():
            got = env.go.call("raw", addr=env.daemon.addr, hex=request.hex(), then=then, timeout=10,
                              count=len(HEADER) + 100)
            answer = bytes.fromhex(got["hex"])
            expect(got["outcome"] in ("reset", "end"), f"{what}: {got}")
            expect(HEADER.startswith(answer), f"{what}: {got}")
    env.go.call("ping", peer=env.daemon.id, count=1)
    expect(conns == env.go.call("conns", peer=env.daemon.id)["conns"], "another connection")


@cell("handshake.in")
def a_handshake_that_is_not_libp2ps_is_told_why_it_fails(env, _):
    """The TLS alert in the code of CONNECTION_CLOSE: libp2p's quic.md and tls.md."""
    # go answers another protocol with internal_error where its specification has its own alert.
    other_alpn = {0x150, 0x178} if env.stand_in else {0x178}
    rows = (("h3", "good", other_alpn), ("libp2p", "none", {0x174}), ("libp2p", "two", {0x12a}),
            ("libp2p", "garbage", {0x12a, 0x132}))
    for alpn, certificates, codes in rows:
        got = env.go.call("handshake", addr=env.daemon.addr, proto=alpn, then=certificates)
        expect(got["outcome"] == "closed" and got["remote"] and got["code"] in codes,
               f"{alpn}, {certificates}: {got}")
    got = env.go.call("handshake", addr=env.daemon.addr, proto="libp2p", then="good", timeout=1)
    expect(got["outcome"] == "connected", f"{got}")


@cell("push.in")
def our_daemon_takes_good_pushes_and_resets_bad_ones(env, _):
    env.dial_daemon()
    echo = HEADER + frame("/ipfs/id/push/1.0.0")
    for message, end in ((MINIMAL_IDENTIFY, "end"), (OVERLONG_IDENTIFY, "reset")):
        got = env.go.call("raw", addr=env.daemon.addr, hex=(echo + message).hex(), then="end",
                          count=len(echo) + 1)
        expect(got["outcome"] == end, f"{message[:8].hex()}: {got}")
        if end == "end":
            expect(bytes.fromhex(got["hex"]) == echo, f"{got}")
    env.go.call("ping", peer=env.daemon.id, count=1)


@cell("perf.in")
def our_daemon_serves_perf(env, _):
    if "/perf/1.0.0" not in env.dial_daemon()["protocols"]:
        raise Skip("our daemon doesn't announce /perf/1.0.0")
    for up, down in ((0, 0), (5, 3), (3 << 20, 0), (1, 3 << 20)):
        got = env.go.call("perf", peer=env.daemon.id, up=up, down=down, timeout=60)
        expect(got["received"] == down and not got["early"], f"up {up}, down {down}: {got}")


# ---- services

@each_way("proxy", BOTH_FAMILIES)
def bulk_both_ways_with_a_checksum(env, way, size):
    exchange(*env.pair(way), size if env.family == 4 else size // 8)


@each_way("half-close.client-first")
def the_service_answers_after_the_clients_end(env, way, _):
    client, service = env.pair(way)
    request, answer = os.urandom(1 << 20), os.urandom(1 << 20)
    half_close(client, service, request, answer)


@each_way("half-close.service-first")
def the_client_goes_on_after_the_services_end(env, way, _):
    client, service = env.pair(way)
    half_close(service, client, os.urandom(1 << 20), os.urandom(1 << 20))


def half_close(first, second, one, two):
    """`first` says its part and half-closes; only then `second` says its own."""
    for writer, reader, data in ((first, second, one), (second, first, two)):
        thread = threading.Thread(target=send_and_shut, args=(writer, data))
        thread.start()
        got = read_to_end(reader)
        thread.join()
        expect(got == data, f"{len(got)} of {len(data)} bytes, or others")


def send_and_shut(s, data):
    try:
        s.sendall(data)
        s.shutdown(1)
    except OSError:
        pass  # the reader misses the bytes and says so


@each_way("server-speaks-first")
def a_service_may_speak_first(env, way, _):
    client = connect(env.port(way, "bulk"))
    service = env.target.accept()
    service.sendall(b"220 ready\r\n")
    expect(read_exactly(client, 11) == b"220 ready\r\n", "another greeting")


@each_way("reset.by-client")
def a_clients_reset_reaches_the_service(env, way, _):
    client, service = env.pair(way)
    reset_in_midstream(client, service)


@each_way("reset.by-service")
def a_services_reset_reaches_the_client(env, way, _):
    client, service = env.pair(way)
    reset_in_midstream(service, client)


@cell("go-close.out")
def go_closes_after_its_answer(env, _):
    """go's Close is STOP_SENDING(0) with FIN: all data, then an orderly end."""
    client = connect(env.port("out", "curt"))
    client.sendall(b"x")
    got = read_to_end(client)
    expect(got == bytes(100000), f"{len(got)} bytes of 100000")


@cell("go-close.in")
def go_closes_after_its_request(env, _):
    env.dial_daemon()
    env.go.call("open", peer=env.daemon.id, proto="/peerup/bulk/1.0.0", size=100000, then="close")
    got = read_to_end(env.target.accept())
    expect(got == bytes(100000), f"{len(got)} bytes of 100000")


@cell("refused.out")
def go_cannot_reach_its_service(env, _):
    expect_refusal(env.port("out", "refused"), SOON_S)


@cell("refused.in")
def our_daemon_cannot_reach_its_service(env, _):
    env.dial_daemon()
    got = env.go.call("open", peer=env.daemon.id, proto="/peerup/refused/1.0.0", size=5,
                      then="read", timeout=SOON_S)
    expect(got["outcome"] == "reset" and got["remote"], f"{got}")


@cell("unknown-service.out")
def go_has_no_such_service(env, _):
    expect_refusal(env.port("out", "no-such"), SOON_S, end_will_do=True)


@cell("unknown-service.in")
def our_daemon_has_no_such_service(env, _):
    env.dial_daemon()
    got = env.go.call("open", peer=env.daemon.id, proto="/peerup/no-such/1.0.0", size=5,
                      then="read", timeout=SOON_S)
    expect("protocols not supported" in got["text"], f"{got}")


@cell("acl.in")
def a_service_for_another_peer_is_refused(env, _):
    env.dial_daemon()
    got = env.go.call("open", peer=env.daemon.id, proto="/peerup/private/1.0.0", size=5,
                      then="read", timeout=SOON_S)
    expect(got["outcome"] == "reset" and got["remote"], f"{got}")
    env.target.expect_untouched()


def sums_out(env, count):
    port = env.port("out", "sum")
    sum_clients(port, count, SUM_BYTES, lambda: wait_until(
        lambda: env.go.call("stats", peer=env.client.id)["sums_peak"] >= count, 30,
        f"{count} streams open at once"))


def sums_in(env, count):
    env.dial_daemon()
    env.sums.together(count)
    try:
        env.go.call("sum", peer=env.daemon.id, proto="/peerup/sum/1.0.0", count=count,
                    size=SUM_BYTES, timeout=60)
    except CommandError as e:
        raise Failed("\n".join(str(e).splitlines()[:3])) from None


@cell("streams-200.out")
def two_hundred_streams_of_ours(env, _):
    sums_out(env, STREAM_COUNT)


@cell("streams-200.in")
def two_hundred_streams_of_go(env, _):
    sums_in(env, STREAM_COUNT)


@cell("streams-300.out")
def past_gos_limit_the_proxy_opens_another_connection(env, _):
    if env.stand_in:
        raise Skip("go-libp2p opens no second connection")
    sums_out(env, BEYOND_GO_LIMIT)


@cell("streams-limited.out")
def at_gos_default_limits_the_proxy_queues(env, _):
    """More than go takes: its resource manager refuses streams of one peer and protocol."""
    if env.stand_in:
        raise Skip("go-libp2p does not queue")
    port = env.client.proxy(env.limited.addr, "sum")
    sum_clients(port, LIMITED_COUNT, LIMITED_BYTES, lambda: None)
    done = env.limited.call("stats", peer=env.client.id)
    expect(done["sums"] >= LIMITED_COUNT, f"go counts {done['sums']} of {LIMITED_COUNT}")
    expect(done["sums_peak"] < LIMITED_COUNT, "go refused nothing: no test of its limits")


@cell("streams-300.in")
def an_authorized_peer_may_open_more_than_the_handshake_allowed(env, _):
    if env.stand_in:
        raise Skip("go-libp2p allows 256 streams a connection")
    sums_in(env, BEYOND_GO_LIMIT)


# ---- life time

@each_way("idle-40s", idle=True)
def an_idle_connection_lives(env, way, _):
    client, service = env.pair(way)
    ours = env.client.id if way == "out" else env.daemon.id
    before = env.go.call("conns", peer=ours)["conns"]
    yield IDLE_S
    closed = env.go.seen("closed", peer=ours)
    expect(not [c for c in closed if c["conn"] in before], f"closed meanwhile: {closed}")
    exchange(client, service, 1 << 20)
    exchange(*env.pair(way), 1 << 20)
    after = env.go.call("conns", peer=ours)["conns"]
    expect(before == after, f"connections {before} before, {after} after")


@each_way("closed-by-go")
def what_go_closes_is_dialled_again(env, way, _):
    client, service = env.pair(way)
    ours, end = (env.client.id, client) if way == "out" else (env.daemon.id, service)
    env.go.call("close", peer=ours)
    expect_reset(end)
    exchange(*env.pair(way), 1 << 20)


@each_way("shutdown")
def our_side_says_goodbye_and_comes_back(env, way, _):
    env.pair(way)
    part, ours = ("client", env.client.id) if way == "out" else ("daemon", env.daemon.id)
    mark = env.go.mark()
    statuses = env.stop_part(part)
    expect(set(statuses) == {0}, f"exit status {statuses}")
    expect_goodbye(env.go.wait_event("closed", since=mark, peer=ours))
    env.pair(way)
