# SPDX-License-Identifier: MIT
"""usage: run.py PROGRAM: every command's output and exit status, as cli.md shows them."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import harness  # noqa: E402

harness.PROGRAM = str(pathlib.Path(sys.argv[1]).resolve())

import case_auth  # noqa: E402, F401
import case_common  # noqa: E402, F401
import case_config  # noqa: E402, F401
import case_daemon  # noqa: E402, F401
import case_init  # noqa: E402, F401
import case_network  # noqa: E402, F401
import case_relay  # noqa: E402, F401
import case_relay_circuit  # noqa: E402, F401
import case_relay_serve  # noqa: E402, F401
import case_relay_server  # noqa: E402, F401
import case_service  # noqa: E402, F401

sys.exit(harness.run_all())
