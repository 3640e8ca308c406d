# SPDX-License-Identifier: MIT
"""Dispatch, flags, exit codes, colour, and the commands that only look: cli.md 1, 2.2, 2.3, 5.2."""

import os
import pty
import subprocess

import harness
from harness import PEER_A, PEER_B, PEER_R, SHORT_A, SHORT_B, case, expect, expect_equal

NOT_FOUND = """Error: config error: config file not found; searched:
  peerup.yaml
  {home}/.config/peerup/config.yaml
  /etc/peerup/config.yaml

Run 'peerup init' to create one, or use --config <path>
"""


def commands(home):
    """(name, arguments) of every row of the usage."""
    lines = home.run("help").split("Commands:\n")[1].split("\n\n")[0].splitlines()
    return [line[2:34].strip() for line in lines]


@case
def without_a_command_the_usage_comes_and_status_1(home):
    out = home.run(status=1, err="")
    expect(out.startswith("Usage: peerup <command>"), out)


@case
def help_works_everywhere_with_status_0(home):
    usage = home.run("help", err="")
    for words in (["--help"], ["-h"], ["-help"], ["help", "help"], ["--help", "-h", "auth"]):
        home.run(*words, out=usage, err="")
    rows = commands(home)
    expect(len(rows) >= 16, f"only {len(rows)} commands in the usage")
    for row in rows:
        words = [w for w in row.split() if w[0] not in "<["]
        text = home.run(*words, "--help", err="")
        expect(f"Usage: peerup {row}" in text, text)
        for way in ([*words, "-h"], [*words, "help"], ["help", *words], ["--help", *words]):
            home.run(*way, out=text, err="")
    for group in {row.split()[0] for row in rows if row.split()[0] in ("auth", "config", "relay", "service")}:
        text = home.run(group, "help", err="")
        expect(f"Usage: peerup {group} <command>" in text, text)
        for way in ([group, "--help"], [group, "-h"], ["help", group]):
            home.run(*way, out=text, err="")


@case
def help_wins_over_missing_and_surplus_arguments(home):
    home.run("auth", "add", "x", "y", "--help", err="")
    home.run("resolve", "--json", "-h", err="")


@case
def what_is_unknown_is_named_and_the_usage_follows(home):
    usage = home.run("help")
    home.run("frobnicate", status=1, out=usage, err="Unknown command: frobnicate\n\n")
    for group in ("auth", "config", "relay", "service"):
        usage = home.run(group, status=1, err="")
        home.run(group, "x", status=1, out=usage, err=f"Unknown {group} command: x\n\n")


@case
def bad_flags_are_told_in_gos_words(home):
    rows = [
        (["status", "--bogus"], "flag provided but not defined: -bogus"),
        (["status", "-bogus=1"], "flag provided but not defined: -bogus"),
        (["status", "--config"], "flag needs an argument: -config"),
        (["resolve", "x", "--json=maybe"], 'invalid boolean value "maybe" for -json: parse error'),
        (["status", "---x"], "bad flag syntax: ---x"),
        (["status", "surplus"], "unexpected argument: surplus"),
        (["auth", "add", "a", "b"], "unexpected argument: b"),
        (["auth", "add", *(["x"] * 65)], "too many arguments"),
    ]
    for args, text in rows:
        home.run(*args, status=1, out="", err=f"Error: {text}\n")


@case
def flags_stand_before_behind_and_with_one_dash_or_two(home):
    home.make_node()
    path = str(home.config)
    for args in (
        ["resolve", "--config", path, PEER_A, "--json"],
        ["resolve", PEER_A, "-json", f"-config={path}"],
        ["resolve", "-json=true", PEER_A, "--config=" + path],
    ):
        out = home.run(*args, err="", env={"HOME": "/nowhere"})
        expect_equal(
            out,
            f'{{\n  "name": "{PEER_A}",\n  "peer_id": "{PEER_A}",\n  "source": "peer_id"\n}}\n',
            "resolve",
        )
    home.run("resolve", "--json=false", "--", PEER_A, out=f"{PEER_A} → {PEER_A}\n")


@case
def commands_that_need_a_config_say_where_they_looked(home):
    for args in (["whoami"], ["auth", "list"], ["service", "list"], ["config", "validate"],
                 ["resolve", "x"], ["auth", "add", PEER_A]):
        home.run(*args, status=1, out="", err=NOT_FOUND)
    home.run("whoami", "--config", "gone.yaml", status=1, out="",
             err="Error: config error: config file not found: gone.yaml\n")
    home.run("whoami", status=1, env={"HOME": None},
             err=NOT_FOUND.replace("  {home}/.config/peerup/config.yaml\n", ""))
    out = home.run("status", status=1, err=NOT_FOUND)
    expect(out.startswith("peerup "), out)


@case
def the_working_directorys_file_comes_first(home):
    home.make_node()
    home.write("peerup.yaml", "version: 7\n")
    home.run("whoami", status=1, out="",
             err="Error: config error: peerup.yaml:1: config version too new: version 7 is newer "
                 "than supported version 1; please upgrade peerup\n")


@case
def version_names_build_toolchain_and_licence(home):
    out = home.run("version", err="")
    lines = out.splitlines()
    expect(lines[0].startswith("peerup ") and " built " in lines[0], out)
    expect("linux/" in lines[1], out)
    expect("MIT" in out and "GPLv3" in out, out)
    home.run("--version", out=out, err="")


