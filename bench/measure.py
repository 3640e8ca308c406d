# SPDX-License-Identifier: MIT
"""One contestant, one round: starts it, loads it, returns flat figures by name."""

import contextlib
import json
import os
import re
import resource
import select
import signal
import subprocess
import time

import flights
from contestants import SERVICE_PORT, TABLE
from lab import CLOCK_TICKS, BenchError, command
from tools import LOAD

GIB = 2**30
SETTLE_S = 0.5  # for closing connections and freed memory to come to rest
READY_S = 30
HOLD_LINE_S = 60
DEFAULT_KINDS = ["ready", "memory", "latency", "connections", "handshakes", "bulk"]
KINDS = [*DEFAULT_KINDS, "loaded", "round-trips"]
LINK_KINDS = ["bulk"]


def machine_busy_seconds():
    """CPU seconds of the whole machine, all cores, everything but idle and waiting for disks."""
    with open("/proc/stat", encoding="utf-8") as stat:
        user, nice, system, _, _, irq, softirq, *_ = map(int, stat.readline().split()[1:])
    return (user + nice + system + irq + softirq) / CLOCK_TICKS


def link_rate_mbit(spec):
    """The rate of an emulated link, or None."""
    rate = re.search(r"\brate=([\d.]+)([kmg])bit", spec or "")
    return rate and float(rate[1]) * {"k": 1e-3, "m": 1, "g": 1e3}[rate[2]]


