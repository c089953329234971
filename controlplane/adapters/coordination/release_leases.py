"""Leases of stacks, in the store. What may be done is decided in domain/releases/lease.py; here it is read and written."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from controlplane.adapters.coordination.database import Database
from controlplane.adapters.coordination.schema import release_leases as leases
from controlplane.domain.coordination import stamp_of
from controlplane.domain.releases.lease import ReleaseHeld, release_lost, release_renewed, release_taken


class ReleaseLeaseTable:
    """Fills the port ReleaseLeases. One row each: what was held before, the receipts say."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take_release(self, stack: str, environment: str, verb: str, *, holder: str, now: datetime, ttl: timedelta) -> ReleaseHeld:
        """Hold a stack in an environment, with a new token. Raises `RefusedError`, naming who holds it."""
        with self._database.writing(now) as turn:
            latest = _latest(turn.connection, stack, environment)
            held = release_taken(latest, stack, environment, verb, holder, token=turn.last_token + 1, at=turn.at, ttl=ttl)
            turn.give(held.token)
            turn.connection.execute(delete(leases).where(_is(stack, environment)))
            turn.connection.execute(insert(leases).values(**held.model_dump()))
        return held

    def renew_release(self, held: ReleaseHeld, *, now: datetime, ttl: timedelta) -> ReleaseHeld:
        """Let it last `ttl` from now on. Raises `RefusedError` where another took it."""
        with self._database.writing(now) as turn:
            renewed = release_renewed(held, _latest(turn.connection, held.stack, held.environment), at=turn.at, ttl=ttl)
            turn.connection.execute(update(leases).where(leases.c.token == held.token).values(expires_at=renewed.expires_at))
        return renewed

    def end_release(self, held: ReleaseHeld, *, now: datetime) -> None:
        """Give it back; what another took meanwhile stays theirs."""
        with self._database.writing(now) as turn:
            if release_lost(held, _latest(turn.connection, held.stack, held.environment)) is None:
                turn.connection.execute(update(leases).where(leases.c.token == held.token).values(ended_at=stamp_of(turn.at)))

    def find_release(self, stack: str, environment: str) -> ReleaseHeld | None:
        """Return the last taking, ended or not."""
        with self._database.reading() as connection:
            return _latest(connection, stack, environment)


def _latest(connection: Connection, stack: str, environment: str) -> ReleaseHeld | None:
    row = connection.execute(select(leases).where(_is(stack, environment))).mappings().first()
    return None if row is None else ReleaseHeld(**row)


def _is(stack: str, environment: str) -> ColumnElement[bool]:
    return and_(leases.c.stack == stack, leases.c.environment == environment)
