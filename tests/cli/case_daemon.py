# SPDX-License-Identifier: MIT
"""The daemon where it cannot start."""

import socket

from harness import case


def listen_at(home, *addresses):
    before, rest = home.config.read_text().split("  listen_addresses:\n", 1)
    lines = rest.splitlines(keepends=True)
    while lines[0].startswith("    - "):
        lines.pop(0)
    items = "".join(f'    - "{a}"\n' for a in addresses)
    home.config.write_text(before + "  listen_addresses:\n" + items + "".join(lines))


@case
def a_port_that_is_taken_is_named_whatever_was_open_before_it(home):
    home.make_node()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"/ip4/127.0.0.1/udp/{taken.getsockname()[1]}/quic-v1"
        listen_at(home, address)
        home.run("daemon", status=1, err_has=f"cannot listen on {address}")
        listen_at(home, "/ip4/127.0.0.1/udp/0/quic-v1", address)
        home.run("daemon", status=1, err_has=f"cannot listen on {address}")
