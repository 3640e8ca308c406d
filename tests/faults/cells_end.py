# SPDX-License-Identifier: MIT
"""SIGTERM with transfers under way."""

import time

from bed import expect, expect_works, pair
from cells import cell
from traffic import Traffic, expect_all_reset, wait_moving

AT_ONCE_S = 3
CONFIG_FILES = {"config.yaml", "authorized_keys", "identity.key"}
ARCHIVE = {".config.last-good.yaml"}


def start_all(traffic, target, port):
    """Both ways, up, down, and one connection that says nothing."""
    flows = []
    for up, down in ((True, True), (True, False), (False, True), (False, False)):
        client, service = pair(port, target)
        flows.append((traffic.add(client, read=True, write=up),
                      traffic.add(service, read=True, write=down)))
    wait_moving([f for both in flows[:3] for f in both])
    return [list(side) for side in zip(*flows)]


def files_of(home):
    return {p.name for p in home.config.parent.iterdir()}


@cell("end.daemon", backends=True)
def a_daemon_that_ends_resets_its_connections_and_leaves_nothing(bed):
    target, daemon, _, (port,) = bed.tunnel()
    with Traffic() as traffic:
        clients, services = start_all(traffic, target, port)
        now = time.monotonic()
        faults = bed.end(daemon.process)
        expect(not faults, "; ".join(faults))
        expect_all_reset(clients, now, AT_ONCE_S, "client")
        expect_all_reset(services, now, AT_ONCE_S, "service")
    extra = files_of(daemon.home) - CONFIG_FILES - ARCHIVE
    expect(not extra, f"left behind: {extra}")
    daemon.start()
    expect_works(port, target)


@cell("end.proxy", backends=True)
def a_proxy_that_ends_resets_its_connections(bed):
    target, daemon, (client,), (port,) = bed.tunnel()
    with Traffic() as traffic:
        clients, services = start_all(traffic, target, port)
        now = time.monotonic()
        faults = bed.end(client.proxies[0])
        expect(not faults, "; ".join(faults))
        expect_all_reset(clients, now, AT_ONCE_S, "client")
        expect_all_reset(services, now, AT_ONCE_S, "service")
    expect(files_of(client.home) == CONFIG_FILES, f"left behind: {files_of(client.home)}")
    expect_works(client.proxy(daemon.addr, "work"), target)


@cell("end.lock")
def a_second_daemon_is_refused_as_long_as_the_first_lives(bed):
    target, daemon, (client,), (port,) = bed.tunnel()
    second = daemon.home.run(["daemon", "--config", daemon.home.config])
    expect(second.returncode == 1 and "running" in second.stderr,
           f"a second daemon: {second.returncode}: {second.stderr!r}")
    expect_works(port, target)
    bed.kill(daemon.process)
    daemon.start()  # the lock went with its holder
    expect_works(client.proxy(daemon.addr, "work"), target)
