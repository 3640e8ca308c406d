# SPDX-License-Identifier: MIT
"""relay setup|info|authorize|deauthorize|list-peers|config|version: cli.md 8.2 and 8.4."""

import re

from harness import KEY_A, PEER_A, PEER_B, SHORT_A, SHORT_B, case, expect, expect_equal

FILES = ("relay-server.yaml", "relay_node.key", "relay_authorized_keys")
AT_ONCE = "\nA running relay applies this at once.\n"
EXISTING = ("Error: existing files found in {0}. Use --fresh to backup and replace, or run "
            "interactively\n")


def make_relay(home, listen="/ip4/127.0.0.1/tcp/7777"):
    """What `relay setup` makes, with A's key and one listen address."""
    home.run("relay", "setup")
    home.write("relay_node.key", "").write_bytes(KEY_A)
    path = home.path / "relay-server.yaml"
    text = path.read_text()
    items = "".join(f"    - {a}\n" for a in listen.split())
    path.write_text(re.sub(r"listen_addresses:\n( +- .*\n)+", f"listen_addresses:\n{items}", text))
    return path


def snapshots(home):
    folder = home.path / "backups"
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


@case
def setup_makes_what_is_missing_and_no_key(home):
    out = home.run("relay", "setup", "--non-interactive", err="")
    expect(out.startswith("Created ./relay-server.yaml\nCreated ./relay_authorized_keys\n\n"
                          "The key, relay_node.key, is made at the first start.\n"), out)
    expect_equal(sorted(p.name for p in home.path.iterdir()), [FILES[0], FILES[2]], "files")
    for name in (FILES[0], FILES[2]):
        expect_equal((home.path / name).stat().st_mode & 0o7777, 0o600, f"mode of {name}")
    home.run("relay", "config", "validate", out="OK: relay-server.yaml is valid\n", err="")
    home.run("relay", "list-peers", err="",
             out="Authorized peers (relay_authorized_keys):\n\n  (none)\n\nTotal: 0 peer(s)\n")
    out = home.run("relay", "setup", "--dir", "deep/er/", err="")
    expect("Created deep/er/relay-server.yaml\n" in out, out)
    expect_equal((home.path / "deep/er").stat().st_mode & 0o7777, 0o700, "mode of the directory")


@case
def setup_does_not_touch_what_is_there_unless_told(home):
    make_relay(home)
    before = {name: (home.path / name).read_bytes() for name in FILES}
    home.run("relay", "setup", "--non-interactive", status=1, out="",
             err=EXISTING.format(home.path.resolve()))
    home.run("relay", "setup", status=1, err="Error: failed to read input: EOF\n")
    home.run("relay", "setup", status=1, stdin="1", err="Error: failed to read input: EOF\n")
    (home.path / FILES[0]).chmod(0o640)
    for answer in ("\n", "1\n", "9\n"):
        out = home.run("relay", "setup", stdin=answer, err="")
        expect(re.search(r"Existing files in \.:\n\n"
                         r"  relay-server\.yaml {8}modified \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n"
                         rf"  relay_node\.key {{11}}{PEER_A}\n"
                         r"  relay_authorized_keys {4}0 peer\(s\)\n\n", out), out)
    expect_equal({name: (home.path / name).read_bytes() for name in FILES}, before, "files")
    expect_equal((home.path / FILES[0]).stat().st_mode & 0o7777, 0o600, "mode")
    expect_equal(snapshots(home), [], "snapshots")


@case
def setup_begins_afresh_after_a_snapshot_that_can_be_restored(home):
    config = make_relay(home)
    home.run("relay", "authorize", PEER_B)
    mine = config.read_text()
    out = home.run("relay", "setup", "--fresh", "--non-interactive", err="")
    name = re.match(r"Snapshot: \./backups/(\d{4}-\d\d-\d\d_\d{6})\nCreated ", out)[1]
    expect_equal(snapshots(home), [name], "snapshots")
    expect(config.read_text() != mine, "the config is the old one")
    expect(not (home.path / "relay_node.key").exists(), "the key is still there")
    expect("  (none)\n" in home.run("relay", "list-peers"), "the list is still there")

    out = home.run("relay", "setup", stdin="3\n1\n", err="")
    expect("  backups                  1 snapshot(s)\n" in out and f"  1. {name}\n" in out, out)
    expect(f"Restored {name}\n" in out, out)
    expect_equal(config.read_text(), mine, "the config")
    expect_equal((home.path / "relay_node.key").read_bytes(), KEY_A, "the key")
    expect(PEER_B in home.run("relay", "list-peers"), "the list")
    expect_equal(len(snapshots(home)), 2, "snapshots, with that for safety")
    for answer in ("0", "3", "x", "", "-1"):
        home.run("relay", "setup", status=1, stdin=f"3\n{answer}\n",
                 err=f'Error: no such snapshot: "{answer}"\n')


