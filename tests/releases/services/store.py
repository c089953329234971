"""Where the services keep things: rows in PostgreSQL, files in an object store that speaks S3."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import psycopg
from web import HERE, Answer, call, setting

BUCKET = "artwork"
# Both services migrate one database when they start, and they start at once.
_LOCK = 20260101


def database() -> AbstractContextManager[psycopg.Connection[tuple[object, ...]]]:
    """Open a connection whose block is one transaction."""
    return psycopg.connect(setting("DATABASE_URL"), connect_timeout=3)


def ask_database() -> None:
    """Fail unless the database answers."""
    with database() as connection:
        connection.execute("select 1")


def migrate(service: str) -> None:
    """Bring the service's tables to its newest migration; none of them is ever taken back."""
    with database() as connection:
        connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(
            "create table if not exists migrations (service text, name text, at timestamptz default now(), primary key (service, name))"
        )
        there = {row[0] for row in connection.execute("select name from migrations where service = %s", (service,)).fetchall()}
        for file in sorted((HERE / "migrations" / service).glob("*.sql")):
            if file.stem not in there:
                connection.execute(file.read_bytes())
                connection.execute("insert into migrations (service, name) values (%s, %s)", (service, file.stem))


def newest_migration(service: str) -> str:
    """Return the newest migration that the database itself has, whichever build brought it."""
    with database() as connection:
        row = connection.execute("select max(name) from migrations where service = %s", (service,)).fetchone()
    return str(row[0]) if row else ""


def once_there(act: Callable[[], object], limit_s: float = 60.0) -> None:
    """Do what a service needs before it serves, as soon as what it depends on is there."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            act()
        except (OSError, psycopg.OperationalError) as error:
            if time.monotonic() > deadline:
                sys.exit(f"{type(error).__name__}: {error}")
            time.sleep(0.3)
        else:
            return


def _object(method: str, place: str, body: bytes = b"") -> Answer:
    return call(method, f"{setting('OBJECT_STORE_URL')}{place}", body)


def make_bucket() -> None:
    """Make the bucket where it isn't there."""
    if (status := _object("PUT", f"/{BUCKET}").status) not in {200, 409}:
        raise OSError(f"the object store says {status}")


def ask_objects() -> None:
    """Fail unless the object store lists its buckets."""
    if (status := _object("GET", "/").status) != 200:
        raise OSError(f"the object store says {status}")


def put_object(key: str, body: bytes) -> None:
    """Store an object."""
    if (status := _object("PUT", f"/{BUCKET}/{key}", body).status) != 200:
        raise OSError(f"the object store says {status}")


def get_object(key: str) -> bytes | None:
    """Return an object, or None where there is none."""
    answer = _object("GET", f"/{BUCKET}/{key}")
    if answer.status not in {200, 404}:
        raise OSError(f"the object store says {answer.status}")
    return answer.body if answer.status == 200 else None
