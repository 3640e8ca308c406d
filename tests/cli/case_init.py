# SPDX-License-Identifier: MIT
"""init: cli.md 2.1, decision 3."""

from harness import PEER_A, PEER_R, case, expect, expect_equal

RELAY = f"/ip4/203.0.113.50/tcp/7777/p2p/{PEER_R}"


def relays(home):
    text = home.config.read_text().split("  addresses:")[1].split("\n  #")[0]
    return [line.strip("- \"") for line in text.splitlines() if line.strip().startswith("-")]


@case
def flags_alone_ask_nothing(home):
    out = home.run("init", "--relay", "203.0.113.50", "--peer-id", PEER_R, err="")
    expect(out.startswith("Welcome to peerup!\n\nCreating config directory: "
                          f"{home.path}/.config/peerup\n\nGenerating identity...\nYour Peer ID: "
                          "12D3KooW"), out)
    expect(f"Config written to:  {home.config}\nIdentity saved to:  {home.key}\n" in out, out)
    expect("Next steps:" in out, out)
    expect_equal(relays(home), [RELAY], "relays")
    for path, mode in ((home.config, 0o600), (home.key, 0o600), (home.keys, 0o600),
                       (home.config.parent, 0o700)):
        expect_equal(path.stat().st_mode & 0o7777, mode, str(path))
    peer_id = out.split("Your Peer ID: ")[1].split("\n")[0]
    home.run("whoami", out=peer_id + "\n")
    home.run("config", "validate", err="", out=f"OK: {home.config}\n".replace("\n", " is valid\n"))
    expect(all(line.startswith("#") for line in home.keys.read_text().splitlines()), "the list")
    expect_equal(len(home.keys.read_text().splitlines()), 2, "comment lines")


@case
def no_relay_is_needed(home):
    home.run("init", "--no-relay", err="")
    expect_equal(relays(home), [], "relays")
    expect("  addresses: []\n" in home.config.read_text(), home.config.read_text())


@case
def the_relay_is_asked_for(home):
    rows = [
        ("203.0.113.50:7777", "/ip4/203.0.113.50/tcp/7777"),
        ("203.0.113.50", "/ip4/203.0.113.50/tcp/7777"),
        ("  203.0.113.50:1 \r", "/ip4/203.0.113.50/tcp/1"),
        ("[2001:db8::1]:99", "/ip6/2001:db8::1/tcp/99"),
        ("[2001:db8::1]", "/ip6/2001:db8::1/tcp/7777"),
        ("2001:db8::1", "/ip6/2001:db8::1/tcp/7777"),
        ("/dns4/relay.example.com/tcp/7777", "/dns4/relay.example.com/tcp/7777"),
    ]
    for number, (line, address) in enumerate(rows):
        out = home.run("init", "--dir", f"d{number}", stdin=f"{line}\n{PEER_R}\n", err="")
        full = f"{address}/p2p/{PEER_R}"
        expect(f"> Relay: {full}\n" in out, out)
        expect(f'- "{full}"\n' in (home.path / f"d{number}/config.yaml").read_text(), line)


@case
def a_full_address_and_an_empty_line_ask_once(home):
    home.run("init", "--dir", "a", stdin=RELAY + "\n", err="")
    expect(f'- "{RELAY}"\n' in (home.path / "a/config.yaml").read_text(), "full")
    home.run("init", "--dir", "b", stdin="\n", err="")
    expect("  addresses: []\n" in (home.path / "b/config.yaml").read_text(), "empty")


