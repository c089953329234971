"""The site's time, in the store."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select, update

from controlplane.adapters.coordination.database import Database
from controlplane.adapters.coordination.schema import ledger, release_leases, waves
from controlplane.domain.coordination import stamp_of
from controlplane.domain.coordination_rules import site_time


class TimeTable:
    """Fills the port SiteTime."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def assert_time(self, now: datetime) -> None:
        """Keep `now` if it is later than all before. Raises `RefusedError` where it is more than five minutes earlier."""
        with self._database.writing(now):
            pass

    def compare_time(self, now: datetime) -> None:
        """Keep nothing. Raises `RefusedError` where `now` is more than five minutes earlier than the latest."""
        with self._database.reading() as connection:
            seen = connection.execute(select(ledger.c.seen_at)).scalar_one()
        site_time(now, seen)

    def reset_time(self, now: datetime) -> None:
        """Let the site's time be `now`, also if that is earlier.

        Leases that the wrong clock gave would last until it is that late, so all of them end. Who still works renews.
        """
        with self._database.writing(now, reset=True) as turn:
            until = stamp_of(turn.at)
            for leased in (waves, release_leases):
                turn.connection.execute(update(leased).where(leased.c.ended_at.is_(None), leased.c.expires_at > until).values(expires_at=until))
