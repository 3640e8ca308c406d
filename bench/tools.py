# SPDX-License-Identifier: MIT
"""The harness's own programs: where they are, and how they are compiled without CMake."""

import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build", "benchmark")
LOAD = os.path.join(BUILD, "peerup-bench-load")
EMULATOR = os.path.join(BUILD, "peerup-bench-emulator")


def build(name):
    """Compiles bench/NAME where the program is missing or older than its sources."""
    sources = os.path.join(ROOT, "bench", name)
    program = os.path.join(BUILD, "peerup-bench-" + name)
    files = [os.path.join(sources, file) for file in sorted(os.listdir(sources))]
    os.makedirs(BUILD, exist_ok=True)
    if os.path.exists(program) and all(os.path.getmtime(file) <= os.path.getmtime(program)
                                       for file in files):
        return
    subprocess.run(["cc", "-std=gnu17", "-O2", "-D_GNU_SOURCE", "-I" + ROOT, "-o", program,
                    *[file for file in files if file.endswith(".c")]], check=True)
