"""Judging 50 hosts from one evidence file against a bare json.load of the same file, in CPU seconds."""

from __future__ import annotations

from bench import judge
from bench.rows import Row, Skipped


def measure(*, quick: bool) -> list[Row | Skipped]:
    """Return one row."""
    loads, judged, _, what = judge.measure(5 if quick else 15)
    return [Row(what, judged, "json.load of that file", loads, judge.LIMIT)]
