# SPDX-License-Identifier: MIT
"""deploy/relay/setup: behaviour.md 8 and 12."""

import contextlib
import os
import re
import shutil
import socket
import subprocess

import harness
from harness import PEER_A, case, expect, expect_equal
from machine import DEPLOY, Machine, free_port

FILES = ("relay-server.yaml", "relay_authorized_keys", "relay_node.key")
PROGRAM = ("--program", "/opt/peerup")


def has(text, *wanted):
    for part in wanted:
        expect(part in text, f"lacks {part!r}:\n{text}")


def problems(text):
    """The lines of --check that are not OK, without their ends."""
    return re.findall(r"^relay: \[(?:WARN|FAIL)\] ([a-z]+:)", text, re.M)


@contextlib.contextmanager
def terminal(answer):
    """A terminal where somebody has typed that."""
    theirs, ours = os.openpty()
    os.write(theirs, answer.encode())
    try:
        yield ours
    finally:
        os.close(ours)
        os.close(theirs)


def started(home, extra=""):
    """A machine whose relay runs, on a free port of loopback."""
    m = Machine(home)
    m.setup(*PROGRAM)
    m.add_systemd()
    m.port = m.listen_on_loopback(extra)
    m.said = m.setup(*PROGRAM)
    return m


@case
def without_systemd_all_but_the_service_is_set_up(home):
    m = Machine(home)
    said = m.setup(*PROGRAM)
    has(said, "making the system user peerup-relay", "making /var/lib/peerup-relay",
        "raising the kernel's largest UDP buffers", "writing /usr/local/sbin/peerup-relay\n",
        "systemd does not run here", "run '/usr/local/sbin/peerup-relay serve'",
        "let in: 7777/tcp 7777/udp 7778/udp")
    expect_equal(m.calls("useradd"), ["--system --user-group --home-dir /var/lib/peerup-relay "
                                      "--no-create-home --shell /usr/sbin/nologin peerup-relay"],
                 "useradd")
    expect_equal(m.mode(m.dir), 0o700, "mode of the folder")
    for name in FILES:
        expect_equal(m.mode(f"{m.dir}/{name}"), 0o600, f"mode of {name}")
    expect_equal(m.calls("chown"), [f"peerup-relay:peerup-relay {m.root}/{m.dir}"], "chown")
    expect(all(call.startswith("-u peerup-relay -- ") for call in m.calls("runuser")), "its user")
    expect_equal(m.read(m.sysctl), "net.core.rmem_max = 7500000\nnet.core.wmem_max = 7500000\n",
                 "sysctl")
    expect_equal(m.read("proc/sys/net/core/rmem_max"), "7500000\n", "the kernel's limit")
    expect_equal(m.mode(m.wrapper), 0o755, "mode of the wrapper")
    has(m.read(m.wrapper), 'cd /var/lib/peerup-relay && HOME=/var/lib/peerup-relay exec runuser -u '
        'peerup-relay -- /opt/peerup relay "$@"\n')
    expect(not m.has(m.unit) and not m.calls("systemctl"), "a unit without systemd")
    m.listen_on_loopback()
    expect_equal(problems(m.setup("--check", status=1)), ["peers:", "service:", "port:", "port:"],
                 "--check")


@case
def with_systemd_the_relay_runs_and_passes_its_check(home):
    with started(home) as m:
        has(m.said, "writing /etc/systemd/system/peerup-relay.service", "starting the service",
            "[OK]   service: runs", f"[OK]   port: the relay listens on {m.port}/tcp",
            f"[OK]   port: the relay listens on {m.port}/udp", "[OK]   health: off",
            "[OK]   gating: only peers that are listed", "relay: 0 failed, 1 warnings\n",
            f"Multiaddrs:\n  /ip4/127.0.0.1/tcp/{m.port}/p2p/12D3KooW")
        expect_equal(m.calls("systemctl")[:4], ["daemon-reload", "is-enabled --quiet peerup-relay",
                                                "enable --quiet peerup-relay",
                                                "restart peerup-relay"], "systemctl")
        template = (DEPLOY / "relay/peerup-relay.service").read_text()
        expect_equal(m.read(m.unit), template.replace("=/usr/local/bin/peerup ", "=/opt/peerup "),
                     "the unit")
        expect_equal(problems(m.setup("--check")), ["peers:"], "--check")


