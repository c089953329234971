"""Transactions of the store.

Rules:
- Who writes locks the ledger first: one writes at a time, and what it read stays true until it commits.
- Every write keeps the latest time that was seen, also where the rest of it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, select, update

from controlplane.adapters.coordination.engines import READS
from controlplane.adapters.coordination.faults import told
from controlplane.adapters.coordination.schema import ledger
from controlplane.domain.coordination import stamp_of
from controlplane.domain.coordination_rules import site_time
from controlplane.domain.errors import RefusedError


@dataclass(frozen=True)
class Turn:
    """A writer's turn: `at` is the site's time, `last_token` the last one that was given."""

    connection: Connection
    at: datetime
    last_token: int

    def give(self, token: int) -> None:
        """Note that the token was given, so that no other taking gets it."""
        self.connection.execute(update(ledger).values(last_token=token))


class Database:
    """One store; `name` is how messages call it."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that only reads."""
        with told(self.name), self.engine.connect() as connection:
            yield connection.execution_options(**{READS: True})

    @contextmanager
    def writing(self, now: datetime, *, reset: bool = False) -> Iterator[Turn]:
        """Give a turn, whose writes are there together or not at all. Raises `RefusedError` for a clock that is behind."""
        with self.transaction() as connection:
            row = connection.execute(select(ledger).with_for_update()).one()
            at = site_time(now, None if reset else row.seen_at)
            if stamp_of(at) != row.seen_at:
                connection.execute(update(ledger).values(seen_at=stamp_of(at)))
            try:
                yield Turn(connection, at, row.last_token)
            except RefusedError:
                # Refusals come before the turn's first write.
                self._commit(connection)
                raise

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Give a connection whose writes are there together or not at all."""
        with told(self.name), self.engine.connect() as connection:
            yield connection
            self._commit(connection)

    def close(self) -> None:
        """Let go of the connections."""
        self.engine.dispose()

    def _commit(self, connection: Connection) -> None:
        with told(self.name, committing=True):
            connection.commit()
