# SPDX-License-Identifier: MIT
"""AutoNAT: what a server on the internet of a bed finds of a client's addresses."""

from bed import CONE, PUBLIC, Bed
from circuit_cells import NEW, OLD, PEERUP, RUST, Cell
from matrix_cells import STACKS
from nodes import CommandError, Group
from peerup import expect
from table import Lacks

ROWS = (
    # server, client, stack; AutoNAT v2 where nothing else is said
    (NEW, NEW, "tcp-noise"),
    (OLD, OLD, "quic"),
    (NEW, RUST, "quic"),
    (RUST, NEW, "tcp-tls"),
    (RUST, RUST, "quic"),

    (PEERUP, NEW, "quic"),
    (PEERUP, OLD, "tcp-noise"),
    (PEERUP, RUST, "tcp-tls"),
    (NEW, PEERUP, "quic"),
    (OLD, PEERUP, "tcp-noise"),
    (RUST, PEERUP, "quic"),
    (PEERUP, PEERUP, "tcp-noise"),
    (PEERUP, PEERUP, "quic"),

    (NEW, NEW, "quic", "v1"),
    (PEERUP, NEW, "quic", "v1"),
    (PEERUP, OLD, "tcp-tls", "v1"),
    (NEW, PEERUP, "tcp-noise", "v1"),
    (OLD, PEERUP, "quic", "v1"),
    (PEERUP, PEERUP, "quic", "v1"),
)
SEEDS = {"server": 0xe1, "client": 0xe2, "behind": 0xe3}
KINDS = {"server": PUBLIC, "client": PUBLIC, "behind": CONE}
PORT, FORWARDED_PORT, CLOSED_PORT = 4001, 4002, 4003
SOON_S = 10
PROBE_S = 30  # a server may wait 3 s before it dials, and then 10 s for an answer


def needs(row):
    return {"autonat"} if PEERUP in row else set()


def group(row, built, log_dir, _):
    return Probed(row, built, log_dir)


class Probed(Group):
    """A server, a client on the internet with two addresses, and one of its kind behind a NAT."""

    def __init__(self, row, built, log_dir):
        super().__init__(row, log_dir)
        self.server_argv, self.client_argv = built[row[0]], built[row[1]]
        self.stack, self.bed = row[2], Bed(KINDS)
        self.version = row[3] if len(row) > 3 else "v2"
        self.clients = 0  # of v1
        self.since = 0  # the client under way came

    @property
    def server(self):
        if "server" not in self.running:
            self._start("server", self.server_argv, [(self.bed.address("server"), PORT)])
        return self.running["server"]

    def client(self, part, *listen):
        """A new one, connected to the server; returns from which host the server sees it come.

        New for each question: rust's server dials back under its own ID, and what go then learns of
        that connection makes it forget that this is a server.
        """
        server, self.since = self.server, self.server.mark()
        if part in self.running:
            self.running.pop(part).stop()
        client = self._start(part, self.client_argv, listen)
        client.call("dial", addr=server.addr)
        client.wait_event("identified", SOON_S, peer=server.id)
        if "unasked" in client.lacks and "unanswered" not in server.lacks:
            # Two probes at once are one dial for go's server, with one result for both.
            server.wait_event("probed", PROBE_S, self.since)
        told = server.wait_event("connected", SOON_S, self.since, peer=client.id)
        return told["remote"].split("/")[2]

    def _start(self, part, argv, listen):
        first, *more = [self.addr(*where) for where in listen]
        words = [word for addr in more for word in ("-listen", addr)]
        return self.start(part, self.bed.argv(part, [*argv, *words]), self.seed(part),
                          stack=self.stack, listen=first,
                          autonat=self.prefix() + ("server" if part == "server" else "client"))

    def seed(self, part):
        """Of v1 go's hosts ask unasked, too, and a peer has but three requests a minute."""
        if self.version == "v2" or part == "server":
            return SEEDS[part]
        self.clients += 1
        return SEEDS[part] + 0x10 * self.clients & 0xff

    def prefix(self):
        return "v1-" if self.version == "v1" else ""

    def public_client(self):
        """It has two addresses; returns that which the server sees, and the other."""
        own = self.bed.address("client"), self.bed.second_address("client")
        seen_at = self.client("client", *((host, PORT) for host in own))
        return seen_at, own[1] if seen_at == own[0] else own[0]

    def client_behind(self, port):
        """Behind a NAT that keeps its port."""
        self.client("behind", (self.bed.address("behind"), port))

    def addr(self, host, port):
        return f"/ip4/{host}{STACKS[self.stack].replace('/0', f'/{port}')}"

    def probe(self, part, host, port):
        """What the client says, and what the server says."""
        server, client = self.server, self.running[part]
        addr = self.addr(host, port)
        try:
            verdict = client.call("probe", peer=server.id, addr=addr, timeout=PROBE_S)["verdict"]
        except CommandError:
            if "answer" in client.lacks and "lost-answer" in server.lacks:
                raise Lacks(client.lacks["answer"]) from None
            raise
        if self.version == "v1":
            return verdict, None
        return verdict, server.wait_event("probed", SOON_S, self.since, addr=addr)

    def close(self):
        self.stop()
        self.bed.close()