@case
def setup_asks_for_each_file(home):
    config = make_relay(home)
    mine = config.read_text()
    home.run("relay", "setup", stdin="3\n", status=1, err="Error: there are no snapshots in .\n")
    out = home.run("relay", "setup", stdin="4\n\nn\nN\n", err="")
    expect_equal(out.count("Snapshot: "), 1, out)
    expect_equal(config.read_text(), mine, "the config")
    expect(not (home.path / "relay_node.key").exists(), "the key is still there")
    expect("Created ./relay_authorized_keys\n" in out, out)
    (name,) = snapshots(home)
    expect_equal(sorted(p.name for p in (home.path / "backups" / name).iterdir()), sorted(FILES),
                 "the snapshot")
    out = home.run("relay", "setup", stdin="4\nn\ny\n", err="")
    expect("Keep relay_node.key" not in out and "Created ./relay-server.yaml\n" in out, out)
    out = home.run("relay", "setup", stdin="2\n", err="")
    expect_equal(len(snapshots(home)), 3, "snapshots")


@case
def peers_are_authorized_and_shut_out(home):
    config = make_relay(home)
    list_file = "File:       relay_authorized_keys\n"
    home.run("relay", "authorize", PEER_A, err="", out=f"Authorized: {SHORT_A}\n{list_file}{AT_ONCE}")
    home.run("relay", "authorize", PEER_B, "my", "old  laptop", err="",
             out=f"Authorized: {SHORT_B}\nComment:    my old  laptop\n{list_file}{AT_ONCE}")
    home.run("relay", "list-peers", err="",
             out=f"Authorized peers (relay_authorized_keys):\n\n  {PEER_A}\n"
                 f"  {PEER_B}  # my old  laptop\n\nTotal: 2 peer(s)\n")
    home.run("relay", "deauthorize", PEER_B, err="", out=f"Deauthorized: {SHORT_B}\n{AT_ONCE}")
    for args in ((PEER_B, "--comment", "home", "--config", str(config)),
                 ("--config", str(config), PEER_B, "home"),
                 (f"-config={config}", "-comment=home", PEER_B)):
        out = home.run("relay", "authorize", *args, err="")
        expect(f"Comment:    home\n{list_file}" in out, out)
        expect(f"  {PEER_B}  # home\n" in home.run("relay", "list-peers", "--config", str(config)),
               "the list")
        home.run("relay", "deauthorize", "--config", str(config), PEER_B, err="")
    rows = [
        (["authorize"], "usage: peerup relay authorize <peer-id> [comment...] [--comment TEXT] "
                        "[--config PATH]"),
        (["authorize", "x"], "failed to authorize peer: invalid peer ID: failed to parse peer ID: x"),
        (["authorize", PEER_A], f"failed to authorize peer: peer already authorized: {SHORT_A}"),
        (["authorize", PEER_B, "a", "--comment", "b"], "unexpected argument: a"),
        (["authorize", PEER_B, "a" * 5000], "the comment is longer than 4096 bytes"),
        (["deauthorize"], "usage: peerup relay deauthorize <peer-id> [--config PATH]"),
        (["deauthorize", PEER_B], f"failed to deauthorize peer: peer not found: {SHORT_B}"),
        (["deauthorize", "x"],
         "failed to deauthorize peer: invalid peer ID: failed to parse peer ID: x"),
    ]
    for args, text in rows:
        home.run("relay", *args, status=1, out="", err=f"Error: {text}\n")
    config.write_text(config.read_text().replace("gating: true", "gating: false"))
    out = home.run("relay", "deauthorize", PEER_A)
    expect("Connection gating is off in relay-server.yaml: the list has no effect.\n" in out, out)
    config.write_text(re.sub(r"authorized_keys_file: .*\n", "", config.read_text()))
    home.run("relay", "list-peers", status=1, out="",
             err="Error: no security.authorized_keys_file in relay-server.yaml\n")


