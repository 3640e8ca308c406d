# SPDX-License-Identifier: MIT
"""What is measured: each entry of the table knows how to start its processes.

To add one, write a function that starts it in a Lab and returns a Tunnel, and name it in TABLE.
The service is at SERVICE_PORT on side "a", on every address; the tunnel's user side listens on
LOCAL_PORT of 127.0.0.1 on side "b".  Circuits go through a relay on side "r", which alone listens on
an address that others can reach.
"""

import os
import shutil
import subprocess

from lab import ADDRESSES, RELAY_ADDRESS, RELAYED_ADDRESSES, BenchError, command, write_text
from tools import BUILD, ROOT

SERVICE_PORT = 9000
TUNNEL_PORT = 4001
LOCAL_PORT = 9100


class Tunnel:
    """Where the load connects to on side "b", and the processes between it and the service."""

    def __init__(self, host, port, processes, handshakes=None):
        self.host = host
        self.port = port
        # By role: "server" beside the service, "client" beside the user, "relay" between them.
        self.processes = processes
        # The command on side "b" that makes handshakes with the server, but for its last two
        # arguments: how many in flight, and for how many milliseconds.  It answers like
        # `load connections`.
        self.handshakes = handshakes


class Contestant:
    def __init__(self, title, start, prepare=None, note=""):
        self.title = title
        self.start = start
        self.prepare = prepare  # builds or checks what it needs; returns its version
        self.note = note


def prepare_nothing(options):
    return ""


def start_direct(lab, options):
    return Tunnel(ADDRESSES["a"], SERVICE_PORT, {})


GOLIBP2P = os.path.join(BUILD, "golibp2p")


def prepare_golibp2p(options):
    if shutil.which("go") is None:
        raise BenchError("go is not installed")
    build = subprocess.run(["go", "build", "-trimpath", "-o", GOLIBP2P, "."], text=True,
                           cwd=os.path.join(ROOT, "bench", "rivals", "golibp2p"),
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if build.returncode != 0:
        raise BenchError("go build: " + build.stdout)
    version = subprocess.run([GOLIBP2P, "-version"], stdout=subprocess.PIPE, text=True, check=True)
    return ", ".join(version.stdout.split("\n")[:-1])


def golibp2p(transport):
    def start(lab, options):
        server = lab.spawn("golibp2p server", "a", [
            GOLIBP2P, "-transport", transport, "-listen", f"{ADDRESSES['a']}:{TUNNEL_PORT}",
            "-target", f"127.0.0.1:{SERVICE_PORT}"])
        address = server.wait_line(r"^/ip4/\S+$").group()
        connect = [GOLIBP2P, "-transport", transport, "-connect", address]
        lab.mark_dial()
        client = lab.spawn("golibp2p client", "b", [*connect, "-local", f"127.0.0.1:{LOCAL_PORT}"])
        return Tunnel("127.0.0.1", LOCAL_PORT, {"server": server, "client": client},
                      [*connect, "-handshakes"])
    return start


def golibp2p_relay(buffer_bytes):
    def start(lab, options):
        lab.add_relay()
        lab.mark_start()
        noise = [GOLIBP2P, "-transport", "noise"]
        relay = lab.spawn("golibp2p relay", "r", [
            *noise, "-listen", f"{RELAY_ADDRESS}:{TUNNEL_PORT}", "-relay", str(buffer_bytes)])
        via = relay.wait_line(r"^/ip4/\S+$").group()
        server = lab.spawn("golibp2p server", "a", [
            *noise, "-via", via, "-target", f"127.0.0.1:{SERVICE_PORT}"])
        address = server.wait_line(r"^/ip4/\S+/p2p-circuit/\S+$").group()
        client = lab.spawn("golibp2p client", "b", [
            *noise, "-connect", address, "-local", f"127.0.0.1:{LOCAL_PORT}"])
        return Tunnel("127.0.0.1", LOCAL_PORT,
                      {"server": server, "relay": relay, "client": client})
    return start


SSHD_CONFIG = """\
Port {port}
ListenAddress {address}
HostKey {home}/host_key
AuthorizedKeysFile {home}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
AllowTcpForwarding yes
Ciphers {cipher}
LogLevel ERROR
"""
SSH_CIPHER = "aes128-gcm@openssh.com"
SSHD = "/usr/sbin/sshd"
SSHD_EMPTY_DIRECTORY = "/run/sshd"  # which sshd insists on; a service manager would make it


def prepare_ssh(options):
    for program in ("ssh", "ssh-keygen", SSHD):
        if shutil.which(program) is None:
            raise BenchError(f"{program} is not installed")
    version = subprocess.run(["ssh", "-V"], stderr=subprocess.PIPE, text=True, check=True)
    return version.stderr.strip() + ", " + SSH_CIPHER


def start_ssh(lab, options):
    home = lab.directory("ssh")
    os.makedirs(SSHD_EMPTY_DIRECTORY, mode=0o755, exist_ok=True)
    for name in ("host_key", "user_key"):
        command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.path.join(home, name))
    shutil.copy(os.path.join(home, "user_key.pub"), os.path.join(home, "authorized_keys"))
    config = os.path.join(home, "sshd_config")
    write_text(config, SSHD_CONFIG.format(port=TUNNEL_PORT, address=ADDRESSES["a"], home=home,
                                          cipher=SSH_CIPHER))
    lab.mark_start()
    server = lab.spawn("sshd", "a", [SSHD, "-D", "-e", "-f", config])
    server.wait_tcp(TUNNEL_PORT)
    lab.mark_dial()
    client = lab.spawn("ssh", "b", [
        "ssh", "-F", "none", "-N", "-p", str(TUNNEL_PORT), "-c", SSH_CIPHER,
        "-i", os.path.join(home, "user_key"), "-o", "IdentitiesOnly=yes",
        "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        "-o", "ExitOnForwardFailure=yes", "-o", "LogLevel=ERROR",
        "-L", f"127.0.0.1:{LOCAL_PORT}:127.0.0.1:{SERVICE_PORT}", "root@" + ADDRESSES["a"]])
    return Tunnel("127.0.0.1", LOCAL_PORT, {"server": server, "client": client})


