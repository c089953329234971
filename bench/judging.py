"""An audit of 50 hosts from one evidence file, with `-o json` and so with digests, against a bare json.load of the same file, in CPU seconds."""

from __future__ import annotations

from bench import judge
from bench.rows import Row, Skipped


def measure(*, quick: bool) -> list[Row | Skipped]:
    """Return one row."""
    loads, _, as_json, what = judge.measure(5 if quick else 15)
    return [Row(f"{what}, -o json", as_json, "json.load of that file", loads, judge.LIMIT)]
