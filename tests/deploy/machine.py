# SPDX-License-Identifier: MIT
"""A machine for deploy/relay/setup: a root folder, and stand-ins for what would change this one."""

import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess

import harness
from harness import Skip, expect

DEPLOY = pathlib.Path(__file__).resolve().parent.parent.parent / "deploy"

# Each writes its call down; then it does what the script relies on, below the root.
STAND_INS = {
    "chown": "",
    "runuser": '[ "$3" = -- ] && shift 3 && exec "$@"',
    "useradd": 'touch "$STATE/user"',
    "userdel": 'rm "$STATE/user"',
    "id": '[ "$*" = "-u peerup-relay" ] || exec /usr/bin/id "$@"\n'
          '[ ! -f "$STATE/user" ] || exec cat "$STATE/uid"\nexit 1',
    "ufw": """
        touch "$STATE/ufw.rules"
        case $1 in
            status) cat "$STATE/ufw" 2>/dev/null &&
                sed 's/$/          ALLOW       Anywhere/' "$STATE/ufw.rules" ;;
            allow) echo "$2" >>"$STATE/ufw.rules" ;;
            delete) sed -i "\\\\|^$3\\$|d" "$STATE/ufw.rules" ;;
        esac""",
    "systemctl": """
        root=$PEERUP_SETUP_ROOT
        stop() {
            [ -f "$STATE/pid" ] || return 0
            pid=$(cat "$STATE/pid")
            kill "$pid"
            while grep -qs '^State:.[^Z]' "/proc/$pid/status"; do sleep 0.05; done
            rm "$STATE/pid" "$root/proc/$pid"
        }
        case "$*" in
            "is-enabled --quiet peerup-relay") [ -f "$STATE/enabled" ] ;;
            "is-active --quiet peerup-relay") [ -f "$STATE/pid" ] ;;
            "enable --quiet peerup-relay") touch "$STATE/enabled" ;;
            "disable --quiet --now peerup-relay") stop; rm -f "$STATE/enabled" ;;
            "restart peerup-relay")
                stop
                start=$(sed -n 's/^ExecStart=//p' "$root/etc/systemd/system/peerup-relay.service")
                cd "$root/var/lib/peerup-relay"
                "$root"$start >"$STATE/log" 2>&1 </dev/null &
                pid=$!
                until grep -q "Private relay running" "$STATE/log"; do
                    kill -0 $pid || exit 1
                    sleep 0.05
                done
                ln -s "/proc/$pid" "$root/proc/$pid"
                echo $pid >"$STATE/pid" ;;
            "show --property MainPID --value peerup-relay") cat "$STATE/pid" || echo 0 ;;
            "daemon-reload" | "restart systemd-journald") ;;
            *) exit 1 ;;
        esac""",
}


def free_port():
    """Below those that the kernel gives to clients, so that it stays free between two starts."""
    while True:
        port = random.randrange(20000, 30000)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            pass


class Machine:
    dir = "var/lib/peerup-relay"
    unit = "etc/systemd/system/peerup-relay.service"
    wrapper = "usr/local/sbin/peerup-relay"
    sysctl = "etc/sysctl.d/60-peerup-relay.conf"
    journal = "etc/systemd/journald.conf.d/60-peerup-relay.conf"
    record = "var/lib/peerup-relay.setup"

    def __init__(self, home, systemd=False):
        self.root = home.path / "root"
        self.bin = home.path / "bin"
        self.state = home.path / "state"
        self.script = DEPLOY / "relay/setup"
        for folder in (self.root, self.bin, self.state):
            folder.mkdir()
        for name in ("etc", "opt", "var/lib", "proc/sys/net/core"):
            (self.root / name).mkdir(parents=True)
        (self.root / "proc/net").symlink_to("/proc/net")
        self.write("etc/os-release", "ID=debian\nVERSION_ID=12\n")
        for name in ("rmem_max", "wmem_max"):
            self.write(f"proc/sys/net/core/{name}", "212992\n")
        (self.root / "opt/peerup").symlink_to(harness.PROGRAM)
        (self.state / "uid").write_text(f"{os.getuid()}\n")
        for name, text in STAND_INS.items():
            self.stand_in(name, text)
        if systemd:
            self.add_systemd()

    def stand_in(self, name, text):
        path = self.bin / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>"$STATE/calls"\n{text}\n')
        path.chmod(0o755)

    def add_systemd(self):
        if b"libsystemd.so" not in pathlib.Path(harness.PROGRAM).read_bytes():
            raise Skip("the program was built without libsystemd")
        (self.root / "run/systemd/system").mkdir(parents=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if (self.state / "pid").exists():
            os.kill(int((self.state / "pid").read_text()), signal.SIGKILL)

    def write(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def read(self, path):
        return (self.root / path).read_text()

    def has(self, path):
        return (self.root / path).exists()

    def mode(self, path):
        return (self.root / path).stat().st_mode & 0o7777

    def setup(self, *args, status=0, stdin=subprocess.DEVNULL):
        """Runs the script, whose calls begin anew; both of its outputs."""
        (self.state / "calls").write_text("")
        env = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
        env |= {"PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
                "HOME": str(self.root), "STATE": str(self.state),
                "PEERUP_SETUP_ROOT": str(self.root)}
        # Into a file: the relay that is started would hold a pipe open.
        said = self.state / "said"
        with said.open("w") as out:
            done = subprocess.run([self.script, *args], stdin=stdin, stdout=out, stderr=out,
                                  env=env, timeout=120)
        text = said.read_text()
        expect(done.returncode == status,
               f"setup {' '.join(args)}: status {done.returncode}, not {status}\n{text}")
        return text

    def calls(self, name):
        """How the script called a program."""
        lines = (self.state / "calls").read_text().splitlines()
        return [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]

    def listen_on_loopback(self, extra=""):
        """The generated config, with a free port of loopback; that port."""
        port = free_port()
        text = self.read(f"{self.dir}/relay-server.yaml")
        text = re.sub(r"/ip4/0\.0\.0\.0/(tcp|udp)/\d+", rf"/ip4/127.0.0.1/\1/{port}", text)
        text = re.sub(r".*/ip6/.*\n", "", text)
        self.write(f"{self.dir}/relay-server.yaml", text + extra)
        return port

    def snapshot(self):
        """Every file's content, mode and time of change."""
        files = (p for folder in ("etc", "var", "usr")
                 for p in (self.root / folder).rglob("*") if p.is_file())
        return {str(p): (p.read_bytes(), p.stat().st_mode, p.stat().st_mtime_ns) for p in files}


def has_tool(name):
    if shutil.which(name) is None:
        raise Skip(f"{name} is not installed")
