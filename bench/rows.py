"""The bench's vocabulary: a row of the table, and how times are taken."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = Path(sys.executable).with_name("controlplane")


class BenchError(Exception):
    """A measured command ended otherwise than it should: its time would mean nothing."""


@dataclass(frozen=True)
class Row:
    """One line of the table: `ours` and `theirs` in seconds, and the ratio that may be `at_most`."""

    what: str
    ours: float
    against: str
    theirs: float
    at_most: float
    note: str = ""

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs

    @property
    def kept(self) -> bool:
        return self.ratio <= self.at_most


@dataclass(frozen=True)
class Skipped:
    """A line that could not be measured here, and why."""

    what: str
    why: str


class Failed(Skipped):
    """A line whose command ended otherwise than it should."""


def timed(act: Callable[[], object]) -> float:
    """Return the seconds that one call takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def in_turn(runs: int, *acts: Callable[[], object]) -> list[float]:
    """Return the median of each act; they take turns, so that a slow moment of the machine hits all of them."""
    rounds = [[timed(act) for act in acts] for _ in range(runs)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def command(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, allow: Sequence[int] = (0,), timeout: float = 600) -> str:
    """Run one command to its end and return its standard output. Raises `BenchError` for an exit code that isn't allowed."""
    try:
        done = subprocess.run([str(word) for word in argv], env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{' '.join(map(str, argv))[:300]} did not end within {timeout:.0f} s") from None
    if done.returncode not in allow:
        raise BenchError(f"{' '.join(map(str, argv))[:300]} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout
