"""Since when a store that was started can be asked, and how long one is waited for that loads its data, whatever Compose thinks of it by then."""

from __future__ import annotations

import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from controlplane_target import compose, path_answer, path_proof, path_return, services, starting
from controlplane_target.faults import FailedFault
from controlplane_target.path_leg import remembered
from controlplane_target.path_proof import Proof
from controlplane_target.path_request import parse
from controlplane_target.postgres_client import PostgresError
from controlplane_target.redis_client import LoadingError, LoginError

from tests.unit.roles.test_target_path_overtaken import Leg

SECOND = 1_000_000_000
# Of 300 s by itself.
CHECK = {"Test": ["CMD", "probe"], "Interval": 30 * SECOND, "StartPeriod": 180 * SECOND, "Retries": 3}
UNHEALTHY = "Compose did not bring db up: container shop is unhealthy"
STARTING = PostgresError("PostgreSQL: the database system is starting up", "57P03")


class Session:
    def close(self) -> None:
        pass


class Engine:
    """One container."""

    def __init__(self, *, running: bool = True) -> None:
        self.running = running

    def call(self, *_: Any, **__: Any) -> tuple[int, Any]:
        return 200, {"State": {"Running": self.running}}


def proof(monkeypatch: pytest.MonkeyPatch, *said: Any, kind: str = "postgres", running: bool = True) -> Proof:
    """Return the proof of a store that says this in turn, and the last of it from then on."""
    request = parse({"container": "db", "answer_s": 1, "paths": [{"kind": kind, "data": "/data", "place": "/mnt/data/db"}]})
    held, left = Proof(Engine(running=running), request), list(said)  # type: ignore[arg-type]

    def asked(*_: Any) -> Any:
        one = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(one, Exception):
            raise one
        return one

    monkeypatch.setattr(held, "_postgres", asked)
    monkeypatch.setattr(held, "_redis", asked)
    return held


def test_its_first_answer_is_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = time.time()
    at = proof(monkeypatch, OSError("no socket"), STARTING, STARTING, Session()).answered_at(30)
    assert at is not None
    assert at >= before + 0.14


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        pytest.param("postgres", PostgresError("PostgreSQL: role does not exist", "28000"), id="it lets nobody in"),
        pytest.param("redis", LoginError("password"), id="its password is on the controller alone"),
        pytest.param("files", FailedFault("never asked"), id="nobody can ask it"),
    ],
)
def test_one_that_tells_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, kind: str, said: Exception) -> None:
    began = time.monotonic()
    assert proof(monkeypatch, said, kind=kind).answered_at(60) is None
    assert time.monotonic() - began < 20


def test_one_that_does_not_run_is_not_waited_for_and_one_that_starts_is_for_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    assert proof(monkeypatch, STARTING, running=False).answered_at(60) is None
    assert time.monotonic() - began < 20
    began = time.monotonic()
    assert proof(monkeypatch, STARTING).answered_at(0.3) is None
    assert time.monotonic() - began >= 0.3


# As long as it gets on.


