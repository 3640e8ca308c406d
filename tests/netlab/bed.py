# SPDX-License-Identifier: MIT
"""An internet in network namespaces: public hosts, and hosts behind NATs.

        relay 45.32.10.2 ───┐
                            ├─ wan, a router without a way out
    a ── NAT 81.2.69.2 ─────┤
    b ── NAT 151.101.65.2 ──┘

A carrier's NAT may be between a host's NAT and the internet (DOUBLE), a NAT may let no UDP out
(NO_UDP), and a host whose NAT is a random one may have IPv6 behind a firewall besides (FIREWALL6);
public hosts have IPv6, too.  A NEIGHBOUR is behind the NAT of the host before it, in another network
of the same home; the NAT does not turn round what neighbours send to its outside.

The addresses are ordinary public ones: with private or documentation ranges other implementations
switch off hole punching, reachability probes and relay addresses.  Nothing leaves the namespaces.

A NAT drops what nobody behind it asked for.  If it answered, its connection tracking would take the
port that the answer came from, and the hole that a host punches next would be at another one.

A bed that is closed leaves nothing behind; what a killed run left, the next bed removes.
"""

import contextlib
import itertools
import os
import re
import shutil
import subprocess
import sys

PREFIX = "peerup-bed-"
PUBLIC, CONE, RANDOM = "public", "cone", "random"
DOUBLE, NO_UDP, FIREWALL6 = "double", "no-udp", "firewall6"
NEIGHBOUR = "neighbour"
NETWORKS = ("45.32.10", "81.2.69", "151.101.65", "62.98.7")
# The kernel keeps the port of a connection where it can; so a NAT maps a socket to one port whomever
# it talks to, and lets in only whom it talked to.  With fully-random each peer sees another port.
PERSISTENT, FULLY_RANDOM = "persistent", "random,fully-random"
MASQUERADE = {CONE: PERSISTENT, DOUBLE: PERSISTENT, NO_UDP: PERSISTENT,
              RANDOM: FULLY_RANDOM, FIREWALL6: FULLY_RANDOM}
NETWORK6 = "2a02:26f0"
# Until somebody there refuses the connection.
KNOCK = """
import socket, sys, time
for _ in range(100):
    try:
        socket.create_connection((sys.argv[1], 9), 0.1)
    except ConnectionRefusedError:
        sys.exit(0)
    except OSError:
        time.sleep(0.1)
sys.exit("no way to " + sys.argv[1])
"""
NUMBERS = itertools.count()


class BedError(Exception):
    """A namespace, a device or a rule that could not be made."""


