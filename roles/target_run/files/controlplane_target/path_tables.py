"""The tables of one PostgreSQL database: locked against writes, counted and summed up, and how each fares in the server that started since.

Rules:
- Among them are its large objects, which one table of the catalog holds, and its materialized views: no lock on those but that of whoever reads them, which
  keeps them from being written anew.
- A table that is not had in time, or would take too long, takes no other one with it: each that is left out is named, with why. Of a large one whose old rows
  nobody changed since they were read ahead only the young ones are read (path_ahead.py). Of any other the rows are counted where that is quick, else a sample
  of its pages is summed up: the same pages before and after.
- After: of each table only rows that are no younger than the lock are counted, so that new ones of clients make no difference. Where old ones are gone
  since, the server's own counters have to tell as many changes; else they are lost. Rows that are all there and hold something else are lost as well: an
  update leaves a younger row, and a read leaves none.
- What may be a client's doing, and no counter tells, is unknown: a table that is gone, was written anew or has other columns, counters that were reset or are
  not kept. So is one that can't be read again within a bounded time: whoever wants to change its columns waits for that, and all others behind him.
- Where transactions' numbers came around, a row that was frozen a whole round ago may count as a young one: as many gone as there are young ones are unknown.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from . import path_ahead
from .path_ahead import Known
from .path_rows import BUSY, NONE, PREPARED, SHUT, VIEW, Seen, asking, old, one_snapshot, seen, settle, young
from .postgres_client import Postgres, PostgresError

_LOCK_MS, _ALONE_MS = 1000, 100
# What two cores sum up and count of rows, in bytes a second, by half. For samples time is kept.
_RATE, _COUNT_RATE = 40_000_000, 400_000_000
_SAMPLES_S, _SAMPLE_S, _COUNT_S = 0.5, 0.25, 1.0
_SAMPLE_BYTES = 1 << 20
_MOST_TABLES = 2000
_TELLS_S = 12.0
# SQLSTATE query_canceled: by its time.
_TIMEOUT = "57014"
_UNREAD = {
    BUSY: "busy, somebody holds it alone or waits to",
    PREPARED: "busy, a prepared transaction holds it alone: pg_prepared_xacts names it",
    SHUT: "its user may not read them",
}
_BOUNDARY = "SELECT (txid_snapshot_xmax(txid_current_snapshot()) % 4294967296)::text"
# How often transactions' numbers came around since the cluster was made.
_AROUND = "SELECT (txid_snapshot_xmax(txid_current_snapshot()) >> 32)::text"
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
Table = dict[str, Any]


def read_ahead(session: Postgres, budget: path_ahead.Budget) -> dict[str, Known]:
    """Return what is known of larger tables before writes are held. Raises `OSError`, `PostgresError`."""
    settle(session)
    session.rows(f"SET lock_timeout = {_LOCK_MS}")
    return path_ahead.read(session, seen(session)[:_MOST_TABLES], budget)


def read(session: Postgres, end: float, known: Mapping[str, Known]) -> tuple[dict[str, Table], dict[str, str]]:
    """Lock and read the tables until the time `end`, and keep them locked; return ({name: what it holds}, {name: why it was not read}).

    `known` is what `read_ahead` returned. Of a table {rows, sum, file, changes, columns, shape, boundary}; `why` besides where it was only counted, and `sum` is None,
    or where `sample` percent were read.
    """
    settle(session)
    # To be told a table's size, too, is to wait for whoever holds it alone.
    session.rows(f"SET lock_timeout = {_LOCK_MS}")
    tables = [table for table in seen(session) if table.kind != NONE]
    names = [table.name for table in tables]
    left = dict.fromkeys(names[_MOST_TABLES:], f"one of more than {_MOST_TABLES} tables of its database")
    left.update({table.name: _UNREAD[table.kind] for table in tables if table.kind in _UNREAD})
    if not names:
        return {}, left
    left.update(_locked(session, [table for table in tables[:_MOST_TABLES] if table.kind not in _UNREAD], (time.monotonic() + end) / 2))
    boundary, found, large = str(session.rows(_BOUNDARY)[0][0]), {}, []
    # Older servers show the counters as they were when the transaction began.
    session.rows("SELECT pg_stat_clear_snapshot()")
    for table in seen(session):
        if table.name in left or table.kind == NONE:
            continue
        if table.kind in _UNREAD:
            left[table.name] = _UNREAD[table.kind]
        elif table.name not in names[:_MOST_TABLES]:
            left[table.name] = "made while the others were read"
        elif not table.columns:
            left[table.name] = "it has no columns"
        elif (
            held := _read_rest(session, table, known.get(table.name), end - _SAMPLES_S) or _read(session, table, end - _SAMPLES_S, _RATE)
        ) is not None:
            found[table.name] = {**held, "boundary": boundary}
        else:
            large.append(table)
    for table in large:
        why = f"too large to be summed up with writes held: {table.size} bytes; its files were compared byte for byte"
        held = _read(session, table, min(end - _SAMPLES_S, time.monotonic() + _COUNT_S), _COUNT_RATE, only_count=True)
        held = held or _read(session, table, min(end, time.monotonic() + _SAMPLE_S), 0, sample=_percent(table.size))
        if held is None:
            left[table.name] = why
        else:
            found[table.name] = {**held, "boundary": boundary, "why": why}
    return found, left


def _locked(session: Postgres, tables: list[Seen], end: float) -> dict[str, str]:
    """Lock these tables, all at once or else each by itself; return why one is not: somebody's long transaction is not waited for."""
    names = [table.name for table in tables if table.kind != VIEW]
    # One that is read is not written anew meanwhile; no other lock can be had on a view.
    views = {table.name: f"SELECT FROM ONLY {table.name} LIMIT 0" for table in tables if table.kind == VIEW}
    session.rows(f"{_BEGIN}; SET LOCAL lock_timeout = {_LOCK_MS}")
    try:
        if names:
            session.rows(f"LOCK TABLE {', '.join(f'ONLY {name}' for name in names)} IN SHARE MODE")
    except PostgresError:
        session.rows("ROLLBACK")
        session.rows(_BEGIN)
        views = {**{name: f"LOCK TABLE ONLY {name} IN SHARE MODE" for name in names}, **views}
    left = {}
    for name, statement in views.items():
        limit_ms = max(1, min(_ALONE_MS, int((end - time.monotonic()) * 1000)))
        session.rows(f"SAVEPOINT here; SET LOCAL lock_timeout = {limit_ms}")
        try:
            session.rows(statement)
        except PostgresError as fault:
            session.rows("ROLLBACK TO here")
            left[name] = f"busy, it could not be locked against writes: {fault}"
    return left


