"""The tables of one PostgreSQL database: locked against writes, counted and summed up, and how each fares in the server that started since.

Rules:
- Among them are its large objects, which one table of the catalog holds, and its materialized views: no lock on those but that of whoever reads them, which
  keeps them from being written anew.
- A table that is not had in time, or would take too long, takes no other one with it: each that is left out is named, with why. Of a large one the rows are
  counted where that is quick, else a sample of its pages is summed up: the same pages before and after.
- After: of each table only rows that are no younger than the lock are counted, so that new ones of clients make no difference. Where old ones are gone
  since, the server's own counters have to tell as many changes; else they are lost. Rows that are all there and hold something else are lost as well: an
  update leaves a younger row, and a read leaves none.
- What may be a client's doing, and no counter tells, is unknown: a table that is gone or was written anew, counters that were reset or are not kept.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from .postgres_client import Postgres, PostgresError

_LOCK_MS, _ALONE_MS = 1000, 100
# What two cores sum up and count of rows, in bytes a second, by half. For samples time is kept.
_RATE, _COUNT_RATE = 40_000_000, 400_000_000
_SAMPLES_S, _SAMPLE_S, _COUNT_S = 0.5, 0.25, 1.0
_SAMPLE_BYTES = 1 << 20
_MOST_TABLES = 2000
_TELLS_S = 12.0
# A table's kind: as the catalog has it; that somebody holds it alone, so that nobody can even be told its size; of the large objects that there are none, or
# that its user may not read them.
_VIEW, _BUSY, _NONE, _SHUT = "m", "busy", "none", "shut"
_UNREAD = {_BUSY: "busy, somebody holds it alone", _SHUT: "its user may not read them"}
_TABLES = (
    "SELECT format('%I.%I', n.nspname, c.relname), c.relfilenode::text, own.size::text, "
    "(coalesce(pg_stat_get_tuples_updated(c.oid), 0) + coalesce(pg_stat_get_tuples_deleted(c.oid), 0))::text, "
    "(SELECT string_agg(format('%I', a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a "
    "WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), "
    "CASE WHEN own.size IS NULL THEN 'busy' WHEN c.oid <> 'pg_catalog.pg_largeobject'::regclass THEN c.relkind::text "
    "WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata) THEN 'none' "
    "WHEN current_setting('is_superuser') = 'on' THEN 'r' ELSE 'shut' END "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL (SELECT CASE WHEN EXISTS ("
    "SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE l.relation = c.oid AND d.datname = current_database() "
    "AND l.mode = 'AccessExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid()) THEN NULL ELSE pg_table_size(c.oid) END) own(size) "
    "WHERE c.relkind IN ('r', 'm') AND c.relispopulated AND c.relpersistence <> 't' "
    "AND (c.oid = 'pg_catalog.pg_largeobject'::regclass OR n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%') "
    "ORDER BY own.size, 1"
)
_READING = "SELECT count(*)::text, {summing} FROM ONLY {table}"
# By its number a page is in the sample or not, whatever else the table holds by then.
_SAMPLE = " TABLESAMPLE SYSTEM ({percent}) REPEATABLE (1)"
_SUM = "coalesce(sum(hashtextextended(ROW({columns})::text, 0)::numeric), 0)::text"
# No younger than the lock. Rows that were frozen before keep a number of which `age` may make anything but such a one.
_OLD = " WHERE NOT age(xmin) BETWEEN 0 AND age('{boundary}'::xid)"
_NEW = "SELECT count(*)::text FROM ONLY {table} WHERE age(xmin) BETWEEN 0 AND age('{boundary}'::xid)"
_BOUNDARY = "SELECT (txid_snapshot_xmax(txid_current_snapshot()) % 4294967296)::text"
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
_SETTLED = "SET datestyle = 'ISO'; SET timezone = 'UTC'; SET extra_float_digits = 3; SET intervalstyle = 'postgres'; SET bytea_output = 'hex'"
Table = dict[str, Any]


class _Seen(NamedTuple):
    name: str
    file: str
    size: int
    changes: int
    columns: str
    kind: str


def read(session: Postgres, end: float) -> tuple[dict[str, Table], dict[str, str]]:
    """Lock and read the tables until the time `end`, and keep them locked; return ({name: what it holds}, {name: why it was not read}).

    Of a table {rows, sum, file, changes, columns, boundary}; `why` besides where it was only counted, and `sum` is None, or where `sample` percent were read.
    """
    settle(session)
    # To be told a table's size, too, is to wait for whoever holds it alone.
    session.rows(f"SET lock_timeout = {_LOCK_MS}")
    tables = [table for table in _seen(session) if table.kind != _NONE]
    names = [table.name for table in tables]
    left = dict.fromkeys(names[_MOST_TABLES:], f"one of more than {_MOST_TABLES} tables of its database")
    left.update({table.name: _UNREAD[table.kind] for table in tables if table.kind in _UNREAD})
    if not names:
        return {}, left
    left.update(_locked(session, [table for table in tables[:_MOST_TABLES] if table.kind not in _UNREAD], (time.monotonic() + end) / 2))
    boundary, found, large = str(session.rows(_BOUNDARY)[0][0]), {}, []
    # Older servers show the counters as they were when the transaction began.
    session.rows("SELECT pg_stat_clear_snapshot()")
    for table in _seen(session):
        if table.name in left or table.kind == _NONE:
            continue
        if table.kind in _UNREAD:
            left[table.name] = _UNREAD[table.kind]
        elif table.name not in names[:_MOST_TABLES]:
            left[table.name] = "made while the others were read"
        elif not table.columns:
            left[table.name] = "it has no columns"
        elif (held := _read(session, table, end - _SAMPLES_S, _RATE)) is not None:
            found[table.name] = {**held, "boundary": boundary}
        else:
            large.append(table)
    for table in large:
        why = f"too large to be summed up with writes held: {table.size} bytes"
        held = _read(session, table, min(end - _SAMPLES_S, time.monotonic() + _COUNT_S), _COUNT_RATE, only_count=True)
        held = held or _read(session, table, min(end, time.monotonic() + _SAMPLE_S), 0, sample=_percent(table.size))
        if held is None:
            left[table.name] = why
        else:
            found[table.name] = {**held, "boundary": boundary, "why": why}
    return found, left


def settle(session: Postgres) -> None:
    """Let values have one text, whatever the server's settings are."""
    session.rows(_SETTLED)


