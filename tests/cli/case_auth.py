# SPDX-License-Identifier: MIT
"""auth add|list|remove|validate: cli.md 2.4."""

from harness import PEER_A, PEER_B, SHORT_A, SHORT_B, case, expect, expect_equal


@case
def a_peer_is_added_listed_and_removed(home):
    home.make_node()
    home.run("auth", "list", out="No authorized peers.\nFile: {home}/.config/peerup/authorized_keys\n",
             err="")
    home.run("auth", "add", PEER_A, "--comment", "my laptop", err="",
             out=f"Authorized peer: {SHORT_A}\n  Comment: my laptop\n"
                 "  File: {home}/.config/peerup/authorized_keys\n")
    home.run("auth", "add", PEER_B, err="",
             out=f"Authorized peer: {SHORT_B}\n  File: {{home}}/.config/peerup/authorized_keys\n")
    expect(home.keys.read_text().endswith(f"{PEER_A}  # my laptop\n{PEER_B}\n"), "the file")
    home.run("auth", "list", err="", out=f"""Authorized peers (2):

  1. {SHORT_A}  # my laptop
     {PEER_A} [UNVERIFIED]
  2. {SHORT_B}
     {PEER_B} [UNVERIFIED]

File: {{home}}/.config/peerup/authorized_keys
""")
    home.run("auth", "add", PEER_A, status=1, out="",
             err=f"Error: failed to add peer: peer already authorized: {SHORT_A}\n")
    home.run("auth", "remove", PEER_A, err="",
             out=f"Revoked peer: {SHORT_A}\n  File: {{home}}/.config/peerup/authorized_keys\n")
    home.run("auth", "remove", PEER_A, status=1, out="",
             err=f"Error: failed to remove peer: peer not found: {SHORT_A}\n")
    expect(home.keys.read_text().endswith(f"label\"\n{PEER_B}\n"), "comments of the file stay")


@case
def attributes_are_listed(home):
    home.make_node()
    home.keys.write_text(
        f"{PEER_A}  expires=2027-01-02T03:04:05Z  verified=sha256:aabbccdd  group=abcd1234  # my\n"
        "undecodable\n"
    )
    home.run("auth", "list", err="", out=f"""Authorized peers (1):

  1. {SHORT_A}  # my
     {PEER_A} [group=abcd1234] [verified=sha256:aabbccdd] [expires=2027-01-02]

File: {{home}}/.config/peerup/authorized_keys
""")


@case
def a_file_of_ones_own_needs_no_config(home):
    home.run("auth", "list", "--file", "keys", out="No authorized peers.\nFile: keys\n", err="")
    home.run("auth", "remove", PEER_A, "--file", "keys", status=1, out="")
    home.run("auth", "add", PEER_A, "--file", "keys", err="",
             out=f"Authorized peer: {SHORT_A}\n  File: keys\n")
    expect_equal((home.path / "keys").stat().st_mode & 0o7777, 0o600, "mode of a new file")
    home.run("auth", "validate", "keys", err="",
             out="Validation passed\n  Valid peer IDs: 1\n  File: keys\n")


@case
def bad_ids_and_missing_arguments_are_told(home):
    home.make_node()
    home.run("auth", "add", "nobody", status=1, out="",
             err="Error: failed to add peer: invalid peer ID: failed to parse peer ID: nobody\n")
    home.run("auth", "remove", "nobody", status=1, out="",
             err="Error: failed to remove peer: invalid peer ID: failed to parse peer ID: nobody\n")
    home.run("auth", "add", status=1, out="",
             err="Error: usage: peerup auth add <peer-id> [--comment TEXT] [--file PATH] "
                 "[--config PATH]\n")
    home.run("auth", "remove", status=1, out="")
    home.config.write_text(home.config.read_text().replace("authorized_keys_file", "# "))
    home.run("auth", "list", status=1, out="",
             err="Error: no authorized_keys_file in config. Use --file to specify path\n")


@case
def validate_lists_every_bad_line(home):
    home.make_node()
    home.keys.write_text(f"one\n{PEER_A} group=x  # attributes are understood\n{PEER_B} expires=y\n")
    home.run("auth", "validate", status=1,
             out="Validation failed with 2 error(s):\n"
                 "  Line 1: invalid peer ID format - one\n"
                 "  Line 3: invalid expires - \"y\" is no RFC 3339 time\n",
             err="Error: validation failed with 2 error(s)\n")
    home.run("auth", "add", PEER_A, status=1, out="")
    home.run("auth", "validate", "gone", status=1, out="",
             err="Error: failed to open authorized_keys file: gone: No such file or directory\n")


@case
def control_characters_of_a_comment_never_reach_the_terminal(home):
    home.make_node()
    home.keys.write_text(f"{PEER_A}  # a\x1b[31mb\x7f\u0085c\n")
    out = home.run("auth", "list")
    expect("# a?[31mb???c\n" in out, repr(out))
    expect("# a?[31mb???c\n" in home.run("status"), "status")


@case
def a_comment_stays_on_its_line(home):
    home.make_node()
    home.run("auth", "add", PEER_A, "--comment", f"x\n{PEER_B}")
    expect(home.keys.read_text().endswith(f"{PEER_A}  # x{PEER_B}\n"), "injected line")
