"""The store of coordination in memory; it passes the tests that both engines pass."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from controlplane.domain.coordination import GateRun, WaveHeld, stamp_of
from controlplane.domain.coordination_rules import renewed, site_time, taken, written
from controlplane.domain.errors import RefusedError
from controlplane.domain.releases.lease import ReleaseHeld, release_lost, release_renewed, release_taken
from tests.fakes.interruption import Interruption


class FakeCoordination:
    """Fills WaveStore, ReleaseLeases, GateRunStore and SiteTime; `attempts` are in the order in which they were opened."""

    def __init__(self, world: Interruption | None = None) -> None:
        self.world = world or Interruption()
        self.attempts: list[WaveHeld] = []
        self.releases: dict[tuple[str, str], ReleaseHeld] = {}
        self.runs: list[GateRun] = []
        self.seen: str | None = None
        self.token = 0

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
        self.world.touch("take wave")
        at, latest = self._see(now), self.find(wave)
        other = next((one for one in self.attempts if one.mutating and one.ended_at is None and one.wave != wave), None)
        asked = {"state": state, "mutating": mutating, "holder": holder, "record": record}
        held = taken(wave, latest, other, **asked, token=self.token + 1, at=at, ttl=ttl, knows=knows, anew=anew)
        self.token += 1
        if latest is None or latest.ended_at is not None:
            self.attempts.append(held)
        else:
            self._put(latest, held)
        self.world.touch("wave taken")
        return held

    def renew(self, held: WaveHeld, *, now: datetime, ttl: timedelta) -> WaveHeld:
        self.world.touch("renew lease")
        at, latest = self._see(now), self.find(held.wave)
        return self._put(latest, renewed(held, latest, at=at, ttl=ttl))

    def write(self, held: WaveHeld, *, state: str, record: dict[str, Any], now: datetime, ended: bool = False) -> WaveHeld:
        self.world.touch(f"write wave {state}")
        at, latest = self._see(now), self.find(held.wave)
        wrote = self._put(latest, written(held, latest, state=state, record=record, at=at, ended=ended))
        self.world.touch(f"wave {state} written")
        return wrote

    def find(self, wave: str) -> WaveHeld | None:
        return next((one for one in reversed(self.attempts) if one.wave == wave), None)

    def waves(self) -> tuple[WaveHeld, ...]:
        return tuple(one for one in self.attempts if one is self.find(one.wave))

    def history(self, wave: str) -> tuple[WaveHeld, ...]:
        return tuple(one for one in self.attempts if one.wave == wave)

    def take_release(self, stack: str, environment: str, verb: str, *, holder: str, now: datetime, ttl: timedelta) -> ReleaseHeld:
        self.world.touch("take release")
        at, latest = self._see(now), self.find_release(stack, environment)
        held = release_taken(latest, stack, environment, verb, holder, token=self.token + 1, at=at, ttl=ttl)
        self.token += 1
        self.releases[stack, environment] = held
        self.world.touch("release taken")
        return held

    def renew_release(self, held: ReleaseHeld, *, now: datetime, ttl: timedelta) -> ReleaseHeld:
        self.world.touch("renew release")
        at, place = self._see(now), (held.stack, held.environment)
        self.releases[place] = release_renewed(held, self.find_release(*place), at=at, ttl=ttl)
        return self.releases[place]

    def end_release(self, held: ReleaseHeld, *, now: datetime) -> None:
        self.world.touch("end release")
        at, latest = self._see(now), self.find_release(held.stack, held.environment)
        if latest is not None and release_lost(held, latest) is None:
            self.releases[held.stack, held.environment] = latest.model_copy(update={"ended_at": stamp_of(at)})

    def find_release(self, stack: str, environment: str) -> ReleaseHeld | None:
        return self.releases.get((stack, environment))

    def add_run(self, run: GateRun, *, now: datetime) -> None:
        self.world.touch("add gate run")
        self._see(now)
        twin = next((one for one in self.runs if one.run == run.run), None)
        if twin is not None:
            raise RefusedError(
                f"gate run {run.run} is on record already, of {twin.at}, and is not replaced. Nothing was changed. Run the gates again."
            )
        self.runs.append(run)

    def runs_of(self, check: str, host: str, *, limit: int = 50) -> tuple[GateRun, ...]:
        its = {run.run: tuple(one for one in run.results if (one.check, one.host) == (check, host)) for run in self.runs}
        return tuple(run.model_copy(update={"results": its[run.run]}) for run in self._newest() if its[run.run])[:limit]

    def latest_runs(self, pack: str, limit: int = 50) -> tuple[GateRun, ...]:
        return tuple(run for run in self._newest() if run.pack == pack)[:limit]

    def assert_time(self, now: datetime) -> None:
        self._see(now)

    def compare_time(self, now: datetime) -> None:
        site_time(now, self.seen)

    def reset_time(self, now: datetime) -> None:
        self.seen = until = stamp_of(now)
        ended = {"expires_at": until}
        self.attempts = [one.model_copy(update=ended) if one.ended_at is None and one.expires_at > until else one for one in self.attempts]
        self.releases |= {
            place: one.model_copy(update=ended) for place, one in self.releases.items() if one.ended_at is None and one.expires_at > until
        }

    def _see(self, now: datetime) -> datetime:
        at = site_time(now, self.seen)
        self.seen = stamp_of(at)
        return at

    def _newest(self) -> list[GateRun]:
        in_turn = sorted(enumerate(self.runs), key=lambda one: (one[1].at, one[0]), reverse=True)
        return [run for _, run in in_turn]

    def _put(self, latest: WaveHeld | None, held: WaveHeld) -> WaveHeld:
        self.attempts = [held if one is latest else one for one in self.attempts]
        return held
