"""The proof by a PostgreSQL's own reading: before it stops and after it started elsewhere, the rows of each table, counted and summed up.

Rules:
- Before: every table is locked against writes until the server stops, so that what is counted is what stops. A table that is not had in time, and those that
  would hold writes for longer than the budget, are not summed: they were compared byte for byte like all the rest.
- After: of each table only rows that are no younger than the lock are counted, so that new ones of clients make no difference. Where old ones were changed or
  removed since, the server's own counters or a new file of the table have to say that clients did; else it is lost.
- A server that was made for another cluster is told by its system identifier.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .faults import FailedFault
from .postgres_client import Postgres, PostgresError

HOLD_S = 3.0
_LOCK_MS = 2000
# What two cores sum up of rows, in bytes a second, by half.
_RATE = 40_000_000
_MOST_TABLES = 2000
_DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname"
_TABLES = (
    "SELECT format('%I.%I', n.nspname, c.relname), c.relfilenode::text, pg_table_size(c.oid)::text, "
    "(coalesce(pg_stat_get_tuples_updated(c.oid), 0) + coalesce(pg_stat_get_tuples_deleted(c.oid), 0))::text, "
    "(SELECT string_agg(format('%I', a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a "
    "WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND c.relpersistence <> 't' "
    "AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%' ORDER BY pg_table_size(c.oid), 1"
)
_SUMS = "SELECT count(*)::text, coalesce(sum(hashtextextended(ROW({columns})::text, 0)::numeric), 0)::text FROM ONLY {table}"
# No younger than the lock. Rows that were frozen before keep a number of which `age` may make anything but such a one.
_OLD = " WHERE NOT age(xmin) BETWEEN 0 AND age('{boundary}'::xid)"
_NEW = "SELECT count(*)::text FROM ONLY {table} WHERE age(xmin) BETWEEN 0 AND age('{boundary}'::xid)"
_BOUNDARY = "SELECT (txid_snapshot_xmax(txid_current_snapshot()) % 4294967296)::text"
_IDENTITY = "SELECT system_identifier::text FROM pg_control_system()"
_SETTLED = "SET datestyle = 'ISO'; SET timezone = 'UTC'; SET extra_float_digits = 3; SET intervalstyle = 'postgres'; SET bytea_output = 'hex'"
Connect = Callable[[str], Postgres]


def places(connect: Connect, data: str) -> tuple[str, list[str]]:
    """Return the data directory, and each tablespace outside of it as 'name at path'. Raises `OSError`, `PostgresError`."""
    session = connect("postgres")
    try:
        directory = str(session.rows("SHOW data_directory")[0][0])
        spaces = session.rows("SELECT spcname, pg_tablespace_location(oid) FROM pg_tablespace WHERE pg_tablespace_location(oid) <> '' ORDER BY 1")
    finally:
        session.close()
    below = data.rstrip("/") + "/"
    return directory, [f"{name} at {place}" for name, place in spaces if not str(place).startswith(below)]


@contextmanager
def held(connect: Connect) -> Iterator[dict[str, Any]]:
    """Hold all writes as long as the body runs, and yield what was counted: {system, boundary, tables: {database: {table: …}}, skipped}."""
    sessions: list[Postgres] = []
    record: dict[str, Any] = {"system": "", "tables": {}, "skipped": 0}
    end = time.monotonic() + HOLD_S
    try:
        first = connect("postgres")
        sessions.append(first)
        record["system"] = first.rows(_IDENTITY)[0][0]
        for (database,) in first.rows(_DATABASES):
            session = connect(str(database))
            sessions.append(session)
            record["tables"][database], skipped = _locked_and_summed(session, end)
            record["skipped"] += skipped
        yield record
    finally:
        for session in sessions:
            with suppress(OSError, FailedFault):
                session.close()


def _locked_and_summed(session: Postgres, end: float) -> tuple[dict[str, dict[str, str]], int]:
    session.rows(f"{_SETTLED}; SET lock_timeout = {_LOCK_MS}; BEGIN")
    tables = session.rows(_TABLES)
    names = [str(row[0]) for row in tables]
    if not names:
        return {}, 0
    if len(names) > _MOST_TABLES:
        return {}, len(names)
    try:
        session.rows(f"LOCK TABLE {', '.join(f'ONLY {name}' for name in names)} IN SHARE MODE")
    except PostgresError:
        # Somebody's long transaction: what can't be had is not waited for.
        return {}, len(names)
    boundary, summed, skipped = str(session.rows(_BOUNDARY)[0][0]), {}, 0
    # Older servers show the counters as they were when the transaction began.
    session.rows("SELECT pg_stat_clear_snapshot()")
    for name, filenode, size, changes, columns in session.rows(_TABLES):
        left_s = end - time.monotonic()
        if not columns or int(str(size)) / _RATE > left_s:
            skipped += 1
            continue
        session.rows(f"SAVEPOINT here; SET LOCAL statement_timeout = {max(100, int(left_s * 1000))}")
        try:
            count, total = session.rows(_SUMS.format(columns=columns, table=name))[0]
        except PostgresError:
            session.rows("ROLLBACK TO here")
            skipped += 1
            continue
        before = {"rows": str(count), "sum": str(total), "file": str(filenode), "changes": str(changes), "columns": str(columns)}
        summed[str(name)] = {**before, "boundary": boundary}
    return summed, skipped


def judged(connect: Connect, record: dict[str, Any]) -> dict[str, Any]:
    """Return {tables, equal, changed, skipped, rows, lost: [names]} of the server that started since. Raises `OSError`, `PostgresError`."""
    told: dict[str, Any] = {"tables": 0, "equal": 0, "changed": 0, "skipped": record["skipped"], "rows": 0, "lost": []}
    first = connect("postgres")
    try:
        if first.rows(_IDENTITY)[0][0] != record["system"]:
            raise FailedFault("the server that started is another cluster, by its system identifier")
    finally:
        first.close()
    for database, tables in record["tables"].items():
        session = connect(database)
        try:
            session.rows(_SETTLED)
            for name, before in tables.items():
                told["tables"] += 1
                told["rows"] += int(before["rows"])
                how = _fared(session, name, before)
                if how == "lost":
                    told["lost"].append(f"{database}.{name}")
                else:
                    told[how] += 1
        finally:
            session.close()
    return told


def _fared(session: Postgres, name: str, before: dict[str, str]) -> str:
    """Return equal, changed (by clients: a new file, other columns, as many changes as rows differ, newer rows) or lost."""
    end = time.monotonic() + 12
    while True:
        session.rows("SELECT pg_stat_clear_snapshot()")
        found = {str(row[0]): row for row in session.rows(_TABLES)}.get(name)
        # All files were equal before the start: what is gone as a whole, or rewritten, a client dropped or rewrote.
        if found is None or str(found[1]) != before["file"] or not set(before["columns"].split(", ")) <= set(str(found[4]).split(", ")):
            return "changed"
        asked = _SUMS.format(columns=before["columns"], table=name) + _OLD.format(boundary=before["boundary"])
        count, total = session.rows(asked)[0]
        if (count, total) == (before["rows"], before["sum"]):
            return "equal"
        missing, counted = int(before["rows"]) - int(str(count)), int(str(found[3])) - int(before["changes"])
        # Counters that went back were reset.
        if 0 < missing <= counted or (counted > 0 and missing <= 0) or counted < 0:
            return "changed"
        if time.monotonic() > end:
            newer = int(str(session.rows(_NEW.format(table=name, boundary=before["boundary"]))[0][0]))
            # They may not be kept at all: then each changed row has a newer one.
            return "changed" if counted == 0 and 0 <= missing <= newer and newer else "lost"
        # A backend tells its counters some seconds late.
        time.sleep(1)


def refuse(connect: Connect, container: str, data: str) -> list[str]:
    """Return what speaks against a move: data that lie elsewhere than the policy says, and tablespaces outside of them."""
    try:
        directory, outside = places(connect, data)
    except (OSError, PostgresError) as fault:
        return [f"{container} can't be asked where it keeps its data, nor be proven afterwards: {fault}"]
    found = []
    if directory != data and not directory.startswith(data.rstrip("/") + "/"):
        found.append(f"PostgreSQL keeps its data in {directory}, not in {data}: name that in the policy (services.{container}.data)")
    if outside:
        found.append(f"tablespaces lie outside {data}: {', '.join(outside)}. Give each a mount of its own, or move its tables to pg_default")
    return found