PEERUP_CONFIG = """\
version: 1
identity:
  key_file: "identity.key"
network:
  listen_addresses:
    - "{listen}"
  security: "{security}"
{network}relay:
  addresses: [{relay}]
  reservation_interval: "2m"
discovery:
  rendezvous: "peerup-bench"
  bootstrap_peers: []
security:
  authorized_keys_file: "authorized_keys"
  enable_connection_gating: true
protocols:
  ping_pong:
    enabled: true
    id: "/pingpong/1.0.0"
{services}names: {{}}
"""

PEERUP_SERVICES = f"""\
services:
  bench:
    enabled: true
    local_address: "127.0.0.1:{SERVICE_PORT}"
"""


def prepare_peerup(options):
    if not os.access(options.peerup, os.X_OK):
        raise BenchError(f"{options.peerup} is not there (--peerup PATH)")
    version = subprocess.run([options.peerup, "version"], stdout=subprocess.PIPE, text=True)
    return version.stdout.split("\n")[0]


# Both nodes listen where only they themselves are.
PEERUP_BEHIND = """\
  transport: "tcp"
  force_private_reachability: true
"""
PEERUP_RELAY_CONFIG = """\
version: 1
identity:
  key_file: "{home}/relay.key"
network:
  listen_addresses:
    - "{listen}"
security:
  authorized_keys_file: "{home}/authorized_keys"
  enable_connection_gating: true
relay:
  splice: {splice}
"""