class Round:
    def __init__(self, lab, options, name):
        self.lab = lab
        self.options = options
        self.name = name
        self.contestant = TABLE[name]
        self.figures = {}
        self.flights = []

    def run(self):
        """Memory on a pair that has done nothing before, the rest on a second pair."""
        kinds = self.options.only
        if "round-trips" in kinds:
            self._with_tunnel(self._round_trips)
        if "ready" in kinds or "memory" in kinds:
            self._with_tunnel(self._memory if "memory" in kinds else lambda: None)
        steps = [step for kind, step in (("latency", self._latency),
                                         ("connections", self._connections),
                                         ("handshakes", self._handshakes),
                                         ("loaded", self._loaded),
                                         ("bulk", self._bulk)) if kind in kinds]
        if steps:
            self._with_tunnel(lambda: [step() for step in steps])
        return self.figures

    def _with_tunnel(self, work):
        try:
            self.service = self.lab.spawn("service", "a",
                                          [LOAD, "serve", "0.0.0.0", str(SERVICE_PORT)])
            self.service.wait_tcp(SERVICE_PORT)
            self.lab.mark_start()
            self.tunnel = self.contestant.start(self.lab, self.options)
            self._load("probe", 1, READY_S)
            self.ready_ns = time.monotonic_ns()
            self.figures["ready_s"] = time.monotonic() - self.lab.start_time
            work()
        finally:
            self.lab.stop()

    def _argv(self, mode, count, seconds):
        return [LOAD, mode, self.tunnel.host, str(self.tunnel.port), str(count),
                str(int(seconds * 1000))]

    def _load(self, mode, count, seconds):
        return self._run_load(self._argv(mode, count, seconds), seconds)

    def _run_load(self, argv, seconds, meanwhile=lambda: None):
        load = self.lab.popen("b", argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            meanwhile()
            out, err = load.communicate(timeout=seconds + 60)
        except BaseException:
            load.kill()
            load.wait()
            raise
        for process in self.tunnel.processes.values():
            process.check()
        if load.returncode != 0:
            raise BenchError(f"{' '.join(argv)}: {err.strip()}")
        return json.loads(out)

    def _resident(self, when):
        for role, process in self.tunnel.processes.items():
            self.figures[f"resident_{when}_{role}_mib"] = process.resident_mib()

    def _memory(self):
        time.sleep(SETTLE_S)
        self._resident("idle")
        for count in (100, 1000):
            self._hold(count)
            time.sleep(SETTLE_S)

    def _hold(self, count):
        load = self.lab.popen("b", self._argv("hold", count, 1), text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            if not select.select([load.stdout], [], [], HOLD_LINE_S)[0]:
                raise BenchError(f"load hold {count}: no answer in {HOLD_LINE_S} s")
            self.figures[f"held_{count}"] = json.loads(load.stdout.readline())["held"]
            time.sleep(SETTLE_S)
            self._resident(f"held_{count}")
        finally:
            load.stdin.close()
            load.stdout.close()
            load.kill()
            load.wait()

    def _latency(self):
        result = self._load("latency", 64, self.options.latency_seconds)
        for name in ("p50_us", "p99_us", "p999_us"):
            self.figures["latency_" + name] = result[name]

    def _loaded(self):
        """Echoes of a second user of the tunnel while one stream takes all that the link has."""
        seconds = self.options.bulk_seconds
        for direction in ("up", "down"):
            echoes = {}

            def echo():
                time.sleep(seconds / 3)  # the transfer has the link by then
                echoes.update(self._load("latency", 64, seconds / 3))

            self._run_load(self._argv(direction, 1, seconds), seconds, echo)
            for name in ("p50", "p99"):
                self.figures[f"loaded_{direction}_{name}_ms"] = echoes[name + "_us"] / 1000

    def _connections(self):
        for in_flight in (1, 16):
            result = self._load("connections", in_flight, self.options.connection_seconds)
            self.figures[f"connections_{in_flight}_per_s"] = result["per_second"]
            lost = result["failed"] + result["stalled"]
            self.figures[f"connections_{in_flight}_lost"] = lost
            time.sleep(SETTLE_S)

    def _handshakes(self):
        """New connections of the tunnel itself, each for one byte (or what its protocol has)."""
        if not self.tunnel.handshakes:
            return
        for in_flight in (1, 8):
            seconds = self.options.connection_seconds
            argv = [*self.tunnel.handshakes, str(in_flight), str(int(seconds * 1000))]
            before = self._clocks()
            result = self._run_load(argv, seconds)
            after = self._clocks()
            if result["echoed"] == 0:
                raise BenchError(f"none of {result['failed']} handshakes succeeded")
            self.figures[f"handshakes_{in_flight}_per_s"] = result["per_second"]
            self.figures[f"handshakes_{in_flight}_failed"] = result["failed"]
            used = sum(after[name] - before[name] for name in ("server", "load"))
            self.figures[f"handshakes_{in_flight}_cpu_ms"] = used * 1000 / result["echoed"]
            time.sleep(SETTLE_S)

    def _round_trips(self):
        """What crosses the link between a first packet and the first byte of an answer: of a
        new connection where the contestant can make one at will, else of its whole start."""
        if self.tunnel.handshakes:
            time.sleep(SETTLE_S)
            self.lab.mark_dial()
            self._run_load([*self.tunnel.handshakes, "1", "1"], READY_S)
            self.ready_ns = time.monotonic_ns()
        with open(self.lab.packet_log, encoding="utf-8") as log:
            packets = flights.parse(log, self.lab.dial_ns, self.ready_ns)
        packets = flights.until_answer(packets, self.ready_ns)
        if not packets:
            raise BenchError("no packet crossed the link")
        self.figures["round_trips"] = packets[-1].flight / 2
        self.figures["first_byte_ms"] = (packets[-1].out_ns - packets[0].in_ns) / 1e6
        self.flights = flights.describe(packets)

    def _bulk(self):
        for streams in self.options.streams:
            for direction in ("up", "down"):
                self._transfer(direction, streams)
        time.sleep(SETTLE_S)
        self._resident("after_bulk")

    @contextlib.contextmanager
    def _profiled(self, direction, streams):
        """Samples each tunnel process while one stream runs; a flat profile a process remains."""
        if not self.options.profile or streams != 1:
            yield
            return
        recorders = {}
        for role, process in self.tunnel.processes.items():
            data = os.path.join(self.lab.scratch.name, role + ".perf")
            recorders[role] = data, subprocess.Popen(
                ["perf", "record", "-q", "-e", "cpu-clock", "-F", "999", "-g",
                 "-o", data, "-p", str(process.pid)], stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            for _, recorder in recorders.values():
                recorder.send_signal(signal.SIGINT)
                recorder.wait()
        for role, (data, _) in recorders.items():
            text = command("perf", "report", "--stdio", "--no-children", "-g", "none",
                           "--percent-limit", "0.5", "--fields", "overhead,dso,sym", "-i", data)
            path = os.path.join(self.options.out, f"profile-{self.name}-{direction}-{role}.txt")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)

    def _clocks(self):
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        clocks = {role: process.cpu_seconds() for role, process in self.tunnel.processes.items()}
        clocks["load"] = self.service.cpu_seconds() + children.ru_utime + children.ru_stime
        if self.lab.emulators():
            clocks["emulator"] = sum(e.cpu_seconds() for e in self.lab.emulators())
        clocks["machine"] = machine_busy_seconds()
        return clocks

    def _transfer(self, direction, streams):
        before = self._clocks()
        with self._profiled(direction, streams):
            result = self._load(direction, streams, self.options.bulk_seconds)
        after = self._clocks()
        used = {name: after[name] - before[name] for name in before}
        gib = result["bytes"] / GIB
        prefix = f"{direction}_{streams}_"
        self.figures[prefix + "mbit_s"] = result["mbit_s"]
        rate = link_rate_mbit(self.options.link)
        if rate:
            self.figures[prefix + "link_percent"] = result["mbit_s"] / rate * 100
        for name, seconds in used.items():
            self.figures[f"{prefix}cpu_{name}_s_per_gib"] = seconds / gib
        if self.tunnel.processes:
            tunnel = sum(used[role] for role in self.tunnel.processes)
            self.figures[prefix + "cpu_tunnel_s_per_gib"] = tunnel / gib
        # What neither the tunnel nor the load used: strangers, and kernel work charged to nobody.
        others = used["machine"] - sum(s for name, s in used.items() if name != "machine")
        self.figures[prefix + "other_cores"] = max(0.0, others) / result["seconds"]
