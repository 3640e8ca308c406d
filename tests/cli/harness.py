# SPDX-License-Identifier: MIT
"""Runs the built program in a home of its own and compares what it says, word for word."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import traceback

# Of peerup-protocols, section 1.1; the key files are those of the same section.
PEER_A = "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"
PEER_B = "12D3KooWCd3eX8r5ihRvzK7P1yPq5aakaBJhG5GNj18YTztPhoCa"
PEER_R = "12D3KooWCKq9ZvccjmCqhBbPsrgpAKBHWQpgB61ruM19CyAvH1Cp"
SHORT_A = PEER_A[:16] + "..."
SHORT_B = PEER_B[:16] + "..."
KEY_A = bytes.fromhex(
    "08011240"
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
)

CASES = []
PROGRAM = None


class Skip(Exception):
    """What this machine lacks."""


class Failed(Exception):
    pass


def case(function):
    """Registers a test; its name is a sentence."""
    CASES.append(function)
    return function


def expect(condition, text):
    if not condition:
        raise Failed(text)


def expect_equal(got, wanted, what):
    if got != wanted:
        raise Failed(f"{what}:\n--- got\n{got}\n--- wanted\n{wanted}")


class Home:
    """A directory that is both $HOME and the working directory of the program."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.config = self.path / ".config/peerup/config.yaml"
        self.keys = self.path / ".config/peerup/authorized_keys"
        self.key = self.path / ".config/peerup/identity.key"

    def run(self, *args, status=0, out=None, err=None, err_has=None, stdin="", env=None,
            stdout=None, spawn=None):
        """Runs a command; `out` and `err` are what it must print, "{home}" is filled in."""
        environment = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
        environment |= {"HOME": str(self.path), "PATH": os.environ["PATH"]}
        environment |= env or {}
        environment = {k: v for k, v in environment.items() if v is not None}
        done = subprocess.run(
            [PROGRAM, *args],
            input=stdin,
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.path,
            env=environment,
            timeout=60,
            **(spawn or {}),
        )
        call = "peerup " + " ".join(args)
        detail = f"\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
        expect(done.returncode == status, f"{call}: status {done.returncode}, not {status}{detail}")
        if out is not None:
            expect_equal(done.stdout, out.replace("{home}", str(self.path)), f"{call}: stdout")
        if err is not None:
            expect_equal(done.stderr, err.replace("{home}", str(self.path)), f"{call}: stderr")
        if err_has is not None:
            expect(err_has in done.stderr, f"{call}: stderr lacks {err_has!r}{detail}")
        return done.stdout

    def write(self, path, text, mode=0o600):
        path = self.path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def make_node(self, extra=""):
        """A config as `init --no-relay` makes it, with A's key."""
        self.run("init", "--no-relay")
        self.key.write_bytes(KEY_A)
        if extra:
            self.config.write_text(self.config.read_text().replace("names: {}\n", extra))


def run_all():
    failed = skipped = 0
    for function in CASES:
        directory = tempfile.mkdtemp(prefix="peerup-cli-")
        try:
            function(Home(directory))
        except Skip as e:
            skipped += 1
            print(f"skipped {function.__name__}: {e}")
        except Exception as e:  # a broken case must not hide the others
            failed += 1
            print(f"FAIL {function.__name__}")
            print(e if isinstance(e, Failed) else traceback.format_exc())
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    print(f"{len(CASES) - failed - skipped} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0