@case
def a_second_run_changes_nothing(home):
    with started(home) as m:
        before = m.snapshot()
        said = m.setup(*PROGRAM)
        expect_equal(m.snapshot(), before, "the files")
        expect("writing" not in said and "starting" not in said, said)
        expect_equal(m.calls("useradd"), [], "useradd")
        expect(not {"daemon-reload", "restart peerup-relay", "enable --quiet peerup-relay"} &
               set(m.calls("systemctl")), "systemctl")
        m.setup("--check")
        expect_equal(m.snapshot(), before, "the files after --check")


@case
def another_unit_is_replaced_and_restarts_the_relay(home):
    with started(home) as m:
        m.write(m.unit, m.read(m.unit) + "# mine\n")
        has(m.setup("--check"), f"[WARN] service: /{m.unit} is not that of this checkout")
        m.setup(*PROGRAM)
        expect("# mine" not in m.read(m.unit), "the unit")
        expect("restart peerup-relay" in m.calls("systemctl"), "no restart")


def replace_program(m):
    """By a newer one, as an installation does it."""
    program = m.root / "opt/peerup"
    program.unlink()
    shutil.copy(harness.PROGRAM, program)
    with program.open("ab") as f:
        f.write(b"newer")


@case
def a_program_that_was_replaced_restarts_the_relay_also_after_a_run_that_broke_off(home):
    with started(home) as m:
        replace_program(m)
        has(m.setup("--check"), "[WARN] service: /opt/peerup is newer than what runs")
        config = f"{m.dir}/relay-server.yaml"
        good = m.read(config)
        m.write(config, "{{{")
        has(m.setup(*PROGRAM, status=1), "relay-server.yaml is not valid")
        expect("restart peerup-relay" not in m.calls("systemctl"), "what does not start")
        m.write(config, good)
        has(m.setup(*PROGRAM), "starting the service")
        expect("restart peerup-relay" in m.calls("systemctl"), "no restart")
        m.setup(*PROGRAM)
        expect("restart peerup-relay" not in m.calls("systemctl"), "once is enough")


@case
def a_program_that_was_replaced_and_restarted_by_hand_runs_already(home):
    with started(home) as m:
        replace_program(m)
        env = os.environ | {"STATE": str(m.state), "PEERUP_SETUP_ROOT": str(m.root)}
        subprocess.run([m.bin / "systemctl", "restart", "peerup-relay"], check=True, env=env)
        expect_equal(problems(m.setup("--check")), ["peers:"], "--check")
        m.setup(*PROGRAM)
        expect("restart peerup-relay" not in m.calls("systemctl"), "drops its circuits")


@case
def larger_buffers_restart_the_relay_also_after_a_run_that_broke_off(home):
    with started(home) as m:
        limit = "proc/sys/net/core/rmem_max"
        m.write(limit, "212992\n")
        m.setup(*PROGRAM)
        expect("restart peerup-relay" in m.calls("systemctl"), "its sockets have the old ones")
        m.setup(*PROGRAM)
        expect("restart peerup-relay" not in m.calls("systemctl"), "once is enough")
        m.write(limit, "212992\n")
        systemctl = (m.bin / "systemctl").read_text()
        m.stand_in("systemctl", '[ "$1" != restart ] || exit 1\n' + systemctl)
        m.setup(*PROGRAM, status=1)
        (m.bin / "systemctl").write_text(systemctl)
        has(m.setup("--check"), "[WARN] service: a set-up broke off before the restart")
        m.setup(*PROGRAM)
        expect("restart peerup-relay" in m.calls("systemctl"), "no restart")
        expect_equal(problems(m.setup("--check")), ["peers:"], "--check")


