"""Stores on both engines, and the fake that stands in for them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.coordination import CoordinationStore, open_store
from tests.fakes.coordination import FakeCoordination
from tests.unit.adapters.coordination.cluster import Cluster, missing_reason
from tests.unit.adapters.coordination.crew import Crew

ENGINES = ("sqlite", "postgres")


@dataclass(frozen=True)
class Where:
    """Where a store is: what site.yml says, and the site's folder."""

    store: str
    folder: Path

    def open(self, **options: Any) -> CoordinationStore:
        """Return the opened store."""
        return open_store(self.store, self.folder, **options)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Return a server, which is started for the first test that wants it."""
    reason = missing_reason()
    if reason is not None:
        pytest.skip(reason)
    started = Cluster()
    yield started
    started.stop()


@pytest.fixture(params=ENGINES)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Where:
    """Return the place of a store that nobody opened yet, on each engine."""
    return Where("sqlite" if request.param == "sqlite" else request.getfixturevalue("cluster").url(), tmp_path)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of an empty store."""
    folder = tmp_path_factory.mktemp("migrated")
    open_store("sqlite", folder).close()
    return folder / "state" / "coordination.sqlite"


@pytest.fixture(scope="session")
def postgres_store(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoordinationStore]:
    """Return a store that tests take in turn."""
    with open_store(cluster.url(), tmp_path_factory.mktemp("postgres")) as opened:
        yield opened


@pytest.fixture(params=("fake", *ENGINES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FakeCoordination | CoordinationStore]:
    """Return an empty store, on each engine and as the fake."""
    if request.param == "fake":
        yield FakeCoordination()
    elif request.param == "sqlite":
        (tmp_path / "state").mkdir()
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "state")
        with open_store("sqlite", tmp_path) as opened:
            yield opened
    else:
        opened = request.getfixturevalue("postgres_store")
        with opened._database.transaction() as connection:
            connection.exec_driver_sql("TRUNCATE controlplane_waves, controlplane_release_leases, controlplane_gate_runs, controlplane_gate_results")
            connection.exec_driver_sql("UPDATE controlplane_ledger SET seen_at = NULL, last_token = 0")
        yield opened


@pytest.fixture
def on_postgres(cluster: Cluster, tmp_path: Path) -> Where:
    """Return the place of a store that only PostgreSQL can have."""
    return Where(cluster.url(), tmp_path)


@pytest.fixture(scope="session")
def crew() -> Iterator[Crew]:
    """Return eight processes that do what they are told, at once."""
    hired = Crew(8)
    yield hired
    hired.dismiss()


T = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
