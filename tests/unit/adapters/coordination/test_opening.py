"""Opening a store: empty, of this program, of a newer one, damaged, out of reach, busy."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from controlplane import wiring
from controlplane.adapters.coordination import CoordinationStore, migrate, open_store
from controlplane.adapters.coordination.migrate import SCRIPTS
from controlplane.adapters.coordination.schema import HEAD, VERSION_TABLE, metadata
from controlplane.domain.errors import InputInvalidError, RefusedError, RunFailedError, UnknownError
from tests.unit.adapters.coordination.conftest import MINUTE, T, Where

OPEN = {"state": "open", "mutating": True, "record": {}, "holder": "ann@east", "now": T, "ttl": MINUTE}


def test_the_newest_migration_is_the_schema_that_the_program_opens_without_looking_further() -> None:
    assert ScriptDirectory(str(SCRIPTS)).get_heads() == [HEAD]


def test_the_migrations_leave_the_tables_that_the_program_uses(where: Where) -> None:
    with where.open() as store, store._database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []


def test_the_ledger_has_one_row_and_who_writes_is_alone(where: Where) -> None:
    with where.open() as store, store._database.reading() as connection:
        assert connection.execute(text("SELECT * FROM controlplane_ledger")).all() == [(1, None, 0)]


def test_what_was_written_is_on_the_disk_before_anybody_is_told(where: Where) -> None:
    asked = {"PRAGMA journal_mode": "wal", "PRAGMA synchronous": 2} if where.store == "sqlite" else {"SHOW synchronous_commit": "on"}
    with where.open() as store, store._database.transaction() as connection:
        assert {one: connection.exec_driver_sql(one).scalar() for one in asked} == asked


def test_a_second_opening_finds_what_was_written(where: Where) -> None:
    with where.open() as store:
        held = store.take("W8B", **OPEN)
    with where.open() as store:
        assert store.waves() == (held,)


def test_a_store_that_is_up_to_date_opens_without_alembic(tmp_path: Path) -> None:
    open_store("sqlite", tmp_path).close()
    script = (
        "import sys\nfrom pathlib import Path\nfrom controlplane.adapters.coordination import open_store\n"
        "open_store('sqlite', Path(sys.argv[1]))\nprint({'alembic', 'psycopg'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_an_older_store_is_brought_up_to_date_with_what_is_in_it_and_older_programs_then_refuse_it(
    where: Where, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with where.open() as store:
        held = store.take("W8B", **OPEN)
    shutil.copytree(SCRIPTS, tmp_path / "migrations")
    (tmp_path / "migrations/versions/v0003_notes.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\nrevision, down_revision = '0003', '0002'\n"
        "def upgrade():\n    op.add_column('controlplane_waves', sa.Column('note', sa.Text))\n"
    )
    with monkeypatch.context() as newer:
        newer.setattr(migrate, "SCRIPTS", tmp_path / "migrations")
        newer.setattr(migrate, "HEAD", "0003")
        with where.open() as store, store._database.reading() as connection:
            assert connection.execute(text("SELECT wave, note FROM controlplane_waves")).all() == [("W8B", None)]
            assert store.waves() == (held,)
    with pytest.raises(RefusedError, match="has schema 0003, and this program knows none after 0002"):
        where.open()


def test_a_store_of_a_newer_program_is_refused_and_left_as_it_is(where: Where) -> None:
    with where.open() as store:
        store.take("W8B", **OPEN)
        with store._database.transaction() as connection:
            connection.execute(text("UPDATE controlplane_version SET version_num = '0999'"))
    with pytest.raises(RefusedError) as refused:
        where.open()
    name = where.folder / "state" / "coordination.sqlite" if where.store == "sqlite" else where.store
    assert str(refused.value) == (
        f"the store {name} has schema 0999, and this program knows none after 0002: a newer one has been at work there. "
        "Nothing was changed. Update controlplane on this controller to what the others run."
    )


def test_another_that_does_not_stop_writing_is_told_after_a_while(where: Where) -> None:
    with where.open() as other, where.open(patience=timedelta(milliseconds=200)) as store, other._database.writing(T):
        with pytest.raises(RefusedError) as refused:
            store.take("W8B", **OPEN)
        assert "is busy: another process has been writing to it all the time. Nothing was changed. Try it again." in str(refused.value)
        # Who reads does not wait.
        assert store.waves() == ()


def test_a_writer_that_stops_half_way_loses_its_turn_and_leaves_nothing(on_postgres: Where) -> None:
    """SQLite has no server that could end a stopped writer: there others are told that the store is busy."""

    def half_way(stopped: CoordinationStore, store: CoordinationStore) -> None:
        with stopped._database.writing(T) as turn:
            turn.give(7)
            assert store.take("W8B", **OPEN).token == 1
            turn.give(8)

    with on_postgres.open(patience=timedelta(milliseconds=200)) as stopped, on_postgres.open() as store:
        with pytest.raises(UnknownError, match=r"idle-in-transaction timeout\. Nothing was changed\."):
            half_way(stopped, store)
        assert [one.token for one in store.waves()] == [1]


def test_a_connection_that_breaks_is_told_and_the_next_use_makes_another(on_postgres: Where) -> None:
    def broken(store: CoordinationStore, other: CoordinationStore) -> None:
        with store._database.writing(T) as turn:
            turn.give(7)
            end_connection(turn.connection.execute(text("SELECT pg_backend_pid()")).scalar_one(), other)

    with on_postgres.open() as store, on_postgres.open() as other:
        with pytest.raises(RunFailedError) as failed:
            broken(store, other)
        assert "failed while it wrote: terminating connection due to administrator command. Whether that is written is not known." in str(
            failed.value
        )
        assert store.take("W8B", **OPEN).token == 1
        end_connection(server_process(store), other)
        assert store.take("W8B", **OPEN).token == 2


def server_process(store: CoordinationStore) -> int:
    with store._database.reading() as connection:
        return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


def end_connection(pid: int, by: CoordinationStore) -> None:
    with by._database.reading() as connection:
        assert connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid}).scalar() is True


def test_a_full_disk_is_told_and_nothing_of_the_write_is_there(tmp_path: Path) -> None:
    with open_store("sqlite", tmp_path) as store:
        held = store.take("W8B", **OPEN)
        with store._database.reading() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        with pytest.raises(UnknownError) as unknown:
            store.write(held, state="applied", record={"log": "x" * 100_000}, now=T + MINUTE)
        assert str(unknown.value) == (
            f"the store {tmp_path}/state/coordination.sqlite can't be used: database or disk is full. Nothing was changed. "
            "Mend that, then run the same command again."
        )
        assert store.find("W8B") == held


def test_threads_of_one_program_write_in_turn(where: Where) -> None:
    with where.open() as store:
        held = store.take("W8B", **OPEN)
        with ThreadPoolExecutor(4) as threads:
            renewed = list(threads.map(lambda n: store.renew(held, now=T + n * MINUTE / 60, ttl=MINUTE), range(12)))
        assert {one.token for one in renewed} == {1}
        assert store.find("W8B") in renewed


def test_the_file_and_its_folder_are_its_owners_alone(tmp_path: Path) -> None:
    with open_store("sqlite", tmp_path) as store:
        store.take("W8B", **OPEN)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()}
        assert modes == {"coordination.sqlite": 0o600, "coordination.sqlite-shm": 0o600, "coordination.sqlite-wal": 0o600}
        with store._database.reading() as connection:
            pragmas = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            ]
        assert pragmas == ["wal", 2, 1, 20000]
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_a_file_that_is_no_store_is_told_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "state" / "coordination.sqlite"
    file.parent.mkdir()
    file.write_bytes(b"receipts\n" * 1000)
    with pytest.raises(RunFailedError) as failed:
        open_store("sqlite", tmp_path)
    assert str(failed.value) == (
        f"the store {file} is damaged: file is not a database. Nothing was changed. Put the last good copy of it back in its place."
    )
    assert file.read_bytes() == b"receipts\n" * 1000


def test_a_folder_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(UnknownError) as unknown:
        open_store("sqlite", tmp_path)
    assert str(unknown.value) == (
        f"the store {tmp_path}/state/coordination.sqlite can't be used: File exists. Nothing was changed. Mend that, then run the same command again."
    )


def test_a_server_that_is_not_there_is_told_without_a_traceback(tmp_path: Path) -> None:
    url = f"postgresql://controlplane@/waves?host={tmp_path}"
    with pytest.raises(UnknownError) as unknown:
        open_store(url, tmp_path)
    assert str(unknown.value).startswith(f"the store {url} can't be used: ")
    assert str(unknown.value).endswith("Nothing was changed. Mend that, then run the same command again.")


def test_a_url_that_is_none_is_invalid_input(tmp_path: Path) -> None:
    with pytest.raises(InputInvalidError) as invalid:
        open_store("postgresql://controlplane@/waves?nonsense=1", tmp_path)
    assert str(invalid.value) == (
        "site.yml: store: postgresql://controlplane@/waves?nonsense=1 is no URL that PostgreSQL's library reads: "
        'invalid URI query parameter: "nonsense"'
    )


def test_a_missing_driver_is_told_with_the_way_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(RefusedError) as refused:
        open_store("postgresql://db.example.org/waves", tmp_path)
    assert str(refused.value) == (
        "the store postgresql://db.example.org/waves needs psycopg, which is not installed. Nothing was changed. "
        "Install it: pip install 'controlplane[postgres]'"
    )


@pytest.mark.parametrize("name", ["with space", "100%", "quo'te", "a?b#c"])
def test_a_site_folder_may_be_called_anything(tmp_path: Path, name: str) -> None:
    with open_store("sqlite", tmp_path / name) as store:
        store.take("W8B", **OPEN)
    assert [path.name for path in (tmp_path / name / "state").iterdir()] == ["coordination.sqlite"]
    assert sqlite3.connect(tmp_path / name / "state" / "coordination.sqlite").execute("SELECT wave FROM controlplane_waves").fetchall() == [("W8B",)]


def test_a_site_opens_its_store_whatever_its_policy_says(where: Where) -> None:
    (where.folder / "site.yml").write_text(f"name: lab\nstore: {where.store!r}\n")
    (where.folder / "policy.yml").write_text("{")
    with wiring.coordination(str(where.folder)) as store:
        assert store.take("W8B", **OPEN).token == 1
    with where.open() as store:
        assert [one.wave for one in store.waves()] == ["W8B"]