@case
def what_the_kernel_had_first_comes_back(home):
    m = Machine(home)
    m.setup(*PROGRAM)
    m.write("proc/sys/net/core/rmem_max", "300000\n")
    m.setup(*PROGRAM)
    expect_equal(m.read("proc/sys/net/core/rmem_max"), "7500000\n", "raised again")
    m.setup("--uninstall", "--yes")
    expect_equal(m.read("proc/sys/net/core/rmem_max"), "212992\n", "the kernel's limit")


@case
def what_is_there_is_kept_and_its_modes_are_put_right(home):
    m = Machine(home)
    (m.root / m.dir).mkdir(mode=0o755)
    m.write(f"{m.dir}/relay_authorized_keys", f"{PEER_A}  # laptop\n")
    m.write(f"{m.dir}/relay_node.key", "")
    (m.root / m.dir / "relay_node.key").write_bytes(harness.KEY_A)
    (m.root / m.dir / "relay_node.key").chmod(0o600)
    m.setup(*PROGRAM)
    expect_equal((m.root / m.dir / "relay_node.key").read_bytes(), harness.KEY_A, "the key")
    has(m.read(f"{m.dir}/relay_authorized_keys"), PEER_A)
    expect_equal([m.mode(f"{m.dir}/{name}") for name in FILES], [0o600] * 3, "modes")
    expect_equal(m.mode(m.dir), 0o700, "mode of the folder")
    expect_equal(len(m.calls("chown")), 3, "what another user may have made")


@case
def check_finds_what_is_broken(home):
    with started(home) as m:
        def expect_problems(*wanted, status=1):
            said = m.setup("--check", status=status)
            expect_equal(problems(said), list(wanted), said)
            return said

        key, config = m.root / m.dir / "relay_node.key", m.root / m.dir / "relay-server.yaml"
        key.chmod(0o640)
        has(expect_problems("files:", "peers:"), "relay_node.key has owner and mode")
        key.chmod(0o600)
        good = config.read_text()
        config.write_text(good.replace("gating: true", "gating: false"))
        expect_problems("gating:", "peers:", status=0)
        config.write_text("{{{")
        expect("config:" in expect_problems("config:"), "the config")
        config.write_text(good)
        m.write("proc/sys/net/core/wmem_max", "212992\n")
        has(expect_problems("peers:", "buffers:", status=0), "net.core: wmem_max below 7500000")
        m.write("proc/sys/net/core/wmem_max", "7500000\n")
        m.write(f"{m.dir}/relay_authorized_keys", f"{PEER_A}\n")
        expect_problems(status=0)
        (m.state / "enabled").unlink()
        expect_problems("service:")
        (m.state / "enabled").touch()
        (m.state / "uid").write_text(f"{os.getuid() + 1}\n")
        has(expect_problems("files:", "files:", "files:", "port:", "port:"), "another program has")
        (m.state / "uid").write_text(f"{os.getuid()}\n")
        (m.root / m.unit).unlink()
        has(expect_problems("service:"), f"{m.unit} is missing")
        key.unlink()
        expect_problems("files:", "service:")
        expect(not key.exists(), "--check made a key")
        (m.state / "user").unlink()
        expect_problems("user:")
        (m.root / m.record).unlink()
        has(expect_problems("program:", "user:"), "no relay is set up here")


@case
def a_relay_that_stopped_fails_the_check(home):
    with started(home) as m:
        m.stand_in("systemctl", '[ "$1" != is-active ]')
        has(m.setup("--check", status=1), "[FAIL] service: does not run: journalctl -u peerup")


