# SPDX-License-Identifier: MIT
"""A config directory whose disk is full, or that cannot be written: a tmpfs in a mount namespace."""

import shutil
import subprocess

from bed import expect
from cells import cell
from peerup import Failed, Skip

STEP_S = 30
SIZE_KIB = 64

# $1 directory to mount over, $2 a copy of what belongs into it, $3 how to spoil it, the rest the
# command.  Prints the exit status after the command's output.
SCRIPT = """
set -eu
at=$1 from=$2 spoil=$3
shift 3
mount -t tmpfs -o size=%dk,mode=700 tmpfs "$at"
cp -a "$from/." "$at"
case $spoil in
full) dd if=/dev/zero of="$at/ballast" bs=1k 2>"$from.dd" || true ;;
read-only) mount -o remount,ro "$at" ;;
esac
rc=0
"$@" 2>&1 || rc=$?
echo "status $rc"
for f in config.yaml authorized_keys identity.key; do cmp "$at/$f" "$from/$f"; done
ls -A "$at"
""" % SIZE_KIB

UNSHARE = ["unshare", "--mount", "--map-root-user", "--user"]


def in_spoiled_directory(bed, home, spoil, args):
    """Runs a command whose config directory is spoilt; returns its output and exit status."""
    directory = home.config.parent
    copy = bed.dir / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(directory, copy)
    done = subprocess.run(
        [*UNSHARE, "sh", "-c", SCRIPT, "sh", str(directory), str(copy), spoil, str(home.peerup),
         *args, "--config", str(home.config)],
        env=home.env, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=STEP_S, check=False)
    output, found, rest = done.stdout.rpartition("status ")
    if not found:
        raise Failed(f"{spoil}, {args}: {done.stdout}")
    status, *files = rest.split()
    expect(done.returncode == 0, f"{spoil}, {args}: {done.stdout}")
    extra = set(files) - {p.name for p in copy.iterdir()} - {"ballast"}
    expect(not extra, f"{spoil}, {args}: left behind {extra}")
    return output, int(status)


def need_namespaces():
    probe = subprocess.run([*UNSHARE, "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        raise Skip(f"no mount namespaces: {probe.stderr.decode().strip()}")


@cell("disk")
def what_cannot_be_written_is_refused_and_the_old_file_stays(bed):
    need_namespaces()
    home, other = bed.client("home").home, bed.client("other")
    changes = (["service", "add", "web", "localhost:8080"],
               ["auth", "add", other.id, "--comment", "x" * 200])
    for spoil, sentence in (("full", "No space left on device"),
                            ("read-only", "Read-only file system")):
        for args in changes:
            output, status = in_spoiled_directory(bed, home, spoil, args)
            expect(status == 1, f"{spoil}, {args}: exit status {status}: {output}")
            expect(sentence in output, f"{spoil}, {args}: doesn't say why: {output!r}")
            expect("Sanitizer" not in output, output)
