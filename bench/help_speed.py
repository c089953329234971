"""`controlplane --help` against `python -c "import click"`: what a user waits before the first word."""

from __future__ import annotations

import sys

from bench.rows import PROGRAM, Row, Skipped, command, in_turn


def measure(*, quick: bool) -> list[Row | Skipped]:
    """Return one row."""
    ours, theirs = in_turn(7 if quick else 21, lambda: command([PROGRAM, "--help"]), lambda: command([sys.executable, "-c", "import click"]))
    return [Row("controlplane --help", ours, 'python -c "import click"', theirs, 1.5)]