CELLS = []


def cell(name):
    def add(function):
        CELLS.append(Cell(name, function))
        return function
    return add


def expect_found(probed, found, verdict, data):
    """Returns a note where the server doesn't tell what it found."""
    says, told = found
    expect(says == verdict, f"the client says {says}, the server {told}")
    if told is None:
        return None
    if "probed" in probed.server.lacks:
        return probed.server.lacks["probed"]
    expect(told["reached"] is (verdict == "reachable"), f"the server says {told}")
    expect(told["data"] is data, f"the server says {told}")
    return None


@cell("reachable")
def where_it_listens(probed):
    seen_at, _ = probed.public_client()
    return expect_found(probed, probed.probe("client", seen_at, PORT), "reachable", data=False)


@cell("data")
def at_another_address_for_its_weight_in_data(probed):
    """The server can't see that the address is the client's, and lets it pay first."""
    if probed.version == "v1":
        raise Lacks("a server of v1 dials the address that it sees, whatever it is told")
    _, other = probed.public_client()
    found = probed.probe("client", other, PORT)
    expect(found[1]["data"] is True, f"the server says {found[1]}")
    return expect_found(probed, found, "reachable", data=True)


@cell("unreachable")
def where_nobody_listens(probed):
    if probed.version == "v1":
        raise Lacks("a server of v1 dials the address that it sees, too")
    seen_at, _ = probed.public_client()
    found = probed.probe("client", seen_at, CLOSED_PORT)
    return expect_found(probed, found, "unreachable", data=False)


@cell("nat")
def a_nat_lets_only_the_connection_in(probed):
    """The dial back comes from another port than the server's, so it is dropped."""
    probed.client_behind(PORT)
    try:
        found = probed.probe("behind", probed.bed.outside("behind"), PORT)
    except CommandError:
        if "unanswered" not in probed.server.lacks:
            raise
        return probed.server.lacks["unanswered"]
    return expect_found(probed, found, "unreachable", data=False)


@cell("forwarded")
def at_a_port_that_its_nat_forwards(probed):
    kind = "udp" if probed.stack == "quic" else "tcp"
    probed.bed.forward("behind", kind, FORWARDED_PORT)
    probed.client_behind(FORWARDED_PORT)
    found = probed.probe("behind", probed.bed.outside("behind"), FORWARDED_PORT)
    return expect_found(probed, found, "reachable", data=False)


@cell("end")
def all_end_well(probed):
    probed.public_client()
    statuses = probed.stop()
    expect(not any(statuses.values()), f"exit statuses {statuses}")