class Loading:
    """A Redis that is asked again and again, and has loaded so many bytes more each time, up to `most`; with `goal` it is done then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int, *, goal: bool = True, shut: bool = False) -> None:
        self.at, self.got, self.most, self.goal, self.shut = 0.0, 0, most, goal, shut
        clock = SimpleNamespace(time=lambda: self.at, monotonic=lambda: self.at, sleep=self._sleep)
        for module in (path_proof, starting):
            monkeypatch.setattr(module, "time", clock)

    def _sleep(self, seconds: float) -> None:
        self.at += seconds

    def __call__(self) -> Any:
        self.got = min(self.got + 1, self.most)
        if self.shut:
            raise LoadingError("LOADING Redis is loading the dataset in memory", (self.got, 0))
        return SimpleNamespace(redis=self)

    def info(self, section: str) -> dict[str, str]:
        is_done = self.goal and self.got == self.most
        return {"loading": "0" if is_done else "1", "loading_loaded_bytes": str(self.got)} if section == "persistence" else {}

    def close(self) -> None:
        """Nothing is open."""


def test_a_redis_that_loads_longer_than_the_limit_is_waited_for_as_long_as_it_gets_on(monkeypatch: pytest.MonkeyPatch) -> None:
    redis, held = Loading(monkeypatch, 5000), proof(monkeypatch, None, kind="redis")
    monkeypatch.setattr(held, "_redis", redis)
    assert held.answered_at(2) == pytest.approx(250, abs=1)


@pytest.mark.parametrize("shut", [False, True])
def test_one_that_loads_nothing_more_is_not_waited_for_any_longer(monkeypatch: pytest.MonkeyPatch, shut: bool) -> None:
    redis, held = Loading(monkeypatch, 100, goal=False, shut=shut), proof(monkeypatch, None, kind="redis")
    monkeypatch.setattr(held, "_redis", redis)
    assert held.answered_at(2) is None
    assert redis.at == pytest.approx(7, abs=0.2)


# Compose's own patience.


class Late:
    """A leg whose Compose gives up on what it makes, and how long anybody waits for that."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, missing: list[str], **more: Any) -> None:
        self.leg = Leg(tmp_path, monkeypatch, "compared")
        self.leg.docker.held["old"]["Config"] = {"Healthcheck": CHECK}
        self.leg.run.write(old={**self.leg.run.state["old"], "health_s": remembered(self.leg.docker.held["old"])["health_s"]})
        self.limits: list[float] = []

        def make_anew(*_: Any, wait_s: float, **__: Any) -> None:
            self.limits.append(wait_s)
            self.leg._make_anew()
            made = self.leg.docker.held["made"]
            made.update(Config={"Healthcheck": CHECK}, **more.get("inspection", {}))
            made["State"] |= {"Status": "running", "Health": {"Status": "unhealthy"}, **more.get("state", {})}
            raise FailedFault(UNHEALTHY)

        def wait(_engine: Any, asked: list[dict[str, Any]], limit_s: float) -> tuple[dict[str, float], list[str]]:
            [one] = asked
            assert (one["id"], one["name"], one["demand"]) == ("made", "shop", "healthy")
            assert one["within_s"] == limit_s == pytest.approx(300, abs=2)
            self.limits.append(round(limit_s))
            return ({} if missing else {"shop": 2.0}), missing

        monkeypatch.setattr(compose, "make_anew", make_anew)
        monkeypatch.setattr(services, "wait_for_answers", wait)


def test_one_that_is_called_unhealthy_while_it_loads_is_waited_for_as_long_as_its_own_check_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Late(tmp_path, monkeypatch, missing=[])
    late.leg.goes_on()
    assert (late.leg.run.phase, late.leg.run.state["complaint"], late.leg.made) == ("done", "", ["anew"])
    # It may as well have been a hook of its that failed.
    assert late.leg.run.state["notes"] == [f"Compose gave up on shop, which answered all the same: {UNHEALTHY}"]
    # Both times, and not for the second that is asked for.
    assert late.limits == [300, 300]


def test_one_that_stays_unhealthy_is_carried_back_with_what_compose_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late, told = Late(tmp_path, monkeypatch, missing=["shop is running (unhealthy), not healthy"]), list[str]()
    monkeypatch.setattr(path_return.PathReturn, "come_back", lambda _leg, reason, **_: told.append(reason))
    with pytest.raises(FailedFault, match="Went back: shop runs on its old place again"):
        late.leg.goes_on()
    assert told == [f"shop is running (unhealthy), not healthy; {UNHEALTHY}"]


@pytest.mark.parametrize(
    "more",
    [{"state": {"Running": False}}, {"state": {"Restarting": True}}, {"inspection": {"RestartCount": 1}}],
    ids=["it has ended", "it restarts", "it fell over once"],
)
def test_one_that_fell_over_is_carried_back_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]) -> None:
    late, told = Late(tmp_path, monkeypatch, missing=[], **more), list[str]()
    monkeypatch.setattr(path_return.PathReturn, "come_back", lambda _leg, reason, **_: told.append(reason))
    with pytest.raises(FailedFault, match="Went back"):
        late.leg.goes_on()
    assert (told, late.limits) == ([UNHEALTHY], [300])


@pytest.mark.parametrize(("old", "held"), [("one", None), (None, {"Id": "two"}), ("one", {"Id": "one"})])
def test_what_was_not_made_anew_is_composes_fault(old: str | None, held: dict[str, Any] | None) -> None:
    def fails() -> None:
        raise FailedFault(UNHEALTHY)

    there = None if held is None else {**held, "State": {"Running": True}}
    with pytest.raises(FailedFault, match=f"^{UNHEALTHY}$"):
        starting.brought_up(fails, lambda: there, old)


