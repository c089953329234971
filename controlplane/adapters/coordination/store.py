"""Open the store that a site names."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from controlplane.adapters.coordination.database import Database
from controlplane.adapters.coordination.engines import postgres_engine, sqlite_engine
from controlplane.adapters.coordination.gate_runs import GateRunTables
from controlplane.adapters.coordination.migrate import bring_up_to_date
from controlplane.adapters.coordination.release_leases import ReleaseLeaseTable
from controlplane.adapters.coordination.times import TimeTable
from controlplane.adapters.coordination.waves import WaveTable

# How long one waits for another's write, which takes milliseconds.
PATIENCE = timedelta(seconds=20)


class CoordinationStore(WaveTable, ReleaseLeaseTable, GateRunTables, TimeTable):
    """Fills the ports WaveStore, ReleaseLeases, GateRunStore and SiteTime. One connection, kept until `close`; for one process."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._database.close()


def open_store(store: str, folder: Path, *, patience: timedelta = PATIENCE) -> CoordinationStore:
    """Return the store, made or brought up to date where that is needed.

    `store` is what site.yml says: `sqlite`, whose file lies in the site's `folder`, or a postgresql:// URL. Raises `RefusedError` for a store of
    a newer program, `UnknownError` for one that can't be asked.
    """
    file = folder / "state" / "coordination.sqlite"
    engine = sqlite_engine(file, patience) if store == "sqlite" else postgres_engine(store, patience)
    database = Database(engine, f"the store {file if store == 'sqlite' else store}")
    try:
        bring_up_to_date(database)
    except BaseException:
        database.close()
        raise
    return CoordinationStore(database)
