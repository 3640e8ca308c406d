#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What breaks around peerup, done to it on purpose through the command line that users have.

    run.py --peerup build/dev/peerup --lean build/release/peerup
    run.py --peerup build/dev/peerup --io epoll --only 'churn|killed'

Cells about resident memory run with the lean program, one without sanitizers, and are skipped where
there is none.  Exit status: 0 when no cell failed, else 1.  README.md beside this file says what
each cell claims.
"""

import argparse
import os
import re
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(1, str(HERE.parent / "support"))

from bed import Bed  # noqa: E402
from cells import CELLS  # noqa: E402
from peerup import Failed, Skip  # noqa: E402

import cells_slow  # noqa: E402, F401
import cells_killed  # noqa: E402, F401
import cells_service  # noqa: E402, F401
import cells_churn  # noqa: E402, F401
import cells_gate  # noqa: E402, F401
import cells_end  # noqa: E402, F401
import cells_network  # noqa: E402, F401
import cells_strangers  # noqa: E402, F401
import cells_disk  # noqa: E402, F401

RUN_S = 800  # no cell begins later than this; ctest would leave the processes behind


def parse_args():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--peerup", type=Path, required=True, help="our program")
    p.add_argument("--lean", type=Path, help="our program without sanitizers")
    p.add_argument("--initials", type=Path, help="the program faults-initials")
    p.add_argument("--io", choices=("io_uring", "epoll"), help="the backend of the event loop")
    p.add_argument("--only", default="", metavar="REGEX", help="cells whose name matches")
    args = p.parse_args()
    if not os.access(args.peerup, os.X_OK):
        p.error(f"{args.peerup} is no program")
    args.peerup = args.peerup.resolve()
    args.lean = args.lean.resolve() if args.lean and os.access(args.lean, os.X_OK) else None
    return args


def run_cell(cell, args, run_ends):
    """Returns verdict, what is to be said of it, and the logs of a failure."""
    if time.monotonic() > run_ends:
        return "FAILED", "the time for the run is used up", ""
    program = args.lean if cell.memory else args.peerup
    if program is None:
        return "skipped", "no program without sanitizers (build the release preset)", ""
    bed = Bed(program, args.initials)
    logs = ""
    try:
        with bed:
            try:
                cell.run(bed)
            except BaseException:
                logs = bed.logs()
                raise
            faults = bed.finish()
            if faults:
                logs = bed.logs()
                raise Failed("; ".join(faults))
    except Skip as e:
        return "skipped", str(e), ""
    except Failed as e:
        return "FAILED", str(e), logs
    except Exception:  # a fault of the suite itself is a failure too, and the rest goes on
        return "FAILED", traceback.format_exc(), logs
    return "ok", "", ""


def main():
    args = parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # through all `finally`
    if args.io:
        os.environ["PEERUP_IO"] = args.io
    run_ends, verdicts = time.monotonic() + RUN_S, Counter()
    for cell in CELLS:
        if not re.search(args.only, cell.name) or (args.io and not cell.backends):
            continue
        begun = time.monotonic()
        verdict, text, logs = run_cell(cell, args, run_ends)
        verdicts[verdict] += 1
        print(f"{verdict:8}{cell.name:30}{time.monotonic() - begun:6.1f} s"
              f"{'  ' + text if text else ''}", flush=True)
        if logs:
            print(logs, flush=True)
    print(f"\n{verdicts['ok']} passed, {verdicts['FAILED']} failed, {verdicts['skipped']} skipped")
    return 1 if verdicts["FAILED"] or not verdicts["ok"] else 0


if __name__ == "__main__":
    sys.exit(main())
