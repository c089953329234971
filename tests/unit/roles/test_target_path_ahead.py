"""Larger tables that were summed up while a real PostgreSQL served: with writes held they are what a whole reading gives, or nothing is known."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from controlplane_target import path_ahead, path_postgres, path_rows, path_tables
from controlplane_target.faults import CancelledFault
from controlplane_target.path_leg import PathLeg
from controlplane_target.path_proof import Proof
from controlplane_target.path_request import parse
from controlplane_target.postgres_client import Postgres, PostgresError

from tests.unit.adapters.coordination.cluster import Cluster
from tests.unit.roles import test_target_path_postgres as whole
from tests.unit.roles.test_target_path_postgres import Sql, made, told, transaction

pytestmark = whole.pytestmark
cluster, connect, sql = whole.cluster, whole.connect, whole.sql
Connect = Callable[[str], Postgres]
TABLE = "public.t"


@pytest.fixture(autouse=True)
def _large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no table be small enough to be summed up with writes held, and each be large enough to be read ahead."""
    monkeypatch.setattr(path_tables, "_RATE", 0.001)
    monkeypatch.setattr(path_ahead, "_LEAST_BYTES", 1)


def read(connect: Connect, meanwhile: Callable[[], None] = lambda: None, *, ahead: bool = True) -> dict[str, Any]:
    """Return what is read of the one table; `meanwhile` happens after it was read ahead, and before writes are held."""
    with path_postgres.held(connect, meanwhile, path_postgres.read_ahead(connect) if ahead else None) as record:
        return dict(json.loads(json.dumps(record))["tables"]["postgres"][TABLE])