@case
def whoami_prints_the_id_and_changes_nothing(home):
    home.make_node()
    before = os.stat(home.key)
    home.run("whoami", out=PEER_A + "\n", err="")
    after = os.stat(home.key)
    expect_equal((before.st_mtime_ns, before.st_ino), (after.st_mtime_ns, after.st_ino), "the key")


@case
def whoami_makes_the_key_before_the_first_start(home):
    home.make_node()
    home.key.unlink()
    first = home.run("whoami", err="")
    expect(first.startswith("12D3KooW") and len(first) == 53, first)
    expect_equal(home.key.stat().st_mode & 0o7777, 0o600, "mode of the key")
    home.run("whoami", out=first)


@case
def a_key_that_others_may_read_is_refused(home):
    home.make_node()
    home.key.chmod(0o640)
    home.run("whoami", status=1, out="")
    home.key.chmod(0o600)
    home.key.write_bytes(b"rubbish")
    home.run("whoami", status=1, out="")


@case
def status_shows_everything_sorted(home):
    home.make_node(
        "services:\n"
        "  web: {enabled: false, local_address: \"localhost:80\"}\n"
        "  ssh: {enabled: true, local_address: \"localhost:22\"}\n"
        f"names:\n  lab: /ip4/1.2.3.4/udp/1/quic-v1/p2p/{PEER_B}\n  home: {PEER_A}\n  bad: x\n"
    )
    home.keys.write_text(
        f"{PEER_A}  verified=sha256:aabbccdd  # my laptop\n{PEER_B}  # x\n"
        f"{PEER_R} expires=2020-01-01T00:00:00Z\n"
    )
    out = home.run("status")
    expect_equal(
        out.split("\n", 2)[2],
        f"""Peer ID:  {PEER_A}
Config:   {home.config}
Key file: {home.key}
Network:  global (default)

Relay addresses: (none configured)

Authorized peers (3):
  [VERIFIED] {SHORT_A}  # my laptop
  [UNVERIFIED] {SHORT_B}  # x
  [EXPIRED] {PEER_R[:16]}...

Services:
  ssh          -> localhost:22         (enabled)
  web          -> localhost:80         (disabled)

Names:
  bad          -> error (failed to parse peer ID: "x")
  home         -> {SHORT_A}
  lab          -> {SHORT_B}
""",
        "status",
    )


@case
def status_of_a_fresh_node_and_of_troubled_ones(home):
    home.run("init", "--network", "crew", "--relay", f"/ip4/1.2.3.4/tcp/7777/p2p/{PEER_R}")
    home.key.unlink()
    out = home.run("status", err="")
    expect("Peer ID:  (no key yet" in out, out)
    expect("Network:  crew\n" in out, out)
    expect(f"Relay addresses:\n  /ip4/1.2.3.4/tcp/7777/p2p/{PEER_R}\n" in out, out)
    expect("Authorized peers: (none)\n" in out, out)
    expect("Services: (none configured)\n" in out, out)
    expect("Names: (none configured)\n" in out, out)
    expect(not home.key.exists(), "status must not make a key")
    home.keys.write_text("rubbish\n")
    out = home.run("status")
    expect("Authorized peers: error (" in out and "line 1" in out, out)
    text = home.config.read_text()
    home.config.write_text(text.replace("enable_connection_gating: true",
                                        "enable_connection_gating: false"))
    expect("Authorized peers: connection gating disabled\n" in home.run("status"), "gating")


@case
def resolve_prints_text_and_json(home):
    home.make_node(f"names:\n  home: {PEER_A}\n  bad: x\n  lab: /ip4/1.2.3.4/udp/1/quic-v1/p2p/"
                   f"{PEER_B}\n")
    home.run("resolve", "home", out=f"home → {PEER_A}\n", err="")
    home.run("resolve", "lab", out=f"lab → {PEER_B}\n", err="")
    home.run("resolve", "home", "--json", err="",
             out=f'{{\n  "name": "home",\n  "peer_id": "{PEER_A}",\n  "source": "local_config"\n}}\n')
    home.run("resolve", "nobody", status=1, out="",
             err='Error: cannot resolve "nobody": name not found: nobody\n')
    home.run("resolve", "bad", status=1, out="",
             err='Error: cannot resolve "bad": invalid peer ID for name bad: failed to parse peer '
                 'ID: "x"\n')
    home.run("resolve", status=1, out="",
             err="Error: usage: peerup resolve <name> [--json] [--config PATH]\n")


@case
def colour_is_for_terminals_and_not_for_no_color(home):
    home.make_node()
    try:
        for fd in pty.openpty():
            os.close(fd)
    except OSError as e:
        raise harness.Skip(f"no pseudo-terminals here (is /dev/pts mounted?): {e}") from None
    environment = {"HOME": str(home.path), "PATH": os.environ["PATH"]}
    for no_color, wanted in (("", "\x1b[32mOK: "), ("1", "OK: ")):
        ours, theirs = pty.openpty()
        subprocess.run([harness.PROGRAM, "config", "validate"], stdout=theirs, check=True,
                       stderr=subprocess.DEVNULL, env=environment | {"NO_COLOR": no_color},
                       timeout=60)
        os.close(theirs)
        got = os.read(ours, 4096).decode()
        os.close(ours)
        expect(got.startswith(wanted), repr(got))
        expect(got.rstrip().endswith("\x1b[0m") == (no_color == ""), repr(got))
    expect(home.run("config", "validate").startswith("OK: "), "a pipe gets no colour")


@case
def output_that_cannot_be_written_is_an_error(home):
    with open("/dev/full", "w") as full:
        home.run("version", status=1, stdout=full,
                 err="Error: cannot write output: No space left on device\n")