def test_going_back_one_that_compose_gives_up_on_is_waited_for_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = Late(tmp_path, monkeypatch, missing=[])
    late.leg.docker.held.clear()
    assert (late.leg.recover(), late.leg.run.phase, late.limits) == ("source", "reverted", [300, 300])


# Whether it stays.


class Falling:
    """A PostgreSQL that lives for so long, and stands for so long in between; the clock goes on only while somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, lives_s: float, away_s: float = 54.0, answers_at: float = math.inf) -> None:
        self.at, self.lives_s, self.away_s, self.answers_at = 0.0, lives_s, away_s, answers_at
        clock = SimpleNamespace(time=lambda: self.at, monotonic=lambda: self.at, sleep=self._sleep)
        for module in (path_answer, path_proof, services, starting):
            monkeypatch.setattr(module, "time", clock)
        engine: Any = self
        self.proof = Proof(
            engine, parse({"container": "db", "answer_s": 120, "paths": [{"kind": "postgres", "data": "/data", "place": "/mnt/data/db"}]})
        )
        monkeypatch.setattr(self.proof, "_postgres", self._asked)

    def _sleep(self, seconds: float) -> None:
        self.at += seconds

    def _asked(self, *_: Any) -> Any:
        if self.at % (self.lives_s + self.away_s) < self.lives_s and self.at >= self.answers_at:
            return Session()
        raise OSError("no socket")

    def inspection(self) -> dict[str, Any]:
        fell, into = divmod(self.at, self.lives_s + self.away_s)
        state = {"Running": True, "Restarting": into >= self.lives_s, "Status": "running", "StartedAt": f"life {fell:.0f}", "ExitCode": 0}
        return {"Id": "made", "Config": {}, "State": state, "RestartCount": int(fell)}

    def call(self, *_: Any, **__: Any) -> tuple[int, Any]:
        return 200, self.inspection()

    def awaited(self) -> list[str]:
        return path_answer.awaited(self.proof, self.inspection, is_redis=False)[1]


def test_a_store_that_falls_over_again_and_again_does_not_answer_whenever_it_is_found_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never could be asked, and one that lets itself be asked in a later life."""
    for answers_at in (math.inf, 60.0):
        store = Falling(monkeypatch, lives_s=5.0, answers_at=answers_at)
        assert store.awaited() == ["db runs, but it fell over while it was waited for, and was started again"]


def test_a_store_that_runs_and_can_not_be_asked_in_all_that_time_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Falling(monkeypatch, lives_s=math.inf)
    assert store.awaited() == ["db runs, but does not let itself be asked for its data"]
    # In one wait, for the store and for Docker's word.
    assert store.at == pytest.approx(120, abs=3)


def test_a_store_that_stays_answers_and_so_does_one_that_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Falling(monkeypatch, lives_s=math.inf, answers_at=100.0).awaited() == []
    store = Falling(monkeypatch, lives_s=math.inf)
    monkeypatch.setattr(store.proof, "_looked", lambda: (None, (0, 0)))
    assert store.awaited() == []


def test_a_silent_store_with_a_health_check_costs_one_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Falling(monkeypatch, lives_s=math.inf)
    whole = store.inspection

    def inspection() -> dict[str, Any]:
        held = whole()
        return {**held, "Config": {"Healthcheck": CHECK}, "State": {**held["State"], "Health": {"Status": "unhealthy"}}}

    monkeypatch.setattr(store, "inspection", inspection)
    assert store.awaited() == ["db is running (unhealthy), not healthy, 300 s after its start"]
    assert store.at == pytest.approx(300, abs=3)


def test_one_that_fell_over_once_it_was_made_is_carried_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg, told = Leg(tmp_path, monkeypatch, "compared"), list[str]()

    def wait(*_: Any) -> tuple[dict[str, float], list[str]]:
        leg.docker.held["made"]["RestartCount"] = 1
        return {"shop": time.time()}, []

    monkeypatch.setattr(services, "wait_for_answers", wait)
    monkeypatch.setattr(path_return.PathReturn, "come_back", lambda _leg, reason, **_: told.append(reason))
    with pytest.raises(FailedFault, match="Went back"):
        leg.goes_on()
    assert told == ["shop runs, but it fell over while it was waited for, and was started again"]
