"""Print one table: what was measured, against what, the ratio and its limit. Exit 1 when a limit was not kept, 2 for a name that is none."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module

from rich.console import Console
from rich.table import Table

from bench.rows import BenchError, Failed, Row, Skipped

# name -> module; the quick ones first.
BENCHES = {
    "help": "bench.help_speed",
    "judge": "bench.judging",
    "policy": "bench.growth",
    "audit": "bench.audit_speed",
    "noop": "bench.noop",
    "move": "bench.move",
    "paths": "bench.paths",
    "bootstrap": "bench.bootstrap",
    "newborn": "bench.newborn",
}


def main(argv: list[str] | None = None) -> int:
    """Measure what was asked for, one thing at a time, and print the table."""
    parser = argparse.ArgumentParser(prog="script/bench", description="Measure the program against limits; every ratio is of one run.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller data: for a look, not for a verdict")
    parser.add_argument("--only", action="append", metavar="NAME", choices=BENCHES, help=f"one of {', '.join(BENCHES)}; can be given several times")
    asked = parser.parse_args(argv)
    progress = Console(stderr=True)
    rows: list[Row | Skipped] = []
    for name in asked.only or BENCHES:
        progress.print(f"bench: {name}", highlight=False)
        began = time.monotonic()
        measured = _measured(name, quick=asked.quick)
        rows += measured
        progress.print(f"bench: {name} took {time.monotonic() - began:.0f} s", highlight=False)
        # At once: a run of half an hour that is cut off has told what it had.
        for row in measured:
            told = f"{row.ratio:.2f}x of at most {row.at_most:.2f}x" if isinstance(row, Row) else row.why
            progress.print(f"bench:   {row.what}: {told}", highlight=False, soft_wrap=True, markup=False)
    console = Console() if sys.stdout.isatty() else Console(width=150)
    if any(isinstance(row, Row) for row in rows):
        console.print(_table(rows, quick=asked.quick))
    for row in rows:
        if isinstance(row, Row) and row.note:
            console.print(row.note, highlight=False, soft_wrap=True, markup=False)
        if isinstance(row, Skipped):
            word = "failed" if isinstance(row, Failed) else "skipped"
            console.print(f"{word}: {row.what}: {row.why}", highlight=False, soft_wrap=True, markup=False)
    return int(any(isinstance(row, Failed) or (isinstance(row, Row) and not row.kept) for row in rows))


def _measured(name: str, *, quick: bool) -> list[Row | Skipped]:
    measure: Callable[..., list[Row | Skipped]] = import_module(BENCHES[name]).measure
    try:
        return measure(quick=quick)
    except BenchError as error:
        return [Failed(name, str(error))]


def _table(rows: list[Row | Skipped], *, quick: bool) -> Table:
    table = Table("what", "median", "against", "median", "ratio", "limit", "", title="quick look: no verdict" if quick else None)
    for row in rows:
        if isinstance(row, Row):
            verdict = "ok" if row.kept else "OVER"
            table.add_row(row.what, _time(row.ours), row.against, _time(row.theirs), f"{row.ratio:.2f}x", f"{row.at_most:.2f}x", verdict)
    return table


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


if __name__ == "__main__":
    # So that everything that was started is ended by those who started it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