def as_a_whole(connect: Connect) -> dict[str, Any]:
    """Return what a reading as a whole gives of it, with writes held."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(path_tables, "_RATE", 40_000_000)
        return read(connect, ahead=False)


def plainly(held: dict[str, Any]) -> tuple[str, str]:
    return held["rows"], held["sum"]


def is_known(held: dict[str, Any]) -> bool:
    assert (held["sum"] is None) == ("why" in held)
    return "why" not in held


NOTHING: list[str] = []
ADDED = ["INSERT INTO t VALUES (0, 'new')", "BEGIN; INSERT INTO t VALUES (-1, 'a'); SAVEPOINT s; INSERT INTO t VALUES (-2, 'b'); COMMIT"]
UNSEEN = ["BEGIN; INSERT INTO t VALUES (0, 'never'); ROLLBACK", "SELECT * FROM t WHERE n < 9 FOR UPDATE", "VACUUM FREEZE t", "ANALYZE t"]


@pytest.mark.parametrize("statements", [NOTHING, ADDED, UNSEEN, [*ADDED, *UNSEEN]], ids=["nothing", "rows", "no change", "both"])
def test_a_table_of_which_no_old_row_was_changed_is_read_as_if_as_a_whole(
    cluster: Cluster, connect: Connect, sql: Sql, statements: list[str]
) -> None:
    made(sql, "t", rows=1000)
    held = read(connect, lambda: sql(*statements))
    assert is_known(held)
    assert plainly(held) == plainly(as_a_whole(connect))
    assert int(held["rows"]) == 1000 + 3 * (statements[: len(ADDED)] == ADDED)
    # What is told of it after a stop is told of the whole.
    record = record_of(connect, lambda: sql(*statements))
    cluster.end()
    cluster.start()
    sql("INSERT INTO t VALUES (7, 'by a client since')")
    assert told(connect, record) == {"tables": 1, "equal": 1}


def record_of(connect: Connect, meanwhile: Callable[[], None]) -> Any:
    with path_postgres.held(connect, meanwhile, path_postgres.read_ahead(connect)) as record:
        return json.loads(json.dumps(record))


@pytest.mark.parametrize("lost", ["DELETE FROM t WHERE n = 0", "DELETE FROM t WHERE n = 5"])
def test_a_row_of_either_kind_that_is_not_there_afterwards_is_lost(connect: Connect, sql: Sql, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    """Also one that was written since the reading ahead: that is what a log that did not come along would hold."""
    monkeypatch.setattr(path_tables, "_TELLS_S", 0.0)
    made(sql, "t", rows=1000)
    record = record_of(connect, lambda: sql("INSERT INTO t VALUES (0, 'new')"))
    # Nothing counts it, as if it had never been there.
    sql("ALTER DATABASE postgres SET track_counts = off")
    try:
        sql(lost)
    finally:
        sql("ALTER DATABASE postgres RESET track_counts")
    assert told(connect, record) == {"tables": 1, "lost": ["postgres.public.t"]}


@pytest.mark.parametrize(
    "statements",
    [
        ["UPDATE t SET t = 'x' WHERE n = 1"],
        ["UPDATE t SET t = t WHERE n = 1"],
        ["DELETE FROM t WHERE n = 1"],
        # As many as before.
        ["DELETE FROM t WHERE n = 1", "INSERT INTO t VALUES (1, 'other')"],
        ["TRUNCATE t", "INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, 1000) n"],
        ["VACUUM FULL t"],
        ["ALTER TABLE t ADD COLUMN more int DEFAULT 7"],
        ["ALTER TABLE t RENAME COLUMN t TO u"],
        # Of the same names, in the same file.
        ["ALTER TABLE t DROP COLUMN t", "ALTER TABLE t ADD COLUMN t text DEFAULT 'x'"],
        ["ALTER TABLE t ALTER COLUMN t TYPE varchar"],
        ["DROP TABLE t", "CREATE TABLE t AS SELECT n, md5(n::text) AS t FROM generate_series(1, 1000) n"],
    ],
)
def test_of_one_whose_old_rows_or_shape_may_be_others_nothing_is_known(connect: Connect, sql: Sql, statements: list[str]) -> None:
    made(sql, "t", rows=1000)
    assert not is_known(read(connect, lambda: sql(*statements)))


def test_a_transaction_that_ran_during_the_reading_ahead_is_young_whatever_its_number(cluster: Cluster, connect: Connect, sql: Sql) -> None:
    import psycopg

    made(sql, "t", rows=1000)
    with psycopg.connect(f"postgresql://controlplane@/postgres?host={cluster.folder}") as client:
        client.execute("INSERT INTO t VALUES (0, 'begun before')")
        # Of younger ones, some of which the reading ahead sees.
        sql("INSERT INTO t VALUES (-1, 'ended before')")
        held = read(connect, client.commit)
    assert is_known(held)
    assert (held["rows"], plainly(held)) == ("1002", plainly(as_a_whole(connect)))


def test_one_that_ran_then_does_not_make_up_for_an_old_row_that_is_gone(cluster: Cluster, connect: Connect, sql: Sql) -> None:
    import psycopg

    made(sql, "t", rows=1000)
    with psycopg.connect(f"postgresql://controlplane@/postgres?host={cluster.folder}") as client:
        client.execute("INSERT INTO t VALUES (0, 'begun before')")
        sql("CREATE TABLE of_a_later_number (n int)")

        def meanwhile() -> None:
            client.commit()
            sql("DELETE FROM t WHERE n = 1")

        assert not is_known(read(connect, meanwhile))


def test_the_writes_of_one_that_was_known_are_held_as_of_any_other(connect: Connect, sql: Sql) -> None:
    import psycopg

    made(sql, "t")
    with path_postgres.held(connect, lambda: None, path_postgres.read_ahead(connect)) as record:
        assert "why" not in record["tables"]["postgres"][TABLE]
        with pytest.raises(psycopg.errors.LockNotAvailable):
            sql("SET lock_timeout = 1; INSERT INTO t VALUES (0, '')")


# What is read ahead at all.


def known(connect: Connect, budget: path_ahead.Budget | None = None) -> dict[str, path_ahead.Known]:
    session = connect("postgres")
    try:
        return path_tables.read_ahead(session, budget or path_ahead.Budget())
    finally:
        session.close()


def test_only_what_a_lock_holds_and_the_server_itself_stores_is_read_ahead(connect: Connect, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    made(sql, "t")
    sql("CREATE MATERIALIZED VIEW v AS SELECT * FROM t", "CREATE TABLE none ()", "INSERT INTO none DEFAULT VALUES")
    assert set(known(connect)) == {TABLE}
    sql("CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler", "CREATE TABLE o USING other AS SELECT * FROM t")
    try:
        assert set(known(connect)) == {TABLE}
    finally:
        sql("DROP ACCESS METHOD other CASCADE")
    for name, value in (("_LEAST_BYTES", 1 << 20), ("_MOST_BYTES", 10)):
        with monkeypatch.context() as patched:
            patched.setattr(path_ahead, name, value)
            assert known(connect) == {}


def test_what_takes_too_long_for_it_or_for_the_hold_is_not_known(connect: Connect, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    made(sql, "t", "u", rows=1000)
    assert len(known(connect)) == 2
    assert known(connect, path_ahead.Budget(all_s=0.0)) == {}
    assert known(connect, path_ahead.Budget(hold_s=0.0)) == {}
    monkeypatch.setattr(path_ahead, "_EACH_S", 0.01)
    made(sql, "w", rows=100_000)
    assert "public.w" not in known(connect)


@pytest.mark.parametrize(("hold_s", "names"), [(0.2, ["a"]), (0.35, ["a", "b"])])
def test_what_the_first_ones_need_of_the_hold_the_next_ones_do_not_have(
    connect: Connect, sql: Sql, monkeypatch: pytest.MonkeyPatch, hold_s: float, names: list[str]
) -> None:
    made(sql, "a", "b")
    made(sql, "c", rows=1000)
    tried: list[str] = []

    def needs(_session: Postgres, table: Any, _limit_s: float) -> path_ahead.Known:
        tried.append(table.name)
        return path_ahead.Known(1, 1, "", "", "", 0, "", 0.1)

    monkeypatch.setattr(path_ahead, "_known", needs)
    assert [name.removeprefix("public.") for name in known(connect, path_ahead.Budget(hold_s=hold_s))] == names
    # A larger one need not take longer than the first that is too much.
    assert len(tried) == 3


def test_with_too_little_time_in_the_hold_nothing_is_tried(connect: Connect, sql: Sql) -> None:
    made(sql, "t")
    held = known(connect)[TABLE]
    session = connect("postgres")
    try:
        session.rows("BEGIN; LOCK TABLE t IN SHARE MODE")
        table = next(table for table in path_tables.seen(session) if table.name == TABLE)
        assert path_ahead.rest(session, table, held, time.monotonic() + 1) == (str(held.rows), str(held.sum))
        assert session.rows("SHOW statement_timeout") == [["0"]]
        assert path_ahead.rest(session, table, held._replace(needs_s=1.0), time.monotonic() + 1.2) is None
        # It has grown by what takes longer than there is.
        assert path_ahead.rest(session, table._replace(size=held.size + 80_000_000), held, time.monotonic() + 1) is None
        # Whatever goes wrong leaves the lock, and the transaction.
        assert path_ahead.rest(session, table, held._replace(boundary="'"), time.monotonic() + 1) is None
        assert session.rows("SELECT count(*)::text, current_setting('statement_timeout') FROM t") == [["100", "0"]]
    finally:
        session.close()


def test_a_table_that_somebody_holds_alone_holds_up_nothing(cluster: Cluster, connect: Connect, sql: Sql) -> None:
    made(sql, "t", "u")
    began = time.monotonic()
    with transaction(cluster, "LOCK TABLE u IN ACCESS EXCLUSIVE MODE"):
        assert set(known(connect)) == {TABLE}
    assert time.monotonic() - began < 3


def test_one_whose_old_rows_change_all_the_time_is_not_tried_with_writes_held(connect: Connect, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    made(sql, "t")
    real = path_ahead._rest

    def changing(*asked: Any) -> Any:
        sql("UPDATE t SET t = 'x' WHERE n = 1")
        return real(*asked)

    monkeypatch.setattr(path_ahead, "_rest", changing)
    assert known(connect) == {}


def test_a_server_that_can_not_be_asked_ahead_is_held_all_the_same(connect: Connect, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    made(sql, "t")

    def fails(*_: Any) -> Any:
        raise PostgresError("PostgreSQL: too many connections")

    with monkeypatch.context() as patched:
        patched.setattr(path_tables, "read_ahead", fails)
        assert not is_known(read(connect))
    assert not is_known(read(connect, ahead=False))


@pytest.mark.parametrize("since", [None, {"at": 1.0}])
def test_a_service_that_is_away_already_is_not_read_ahead(monkeypatch: pytest.MonkeyPatch, since: Any) -> None:
    """It would be away for as long as that takes."""
    asked: list[bool] = []
    engine: Any = None
    proof = Proof(engine, parse({"container": "db", "paths": [{"kind": "postgres", "data": "/data", "place": "/mnt/data/db"}]}))

    def held(*_: Any) -> Any:
        raise ConnectionError

    monkeypatch.setattr(path_postgres, "held", held)
    monkeypatch.setattr(path_postgres, "read_ahead", lambda *_: asked.append(True))
    run: Any = type("Run", (), {"state": {"down_since": since}})()
    cancel: Any = None
    with pytest.raises(ConnectionError), PathLeg(run, cancel, [], proof)._held():
        pass
    assert asked == [True] * (since is None)


def test_what_was_read_ahead_is_used_for_the_next_hold_and_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    engine: Any = None
    proof = Proof(engine, parse({"container": "db", "paths": [{"kind": "postgres", "data": "/data", "place": "/mnt/data/db"}]}))
    read: list[int] = []
    used: list[Any] = []

    def held(_connect: Any, _begin: Any, known: Any) -> Any:
        used.append(known)
        raise ConnectionError

    def read_ahead(*_: Any) -> Any:
        read.append(1)
        return {"db": len(read)}

    monkeypatch.setattr(path_postgres, "read_ahead", read_ahead)
    monkeypatch.setattr(path_postgres, "held", held)
    proof.read_ahead()
    for _ in range(2):
        with pytest.raises(ConnectionError), proof.held(1):
            pass
    assert used == [{"db": 1}, {"db": 2}]


def test_what_the_reading_ahead_wrote_is_in_the_files_when_it_ends(cluster: Cluster, connect: Connect, sql: Sql) -> None:
    """Else the stop would write it, and each file of it would be copied while nobody is served."""
    sql("CREATE TABLE t (n int, t text)", "INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, 5000) n", "CHECKPOINT")
    session = connect("postgres")
    try:
        file = cluster.folder / "data" / str(session.rows("SELECT pg_relation_filepath('t')")[0][0])
    finally:
        session.close()
    before = file.read_bytes()
    path_postgres.read_ahead(connect)
    written = file.read_bytes()
    assert written != before
    with path_postgres.held(connect, lambda: None):
        pass
    sql("CHECKPOINT")
    assert file.read_bytes() == written


def test_a_cancel_ends_the_reading_ahead_between_two_tables(connect: Connect, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    made(sql, "t", "u")
    looked: list[str] = []

    def check() -> None:
        if looked:
            raise CancelledFault("cancelled")

    real = path_ahead._known

    def one(session: Postgres, table: Any, end: float) -> Any:
        looked.append(table.name)
        return real(session, table, end)

    monkeypatch.setattr(path_ahead, "_known", one)
    with pytest.raises(CancelledFault):
        path_postgres.read_ahead(connect, check)
    assert len(looked) == 1


@contextmanager
def inserting(cluster: Cluster, threads: int) -> Iterator[None]:
    """Let so many clients insert rows all the time, each in a transaction of its own."""
    import psycopg

    is_over = threading.Event()

    def insert() -> None:
        with psycopg.connect(f"postgresql://controlplane@/postgres?host={cluster.folder}", autocommit=True) as client:
            client.execute("SET synchronous_commit = off")
            while not is_over.is_set():
                client.execute("INSERT INTO t VALUES (0, 'new')")

    working = [threading.Thread(target=insert) for _ in range(threads)]
    for thread in working:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in working:
            thread.join()


def test_a_table_into_which_clients_insert_is_known_ahead(cluster: Cluster, connect: Connect, sql: Sql) -> None:
    made(sql, "t", rows=1000)
    with inserting(cluster, 1):
        seen = [TABLE in known(connect) for _ in range(20)]
    assert all(seen)


def test_rows_that_come_in_while_it_is_judged_make_no_table_lost(cluster: Cluster, connect: Connect, sql: Sql) -> None:
    made(sql, "t", rows=10)
    before = as_a_whole(connect)
    session = connect("postgres")
    try:
        path_rows.settle(session)
        found = next(table for table in path_rows.seen(session) if table.name == TABLE)
        with inserting(cluster, 4):
            how = {path_tables._by_rows(session, found, before, is_over=True) for _ in range(500)}
    finally:
        session.close()
    assert how == {("equal", "")}


def test_more_old_rows_than_before_are_lost_only_where_a_later_look_says_so_too(connect: Connect, sql: Sql) -> None:
    made(sql, "t", rows=10)
    before = {**as_a_whole(connect), "rows": "9"}
    session = connect("postgres")
    try:
        found = next(table for table in path_rows.seen(session) if table.name == TABLE)
        told = [path_tables._by_rows(session, found, before, is_over=is_over) for is_over in (False, True)]
    finally:
        session.close()
    assert told == [None, ("lost", "")]


@pytest.mark.parametrize(
    "statements",
    [
        ["ALTER TABLE t DROP COLUMN e", "ALTER TABLE t ADD COLUMN e e DEFAULT 'b'"],
        ["ALTER TYPE e RENAME VALUE 'a' TO 'c'"],
        ["ALTER TABLE t ALTER COLUMN at TYPE timestamptz"],
    ],
)
def test_a_column_of_the_same_name_that_holds_another_thing_makes_no_table_lost(connect: Connect, sql: Sql, statements: list[str]) -> None:
    sql("SET timezone = 'UTC'", "CREATE TYPE e AS ENUM ('a', 'b')", "CREATE TABLE t (n int, e e, at timestamp)")
    sql("INSERT INTO t SELECT n, 'a', now() FROM generate_series(1, 100) n", "ALTER DATABASE postgres SET timezone = 'UTC'")
    try:
        # Before the hold nothing of it is known, and after it nobody can say.
        assert not is_known(read(connect, lambda: sql(*statements[:1])))
        sql("DROP TABLE t", "DROP TYPE e", "CREATE TYPE e AS ENUM ('a', 'b')", "CREATE TABLE t (n int, e e, at timestamp)")
        sql("INSERT INTO t SELECT n, 'a', now() FROM generate_series(1, 100) n")
        record = record_of(connect, lambda: None)
        sql(*statements)
        seen = told(connect, record)
    finally:
        sql("ALTER DATABASE postgres RESET timezone")
    assert (seen.get("lost"), seen["unknown"], "other types" in seen["not_proven"][0]) == (None, 1, True)


def test_one_that_can_not_be_read_again_in_time_is_not_proven(connect: Connect, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    made(sql, "t")
    record = record_of(connect, lambda: None)
    monkeypatch.setattr(path_tables, "asking", lambda *_, **__: "SELECT count(pg_sleep(9))::text, '1' FROM t")
    monkeypatch.setattr(path_postgres, "_JUDGE_S", 0.2)
    monkeypatch.setattr(path_tables, "old", lambda _: "")
    seen = told(connect, record)
    [said] = seen.pop("not_proven")
    assert (seen, said) == (
        {"tables": 1, "unknown": 1},
        "table postgres.public.t (it could not be read again in the time that is taken for it)",
    )


def test_a_long_answer_is_waited_for_whatever_limit_the_server_has_for_its_user(connect: Connect, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    session = connect("postgres")
    try:
        session.rows("SET statement_timeout = 20")
        with pytest.raises(PostgresError, match="statement timeout"):
            session.rows("SELECT pg_sleep(0.1)::text")
        session.allow(30)
        assert session.rows("SELECT pg_sleep(0.1)::text") == [[""]]
        session.allow(0.05)
        with pytest.raises(PostgresError, match="statement timeout") as raised:
            session.rows("SELECT pg_sleep(0.2)::text")
        assert raised.value.sqlstate == "57014"
    finally:
        session.close()
    made(sql, "t")
    record, allowed = record_of(connect, lambda: None), list[float]()
    monkeypatch.setattr(Postgres, "allow", lambda _session, limit_s: allowed.append(limit_s))
    assert (told(connect, record)["equal"], allowed) == (1, [30.0])
