# SPDX-License-Identifier: MIT
"""The units, and the script as shellcheck sees it."""

import re
import subprocess

import harness
from harness import case, expect, expect_equal
from machine import DEPLOY, has_tool

UNITS = {"relay/peerup-relay.service": "relay serve", "node/peerup.service": "daemon"}


@case
def units_start_what_they_should_and_allow_what_it_needs(home):
    for path, command in UNITS.items():
        text = (DEPLOY / path).read_text()
        values = dict(re.findall(r"^(\w+)=(.*)$", text, re.M))
        name = path.split("/")[1].removesuffix(".service")
        expect_equal(values["ExecStart"], f"/usr/local/bin/peerup {command}", path)
        expect_equal(values["User"], name, path)
        expect_equal(values["StateDirectory"], name, path)
        expect_equal((values["Type"], values["WatchdogSec"], values["StateDirectoryMode"]),
                     ("notify", "90", "0700"), path)
        expect_equal(values["RestrictAddressFamilies"].split(),
                     ["AF_INET", "AF_INET6", "AF_NETLINK", "AF_UNIX"], path)
        for hardening in ("NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes",
                          "ProtectKernelTunables=yes", "ProtectControlGroups=yes",
                          "RestrictSUIDSGID=yes", "LimitNOFILE=65536", "MemoryMax=512M"):
            expect(f"\n{hardening}\n" in text, f"{path}: {hardening}")


@case
def systemd_understands_the_units(home):
    has_tool("systemd-analyze")
    for path in UNITS:
        unit = home.path / path.split("/")[1]
        unit.write_text((DEPLOY / path).read_text().replace("/usr/local/bin/peerup",
                                                            harness.PROGRAM))
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)],
                              capture_output=True, text=True, timeout=60)
        # It looks at the units that this one needs, too; only what it says of ours counts.
        ours = [line for line in done.stderr.splitlines() if unit.name in line]
        expect_equal(ours, [], path)


@case
def shellcheck_finds_nothing(home):
    has_tool("shellcheck")
    done = subprocess.run(["shellcheck", str(DEPLOY / "relay/setup")], capture_output=True,
                          text=True, timeout=60)
    expect_equal(done.stdout, "", "shellcheck")
