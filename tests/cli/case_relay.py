# SPDX-License-Identifier: MIT
"""relay add|list|remove: cli.md 8.1."""

from harness import PEER_A, PEER_R, case, expect, expect_equal

RELAY = f"/ip4/203.0.113.50/tcp/7777/p2p/{PEER_R}"
RELAY6 = f"/ip6/2001:db8::1/tcp/8/p2p/{PEER_R}"
SHOWN = f"/ip4/203.0.113.50/tcp/7777/p2p/{PEER_R[:16]}..."
SHOWN6 = f"/ip6/2001:db8::1/tcp/8/p2p/{PEER_R[:16]}..."
CONFIG = "Config: {home}/.config/peerup/config.yaml\n"


@case
def relays_are_added_listed_and_removed(home):
    home.make_node()
    before = home.config.read_text()
    home.run("relay", "list", err="", out="No relay addresses configured.\n")
    home.run("relay", "add", "203.0.113.50", "[2001:db8::1]:8", "--peer-id", PEER_R, err="",
             out=f"Added relay: {SHOWN}\nAdded relay: {SHOWN6}\n" + CONFIG)
    home.run("relay", "list", err="",
             out=f"Relay addresses (2):\n\n  1. {RELAY}\n  2. {RELAY6}\n\n" + CONFIG)
    home.run("relay", "remove", RELAY, err="", out=f"Removed relay: {RELAY}\n" + CONFIG)
    home.run("relay", "remove", RELAY6, status=1, out="",
             err="Error: cannot remove the last relay address (without one, only peers whose "
                 "addresses are known and open can be reached).\nUse --force (-f) to override.\n")
    home.run("relay", "remove", RELAY6, "--force", err="", out=f"Removed relay: {RELAY6}\n" + CONFIG)
    expect_equal(home.config.read_text(), before, "the file")
    home.run("relay", "add", RELAY, "--peer-id", PEER_R, err="")
    home.run("relay", "remove", "-f", RELAY, err="")
    expect_equal(home.config.read_text(), before, "the file")
    expect_equal(home.config.stat().st_mode & 0o7777, 0o600, "its mode")


@case
def a_relay_that_is_there_is_not_added_again(home):
    home.make_node()
    home.run("relay", "add", RELAY6, RELAY6, err="",
             out=f"Added relay: {SHOWN6}\nAlready configured: {RELAY6}\n" + CONFIG)
    before = home.config.read_text()
    longer = f"/ip6/2001:db8:0:0::1/tcp/8/p2p/{PEER_R}"
    home.run("relay", "add", longer, "[2001:db8::1]:8", "--peer-id", PEER_R, err="",
             out=f"Already configured: {RELAY6}\n" * 2 + "No new relay addresses to add.\n")
    expect_equal(home.config.read_text(), before, "the file")
    home.run("relay", "remove", longer, "-f", err="", out=f"Removed relay: {RELAY6}\n" + CONFIG)


@case
def errors_of_relays_are_told_and_change_nothing(home):
    home.make_node()
    before = home.config.read_text()
    rows = [
        (["add"], "usage: peerup relay add <addr>... [--peer-id ID] [--config PATH]"),
        (["add", "1.2.3.4:7777"],
         "short address format requires --peer-id flag.\n"
         "Example: peerup relay add 1.2.3.4:7777 --peer-id 12D3KooW..."),
        (["add", "/ip4/1.2.3.4/tcp/1"],
         "/ip4/1.2.3.4/tcp/1 does not end in /p2p/<peer-id>. Add that, or use --peer-id."),
        (["add", "/nope"], "invalid multiaddr: /nope"),
        (["add", RELAY, "relay:1", "--peer-id", PEER_R],
         "invalid address: relay:1\n"
         "invalid relay address: invalid IP address: relay (hostnames not accepted)"),
        (["add", "1.2.3.4", "--peer-id", "x"], "invalid peer ID: failed to parse peer ID: x"),
        (["add", RELAY, "--peer-id", "x"], "invalid peer ID: failed to parse peer ID: x"),
        (["add", RELAY, "--peer-id", PEER_A],
         f"{RELAY} names another peer than --peer-id {PEER_A}"),
        (["remove"], "usage: peerup relay remove <addr> [--force] [-f] [--config PATH]"),
        (["remove", "1.2.3.4"], "relay address not found in config: 1.2.3.4"),
        (["remove", RELAY], f"relay address not found in config: {RELAY}"),
    ]
    for args, text in rows:
        home.run("relay", *args, status=1, out="", err=f"Error: {text}\n")
    expect_equal(home.config.read_text(), before, "the file")


@case
def comments_beside_relays_survive(home):
    text = (
        "identity: {key_file: k}\nnetwork: {listen_addresses: [/ip4/0.0.0.0/udp/0/quic-v1]}\n"
        f"relay:  # the way out\n    addresses:\n      - {RELAY}  # the old one\n\n"
        "security: {authorized_keys_file: a}\n"
    )
    path = home.write("peerup.yaml", text, 0o640)
    home.run("relay", "add", RELAY6)
    expect(text.replace("# the old one\n", f'# the old one\n      - "{RELAY6}"\n')
           == path.read_text(), path.read_text())
    home.run("relay", "remove", RELAY6)
    expect_equal(path.read_text(), text, "the file")
    expect_equal(path.stat().st_mode & 0o7777, 0o640, "its mode")
    path.write_text("{relay: {}}\n")
    home.run("relay", "add", RELAY, status=1, out="",
             err="Error: cannot make this change in a file of this form.\n"
                 "Please edit manually: peerup.yaml\n")
    expect_equal(path.read_text(), "{relay: {}}\n", "the file")