def _read_rest(session: Postgres, table: Seen, known: Known | None, end: float) -> Table | None:
    """Return what a table holds of which the old rows were read ahead, None where they were not, or are others by now."""
    held = None if known is None else path_ahead.rest(session, table, known, end)
    return None if held is None else _as_table(table, *held)


def _as_table(table: Seen, rows: str, total: str | None) -> Table:
    return {"rows": rows, "sum": total, "file": table.file, "changes": str(table.changes), "columns": table.columns, "shape": table.shape}


def _read(session: Postgres, table: Seen, end: float, rate: int, *, only_count: bool = False, sample: str | None = None) -> Table | None:
    """Return what a table holds, None where that takes longer than until `end`."""
    left_s = end - time.monotonic()
    if left_s <= 0 or (rate and table.size / rate > left_s):
        return None
    columns = None if only_count else table.columns
    session.rows(f"SAVEPOINT here; SET LOCAL statement_timeout = {max(10, int(left_s * 1000))}")
    try:
        count, total = session.rows(asking(table.name, columns, sample=sample))[0]
    except PostgresError:
        session.rows("ROLLBACK TO here")
        return None
    # Without it the next statement would have what is left of this one's time.
    session.rows("SET LOCAL statement_timeout = 0")
    held = _as_table(table, str(count), total)
    return held if sample is None else {**held, "sample": sample}


def _percent(size: int) -> str:
    return f"{min(100.0, 100.0 * _SAMPLE_BYTES / size):.6f}"


def fared(session: Postgres, name: str, before: Table) -> tuple[str, str]:
    """Return (equal, changed by clients, lost or unknown; why it is unknown)."""
    end = time.monotonic() + _TELLS_S
    while True:
        session.rows("SELECT pg_stat_clear_snapshot()")
        found = {table.name: table for table in seen(session)}.get(name)
        if found is None:
            return "unknown", "it is gone, and nothing here tells whether a client dropped it"
        if not set(before["columns"].split(", ")) <= set(found.columns.split(", ")):
            return "unknown", "its columns are others now, and what they held is not told"
        # A record of older tools has no types.
        if not set(str(before.get("shape") or "").split()) <= set(found.shape.split()):
            return "unknown", "its columns have other types now, and what they held is not told"
        is_over = time.monotonic() > end
        try:
            is_held = found.kind in (BUSY, PREPARED)
            how = ("unknown", _UNREAD[found.kind]) if is_held else _by_rows(session, found, before, is_over=is_over)
        except PostgresError as fault:
            if fault.sqlstate != _TIMEOUT:
                raise
            return "unknown", "it could not be read again in the time that is taken for it"
        if how is not None and (is_over or not is_held):
            return how
        # A backend tells its counters some seconds late.
        time.sleep(1)


def _by_rows(session: Postgres, found: Seen, before: Table, *, is_over: bool) -> tuple[str, str] | None:
    """Return how a table fares by its old rows, None where the counters may still tell more, unless the time for that is over."""
    columns = None if before["sum"] is None else before["columns"]
    with one_snapshot(session):
        count, total = session.rows(asking(found.name, columns, sample=before.get("sample")) + old(before["boundary"]))[0]
    missing, counted = int(before["rows"]) - int(str(count)), found.changes - int(before["changes"])
    if (count, total) == (before["rows"], before["sum"]):
        return "equal", ""
    if found.file != before["file"]:
        return "unknown", "it was written anew since, and its old rows with it"
    if missing > 0 > counted:
        return "unknown", "the counters of its changes were reset"
    if 0 < missing <= counted:
        return "changed", ""
    # Were there more than before, a later look would have to say so as well.
    if missing == 0 or (is_over and missing < 0):
        return "lost", ""
    return _uncounted(session, found.name, before, missing, counted) if is_over else None


def _uncounted(session: Postgres, name: str, before: Table, missing: int, counted: int) -> tuple[str, str]:
    """Return how rows fare of which more are gone than changes were counted: each may have a younger row, or count as one, where that may be so."""
    if counted == 0 and str(session.rows("SHOW track_counts")[0][0]) != "on":
        why = "track_counts is off: its server counts no changes"
    elif str(session.rows(_AROUND)[0][0]) != "0":
        why = "its server's transaction numbers came around, and rows frozen long ago may count as new ones"
    else:
        return "lost", ""
    with one_snapshot(session):
        newer = int(str(session.rows(asking(name, None) + young(before["boundary"]))[0][0]))
    return ("unknown", why) if missing <= newer else ("lost", "")
