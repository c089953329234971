"""An audit of 50 hosts from one evidence file against a bare json.load of the same file, in CPU seconds: judged, and judged with digests."""

from __future__ import annotations

from bench import judge
from bench.rows import Row, Skipped


def measure(*, quick: bool) -> list[Row | Skipped]:
    """Return two rows."""
    loads, as_text, as_json, what = judge.measure(5 if quick else 15)
    rows = ((what, as_text, judge.LIMITS["text"]), (f"{what}, -o json: with the digest of each host's evidence", as_json, judge.LIMITS["json"]))
    return [Row(name, ours, "json.load of that file", loads, limit) for name, ours, limit in rows]
