"""The proof by a PostgreSQL's own reading: before it stops and after it started elsewhere, the rows of each table, counted and summed up.

Rules:
- Before: every table is locked against writes until the server stops, so that what is counted is what stops (path_tables.py). Writes are held no longer than
  the budget: larger tables are read ahead (path_ahead.py), and what is left out all the same was compared byte for byte like all the rest, and is told by name.
- What the reading ahead wrote to files is on disk when it ends: the copy that comes then has it, and the stop writes none of it.
- Where each sequence stands is read as well (path_sequences.py).
- A server that was made for another cluster is told by its system identifier.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from . import path_ahead, path_rows, path_sequences, path_tables
from .faults import FailedFault
from .postgres_client import Postgres, PostgresError

HOLD_S = 3.0
# To sum a table up once more takes its time. Clients that would change its columns wait for it, and each other client behind those.
_JUDGE_S = 30.0
_CHECKPOINT_S = 60.0
_DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname"
_IDENTITY = "SELECT system_identifier::text FROM pg_control_system()"
Connect = Callable[[str], Postgres]
Ahead = dict[str, dict[str, path_ahead.Known]]


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


def read_ahead(connect: Connect, check: Callable[[], None] = lambda: None) -> Ahead:
    """Return by database what is known of its larger tables before writes are held, which takes a minute at most; nothing where that can't be had.

    `check` is called between tables, and what it raises is raised.
    """
    found: Ahead = {}
    try:
        first = connect("postgres")
    except (OSError, FailedFault):
        return found
    try:
        budget = path_ahead.Budget(check=check)
        for database in [str(row[0]) for row in first.rows(_DATABASES)]:
            found[database] = _known(connect, database, budget)
        check()
        first.allow(_CHECKPOINT_S)
        first.rows("CHECKPOINT")
    except (OSError, FailedFault):
        # Whoever is asked may not do that.
        return found
    finally:
        first.close()
    return found


@contextmanager
def held(connect: Connect, begin: Callable[[], None], known: Mapping[str, Mapping[str, path_ahead.Known]] | None = None) -> Iterator[dict[str, Any]]:
    """Hold all writes as long as the body runs, and yield what was read: {system, tables: {database: {table: …}}, left: {database: {table: why}},
    sequences: {database: [{name: …}, {name: why}]}}.

    `begin` is called before the first write waits; `known` is what `read_ahead` returned.
    """
    sessions: list[Postgres] = []
    record: dict[str, Any] = {"system": "", "tables": {}, "left": {}, "sequences": {}}
    try:
        first = connect("postgres")
        sessions.append(first)
        record["system"] = first.rows(_IDENTITY)[0][0]
        databases = [str(row[0]) for row in first.rows(_DATABASES)]
        begin()
        end = time.monotonic() + HOLD_S
        for database in databases:
            session = connect(database)
            sessions.append(session)
            record["sequences"][database] = path_sequences.read(session)
            record["tables"][database], record["left"][database] = path_tables.read(session, end, (known or {}).get(database) or {})
        yield record
    finally:
        for session in sessions:
            with suppress(OSError, FailedFault):
                session.close()


def _known(connect: Connect, database: str, budget: path_ahead.Budget) -> dict[str, path_ahead.Known]:
    """Return what is known ahead of one database's tables; nothing where that can't be had."""
    try:
        # Not the one that holds writes later: that one would wait here for the other databases.
        session = connect(database)
    except (OSError, FailedFault):
        return {}
    try:
        return path_tables.read_ahead(session, budget)
    except (OSError, FailedFault):
        return {}
    finally:
        session.close()


def judged(connect: Connect, record: dict[str, Any]) -> dict[str, Any]:
    """Return {tables, equal, changed, unknown, skipped, rows, sequences, lost: [names], not_proven: [words]} of the server that started since.

    `tables` are those that were read as a whole, `skipped` the others, `sequences` those that did not go back; `not_proven` names what is skipped or unknown.
    Raises `OSError`, `PostgresError`.
    """
    told: dict[str, Any] = dict.fromkeys(("tables", "equal", "changed", "unknown", "skipped", "rows", "sequences"), 0)
    told.update(lost=[], not_proven=[])
    first = connect("postgres")
    try:
        if first.rows(_IDENTITY)[0][0] != record["system"]:
            raise FailedFault("the server that started is another cluster, by its system identifier")
    finally:
        first.close()
    for database, tables in record["tables"].items():
        left = record["left"].get(database) or {}
        told["skipped"] += len(left)
        told["not_proven"] += [f"table {database}.{name} ({why})" for name, why in left.items()]
        # A record of older tools says nothing of sequences.
        sequences, unread = (record.get("sequences") or {}).get(database) or ({}, {})
        told["not_proven"] += [f"sequence {database}.{name} ({why})" for name, why in unread.items()]
        if not tables and not sequences:
            continue
        session = connect(database)
        try:
            _judge_sequences(told, database, *path_sequences.fared(session, sequences))
            path_rows.settle(session)
            session.allow(_JUDGE_S)
            for name, before in tables.items():
                _judge(told, f"{database}.{name}", before, *path_tables.fared(session, name, before))
        finally:
            session.close()
    return told


def _judge_sequences(told: dict[str, Any], database: str, kept: int, unsure: dict[str, str]) -> None:
    told["sequences"] += kept
    told["unknown"] += len(unsure)
    told["not_proven"] += [f"sequence {database}.{name} ({why})" for name, why in unsure.items()]


def _judge(told: dict[str, Any], name: str, before: dict[str, Any], how: str, why: str) -> None:
    """Count how a table fared."""
    is_whole = "why" not in before
    told["tables" if is_whole else "skipped"] += 1
    told["rows"] += int(before["rows"]) if is_whole else 0
    if how == "lost":
        told["lost"].append(name)
    elif how == "unknown" or is_whole:
        told[how] += 1
    if how == "unknown":
        told["not_proven"].append(f"table {name} ({why})")
    elif not is_whole and how != "lost":
        of = f"of {before['rows']} rows " if before.get("sample") is None else f"a sample of {before['rows']} rows "
        kept = ("the number is as before" if before.get("sample") is None else "is as before") if how == "equal" else "clients changed some since"
        told["not_proven"].append(f"table {name} ({before['why']}; {of}{kept})")


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
