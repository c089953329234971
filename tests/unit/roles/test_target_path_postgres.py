"""How tables are read before a stop and judged after it, by a real PostgreSQL of the tests' own."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from controlplane_target import path_postgres, path_sequences, path_tables, postgres_client
from controlplane_target.postgres_client import Postgres

from tests.unit.adapters.coordination.cluster import Cluster, missing_reason

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="a server's socket is asked as its own user, whom only root can take on"),
    pytest.mark.skipif(missing_reason() is not None, reason=str(missing_reason())),
]
Sql = Callable[..., None]
_MADE = "CREATE TABLE {name} AS SELECT n, md5(n::text) AS t FROM generate_series(1, {rows}) n"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.stop()


@pytest.fixture
def connect(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Postgres]:
    monkeypatch.setattr(postgres_client, "_FOLDERS", (str(cluster.folder),))
    return lambda database: Postgres(os.getpid(), "controlplane", database)


@pytest.fixture
def sql(cluster: Cluster) -> Iterator[Sql]:
    """Run statements as a client would, each a transaction; what a test made is gone afterwards."""
    import psycopg

    def run(*statements: str) -> None:
        with psycopg.connect(f"postgresql://controlplane@/postgres?host={cluster.folder}", autocommit=True) as client:
            for statement in statements:
                client.execute(statement)

    run("DROP SCHEMA IF EXISTS public CASCADE", "CREATE SCHEMA public")
    yield run
    run("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")


@contextmanager
def transaction(cluster: Cluster, statement: str) -> Iterator[None]:
    """Let somebody's transaction be open meanwhile."""
    import psycopg

    with psycopg.connect(f"postgresql://controlplane@/postgres?host={cluster.folder}") as client:
        client.execute(statement)
        yield


def made(sql: Sql, *names: str, rows: int = 100) -> None:
    for name in names:
        sql(_MADE.format(name=name, rows=rows))


def read(connect: Callable[[str], Postgres]) -> Any:
    """Return what is read before a stop, as another process finds it on disk."""
    with path_postgres.held(connect, lambda: None) as record:
        return json.loads(json.dumps(record))


def told(connect: Callable[[str], Postgres], record: Any) -> dict[str, Any]:
    """Return what is not nothing of how the tables fared."""
    return {name: value for name, value in path_postgres.judged(connect, record).items() if value and name != "rows"}


def test_what_was_read_before_a_stop_is_proven_by_another_process_after_the_start(
    cluster: Cluster, connect: Callable[[str], Postgres], sql: Sql
) -> None:
    made(sql, "stays", "grows", "changes")
    record = read(connect)
    cluster.end()
    cluster.start()
    sql("INSERT INTO grows VALUES (0, 'new')", "UPDATE changes SET t = 'new' WHERE n <= 3")
    assert told(connect, record) == {"tables": 3, "equal": 2, "changed": 1}


def test_a_busy_table_takes_no_other_one_with_it_and_is_named(cluster: Cluster, connect: Callable[[str], Postgres], sql: Sql) -> None:
    made(sql, "one", "busy", "other")
    with transaction(cluster, "UPDATE busy SET t = 'x' WHERE n = 1"):
        record = read(connect)
    assert set(record["tables"]["postgres"]) == {"public.one", "public.other"}
    seen = told(connect, record)
    [said] = seen.pop("not_proven")
    assert seen == {"tables": 2, "equal": 2, "skipped": 1}
    assert said.startswith("table postgres.public.busy (busy, it could not be locked against writes: PostgreSQL: ")


def test_writes_wait_until_the_server_stops_also_for_a_table_that_was_locked_by_itself(
    cluster: Cluster, connect: Callable[[str], Postgres], sql: Sql
) -> None:
    import psycopg

    made(sql, "one", "busy")
    begun: list[int] = []
    with transaction(cluster, "UPDATE busy SET t = 'x' WHERE n = 1"), path_postgres.held(connect, lambda: begun.append(1)):
        assert begun == [1]
        with pytest.raises(psycopg.errors.LockNotAvailable):
            sql("SET lock_timeout = 1; INSERT INTO one VALUES (0, '')")
    # The server may see a moment later that who held them is gone.
    sql("SET lock_timeout = 20000; INSERT INTO one VALUES (0, '')")