def _seen(session: Postgres) -> list[_Seen]:
    rows = session.rows(_TABLES)
    return [
        _Seen(str(name), str(file), int(size or 0), int(str(changes)), columns or "", str(kind)) for name, file, size, changes, columns, kind in rows
    ]


def _locked(session: Postgres, tables: list[_Seen], end: float) -> dict[str, str]:
    """Lock these tables, all at once or else each by itself; return why one is not: somebody's long transaction is not waited for."""
    names = [table.name for table in tables if table.kind != _VIEW]
    # One that is read is not written anew meanwhile; no other lock can be had on a view.
    views = {table.name: f"SELECT FROM ONLY {table.name} LIMIT 0" for table in tables if table.kind == _VIEW}
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


def _read(session: Postgres, table: _Seen, end: float, rate: int, *, only_count: bool = False, sample: str | None = None) -> Table | None:
    """Return what a table holds, None where that takes longer than until `end`."""
    left_s = end - time.monotonic()
    if left_s <= 0 or (rate and table.size / rate > left_s):
        return None
    columns = None if only_count else table.columns
    session.rows(f"SAVEPOINT here; SET LOCAL statement_timeout = {max(10, int(left_s * 1000))}")
    try:
        count, total = session.rows(_asking(table.name, columns, sample))[0]
    except PostgresError:
        session.rows("ROLLBACK TO here")
        return None
    # Without it the next statement would have what is left of this one's time.
    session.rows("SET LOCAL statement_timeout = 0")
    held = {"rows": str(count), "sum": total, "file": table.file, "changes": str(table.changes), "columns": table.columns}
    return held if sample is None else {**held, "sample": sample}


def _percent(size: int) -> str:
    return f"{min(100.0, 100.0 * _SAMPLE_BYTES / size):.6f}"


def _asking(table: str, columns: str | None, sample: str | None) -> str:
    summing = "NULL::text" if columns is None else _SUM.format(columns=columns)
    return _READING.format(summing=summing, table=table) + ("" if sample is None else _SAMPLE.format(percent=sample))


def fared(session: Postgres, name: str, before: Table) -> tuple[str, str]:
    """Return (equal, changed by clients, lost or unknown; why it is unknown)."""
    end = time.monotonic() + _TELLS_S
    while True:
        session.rows("SELECT pg_stat_clear_snapshot()")
        found = {table.name: table for table in _seen(session)}.get(name)
        if found is None:
            return "unknown", "it is gone, and nothing here tells whether a client dropped it"
        if not set(before["columns"].split(", ")) <= set(found.columns.split(", ")):
            return "unknown", "its columns are others now, and what they held is not told"
        is_over = time.monotonic() > end
        how = ("unknown", _UNREAD[_BUSY]) if found.kind == _BUSY else _by_rows(session, found, before, is_over=is_over)
        if how is not None and (is_over or found.kind != _BUSY):
            return how
        # A backend tells its counters some seconds late.
        time.sleep(1)


def _by_rows(session: Postgres, found: _Seen, before: Table, *, is_over: bool) -> tuple[str, str] | None:
    """Return how a table fares by its old rows, None where the counters may still tell more, unless the time for that is over."""
    columns = None if before["sum"] is None else before["columns"]
    count, total = session.rows(_asking(found.name, columns, before.get("sample")) + _OLD.format(boundary=before["boundary"]))[0]
    missing, counted = int(before["rows"]) - int(str(count)), found.changes - int(before["changes"])
    if (count, total) == (before["rows"], before["sum"]):
        return "equal", ""
    if found.file != before["file"]:
        return "unknown", "it was written anew since, and its old rows with it"
    if missing > 0 > counted:
        return "unknown", "the counters of its changes were reset"
    if 0 < missing <= counted:
        return "changed", ""
    if missing <= 0 or (is_over and counted > 0):
        return "lost", ""
    return _uncounted(session, found.name, before, missing) if is_over else None


def _uncounted(session: Postgres, name: str, before: Table, missing: int) -> tuple[str, str]:
    """Return how rows fare that are gone without a counted change: where changes are not counted at all, each may have a younger row."""
    if str(session.rows("SHOW track_counts")[0][0]) == "on":
        return "lost", ""
    newer = int(str(session.rows(_NEW.format(table=name, boundary=before["boundary"]))[0][0]))
    return ("unknown", "track_counts is off: its server counts no changes") if missing <= newer else ("lost", "")