@case
def the_health_endpoint_is_asked_where_it_is_on(home):
    port = free_port()
    with started(home, f"health:\n  enabled: true\n  listen_address: 127.0.0.1:{port}\n") as m:
        has(m.said, f"[OK]   health: http://127.0.0.1:{port}/healthz answers")
        config = f"{m.dir}/relay-server.yaml"
        good = m.read(config)
        for other in (f"health: {{enabled: yes, listen_address: ':{port}'}}\n",
                      f'health: {{listen_address: "localhost:{port}", enabled: true}}\n'):
            m.write(config, good[:good.rindex("health:\n")] + other)
            has(m.setup("--check"), f"[OK]   health: http://localhost:{port}/healthz answers")
        m.write(config, good.replace(f":{port}", f":{m.port}"))
        m.stand_in("curl", "exit 7")
        has(m.setup("--check", status=1), f"[FAIL] health: http://127.0.0.1:{m.port}/healthz")


@case
def the_firewall_is_opened_only_when_that_is_agreed(home):
    with started(home) as m:
        config = f"{m.dir}/relay-server.yaml"
        m.write(config, m.read(config).replace("127.0.0.1", "0.0.0.0"))
        (m.state / "ufw").write_text("Status: active\n")
        (m.state / "ufw.rules").write_text(f"{m.port}/udp\n22/tcp\n")
        said = m.setup(*PROGRAM)
        has(said, "the firewall stays as it is", f"  ufw allow {m.port}/tcp\n",
            f"[WARN] firewall: ufw does not let in {m.port}/tcp",
            f"[OK]   firewall: ufw lets in {m.port}/udp")
        expect_equal(set(m.calls("ufw")), {"status"}, "ufw")
        with terminal("n\nn\n") as tty:
            m.setup(*PROGRAM, stdin=tty)
        expect_equal(set(m.calls("ufw")), {"status"}, "ufw")
        with terminal("y\nn\n") as tty:
            has(m.setup(*PROGRAM, stdin=tty), f"[OK]   firewall: ufw lets in {m.port}/tcp")
        expect(f"allow {m.port}/tcp comment peerup-relay" in m.calls("ufw"), "ufw")
        m.setup("--uninstall", "--yes")
        expect_equal([c for c in m.calls("ufw") if c != "status"],
                     [f"delete allow {m.port}/tcp", f"delete allow {m.port + 1}/udp"],
                     "ufw, which had the other rule before")


@case
def the_journal_is_limited_only_when_that_is_agreed(home):
    with started(home) as m:
        expect(not m.has(m.journal), "without a question")
        m.setup(*PROGRAM, "--yes")
        expect_equal(m.read(m.journal), "[Journal]\nSystemMaxUse=500M\nMaxRetentionSec=30day\n",
                     "journald")
        expect("restart systemd-journald" in m.calls("systemctl"), "journald")
        expect("restart peerup-relay" not in m.calls("systemctl"), "the relay")


@case
def uninstall_keeps_keys_unless_it_is_to_purge(home):
    with started(home) as m:
        m.setup(*PROGRAM, "--yes")
        key = (m.root / m.dir / "relay_node.key").read_bytes()
        has(m.setup("--uninstall", status=1), "Without a terminal say --yes")
        expect(m.has(m.unit), "removed without an answer")
        with terminal("\n") as tty:
            m.setup("--uninstall", status=1, stdin=tty)
        has(m.setup("--uninstall", "--yes"), "stopping the service", "kept: /var/lib/peerup-relay")
        expect_equal(m.calls("systemctl"), ["disable --quiet --now peerup-relay", "daemon-reload",
                                            "restart systemd-journald"], "systemctl")
        expect_equal(m.calls("userdel"), [], "userdel")
        for path in (m.unit, m.wrapper, m.sysctl, m.journal):
            expect(not m.has(path), f"{path} is still there")
        expect_equal(m.read("proc/sys/net/core/rmem_max"), "212992\n", "the kernel's limit")
        expect_equal((m.root / m.dir / "relay_node.key").read_bytes(), key, "the key")
        m.setup(*PROGRAM)
        expect_equal((m.root / m.dir / "relay_node.key").read_bytes(), key, "the key, set up again")
        m.stand_in("userdel", "exit 8")
        has(m.setup("--uninstall", "--purge", "--yes", status=1), "a relay still runs")
        expect_equal((m.root / m.dir / "relay_node.key").read_bytes(), key, "while a relay runs")
        m.stand_in("userdel", 'rm "$STATE/user"')
        with terminal("yes\n") as tty:
            m.setup("--uninstall", "--purge", stdin=tty)
        expect_equal(m.calls("userdel"), ["peerup-relay"], "userdel")
        expect(not m.has(m.dir) and not m.has(m.record), "something is left")
        expect(m.has("opt/peerup"), "a program that was not ours")
        has(m.setup("--uninstall"), "no relay is set up here")