def peerup_node(lab, options, side, listen, security, network="", relay=""):
    """Makes a node's directory; returns its home, its config file and its peer ID."""
    home = lab.directory("peerup-" + side)
    directory = os.path.join(home, "node")
    config = os.path.join(directory, "config.yaml")
    env = {**os.environ, "HOME": home}
    for argv in (["init", "--dir", directory, "--no-relay"], ["whoami", "--config", config]):
        done = subprocess.run([options.peerup, *argv], env=env, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise BenchError(f"peerup {argv[0]}: {done.stdout}{done.stderr}")
    with open(config, "w", encoding="utf-8") as file:
        file.write(PEERUP_CONFIG.format(
            listen=listen.format(address=ADDRESSES[side], port=TUNNEL_PORT),
            security=security, network=network, relay=relay,
            services=PEERUP_SERVICES if side == "a" else ""))
    return home, config, done.stdout.strip()


def handshakes_tool(options):
    """The bench preset builds it beside peerup; None where only peerup was built."""
    path = os.path.join(os.path.dirname(options.peerup), "bench", "peerup-bench-handshakes")
    return path if os.access(path, os.X_OK) else None


def authorize(config, peer_id):
    with open(os.path.join(os.path.dirname(config), "authorized_keys"), "a",
              encoding="utf-8") as keys:
        keys.write(peer_id + "\n")


PEERUP_ADDRESSES = {
    "quic": "/ip4/{address}/udp/{port}/quic-v1",
    "tls": "/ip4/{address}/tcp/{port}",
    "noise": "/ip4/{address}/tcp/{port}",
}


def peerup(transport):
    listen = PEERUP_ADDRESSES[transport]
    security = "noise" if transport == "noise" else "auto"

    def start(lab, options):
        home_a, config_a, id_a = peerup_node(lab, options, "a", listen, security)
        home_b, config_b, id_b = peerup_node(lab, options, "b", listen, security)
        authorize(config_a, id_b)
        authorize(config_b, id_a)
        tool = handshakes_tool(options)
        if tool:
            for peer_id in command(tool, "ids").split():
                authorize(config_a, peer_id)
        lab.mark_start()
        server = lab.spawn("peerup daemon", "a", [options.peerup, "daemon", "--config", config_a],
                           env={"HOME": home_a})
        server.wait_udp(TUNNEL_PORT) if transport == "quic" else server.wait_tcp(TUNNEL_PORT)
        target = listen.format(address=ADDRESSES["a"], port=TUNNEL_PORT) + "/p2p/" + id_a
        lab.mark_dial()
        client = lab.spawn("peerup proxy", "b", [
            options.peerup, "proxy", "--config", config_b, target, "bench", str(LOCAL_PORT)],
            env={"HOME": home_b})
        return Tunnel("127.0.0.1", LOCAL_PORT, {"server": server, "client": client},
                      [tool, target, transport] if tool else None)
    return start


def peerup_relay_serve(lab, options, listen, splice):
    """Starts a relay that lets nobody in yet; returns it, its config file and its peer ID."""
    home = lab.directory("peerup-relay")
    config = os.path.join(home, "relay-server.yaml")
    write_text(config, PEERUP_RELAY_CONFIG.format(home=home, listen=listen,
                                                   splice=str(splice).lower()))
    write_text(os.path.join(home, "authorized_keys"), "")
    relay = lab.spawn("peerup relay", "r", [options.peerup, "relay", "serve", "--config", config],
                      env={"HOME": home})
    return relay, config, relay.wait_line(r"^Peer ID: (\S+)$").group(1)


def peerup_relay(security, splice):
    def start(lab, options):
        lab.add_relay()
        lab.mark_start()
        address = PEERUP_ADDRESSES["noise"].format(address=RELAY_ADDRESS, port=TUNNEL_PORT)
        relay, relay_config, relay_id = peerup_relay_serve(lab, options, address, splice)
        behind = {"listen": "/ip4/127.0.0.1/tcp/0", "security": security, "network": PEERUP_BEHIND,
                  "relay": f'"{address}/p2p/{relay_id}"'}
        home_a, config_a, id_a = peerup_node(lab, options, "a", **behind)
        home_b, config_b, id_b = peerup_node(lab, options, "b", **behind)
        authorize(config_a, id_b)
        authorize(config_b, id_a)
        for peer_id in (id_a, id_b):
            authorize(relay_config, peer_id)
        relay.wait_line(r'msg="updated authorized peers list" count=2\b')
        server = lab.spawn("peerup daemon", "a", [options.peerup, "daemon", "--config", config_a],
                           env={"HOME": home_a})
        server.wait_line('msg="reservation on the relay"')
        client = lab.spawn("peerup proxy", "b", [
            options.peerup, "proxy", "--config", config_b, id_a, "bench", str(LOCAL_PORT)],
            env={"HOME": home_b, "PEERUP_LOG": "info"})
        client.wait_line(r"^Connected \[RELAYED\]")
        if splice:
            client.wait_line('msg="spliced path stands"')
        return Tunnel("127.0.0.1", LOCAL_PORT, {"server": server, "relay": relay, "client": client})
    return start


HAPROXY_CONFIG = """\
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option splice-auto
    option splice-request
    option splice-response
listen tunnel
    bind {here}:{port}
    server a {there}:{port}
"""


def prepare_haproxy(options):
    if shutil.which("haproxy") is None:
        raise BenchError("haproxy is not installed")
    version = subprocess.run(["haproxy", "-v"], stdout=subprocess.PIPE, text=True, check=True)
    return prepare_peerup(options) + ", " + version.stdout.split("\n")[0]


def start_haproxy(lab, options):
    """The same two nodes without a relay: what is between them only joins sockets."""
    lab.add_relay()
    lab.mark_start()
    listen = f"/ip4/{RELAYED_ADDRESSES['a']}/tcp/{TUNNEL_PORT}"
    home_a, config_a, id_a = peerup_node(lab, options, "a", listen, "tls")
    home_b, config_b, id_b = peerup_node(lab, options, "b", "/ip4/127.0.0.1/tcp/0", "tls")
    authorize(config_a, id_b)
    authorize(config_b, id_a)
    config = os.path.join(lab.directory("haproxy"), "haproxy.cfg")
    write_text(config, HAPROXY_CONFIG.format(here=RELAY_ADDRESS, there=RELAYED_ADDRESSES["a"],
                                             port=TUNNEL_PORT))
    relay = lab.spawn("haproxy", "r", ["haproxy", "-db", "-f", config])
    relay.wait_tcp(TUNNEL_PORT)
    server = lab.spawn("peerup daemon", "a", [options.peerup, "daemon", "--config", config_a],
                       env={"HOME": home_a})
    server.wait_tcp(TUNNEL_PORT)
    client = lab.spawn("peerup proxy", "b", [
        options.peerup, "proxy", "--config", config_b,
        f"/ip4/{RELAY_ADDRESS}/tcp/{TUNNEL_PORT}/p2p/{id_a}", "bench", str(LOCAL_PORT)],
        env={"HOME": home_b})
    client.wait_line(r"^Connected \[DIRECT\]")
    return Tunnel("127.0.0.1", LOCAL_PORT, {"server": server, "relay": relay, "client": client})


LIBP2P_STREAMS = "its QUIC transport takes 256 streams a connection and has no option for it"

TABLE = {
    "direct": Contestant("no tunnel", start_direct, prepare_nothing),
    "golibp2p": Contestant("go-libp2p, QUIC", golibp2p("quic"), prepare_golibp2p, LIBP2P_STREAMS),
    "golibp2p-noise": Contestant("go-libp2p, TCP+Noise", golibp2p("noise"), prepare_golibp2p),
    "golibp2p-tls": Contestant("go-libp2p, TCP+TLS", golibp2p("tls"), prepare_golibp2p),
    "ssh": Contestant("ssh -L", start_ssh, prepare_ssh),
    "peerup": Contestant("peerup, QUIC", peerup("quic"), prepare_peerup),
    "peerup-tls": Contestant("peerup, TCP+TLS", peerup("tls"), prepare_peerup),
    "peerup-noise": Contestant("peerup, TCP+Noise", peerup("noise"), prepare_peerup),
    "go-relay-2k": Contestant("go-libp2p, 2 KiB", golibp2p_relay(2 << 10), prepare_golibp2p,
                              "the buffers that its relay has by default"),
    "go-relay-64k": Contestant("go-libp2p, 64 KiB", golibp2p_relay(64 << 10),
                               prepare_golibp2p),
    "relay": Contestant("peerup", peerup_relay("noise", False), prepare_peerup),
    "haproxy": Contestant("through haproxy", start_haproxy, prepare_haproxy,
                          "the same two nodes, TCP+TLS, with splicing on"),
    "relay-splice": Contestant("spliced by our relay", peerup_relay("tls", True),
                               prepare_peerup),
}
CIRCUITS = "Through a relay, TCP, Noise, yamux inside and outside"
SPLICED = "Through a relay that joins sockets, TCP, TLS, yamux"
# One table of the report each: what is measured beside what.
STACKS = {
    "QUIC": ["direct", "golibp2p", "peerup"],
    "TCP, TLS, yamux": ["direct", "ssh", "golibp2p-tls", "peerup-tls"],
    "TCP, Noise, yamux": ["golibp2p-noise", "peerup-noise"],
    CIRCUITS: ["go-relay-2k", "go-relay-64k", "relay"],
    SPLICED: ["haproxy", "relay-splice"],
}
DEFAULT = [name for name in TABLE if name not in STACKS[CIRCUITS] + STACKS[SPLICED]]