@case
def bad_answers_leave_no_config(home):
    rows = [
        ("", "failed to read input: EOF"),
        ("203.0.113.50", "failed to read input: EOF"),
        ("203.0.113.50\n", "failed to read input: EOF"),
        ("203.0.113.50\n\n", "relay Peer ID is required"),
        ("203.0.113.50\nnobody\n", "invalid Peer ID: failed to parse peer ID: nobody"),
        ("/ip4/300.1.1.1/tcp/1\n", "invalid multiaddr: /ip4/300.1.1.1/tcp/1"),
        ("relay.example.com:7777\n",
         "invalid relay address: invalid IP address: relay.example.com (hostnames not accepted)"),
        ("203.0.113.50:0\n", "invalid relay address: invalid port: 0"),
        ("203.0.113.50:65536\n", "invalid relay address: invalid port: 65536"),
        ("[2001:db8::1]:x\n", "invalid relay address: invalid port: x"),
        ("relay\n",
         "invalid relay address: expected IP:PORT, IP address, or full multiaddr starting with /"),
        ("x" * 5000 + "\n", "failed to read input: the line is too long"),
    ]
    for stdin, text in rows:
        home.run("init", stdin=stdin, status=1, err=f"Error: {text}\n")
        expect(not home.config.exists() and not home.key.exists(), text)


@case
def flags_that_contradict_are_refused(home):
    rows = [
        (["--relay", "203.0.113.50"], "relay Peer ID is required: add --peer-id ID"),
        (["--relay", RELAY, "--peer-id", PEER_R],
         "--relay has a peer ID already: leave --peer-id out"),
        (["--no-relay", "--relay", RELAY], "--no-relay excludes --relay and --peer-id"),
        (["--peer-id", PEER_R], "--peer-id needs --relay"),
        (["--relay", "here", "--peer-id", PEER_R],
         "invalid relay address: expected IP:PORT, IP address, or full multiaddr starting with /"),
        (["--network", "My_Net"],
         'invalid --network value: invalid network name: "My_Net" must be 1-63 lowercase '
         "alphanumeric characters or hyphens, starting and ending with alphanumeric"),
    ]
    for flags, text in rows:
        home.run("init", *flags, status=1, err=f"Error: {text}\n")
        expect(not home.config.exists(), text)


@case
def what_is_there_is_kept(home):
    home.make_node()
    before = home.config.read_text()
    home.run("init", "--no-relay", status=1, out="Welcome to peerup!\n\n",
             err="Error: config already exists: {home}/.config/peerup/config.yaml\n"
                 "Delete it first if you want to reinitialize\n")
    expect_equal(home.config.read_text(), before, "the config")
    home.config.unlink()
    home.keys.write_text(PEER_A + "\n")
    out = home.run("init", "--no-relay", "--network", "crew", err="")
    expect(f"Your Peer ID: {PEER_A}\n" in out, "the key is kept")
    expect_equal(home.keys.read_text(), PEER_A + "\n", "the list is kept")
    expect('  network: "crew"\n' in home.config.read_text(), "network")


@case
def a_directory_that_cannot_be_made_is_named(home):
    home.write("file", "x")
    home.run("init", "--no-relay", "--dir", "file/sub", status=1,
             err="Error: cannot create directory file/sub: Not a directory\n")
    home.run("init", "--no-relay", status=1, env={"HOME": None},
             err="Error: HOME is not set. Use --dir to say where to put the config\n")


@case
def the_generated_file_has_the_keys_of_the_spec_in_order(home):
    home.run("init", "--relay", RELAY, "--network", "crew")
    lines = [line for line in home.config.read_text().splitlines()
             if line.strip() and not line.strip().startswith("#")]
    expect_equal("\n".join(lines), f"""version: 1
identity:
  key_file: "identity.key"
network:
  listen_addresses:
    - "/ip4/0.0.0.0/tcp/0"
    - "/ip4/0.0.0.0/udp/0/quic-v1"
    - "/ip6/::/tcp/0"
    - "/ip6/::/udp/0/quic-v1"
  force_private_reachability: false
relay:
  addresses:
    - "{RELAY}"
  reservation_interval: "2m"
discovery:
  rendezvous: "peerup-default-network"
  network: "crew"
  bootstrap_peers: []
security:
  authorized_keys_file: "authorized_keys"
  enable_connection_gating: true
protocols:
  ping_pong:
    enabled: true
    id: "/pingpong/1.0.0"
names: {{}}""", "generated config")
