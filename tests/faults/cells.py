# SPDX-License-Identifier: MIT
"""The list of cells.  A cell is a function of a bed that returns, or raises Failed or Skip."""

from dataclasses import dataclass
from typing import Callable


@dataclass
class Cell:
    name: str
    run: Callable
    backends: bool  # worth trying on each backend of the reactor
    memory: bool  # about resident memory: needs a program without sanitizers


CELLS = []


def cell(name, backends=False, memory=False):
    def add(function):
        CELLS.append(Cell(name, function, backends, memory))
        return function
    return add