def command(*argv, text=None):
    done = subprocess.run(argv, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode != 0:
        raise BedError(f"{' '.join(argv)}: {done.stdout.strip()}")
    return done.stdout


def unavailable():
    """Why there can be no bed here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool, package in (("ip", "iproute2"), ("nft", "nftables")):
        if not shutil.which(tool):
            return f"no {tool} here (package {package})"
    try:
        with contextlib.closing(Bed({"a": CONE})):
            return None
    except BedError as e:
        return str(e)


def remove_stale():
    for line in command("ip", "netns", "list").splitlines():
        found = re.match(rf"({PREFIX}(\d+)-\S+)", line)
        if found and not os.path.exists(f"/proc/{found[2]}"):
            with contextlib.suppress(BedError):  # another run may be as fast
                command("ip", "netns", "del", found[1])


def nat_rules(kind):
    return f"""
table ip nat {{
  chain out {{
    type nat hook postrouting priority srcnat
    oifname "wan" masquerade {MASQUERADE[kind]}
  }}
  chain in {{
    type nat hook prerouting priority dstnat
  }}
}}
table ip filter {{
  chain input {{
    type filter hook input priority filter
    policy drop
    ct state established,related accept
  }}
  chain forward {{
    type filter hook forward priority filter
    policy drop
    {'iifname "lan*" meta l4proto udp drop' if kind == NO_UDP else ""}
    iifname "lan*" accept
    ct state established,related accept
    ct status dnat accept
  }}
}}
table ip6 filter {{
  chain forward {{
    type filter hook forward priority filter
    policy drop
    iifname "lan" accept
    ct state established,related accept
  }}
}}
"""


class Bed:
    """`hosts`: what is between each host and the internet, by name: PUBLIC, or a kind of NAT."""

    def __init__(self, hosts):
        remove_stale()
        self.prefix = f"{PREFIX}{os.getpid()}-{next(NUMBERS)}-"
        self.namespaces = []
        self.networks = dict(zip(hosts, NETWORKS, strict=False))
        self.kinds = hosts
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self):
        self._add("wan", forwards=True)
        home = None
        for number, (name, kind) in enumerate(self.kinds.items()):
            self._add(name)
            if kind == NEIGHBOUR:
                self.networks[name] = f"192.168.{number}"
                self._connect(home, "lan-2", name, "lan", self.networks[name])
                continue
            edge = name if kind == PUBLIC else f"{name}-nat"
            if kind != PUBLIC:
                self._add(edge, forwards=True)
            self._connect("wan", f"to-{name}", edge, "wan", self.networks[name])
            if kind == PUBLIC:
                self._ip(edge, "addr", "add", f"{self.networks[name]}.3/24", "dev", "wan")
                self._connect6("wan", f"to-{name}", edge, "wan", f"{NETWORK6}:{number:x}")
                continue
            if kind == FIREWALL6:
                self._connect6("wan", f"to-{name}", edge, "wan", f"{NETWORK6}:{number:x}")
            home = edge = self._put_behind(name, number, kind, edge)
            self.networks[name] = f"192.168.{number}"
            self._connect(edge, "lan", name, "lan", self.networks[name])
            if kind == FIREWALL6:
                self._connect6(edge, "lan", name, "lan", f"{NETWORK6}:1{number:x}")
                self._ip("wan", "route", "add", f"{NETWORK6}:1{number:x}::/64", "via",
                         f"{NETWORK6}:{number:x}::2")

        for number, (name, kind) in enumerate(self.kinds.items()):
            if kind in (PUBLIC, FIREWALL6):
                self._await6(name, f"{NETWORK6}:{number:x}::1")

    def _await6(self, name, router):
        """Until IPv6 works, which takes the kernel up to a second or two after a link is up."""
        command(*self.argv(name, [sys.executable, "-c", KNOCK, router]))

    def _put_behind(self, name, number, kind, edge):
        """Makes NATs of the edge and, where there are two, of another one; returns the inner."""
        command(*self.argv(edge, ["nft", "-f", "-"]), text=nat_rules(kind))
        if kind != DOUBLE:
            return edge
        home = f"{name}-home"
        self._add(home, forwards=True)
        self._connect(edge, "lan", home, "wan", f"100.64.{number}")
        command(*self.argv(home, ["nft", "-f", "-"]), text=nat_rules(kind))
        return home

    def _connect(self, outer, outer_device, inner, inner_device, network):
        """Two places by a link, one of which is the other's way out."""
        self._link(outer, outer_device, f"{network}.1", inner, inner_device, f"{network}.2")
        self._default_route(inner, f"{network}.1")

    def _connect6(self, outer, outer_device, inner, inner_device, network):
        """With IPv6, too."""
        for name, device, address in ((outer, outer_device, f"{network}::1"),
                                      (inner, inner_device, f"{network}::2")):
            self._ip(name, "addr", "add", f"{address}/64", "dev", device, "nodad")
        self._ip(inner, "-6", "route", "add", "default", "via", f"{network}::1")

    def _add(self, name, forwards=False):
        command("ip", "netns", "add", self.prefix + name)
        self.namespaces.append(self.prefix + name)
        self._ip(name, "link", "set", "lo", "up")
        # Nobody looks for the neighbours of a link whose own addresses are still being checked.
        self._set(name, "ipv6/conf/default/dad_transmits", 0)
        if forwards:
            self._set(name, "ipv4/ip_forward", 1)
            self._set(name, "ipv6/conf/all/forwarding", 1)

    def _set(self, name, key, value):
        command(*self.argv(name, ["sh", "-c", f"echo {value} > /proc/sys/net/{key}"]))

    def _ip(self, name, *words):
        command("ip", "-n", self.prefix + name, *words)

    def _link(self, left, left_device, left_address, right, right_device, right_address):
        self._ip(left, "link", "add", left_device, "type", "veth",
                 "peer", "name", right_device, "netns", self.prefix + right)
        for name, device, address in ((left, left_device, left_address),
                                      (right, right_device, right_address)):
            self._ip(name, "addr", "add", f"{address}/24", "dev", device)
            self._ip(name, "link", "set", device, "up")

    def _default_route(self, name, gateway):
        self._ip(name, "route", "add", "default", "via", gateway)

    def readdress(self, name, old, new, router):
        """A host behind a NAT has another address."""
        self._ip(name, "addr", "del", f"{old}/24", "dev", "lan")
        self._ip(name, "addr", "add", f"{new}/24", "dev", "lan")
        self._default_route(name, router)

    def argv(self, name, argv):
        """The command line that runs another one where the host is."""
        return ["ip", "netns", "exec", self.prefix + name, *argv]

    def address(self, name):
        """What the host listens on."""
        return f"{self.networks[name]}.2"

    def address6(self, name):
        """Of a public host, or one behind a firewall."""
        number = list(self.kinds).index(name)
        network = f"{number:x}" if self.kinds[name] == PUBLIC else f"1{number:x}"
        return f"{NETWORK6}:{network}::2"

    def second_address(self, name):
        """Of a public host."""
        return f"{self.networks[name]}.3"

    def outside(self, name):
        """Where the internet sees the host, which is no neighbour."""
        return f"{NETWORKS[list(self.kinds).index(name)]}.2"

    def forward(self, name, kind, port, inside=None):
        """The NAT's port, of "tcp" or "udp", leads to the host's port `inside`, or of that number."""
        command(*self.argv(f"{name}-nat", [
            "nft", "add", "rule", "ip", "nat", "in", "iifname", "wan", kind, "dport", str(port),
            "dnat", "to", f"{self.address(name)}:{inside or port}"]))

    def close(self):
        """What still runs in the namespaces is the caller's; it keeps them alive, unnamed."""
        for name in self.namespaces:
            command("ip", "netns", "del", name)
        self.namespaces = []
