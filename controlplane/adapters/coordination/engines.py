"""Connections as the store needs them: durable before they say so, and never waiting without an end.

Rules:
- SQLite: WAL, synchronous=FULL, and a write takes the file's one write lock at its begin, so that nothing it read can change under it.
- PostgreSQL: READ COMMITTED, so that what is read behind the ledger's lock is what was committed last; synchronous_commit on; a transaction whose
  program was stopped half-way is ended by the server.
"""

from __future__ import annotations

import os
import sqlite3
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from controlplane.adapters.coordination.faults import told
from controlplane.domain.errors import Fault, InputInvalidError, RefusedError

# An option of a connection: it only reads.
READS = "controlplane_reads"


def sqlite_engine(file: Path, patience: timedelta) -> Engine:
    """Return connections to the file, which is made where it isn't there."""
    with told(f"the store {file}"):
        _make(file)
        _use_wal(file, patience)
    # Not as text, in which a folder's ? or # would mean something.
    place = URL.create("sqlite", database=str(file.absolute()))
    engine = create_engine(place, connect_args={"isolation_level": None, "timeout": patience.total_seconds()}, pool_size=1)

    @event.listens_for(engine, "connect")
    def _set_up(connection: sqlite3.Connection, _record: Any) -> None:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(READS) else "BEGIN IMMEDIATE")

    return engine


def postgres_engine(url: str, patience: timedelta) -> Engine:
    """Return connections to the server; the URL is libpq's to read, whatever it says. Connects at the first use."""
    try:
        import psycopg  # noqa: PLC0415 - an extra that sites with SQLite need not have
    except ImportError:
        raise RefusedError(
            f"the store {url} needs psycopg, which is not installed. Nothing was changed. Install it: pip install 'controlplane[postgres]'"
        ) from None
    try:
        said = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error as error:
        raise InputInvalidError([Fault("site.yml", 0, "store", f"{url} is no URL that PostgreSQL's library reads: {str(error).strip()}")]) from None
    # A wave lasts longer than many a connection: one that broke since its last use is made anew.
    engine = create_engine("postgresql+psycopg://", isolation_level="READ COMMITTED", client_encoding="utf8", pool_size=1, pool_pre_ping=True)
    limit = f"{int(patience.total_seconds() * 1000)}ms"

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, words: list[Any], options: dict[str, Any]) -> None:
        words[:] = [url]
        # A pooler of connections may hand the next transaction to another server process, which prepared nothing.
        options["prepare_threshold"] = None
        if "connect_timeout" not in said:
            options["connect_timeout"] = max(2, int(patience.total_seconds()))

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # For this transaction alone, which holds behind a pooler of connections too.
        connection.exec_driver_sql(
            "SELECT set_config('synchronous_commit', 'on', true), set_config('lock_timeout', %s, true), "
            "set_config('idle_in_transaction_session_timeout', %s, true)",
            (limit, limit),
        )

    return engine


def _make(file: Path) -> None:
    """Make an empty file that only its owner reads; SQLite gives its other files the same mode."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _use_wal(file: Path, patience: timedelta) -> None:
    """Switch the file to WAL, which it then keeps. The switch itself doesn't wait for others, so this does."""
    connection = sqlite3.connect(file, timeout=patience.total_seconds(), isolation_level=None)
    until = time.monotonic() + patience.total_seconds()
    try:
        while True:
            try:
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.01)
    finally:
        connection.close()
