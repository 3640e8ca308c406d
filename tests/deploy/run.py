# SPDX-License-Identifier: MIT
"""usage: run.py PROGRAM: deploy/, in a root of its own and without touching this machine."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "cli")]

import harness  # noqa: E402

harness.PROGRAM = str(pathlib.Path(sys.argv[1]).resolve())

import case_relay_setup  # noqa: E402, F401
import case_units  # noqa: E402, F401

sys.exit(harness.run_all())
