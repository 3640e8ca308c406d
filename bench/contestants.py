# SPDX-License-Identifier: MIT
"""What is measured: each entry of the table knows how to start its two processes.

To add one, write a function that starts it in a Lab and returns a Tunnel, and name it in TABLE.
The service is at SERVICE_PORT on side "a", on every address; the tunnel's user side listens on
LOCAL_PORT of 127.0.0.1 on side "b".
"""

import os
import shutil
import subprocess

from lab import ADDRESSES, BenchError
from tools import BUILD, ROOT

SERVICE_PORT = 9000
TUNNEL_PORT = 4001
LOCAL_PORT = 9100


class Tunnel:
    """Where the load connects to on side "b", and the processes between it and the service."""

    def __init__(self, host, port, processes):
        self.host = host
        self.port = port
        self.processes = processes  # by role: "server" beside the service, "client" beside the user


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
        client = lab.spawn("golibp2p client", "b", [
            GOLIBP2P, "-transport", transport, "-connect", address,
            "-local", f"127.0.0.1:{LOCAL_PORT}"])
        return Tunnel("127.0.0.1", LOCAL_PORT, {"server": server, "client": client})
    return start


PEERUP_CONFIG = """\
version: 1
identity:
  key_file: "identity.key"
network:
  listen_addresses:
    - "/ip4/{address}/udp/{port}/quic-v1"
relay:
  addresses: []
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


def peerup_node(lab, options, side):
    """Makes a node's directory; returns its config file and its peer ID."""
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
            address=ADDRESSES[side], port=TUNNEL_PORT,
            services=PEERUP_SERVICES if side == "a" else ""))
    return home, config, done.stdout.strip()


def authorize(config, peer_id):
    with open(os.path.join(os.path.dirname(config), "authorized_keys"), "a",
              encoding="utf-8") as keys:
        keys.write(peer_id + "\n")


def start_peerup(lab, options):
    home_a, config_a, id_a = peerup_node(lab, options, "a")
    home_b, config_b, id_b = peerup_node(lab, options, "b")
    authorize(config_a, id_b)
    authorize(config_b, id_a)
    lab.mark_start()
    server = lab.spawn("peerup daemon", "a", [options.peerup, "daemon", "--config", config_a],
                       env={"HOME": home_a})
    server.wait_udp(TUNNEL_PORT)
    target = f"/ip4/{ADDRESSES['a']}/udp/{TUNNEL_PORT}/quic-v1/p2p/{id_a}"
    client = lab.spawn("peerup proxy", "b", [
        options.peerup, "proxy", "--config", config_b, target, "bench", str(LOCAL_PORT)],
        env={"HOME": home_b})
    return Tunnel("127.0.0.1", LOCAL_PORT, {"server": server, "client": client})


LIBP2P_STREAMS = "its QUIC transport takes 256 streams a connection and has no option for it"

TABLE = {
    "direct": Contestant("no tunnel", start_direct, prepare_nothing),
    "golibp2p": Contestant("go-libp2p, QUIC", golibp2p("quic"), prepare_golibp2p, LIBP2P_STREAMS),
    "golibp2p-noise": Contestant("go-libp2p, TCP+Noise", golibp2p("noise"), prepare_golibp2p),
    "golibp2p-tls": Contestant("go-libp2p, TCP+TLS", golibp2p("tls"), prepare_golibp2p),
    "peerup": Contestant("peerup, QUIC", start_peerup, prepare_peerup),
}
DEFAULT = ["direct", "golibp2p", "peerup"]
