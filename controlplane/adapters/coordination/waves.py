"""Waves, in the store. What may be done is decided in domain/coordination_rules.py; here it is read and written."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from controlplane.adapters.coordination.database import Database
from controlplane.adapters.coordination.schema import waves
from controlplane.domain.coordination import WaveHeld
from controlplane.domain.coordination_rules import renewed, taken, written
from controlplane.domain.digest import canonical_json
from controlplane.domain.plain_json import load_plain


class WaveTable:
    """Fills the port WaveStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(
        self,
        wave: str,
        *,
        state: str,
        mutating: bool,
        holder: str,
        record: dict[str, Any],
        now: datetime,
        ttl: timedelta,
        knows: WaveHeld | None = None,
        anew: bool = False,
    ) -> WaveHeld:
        """Open the wave, or take it over from the same holder or where its lease is over, with a new token.

        With `knows`, only if nobody wrote since that reading; with `anew`, only if no attempt goes on. Raises `RefusedError`, naming who holds it,
        or which mutating wave goes on.
        """
        with self._database.writing(now) as turn:
            row = _latest(turn.connection, wave)
            held = taken(
                wave,
                _value(row),
                _value(_mutating(turn.connection, besides=wave)),
                state=state,
                mutating=mutating,
                holder=holder,
                record=record,
                token=turn.last_token + 1,
                at=turn.at,
                ttl=ttl,
                knows=knows,
                anew=anew,
            )
            turn.give(held.token)
            if row is None or row["ended_at"] is not None:
                turn.connection.execute(insert(waves).values(**_columns(held)))
            else:
                turn.connection.execute(update(waves).where(waves.c.id == row["id"]).values(**_columns(held)))
        return held

    def renew(self, held: WaveHeld, *, now: datetime, ttl: timedelta) -> WaveHeld:
        """Let the lease last `ttl` from now on. Raises `RefusedError` where another took over, or somebody else wrote."""
        with self._database.writing(now) as turn:
            row = _latest(turn.connection, held.wave)
            return _replace(turn.connection, row, renewed(held, _value(row), at=turn.at, ttl=ttl))

    def write(self, held: WaveHeld, *, state: str, record: dict[str, Any], now: datetime, ended: bool = False) -> WaveHeld:
        """Write state and record; with `ended` the attempt is over and its lease released. Raises `RefusedError` as `renew` does."""
        with self._database.writing(now) as turn:
            row = _latest(turn.connection, held.wave)
            return _replace(turn.connection, row, written(held, _value(row), state=state, record=record, at=turn.at, ended=ended))

    def find(self, wave: str) -> WaveHeld | None:
        """Return the latest attempt at the wave, ended or not."""
        with self._database.reading() as connection:
            return _value(_latest(connection, wave))

    def waves(self) -> tuple[WaveHeld, ...]:
        """Return the latest attempt at each wave, the one that was opened first first."""
        newest = select(func.max(waves.c.id)).group_by(waves.c.wave)
        with self._database.reading() as connection:
            return tuple(_held(row) for row in connection.execute(select(waves).where(waves.c.id.in_(newest)).order_by(waves.c.id)).mappings())

    def history(self, wave: str) -> tuple[WaveHeld, ...]:
        """Return every attempt at the wave, the first first."""
        with self._database.reading() as connection:
            return tuple(_held(row) for row in connection.execute(select(waves).where(waves.c.wave == wave).order_by(waves.c.id)).mappings())


def _latest(connection: Connection, wave: str) -> RowMapping | None:
    return connection.execute(select(waves).where(waves.c.wave == wave).order_by(waves.c.id.desc()).limit(1)).mappings().first()


def _mutating(connection: Connection, *, besides: str) -> RowMapping | None:
    return connection.execute(select(waves).where(waves.c.mutating, waves.c.ended_at.is_(None), waves.c.wave != besides)).mappings().first()


def _replace(connection: Connection, row: RowMapping | None, held: WaveHeld) -> WaveHeld:
    assert row is not None  # noqa: S101 - what is not there was refused before
    connection.execute(update(waves).where(waves.c.id == row["id"]).values(**_columns(held)))
    return held


def _columns(held: WaveHeld) -> dict[str, Any]:
    return held.model_dump() | {"record": canonical_json(held.record).decode()}


def _held(row: RowMapping) -> WaveHeld:
    columns = dict(row)
    del columns["id"]
    return WaveHeld(**columns | {"record": load_plain(columns["record"])})


def _value(row: RowMapping | None) -> WaveHeld | None:
    return None if row is None else _held(row)
