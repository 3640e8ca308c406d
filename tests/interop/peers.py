# SPDX-License-Identifier: MIT
"""Builds the test peers with the toolchains of their languages, each pinned by its lock file."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
GO_VERSIONS = ("go-v0.47", "go-latest")
IMPLEMENTATIONS = (*GO_VERSIONS, "rust", "js")
BUILD_S = 1200
JOBS = 2


class Unusable(Exception):
    """The peer can't be built here: its toolchain is missing or too old."""


def default_cache():
    """Where builds are kept that take long and that no build folder of ours changes."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "peerup" / "interop"


def toolchain(name):
    path = shutil.which(name)
    if not path:
        raise Unusable(f"no {name} here")
    return path


def version_of(argv):
    return subprocess.run(argv, text=True, check=True, capture_output=True).stdout.strip()


def as_numbers(version):
    return [int(n) for n in re.findall(r"\d+", version)]


def expect_at_least(name, needed, here):
    if as_numbers(here) < as_numbers(needed):
        raise Unusable(f"needs {name} {needed}, here is {here}")


def run(argv, cwd, env=None):
    subprocess.run(argv, cwd=cwd, env={**os.environ, **(env or {})}, check=True, timeout=BUILD_S)


def build_go(version, build_dir):
    go = toolchain("go")
    env = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false"}
    needed = re.search(r"^go (\S+)$", (HERE / version / "go.mod").read_text(), re.M).group(1)
    here = subprocess.run([go, "env", "GOVERSION"], env={**os.environ, **env}, text=True,
                          check=True, capture_output=True).stdout.strip()
    expect_at_least("go", needed, here)
    print(f"building {version} with {here}", flush=True)
    build_dir.mkdir(parents=True, exist_ok=True)
    program = (build_dir / version).resolve()
    run([go, "build", f"-p={JOBS}", "-o", str(program), "."], HERE / version, env)
    return program


def build_rust(cache):
    cargo = toolchain("cargo")
    source = HERE / "rust"
    needed = re.search(r'^rust-version = "(\S+)"$', (source / "Cargo.toml").read_text(), re.M)
    here = version_of([toolchain("rustc"), "--version"]).split()[1]
    expect_at_least("rust", needed.group(1), here)
    print(f"building rust with rust {here}", flush=True)
    target = cache / "rust"
    run([cargo, "build", "--release", "--locked", "--quiet", f"-j{JOBS}"], source,
        {"CARGO_TARGET_DIR": str(target)})
    return target / "release" / "interop-peer"


def build_js(cache):
    node, npm = toolchain("node"), toolchain("npm")
    source = HERE / "js"
    here = version_of([node, "--version"])
    expect_at_least("node", "20", here)
    lock = (source / "package-lock.json").read_bytes()
    folder = cache / f"js-{hashlib.sha256(lock + here.encode()).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        shutil.copy(path, folder)
    if not (folder / "installed").exists():
        print(f"installing js with node {here}", flush=True)
        # No scripts: the one native module comes ready-made.
        run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], folder)
        (folder / "installed").touch()
    return folder / "peer.mjs"


def build(name, build_dir, cache):
    """Returns the command line that starts the peer, without its flags."""
    if name in GO_VERSIONS:
        return [str(build_go(name, build_dir))]
    if name == "rust":
        return [str(build_rust(cache))]
    node = toolchain("node")
    # Node 22 has the WebSocket that js-libp2p dials with; before, it is behind a flag.
    early = as_numbers(version_of([node, "--version"])) < [22]
    return [node, *(["--experimental-websocket"] if early else []), str(build_js(cache))]
