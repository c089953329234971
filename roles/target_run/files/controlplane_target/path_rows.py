"""What a PostgreSQL's catalog has of its tables, and the statements that count and sum up their rows.

Rules:
- Old are the rows of transactions before a boundary, young those since. By `age`, in which numbers that come around are as they shall be for half of all.
- Of a table that somebody holds alone nobody can even be told its size: that is asked before.
- What tells old rows from young ones while clients write is read in one snapshot: `age` counts from a moment before a statement's own one, and a row that
  came in between would be neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from .postgres_client import Postgres

# A table's kind: as the catalog has it; that somebody, or a prepared transaction, holds it alone or waits to, so that nobody can even be told its size;
# of the large objects that there are none, or that its user may not read them.
VIEW, BUSY, PREPARED, NONE, SHUT = "m", "busy", "prepared", "none", "shut"
# A prepared transaction has no process. Who only waits to hold it alone lets nobody else in before that either.
_ALONE = (
    "EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE l.relation = c.oid AND d.datname = current_database() "
    "AND l.mode = 'AccessExclusiveLock' AND {by})"
)
# The access methods 0 and 2 are PostgreSQL's own heap, before and since it has a name for it.
_CATALOG = (
    "SELECT format('%I.%I', n.nspname, c.relname), c.relfilenode::text, own.size::text, "
    "(coalesce(pg_stat_get_tuples_updated(c.oid), 0) + coalesce(pg_stat_get_tuples_deleted(c.oid), 0))::text, "
    "(SELECT string_agg(format('%I', a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a "
    "WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), "
    # An enum's values have other texts once they are renamed. Of which enums arrays, domains, composites and ranges are made is not followed up.
    "(SELECT string_agg(concat_ws(':', a.attnum, a.atttypid, a.atttypmod, CASE WHEN t.typtype = 'e' THEN "
    "(SELECT md5(string_agg(e.enumlabel, ':' ORDER BY e.oid)) FROM pg_enum e WHERE e.enumtypid = a.atttypid) "
    "WHEN t.typtype <> 'b' OR t.typelem <> 0 THEN (SELECT md5(string_agg(concat_ws(':', e.oid, e.enumlabel), ':' ORDER BY e.oid)) FROM pg_enum e) END), "
    "' ' ORDER BY a.attnum) FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "
    "WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), "
    "CASE WHEN own.size IS NULL THEN CASE WHEN {prepared} THEN 'prepared' ELSE 'busy' END "
    "WHEN c.oid <> 'pg_catalog.pg_largeobject'::regclass THEN c.relkind::text WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata) THEN 'none' "
    "WHEN current_setting('is_superuser') = 'on' THEN 'r' ELSE 'shut' END, (c.relam IN (0, 2))::text "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL ("
    "SELECT CASE WHEN {held} THEN NULL ELSE pg_table_size(c.oid) END) own(size) "
    "WHERE c.relkind IN ('r', 'm') AND c.relispopulated AND c.relpersistence <> 't' "
    "AND (c.oid = 'pg_catalog.pg_largeobject'::regclass OR n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%') "
    "ORDER BY own.size, 1"
)
_TABLES = _CATALOG.format(prepared=_ALONE.format(by="l.pid IS NULL"), held=_ALONE.format(by="l.pid IS DISTINCT FROM pg_backend_pid()"))
_READING = "SELECT count(*)::text, {summing} FROM ONLY {table}"
# By its number a page is in the sample or not, whatever else the table holds by then.
_SAMPLE = " TABLESAMPLE SYSTEM ({percent}) REPEATABLE (1)"
_SUM = "coalesce(sum(hashtextextended(ROW({columns})::text, 0)::numeric), 0)::text"
# Rows that were frozen before keep a number of which `age` makes a young one only where numbers came around.
_YOUNG = "age(xmin) BETWEEN 0 AND age('{boundary}'::xid)"
_SETTLED = "SET datestyle = 'ISO'; SET timezone = 'UTC'; SET extra_float_digits = 3; SET intervalstyle = 'postgres'; SET bytea_output = 'hex'"


class Seen(NamedTuple):
    """A table as the catalog has it: `file` is its file's number, `size` in bytes, `changes` what was counted of updates and deletions.

    `columns` are their names, `shape` has a word for each: its number and its type.
    """

    name: str
    file: str
    size: int
    changes: int
    columns: str
    shape: str
    kind: str
    is_heap: bool


def settle(session: Postgres) -> None:
    """Let values have one text, whatever the server's settings are."""
    session.rows(_SETTLED)


@contextmanager
def one_snapshot(session: Postgres) -> Iterator[None]:
    """Let all that is read within the body be read at one moment, and nothing else be held by it."""
    session.rows("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        yield
    finally:
        session.rows("ROLLBACK")


def seen(session: Postgres) -> list[Seen]:
    """Return the tables of the session's database, the smallest first."""
    rows = session.rows(_TABLES)
    return [
        Seen(str(name), str(file), int(size or 0), int(str(changes)), columns or "", shape or "", str(kind), heap == "true")
        for name, file, size, changes, columns, shape, kind, heap in rows
    ]


def asking(table: str, columns: str | None, *, sample: str | None = None) -> str:
    """Return the statement for [number of rows, their sum], which is NULL without `columns`; of a sample of so many percent of its pages."""
    summing = "NULL::text" if columns is None else _SUM.format(columns=columns)
    return _READING.format(summing=summing, table=table) + ("" if sample is None else _SAMPLE.format(percent=sample))


def old(boundary: str) -> str:
    """Return the end of such a statement for rows of transactions before that one."""
    return f" WHERE NOT {_YOUNG.format(boundary=boundary)}"


def young(boundary: str) -> str:
    """Return the end of such a statement for rows of that transaction, and of later ones."""
    return f" WHERE {_YOUNG.format(boundary=boundary)}"