def test_the_rows_of_a_large_table_are_counted_and_it_is_named_with_its_size(
    connect: Callable[[str], Postgres], sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(sql, "small", rows=1)
    made(sql, "large", rows=1000)
    monkeypatch.setattr(path_tables, "_RATE", 8192)
    record = read(connect)
    assert record["left"] == {"postgres": {}}
    seen = told(connect, record)
    [said] = seen.pop("not_proven")
    assert seen == {"tables": 1, "equal": 1, "skipped": 1}
    large = r"table postgres\.public\.large \(too large to be summed up with writes held: [0-9]{5,6} bytes; its files were compared byte for byte; "
    assert re.fullmatch(large + r"of 1000 rows the number is as before\)", said), said
    # Where even that takes too long, the same pages of it are read before and after.
    monkeypatch.setattr(path_tables, "_COUNT_RATE", 8192)
    monkeypatch.setattr(path_tables, "_SAMPLE_BYTES", 40_000)
    record = read(connect)
    [said] = path_postgres.judged(connect, record)["not_proven"]
    assert re.fullmatch(large + r"a sample of [0-9]{2,3} rows is as before\)", said), said
    sql("INSERT INTO large SELECT n, 'new' FROM generate_series(1, 1000) n", "UPDATE large SET t = 'new' WHERE n <= 1000")
    [said] = path_postgres.judged(connect, record)["not_proven"]
    assert said.endswith("rows clients changed some since)")
    record["tables"]["postgres"]["public.large"]["sum"] = "1"
    record["tables"]["postgres"]["public.large"]["rows"] = "0"
    assert path_postgres.judged(connect, record)["lost"] == ["postgres.public.large"]


def test_one_that_can_not_even_be_sampled_in_time_is_named_all_the_same(
    connect: Callable[[str], Postgres], sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(sql, "small", rows=1)
    made(sql, "large", rows=1000)
    for name in ("_RATE", "_COUNT_RATE"):
        monkeypatch.setattr(path_tables, name, 8192)
    monkeypatch.setattr(path_tables, "_SAMPLE_S", 0.0)
    record = read(connect)
    assert list(record["tables"]["postgres"]) == ["public.small"]
    assert re.fullmatch(
        "too large to be summed up with writes held: [0-9]+ bytes; its files were compared byte for byte", record["left"]["postgres"]["public.large"]
    )
    assert (told(connect, record)["skipped"], told(connect, record)["equal"]) == (1, 1)


def test_of_very_many_tables_those_that_are_not_read_are_named(connect: Callable[[str], Postgres], sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    made(sql, "a", "b", "c")
    monkeypatch.setattr(path_tables, "_MOST_TABLES", 2)
    seen = told(connect, read(connect))
    assert seen == {"tables": 2, "equal": 2, "skipped": 1, "not_proven": ["table postgres.public.c (one of more than 2 tables of its database)"]}


def test_a_row_that_is_there_and_holds_something_else_is_lost_whatever_clients_did_besides(connect: Callable[[str], Postgres], sql: Sql) -> None:
    made(sql, "t")
    record = read(connect)
    record["tables"]["postgres"]["public.t"]["sum"] = "1"
    # Changes of younger rows, which the counters tell as well.
    sql("INSERT INTO t VALUES (0, '')", "UPDATE t SET t = 'x' WHERE n = 0", "SELECT count(*) FROM t")
    assert told(connect, record) == {"tables": 1, "lost": ["postgres.public.t"]}


def test_a_row_that_is_gone_is_a_clients_doing_where_the_server_counted_one_and_lost_where_it_was_only_read(
    connect: Callable[[str], Postgres], sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(sql, "t")
    record = read(connect)
    sql("DELETE FROM t WHERE n = 1")
    assert told(connect, record) == {"tables": 1, "changed": 1}
    monkeypatch.setattr(path_tables, "_TELLS_S", 0.0)
    record = read(connect)
    record["tables"]["postgres"]["public.t"]["rows"] = "100"
    sql("SELECT count(*) FROM t", "INSERT INTO t VALUES (0, '')")
    assert told(connect, record) == {"tables": 1, "lost": ["postgres.public.t"]}


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("DROP TABLE t", "it is gone, and nothing here tells whether a client dropped it"),
        ("TRUNCATE t", "it was written anew since, and its old rows with it"),
        ("ALTER TABLE t DROP COLUMN n", "its columns are others now, and what they held is not told"),
    ],
)
def test_what_a_client_may_have_done_and_no_counter_tells_is_unknown(connect: Callable[[str], Postgres], sql: Sql, statement: str, why: str) -> None:
    made(sql, "t")
    record = read(connect)
    sql(statement)
    assert told(connect, record) == {"tables": 1, "unknown": 1, "not_proven": [f"table postgres.public.t ({why})"]}


def test_a_table_that_was_written_anew_with_all_its_rows_is_as_it_was(connect: Callable[[str], Postgres], sql: Sql) -> None:
    made(sql, "t")
    record = read(connect)
    sql("VACUUM FULL t")
    assert told(connect, record) == {"tables": 1, "equal": 1}


def test_a_row_that_is_gone_is_unknown_where_the_server_counts_no_changes_and_a_younger_one_may_be_it(
    connect: Callable[[str], Postgres], sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(path_tables, "_TELLS_S", 0.0)
    made(sql, "t")
    sql("ALTER DATABASE postgres SET track_counts = off")
    try:
        record = read(connect)
        sql("UPDATE t SET t = 'x' WHERE n = 1")
        assert told(connect, record)["not_proven"] == ["table postgres.public.t (track_counts is off: its server counts no changes)"]
        sql("DELETE FROM t WHERE n <= 3")
        assert told(connect, record) == {"tables": 1, "lost": ["postgres.public.t"]}
    finally:
        sql("ALTER DATABASE postgres RESET track_counts")


def test_counters_that_went_back_explain_nothing(connect: Callable[[str], Postgres], sql: Sql) -> None:
    made(sql, "t")
    record = read(connect)
    record["tables"]["postgres"]["public.t"]["changes"] = "9"
    sql("DELETE FROM t WHERE n = 1")
    assert told(connect, record)["not_proven"] == ["table postgres.public.t (the counters of its changes were reset)"]


# What is no table of anybody's.


@pytest.fixture
def objects(sql: Sql) -> Iterator[None]:
    """Let there be two large objects meanwhile."""
    sql("SELECT lo_from_bytea(7001, 'one'), lo_from_bytea(7002, 'two')")
    yield
    sql("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")


@pytest.mark.usefixtures("objects")
def test_large_objects_are_summed_up_as_a_table_is(connect: Callable[[str], Postgres], sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_tables, "_TELLS_S", 0.0)
    record = read(connect)
    assert told(connect, record) == {"tables": 1, "equal": 1}
    sql("SELECT lo_from_bytea(7003, 'new')")
    assert told(connect, record) == {"tables": 1, "equal": 1}
    record["tables"]["postgres"]["pg_catalog.pg_largeobject"]["sum"] = "1"
    assert told(connect, record) == {"tables": 1, "lost": ["postgres.pg_catalog.pg_largeobject"]}


@pytest.mark.usefixtures("objects")
def test_large_objects_that_clients_change_or_remove_are_changed(connect: Callable[[str], Postgres], sql: Sql) -> None:
    record = read(connect)
    sql("SELECT lo_put(7001, 0, 'ONE')", "SELECT lo_unlink(7002)")
    assert told(connect, record) == {"tables": 1, "changed": 1}
    # With none left at all there is a table all the same.
    sql("SELECT lo_unlink(7001)")
    assert told(connect, record) == {"tables": 1, "changed": 1}


@pytest.mark.usefixtures("objects")
def test_no_large_object_is_written_while_they_are_held(connect: Callable[[str], Postgres], sql: Sql) -> None:
    import psycopg

    with path_postgres.held(connect, lambda: None), pytest.raises(psycopg.errors.LockNotAvailable):
        sql("SET lock_timeout = 1; SELECT lo_from_bytea(7004, 'new')")


@pytest.mark.usefixtures("objects")
def test_large_objects_that_its_user_may_not_read_are_named(cluster: Cluster, connect: Callable[[str], Postgres], sql: Sql) -> None:
    assert cluster
    real = Postgres.rows

    def as_nobody(session: Postgres, query: str) -> list[list[str | None]]:
        return real(session, query.replace("current_setting('is_superuser')", "'off'"))

    made(sql, "t")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Postgres, "rows", as_nobody)
        record = read(connect)
    seen = told(connect, record)
    assert seen == {"tables": 1, "equal": 1, "skipped": 1, "not_proven": ["table postgres.pg_catalog.pg_largeobject (its user may not read them)"]}


def test_materialized_views_are_read_as_tables_and_one_that_was_made_anew_is_unknown(connect: Callable[[str], Postgres], sql: Sql) -> None:
    made(sql, "t")
    sql("CREATE MATERIALIZED VIEW stays AS SELECT * FROM t", "CREATE MATERIALIZED VIEW anew AS SELECT * FROM t")
    sql("CREATE MATERIALIZED VIEW empty AS SELECT * FROM t WITH NO DATA")
    record = read(connect)
    assert set(record["tables"]["postgres"]) == {"public.t", "public.stays", "public.anew"}
    sql("INSERT INTO t VALUES (0, 'new')", "REFRESH MATERIALIZED VIEW anew")
    seen = told(connect, record)
    assert seen.pop("not_proven") == ["table postgres.public.anew (it was written anew since, and its old rows with it)"]
    assert seen == {"tables": 3, "equal": 2, "unknown": 1}
    record["tables"]["postgres"]["public.stays"]["sum"] = "1"
    assert told(connect, record)["lost"] == ["postgres.public.stays"]


def test_a_view_is_not_made_anew_while_it_is_held_and_one_that_somebody_makes_anew_takes_nothing_with_it(
    cluster: Cluster, connect: Callable[[str], Postgres], sql: Sql
) -> None:
    import psycopg

    made(sql, "t")
    sql("CREATE MATERIALIZED VIEW v AS SELECT * FROM t")
    with path_postgres.held(connect, lambda: None), pytest.raises(psycopg.errors.LockNotAvailable):
        sql("SET lock_timeout = 1; REFRESH MATERIALIZED VIEW v")
    began = time.monotonic()
    with transaction(cluster, "REFRESH MATERIALIZED VIEW v"):
        record = read(connect)
    assert (set(record["tables"]["postgres"]), record["left"]) == (
        {"public.t"},
        {"postgres": {"public.v": "busy, somebody holds it alone or waits to"}},
    )
    assert time.monotonic() - began < 2


def test_a_table_that_somebody_holds_alone_is_named_and_nobody_waits_for_it(cluster: Cluster, connect: Callable[[str], Postgres], sql: Sql) -> None:
    made(sql, "t", "held")
    began = time.monotonic()
    with transaction(cluster, "ALTER TABLE held ADD COLUMN more int"):
        record = read(connect)
    assert told(connect, record) == {
        "tables": 1,
        "equal": 1,
        "skipped": 1,
        "not_proven": ["table postgres.public.held (busy, somebody holds it alone or waits to)"],
    }
    assert time.monotonic() - began < 2


def test_one_that_somebody_holds_alone_afterwards_is_waited_for_and_unknown_then(
    cluster: Cluster, connect: Callable[[str], Postgres], sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(path_tables, "_TELLS_S", 0.5)
    made(sql, "t", "held")
    record = read(connect)
    with transaction(cluster, "ALTER TABLE held ADD COLUMN more int"):
        assert told(connect, record) == {
            "tables": 2,
            "equal": 1,
            "unknown": 1,
            "not_proven": ["table postgres.public.held (busy, somebody holds it alone or waits to)"],
        }


def test_a_sequence_that_stands_where_it_stood_or_further_on_is_proven_and_one_that_went_back_is_named(
    connect: Callable[[str], Postgres], sql: Sql
) -> None:
    sql("CREATE SEQUENCE up", "CREATE SEQUENCE down INCREMENT -1", "CREATE SEQUENCE unused", 'CREATE SEQUENCE "Odd.one"')
    sql("SELECT nextval('up'), nextval('up'), nextval('down'), nextval('\"Odd.one\"')")
    record = read(connect)
    assert told(connect, record) == {"sequences": 3}
    sql("SELECT nextval('up'), nextval('down'), nextval('unused')")
    assert told(connect, record) == {"sequences": 3}
    sql("SELECT setval('up', 1), setval('down', -1)", 'DROP SEQUENCE "Odd.one"')
    seen = told(connect, record)
    assert seen.pop("not_proven") == [
        'sequence postgres.public."Odd.one" (it is gone, or nothing was drawn from it since it was set anew)',
        "sequence postgres.public.up (it was at 2, and is at 1: nothing here tells whether a client set it back)",
    ]
    assert seen == {"sequences": 1, "unknown": 2}


def test_sequences_that_can_not_be_read_in_time_are_named_and_hold_up_nothing(
    cluster: Cluster, connect: Callable[[str], Postgres], sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(path_sequences, "_MOST_MS", 50)
    made(sql, "t")
    sql("CREATE SEQUENCE s", "SELECT nextval('s')")
    with transaction(cluster, "ALTER SEQUENCE s INCREMENT 2"):
        record = read(connect)
    seen = told(connect, record)
    [said] = seen.pop("not_proven")
    assert said.startswith("sequence postgres.* (they could not be read in time: ")
    assert seen == {"tables": 1, "equal": 1}
    # A record of older tools has none.
    del record["sequences"]
    assert told(connect, record) == {"tables": 1, "equal": 1}