@case
def the_checkout_is_built_and_installed(home):
    m = Machine(home)
    checkout = home.path / "checkout"
    shutil.copytree(DEPLOY / "relay", checkout / "deploy/relay")
    (checkout / "docs/man").mkdir(parents=True)
    (checkout / "docs/man/peerup.1").write_text("man\n")
    (checkout / "CMakeLists.txt").touch()
    (checkout / "scripts").mkdir()
    (checkout / "scripts/setup").write_text('#!/bin/sh\necho "packages" >>"$STATE/calls"\n')
    (checkout / "scripts/setup").chmod(0o755)
    m.stand_in("cmake", f"mkdir -p build/release && cp -f {harness.PROGRAM} build/release/peerup")
    m.script = checkout / "deploy/relay/setup"
    has(m.setup(), f"building {checkout} as ", "writing /usr/local/bin/peerup\n")
    expect_equal(m.calls("cmake"), ["--preset release", "--build --preset release --target peerup"],
                 "cmake")
    expect_equal(m.mode("usr/local/bin/peerup"), 0o755, "mode of the program")
    expect_equal(m.read("usr/local/share/man/man1/peerup.1"), "man\n", "the manual")
    expect("writing" not in m.setup(), "a second run")
    m.setup("--uninstall", "--purge", "--yes")
    expect(not m.has("usr/local/bin/peerup"), "the program is left")
    m.stand_in("cmake", "exit 1")
    has(m.setup(status=1), "the build failed")
    (checkout / "CMakeLists.txt").unlink()
    has(m.setup(status=1), "is no checkout of peerup: name an installed program with --program")


@case
def what_cannot_be_set_up_is_told(home):
    m = Machine(home)
    rows = [
        (["--bogus"], "unknown option: --bogus"),
        (["--program"], "--program needs a path"),
        (["--purge"], "--purge goes with --uninstall"),
        (["--check", *PROGRAM], "--program is for setting up"),
        (["--program", "/opt/gone"], "/opt/gone is no program"),
        (["--program", "/home/me/peerup"], "a service cannot reach /home/me/peerup"),
        (["--program", "/opt/a b"], "/opt/a b: a path of letters, digits and _ . / + - is needed"),
        (["--program", "/opt/$(id)"], "a path of letters"),
    ]
    for args, text in rows:
        has(m.setup(*args, status=1), text)
    has(m.setup("--help"), "deploy/relay/setup --check")
    expect(not m.has(m.dir) and not m.calls("useradd"), "something was made")
    m.write("etc/os-release", "ID=ubuntu\nVERSION_ID=24.04\n")
    has(m.setup(*PROGRAM), "written for Ubuntu 24.04, and untested there")
    (m.root / "etc/os-release").unlink()
    has(m.setup(*PROGRAM), "untested on this system")
    config = f"{m.dir}/relay-server.yaml"
    good = m.read(config)
    m.write(config, "identity: {key_file: k}\n")
    has(m.setup(*PROGRAM, status=1), "relay-server.yaml is not valid")
    m.write(config, good)
    port = m.listen_on_loopback()
    with socket.create_server(("127.0.0.1", port)):
        (m.state / "uid").write_text(f"{os.getuid() + 1}\n")
        has(m.setup(*PROGRAM, status=1), f"port {port}/tcp is taken by another program")
    m.add_systemd()
    m.stand_in("systemctl", '[ "$1" != restart ]')
    has(m.setup(*PROGRAM, status=1), "it did not start. Its log: journalctl -u peerup-relay")
