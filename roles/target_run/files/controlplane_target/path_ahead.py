"""Larger tables of a PostgreSQL, summed up while it serves: with writes held only their young rows are, and the old ones are counted.

Rules:
- Old are the rows of transactions before the oldest one that ran as this began. All those had ended, so no row comes to be old later; and what a row holds
  never changes, since an update makes a young one. As many old rows with writes held as ahead are the very same ones, and their sum is what it was.
- Where there are fewer by then, or the table has another file or other columns, nothing is known of it, and it is read like any other.
- A frozen row whose number came around counts as young each time, or as old ahead alone: then there are fewer.
- Only tables as PostgreSQL itself stores them, and no materialized views, whose writes no lock holds.
- It takes a bounded time, and only what the hold has the time for is known in the end: how long that takes is tried while the server serves.
- To read a table may write to its file, which notes who has ended: so this comes before the files are copied and compared, and what a long copy lets come
  to be young is told by the table's growth.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from .path_rows import Seen, asking, old, one_snapshot, young
from .postgres_client import Postgres, PostgresError

# Smaller ones are summed up as quickly, and the rows of larger ones can't be counted within a hold.
_LEAST_BYTES, _MOST_BYTES = 1 << 20, 1 << 32
_EACH_S = 15.0
# By how much it may take longer in the hold than when it was tried.
_SLACK = 1.5
# What has come since is summed up at so many bytes a second; the least time that a table gets for all of it.
_RATE, _LEAST_S = 40_000_000, 0.25
_OLDEST = "SELECT (txid_snapshot_xmin(txid_current_snapshot()) % 4294967296)::text"


class Known(NamedTuple):
    """Of a table the number of its old rows and their sum; `boundary` is the first transaction that is not old, `needs_s` what the rest took at that `size`."""

    rows: int
    sum: int
    file: str
    columns: str
    shape: str
    size: int
    boundary: str
    needs_s: float


class Budget:
    """The time for all tables of a server: until `end` (by the monotonic clock) ahead, and what the hold may take for those that are known.

    `check` is called before each table, and raises where nobody wants it any more.
    """

    def __init__(self, *, all_s: float = 60.0, hold_s: float = 1.5, check: Callable[[], None] = lambda: None) -> None:
        self.end, self.hold_s, self.check = time.monotonic() + all_s, hold_s, check


def read(session: Postgres, tables: Iterable[Seen], budget: Budget) -> dict[str, Known]:
    """Return by its name what is known of each larger table, as far as the budget goes; the smallest come first. Raises `OSError`, `PostgresError`."""
    found = {}
    for table in tables:
        end = min(budget.end, time.monotonic() + _EACH_S)
        if not _can_be_known(table) or end <= time.monotonic():
            continue
        budget.check()
        try:
            known = _known(session, table, end)
        except PostgresError:
            # Somebody holds it alone, its user may not read it, or it takes too long.
            known = None
        if known is not None and known.needs_s * _SLACK <= budget.hold_s:
            budget.hold_s -= known.needs_s * _SLACK
            found[table.name] = known
    session.rows("SET statement_timeout = 0")
    return found


def rest(session: Postgres, table: Seen, known: Known, end: float) -> tuple[str, str] | None:
    """Return [rows, sum] of a table that is locked against writes, None where its old rows are not the same ones, or not until `end`."""
    left_s = end - time.monotonic()
    is_as_it_was = (table.file, table.columns, table.shape) == (known.file, known.columns, known.shape)
    needs_s = known.needs_s * _SLACK + max(0, table.size - known.size) / _RATE
    if not _can_be_known(table) or not is_as_it_was or needs_s > left_s:
        return None
    # Where its file has to come from the disk by now, others are not to lose their time by it.
    left_s = min(left_s, max(_LEAST_S, 2 * needs_s))
    session.rows("SAVEPOINT ahead")
    try:
        rows, more, total = _rest(session, table, known.boundary, left_s)
    except PostgresError:
        session.rows("ROLLBACK TO ahead")
        return None
    session.rows("SET statement_timeout = 0")
    return (str(rows + more), str(known.sum + total)) if rows == known.rows else None


def _can_be_known(table: Seen) -> bool:
    return table.kind == "r" and table.is_heap and table.columns != "" and _LEAST_BYTES <= table.size <= _MOST_BYTES


def _known(session: Postgres, table: Seen, end: float) -> Known | None:
    """Return what is known of a table, None where its old rows change all the time. Raises `PostgresError`, also where `end` comes first."""
    boundary = str(session.rows(_OLDEST)[0][0])
    with one_snapshot(session):
        _limit(session, end - time.monotonic())
        rows, total = map(int, session.rows(asking(table.name, table.columns) + old(boundary))[0])  # type: ignore[arg-type] # neither is NULL
    began = time.monotonic()
    # With writes held nothing comes in between its two readings; here something would.
    with one_snapshot(session):
        still, _, _ = _rest(session, table, boundary, end - began)
    if still != rows:
        return None
    return Known(rows, total, table.file, table.columns, table.shape, table.size, boundary, time.monotonic() - began)


def _rest(session: Postgres, table: Seen, boundary: str, limit_s: float) -> tuple[int, int, int]:
    """Return (old rows, young rows, the sum of the young ones)."""
    end = time.monotonic() + limit_s
    _limit(session, limit_s)
    count = int(str(session.rows(asking(table.name, None))[0][0]))
    _limit(session, end - time.monotonic())
    more, total = session.rows(asking(table.name, table.columns) + young(boundary))[0]
    return count - int(str(more)), int(str(more)), int(str(total))


def _limit(session: Postgres, limit_s: float) -> None:
    session.rows(f"SET statement_timeout = {max(10, int(limit_s * 1000))}")