@case
def info_works_before_the_first_start(home):
    make_relay(home, "/ip4/45.33.32.10/tcp/7777 /ip4/45.33.32.10/udp/7777/quic-v1")
    (home.path / "relay_node.key").unlink()
    out = home.run("relay", "info", err="")
    made = re.match(r"Peer ID: (12D3KooW\w+)\n", out)[1]
    expect_equal((home.path / "relay_node.key").stat().st_mode & 0o7777, 0o600, "mode of the key")
    (home.path / "relay_node.key").write_bytes(KEY_A)
    out = home.run("relay", "info", "--config", "relay-server.yaml", err="")
    expect(made not in out, "the key was not read")
    expect(out.startswith(f"Peer ID: {PEER_A}\nConnection gating: enabled\nAuthorized peers: 0\n\n"
                          f"Multiaddrs:\n  /ip4/45.33.32.10/tcp/7777/p2p/{PEER_A}\n"
                          f"  /ip4/45.33.32.10/udp/7777/quic-v1/p2p/{PEER_A}\n\n"), out)
    expect(out.endswith("\n\nQuick setup:\n  peerup init  →  enter: 45.33.32.10:7777\n"
                        f"  Peer ID: {PEER_A}\n"), out)
    home.run("relay", "authorize", PEER_B)
    expect("Authorized peers: 1\n" in home.run("relay", "info"), "the count")


@case
def info_tells_what_is_not_as_it_should_be(home):
    path = make_relay(home, "/ip6/::1/udp/1/quic-v1")
    out = home.run("relay", "info", err="")
    expect(f"enter: /ip6/::1/udp/1/quic-v1/p2p/{PEER_A}\n" in out, "QUIC has no short form")
    (home.path / "relay_authorized_keys").unlink()
    expect("Authorized peers: error (failed to open authorized_keys file"
           in home.run("relay", "info"), "a missing list")
    path.write_text(path.read_text().replace("gating: true", "gating: false"))
    expect("Connection gating: disabled\n" in home.run("relay", "info"), "gating")
    make_relay_text = path.read_text()
    path.write_text(make_relay_text.replace("/ip6/::1/udp/1/quic-v1", "/dns/relay/tcp/1"))
    expect("\nMultiaddrs: could not detect public IPs\n" in home.run("relay", "info"), "names")
    (home.path / "relay_node.key").write_bytes(b"rubbish")
    home.run("relay", "info", status=1, out="")


@case
def relay_commands_say_when_there_is_no_config(home):
    for args in (["info"], ["list-peers"], ["authorize", PEER_A], ["deauthorize", PEER_A]):
        home.run("relay", *args, status=1, out="",
                 err="Error: config file not found: relay-server.yaml\n\n"
                     "Run 'peerup relay setup' to create one, or use --config <path>\n")
    home.run("relay", "config", "validate", "--config", "gone.yaml", status=1, out="",
             err="FAIL: failed to open config file: gone.yaml: No such file or directory\n")


@case
def a_relays_config_is_validated_and_rolled_back(home):
    path = make_relay(home)
    good = path.read_text()
    home.run("relay", "config", "rollback", status=1, out="",
             err="Error: no last-known-good archive for relay-server.yaml\n")
    home.write(".relay-server.last-good.yaml", good)
    path.write_text("security: {enable_connection_gating: true}\nidentity: {key_file: k}\n")
    for args in (["config", "validate"], ["config", "validate", "--config", "relay-server.yaml"],
                 ["config", "--config", "relay-server.yaml", "validate"],
                 ["--config=relay-server.yaml", "config", "validate"]):
        home.run("relay", *args, status=1, out="",
                 err="FAIL: relay-server.yaml: network.listen_addresses must contain at least one "
                     "address\nFAIL: relay-server.yaml:1: security.authorized_keys_file is "
                     "required when connection gating is enabled\n")
    path.write_text("{{{")
    home.run("relay", "config", "validate", status=1, out="", err_has="FAIL: failed to parse YAML: relay-server.yaml:1")
    home.run("relay", "config", "rollback", err="",
             out="Restored relay-server.yaml from last-known-good archive\n\n"
                 "Restart 'peerup relay serve' to apply.\n")
    expect_equal(path.read_text(), good, "the config")
    path.write_text(good + "mistake: 1\n")
    home.run("relay", "config", "validate", out="OK: relay-server.yaml is valid\n",
             err_has='unknown key "mistake" is ignored')


@case
def groups_in_groups_have_usages_of_their_own(home):
    usage = home.run("relay", "config", status=1, err="")
    expect("relay config validate" in usage and "relay info" not in usage, usage)
    expect("relay config validate" in home.run("relay", "--help", err=""), "the outer usage")
    home.run("relay", "config", "frobnicate", status=1, out=usage,
             err="Unknown config command: frobnicate\n\n")
    home.run("relay", "config", "--config", "x", status=1, out=usage,
             err="Unknown config command: --config\n\n")
    home.run("relay", "--fresh", "setup", "--non-interactive", err="")
    home.run("help", "relay", "config", out=usage, err="")
    home.run("relay", "config", "help", out=usage, err="")


@case
def relay_version_is_that_of_the_program(home):
    lines = home.run("relay", "version", err="").splitlines()
    ours = home.run("version").splitlines()
    expect_equal(lines, [ours[0].replace("peerup ", "peerup relay ", 1), ours[1]], "relay version")
