# SPDX-License-Identifier: MIT
"""service add|list|remove|enable|disable: cli.md 3.1."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import harness
from harness import PEER_A, case, expect, expect_equal

TAIL = "Config: {home}/.config/peerup/config.yaml\n\nRestart 'peerup daemon' to apply.\n"


@case
def a_service_is_added_switched_and_removed(home):
    home.make_node()
    before = home.config.read_text()
    home.run("service", "list", err="",
             out="No services configured.\nConfig: {home}/.config/peerup/config.yaml\n")
    home.run("service", "add", "web", "localhost:80", "--protocol", "my-web", err="",
             out="Added service: web -> localhost:80\n" + TAIL)
    home.run("service", "add", "ssh", "localhost:22", err="",
             out="Added service: ssh -> localhost:22\n" + TAIL)
    home.run("service", "add", "ssh", "localhost:23", err="",
             out="Service already configured: ssh\n")
    home.run("service", "list", err="", out="""Services (2):

  ssh          -> localhost:22         (enabled)
  web          -> localhost:80         (enabled)  protocol: my-web

Config: {home}/.config/peerup/config.yaml
""")
    home.run("service", "disable", "web", err="", out="Disabled service: web\n" + TAIL)
    home.run("service", "disable", "web", err="", out="Service web is already disabled\n")
    expect("web          -> localhost:80         (disabled)" in home.run("service", "list"), "list")
    home.run("service", "enable", "web", err="", out="Enabled service: web\n" + TAIL)
    home.run("service", "enable", "web", err="", out="Service web is already enabled\n")
    home.run("service", "remove", "web", err="", out="Removed service: web\n" + TAIL)
    home.run("service", "remove", "ssh", err="", out="Removed service: ssh\n" + TAIL)
    expect_equal(home.config.read_text(), before + "\nservices: {}\n", "the file")
    expect_equal(home.config.stat().st_mode & 0o7777, 0o600, "its mode")


@case
def errors_of_services_are_told_and_change_nothing(home):
    home.make_node()
    before = home.config.read_text()
    rows = [
        (["remove", "x"], "service not found: x"),
        (["enable", "x"], "service not found: x"),
        (["disable", "x"], "service not found: x"),
        (["add", "SSH", "a:1"],
         'invalid service name: "SSH" must be 1-63 lowercase alphanumeric characters or hyphens, '
         "starting and ending with alphanumeric"),
        (["add", "", "a:1"], "invalid service name: name cannot be empty"),
        (["add", "peer-notify", "a:1"],
         'invalid service name: "peer-notify" is reserved for a built-in protocol'),
        (["add", "ssh", "nowhere"],
         'invalid address "nowhere": must be host:port (e.g., localhost:22): address nowhere: '
         "missing port in address"),
        (["add", "ssh"],
         "usage: peerup service add <name> <host:port> [--protocol ID] [--config PATH]"),
        (["enable"], "usage: peerup service enable <name> [--config PATH]"),
    ]
    for args, text in rows:
        home.run("service", *args, status=1, out="", err=f"Error: {text}\n")
    expect_equal(home.config.read_text(), before, "the file")


@case
def comments_and_order_of_the_file_survive(home):
    text = (
        "# mine\nidentity: {key_file: k}   # key\nnetwork:\n    listen_addresses:\n"
        "      - /ip4/0.0.0.0/udp/0/quic-v1  # any\n\n"
        "services:  # what I offer\n    # the shell\n    ssh:\n        enabled: off # for now\n"
        f"        local_address: localhost:22\n        allowed_peers: [{PEER_A}]\n\n"
        "security: {authorized_keys_file: a}\n"
    )
    path = home.write("peerup.yaml", text, 0o640)
    home.run("service", "enable", "ssh")
    expect_equal(path.read_text(), text.replace("enabled: off", "enabled: true"), "enable")
    home.run("service", "add", "web", "localhost:80")
    home.run("service", "remove", "web")
    expect_equal(path.read_text(), text.replace("enabled: off", "enabled: true"), "add, remove")
    expect_equal(path.stat().st_mode & 0o7777, 0o640, "mode")


@case
def an_unwritable_or_odd_config_is_left_whole(home):
    path = home.write("peerup.yaml", "{services: {ssh: {}}}\n")
    home.run("service", "enable", "ssh", status=1, out="",
             err="Error: cannot make this change in a file of this form.\n"
                 "Please edit manually: peerup.yaml\n")
    expect_equal(path.read_text(), "{services: {ssh: {}}}\n", "the file")
    expect_equal(sorted(p.name for p in home.path.iterdir()), ["peerup.yaml"], "nothing beside it")


@case
def a_directory_that_cannot_be_written_gives_a_clear_error(home):
    home.write("peerup.yaml", "version: 1\n", 0o644)
    home.write("keys", f"{PEER_A}\n", 0o644)
    program = shutil.copy(harness.PROGRAM, home.path)
    home.path.chmod(0o555)
    nobody = {}
    if os.geteuid() == 0:  # who may not be let into where the program was built
        nobody = {"user": 65534, "group": 65534, "extra_groups": [], "executable": program}
    home.run("service", "add", "ssh", "localhost:22", status=1, out="", spawn=nobody,
             err_has="Permission denied (the old file was left as it was)")
    home.run("auth", "remove", PEER_A, "--file", "keys", status=1, out="", spawn=nobody,
             err_has="Permission denied")
    home.run("init", "--no-relay", "--dir", "d", status=1, spawn=nobody,
             err_has="Error: cannot create directory d: Permission denied\n")
    home.path.chmod(0o755)
    expect_equal((home.path / "peerup.yaml").read_text(), "version: 1\n", "the config")
    expect_equal((home.path / "keys").read_text(), f"{PEER_A}\n", "the list")


@case
def edits_at_the_same_time_lose_nothing(home):
    home.make_node()
    names = [f"s{i}" for i in range(8)]
    with ThreadPoolExecutor(len(names)) as pool:
        for done in [pool.submit(home.run, "service", "add", n, "localhost:1") for n in names]:
            done.result()
    listed = home.run("service", "list")
    for name in names:
        expect(f"  {name} " in listed, listed)


@case
def keys_made_at_the_same_time_are_one(home):
    home.make_node()
    home.key.unlink()
    with ThreadPoolExecutor(6) as pool:
        ids = {pool.submit(home.run, "whoami") for _ in range(6)}
        ids = {done.result() for done in ids}
    expect_equal(len(ids), 1, "peer IDs")
