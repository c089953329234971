"""`policy check` of 10,000 hosts against 1,000."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.policy_check import write_site
from bench.rows import PROGRAM, Row, Skipped, command, in_turn


def measure(*, quick: bool) -> list[Row | Skipped]:
    """Return one row."""
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small", Path(folder) / "large"
        write_site(small, 1_000)
        write_site(large, 10_000)
        check = [PROGRAM, "policy", "check", "--site"]
        ours, theirs = in_turn(1 if quick else 3, lambda: command([*check, large]), lambda: command([*check, small]))
    return [Row("policy check, 10,000 hosts", ours, "policy check, 1,000 hosts", theirs, 12)]
