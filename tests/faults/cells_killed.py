# SPDX-License-Identifier: MIT
"""A process dies without a word, by SIGKILL, in mid-transfer."""

import time

from bed import expect, expect_works, pair
from cells import cell
from traffic import Traffic, expect_all_reset, wait_moving

# decisions.md, 6: a dead peer is found after 15 s with data outstanding, 30 s idle.
OUTSTANDING_S, IDLE_S, SLACK_S = 15, 30, 3
SOON_S = 5  # a stateless reset answers the next packet


def start_flows(traffic, target, port):
    """Both ways at once on one connection, up and down on one each: (client, service) flows."""
    flows = []
    for up, down in ((True, True), (True, False), (False, True)):
        client, service = pair(port, target)
        flows.append((traffic.add(client, read=True, write=up),
                      traffic.add(service, read=True, write=down)))
    wait_moving([f for both in flows for f in both])
    return flows


@cell("killed.daemon", backends=True)
def a_killed_daemon_resets_the_clients_and_is_found_again(bed):
    target, daemon, clients, (port, quiet) = bed.tunnel(clients=2)
    with Traffic() as traffic:
        busy = [client for client, _ in start_flows(traffic, target, port)]
        client, service = pair(quiet, target)
        download = traffic.add(client, read=True)
        wait_moving([traffic.add(service, write=True)])
        killed_at = time.monotonic()
        bed.kill(daemon.process)
        expect_all_reset(busy, killed_at, OUTSTANDING_S + SLACK_S, "busy connection")
        expect_all_reset([download], killed_at, IDLE_S + SLACK_S, "download")
    expect(all(p.alive() for c in clients for p in c.proxies), "a proxy ended")
    daemon.start()
    expect_works(port, target)
    expect_works(quiet, target)


@cell("killed.daemon-returns", backends=True)
def a_daemon_that_returns_disowns_its_old_connections(bed):
    target, daemon, _, (port,) = bed.tunnel()
    with Traffic() as traffic:
        busy = [client for client, _ in start_flows(traffic, target, port)]
        killed_at = time.monotonic()
        bed.kill(daemon.process)
        daemon.start()
        expect_all_reset(busy, killed_at, SOON_S, "connection")
    expect_works(port, target)


@cell("killed.proxy", backends=True)
def a_killed_proxy_resets_the_services_and_disturbs_nobody(bed):
    target, daemon, (first, _), (port, other) = bed.tunnel(clients=2)
    with Traffic() as traffic:
        doomed = [service for _, service in start_flows(traffic, target, port)]
        others = start_flows(traffic, target, other)
        killed_at = time.monotonic()
        bed.kill(first.proxies[0])
        expect_all_reset(doomed, killed_at, OUTSTANDING_S + SLACK_S, "service's connection")
        wait_moving([f for both in others for f in both])
        expect_works(first.proxy(daemon.addr, "work"), target)
