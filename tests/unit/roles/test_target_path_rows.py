"""What a PostgreSQL's catalog, its locks and its transactions' numbers may hide from a reading of its tables, by a real server of the tests' own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from controlplane_target import path_tables
from controlplane_target.postgres_client import Postgres

from tests.unit.adapters.coordination.cluster import Cluster
from tests.unit.roles import test_target_path_postgres as whole
from tests.unit.roles.test_target_path_postgres import Sql, made, read, told

pytestmark = whole.pytestmark
connect, sql = whole.connect, whole.sql
Connect = Callable[[str], Postgres]
HELD = "table postgres.public.held (busy, a prepared transaction holds it alone: pg_prepared_xacts names it)"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Return a server in which transactions can be prepared."""
    own = Cluster("max_prepared_transactions=2")
    yield own
    own.stop()


@contextmanager
def prepared(sql: Sql, statement: str) -> Iterator[None]:
    """Let a transaction that did this be prepared and not ended meanwhile: nobody's process holds its locks."""
    sql(f"BEGIN; {statement}; PREPARE TRANSACTION 'held'")
    try:
        yield
    finally:
        sql("ROLLBACK PREPARED 'held'")


def test_a_table_that_a_prepared_transaction_holds_alone_is_named_and_nobody_waits_for_it(connect: Connect, sql: Sql) -> None:
    made(sql, "t", "held")
    began = time.monotonic()
    with prepared(sql, "TRUNCATE held"):
        record = read(connect)
    assert time.monotonic() - began < 2
    assert set(record["tables"]["postgres"]) == {"public.t"}
    assert told(connect, record) == {"tables": 1, "equal": 1, "skipped": 1, "not_proven": [HELD]}


def test_a_table_that_somebody_waits_to_hold_alone_is_named_and_nobody_waits_behind_them(connect: Connect, sql: Sql) -> None:
    made(sql, "t", "held")
    reader, changer = connect("postgres"), connect("postgres")
    reader.rows("BEGIN; SELECT count(*) FROM held")
    waiting = threading.Thread(target=lambda: changer.rows("ALTER TABLE held ADD COLUMN more int"))
    waiting.start()
    try:
        while reader.rows("SELECT FROM pg_locks WHERE NOT granted") == []:
            time.sleep(0.05)
        began = time.monotonic()
        record = read(connect)
    finally:
        reader.rows("ROLLBACK")
        waiting.join()
    assert time.monotonic() - began < 2
    assert set(record["tables"]["postgres"]) == {"public.t"}


def test_one_that_a_prepared_transaction_holds_alone_afterwards_is_unknown_and_the_others_are_judged(
    connect: Connect, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(path_tables, "_TELLS_S", 0.0)
    made(sql, "t", "held")
    record = read(connect)
    with prepared(sql, "ALTER TABLE held ADD COLUMN more int"):
        assert told(connect, record) == {"tables": 2, "equal": 1, "unknown": 1, "not_proven": [HELD]}


@pytest.mark.parametrize("of", ["e", "e[]", "d", "d[]", "c", "r"])
def test_a_value_of_an_enum_that_has_another_name_makes_no_table_lost_whatever_is_made_of_it(connect: Connect, sql: Sql, of: str) -> None:
    sql("CREATE TYPE e AS ENUM ('a', 'b')", "CREATE DOMAIN d AS e", "CREATE TYPE c AS (e e)", "CREATE TYPE r AS RANGE (subtype = e)")
    value = {"e": "'a'", "e[]": "'{a}'", "d": "'a'", "d[]": "'{a}'", "c": "'(a)'", "r": "'[a,a]'"}[of]
    sql(f"CREATE TABLE t (x {of})", f"INSERT INTO t SELECT {value}", "CREATE TABLE plain AS SELECT 1 AS n, 'a' AS t")
    record = read(connect)
    sql("ALTER TYPE e RENAME VALUE 'a' TO 'z'")
    why = "its columns have other types now, and what they held is not told"
    assert told(connect, record) == {"tables": 2, "equal": 1, "unknown": 1, "not_proven": [f"table postgres.public.t ({why})"]}


@pytest.fixture
def came_around(cluster: Cluster, sql: Sql) -> Callable[[], None]:
    """Return what lets the numbers come around: a table `t` has frozen rows by then of the transaction after the next one, of a whole round ago."""

    def come_around() -> None:
        made(sql, "t", rows=3)
        import psycopg

        with psycopg.connect(cluster.address(), autocommit=True) as client:
            row = client.execute("SELECT xmin::text FROM t LIMIT 1").fetchone()
            databases = [str(name) for (name,) in client.execute("SELECT datname FROM pg_database WHERE datallowconn").fetchall()]
        for database in databases:
            with psycopg.connect(cluster.address(database), autocommit=True) as client:
                client.execute("VACUUM FREEZE")
        assert row is not None
        cluster.end()
        cluster.renumber(epoch=1, following=int(row[0]) - 2)
        cluster.start()

    return come_around


@pytest.mark.parametrize("changed", [0, 1])
def test_rows_that_count_as_young_ones_once_numbers_came_around_are_unknown_and_not_lost(
    connect: Connect, sql: Sql, monkeypatch: pytest.MonkeyPatch, came_around: Callable[[], None], changed: int
) -> None:
    monkeypatch.setattr(path_tables, "_TELLS_S", 0.0)
    came_around()
    record = read(connect)
    assert record["tables"]["postgres"]["public.t"]["rows"] == "3"
    sql(*["SELECT txid_current()"] * 5, *["UPDATE t SET t = 'x' WHERE n = 1"] * changed)
    why = "its server's transaction numbers came around, and rows frozen long ago may count as new ones"
    assert told(connect, record) == {"tables": 1, "unknown": 1, "not_proven": [f"table postgres.public.t ({why})"]}
    # More of them than count as young are lost all the same.
    record["tables"]["postgres"]["public.t"]["rows"] = "9"
    assert told(connect, record) == {"tables": 1, "lost": ["postgres.public.t"]}
