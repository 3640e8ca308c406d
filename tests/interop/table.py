# SPDX-License-Identifier: MIT
"""What comes out of the cells of a table, whose rows are groups of peers."""

import threading
import time
import traceback
from collections import Counter

from nodes import CommandError
from peerup import Failed, Skip


class Lacks(Exception):
    """One of the implementations has no such thing; the text says what."""


class Results:
    """What came out of each cell, by (row, cell); `columns` are the cells' names.

    Rows may run side by side.
    """

    def __init__(self, title, columns, row_width):
        self.title, self.columns, self.row_width = title, columns, row_width
        self.table, self.rows, self.details, self.notes = {}, [], [], Counter()
        self.lock = threading.Lock()

    def add(self, row, cell, verdict, text="", logs="", seconds=0.0, remark=""):
        with self.lock:
            if row not in self.rows:
                self.rows.append(row)
            self.table[row, cell] = verdict
            print(f"{verdict:8}{' '.join(row):{self.row_width}}{cell:14}{seconds:6.2f} s  "
                  f"{text or remark}".rstrip(), flush=True)
            if verdict == "FAILED":
                self.details.append((row, cell, text, logs))
            elif text:
                self.notes[verdict, text] += 1

    def add_row(self, row, verdict, why):
        """A row that can't be run counts as one cell."""
        with self.lock:
            self.table[row, None] = verdict
            print(f"{verdict:8}{' '.join(row):{self.row_width}}{why}", flush=True)
            self.notes[verdict, why] += 1

    def forget(self, row):
        """The row is tried again; returns the cells that failed, none: it need not be."""
        with self.lock:
            failed = [d[1] for d in self.details if d[0] == row]
            if failed:
                self.details = [d for d in self.details if d[0] != row]
                self.table = {k: v for k, v in self.table.items() if k[0] != row}
            return failed

    def print(self, versions):
        """Returns how many failed.  The last line is for scripts/sum-tests."""
        for row, cell, text, logs in self.details:
            print(f"\n==== FAILED: {' '.join(row)}, {cell}: {text}\n{logs}")
        widths = [max(8, len(c) + 2) for c in self.columns]
        print("\n" + " " * self.row_width
              + "".join(f"{c:{w}}" for c, w in zip(self.columns, widths)))
        for row in self.rows:
            verdicts = [self.table.get((row, c), "-") for c in self.columns]
            print(f"{' '.join(row):{self.row_width}}"
                  + "".join(f"{v:{w}}" for v, w in zip(verdicts, widths)).rstrip())
        for (verdict, text), count in sorted(self.notes.items()):
            print(f"{verdict} ({count}): {text}")
        for text in sorted(versions):
            print(f"peer: {text}")
        n = Counter(self.table.values())
        print(f"\n{self.title}: {n['ok'] + n['ok*']} passed, {n['FAILED']} failed, "
              f"{n['lacks'] + n['skipped']} skipped")
        return n["FAILED"]


def run_cell(cell, group, results):
    """Returns whether the group can be used for another cell."""
    started, sizes, group.remark = time.monotonic(), group.log_sizes(), ""
    verdict, text = "ok", ""
    try:
        note = cell.run(group)
        if group.dead():
            raise Failed("; ".join(group.dead()))
        if note:
            verdict, text = "ok*", note
    except Lacks as e:
        verdict, text = "lacks", str(e)
    except Skip as e:
        verdict, text = "skipped", str(e)
    except (Failed, CommandError, OSError) as e:
        verdict, text = "FAILED", "; ".join([str(e), *group.dead()])
    except Exception:  # a fault of the suite itself is a failure too, and the rest goes on
        verdict, text = "FAILED", traceback.format_exc()
    logs = group.logs_since(sizes) if verdict == "FAILED" else ""
    results.add(group.row, cell.name, verdict, text, logs, time.monotonic() - started,
                group.remark)
    return verdict != "FAILED"
