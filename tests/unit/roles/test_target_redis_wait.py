"""How long a Redis that starts is waited for: as long as it gets on with loading its data, and as its own health check takes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from controlplane_target import compose, path_downtime, redis_anew, redis_aof, redis_wait, services, starting
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.redis_client import LoadingError, LoginError
from controlplane_target.state import Home, Run

from tests.unit.roles.test_target_redis_kept import PERSISTED

STACK: dict[str, Any] = {"project": "p", "directory": "/p", "service": "cache", "files": [], "environment_files": [], "made_from": ""}


class Clock:
    """A host's clocks, which only the test moves; `boot` is this boot's identity."""

    def __init__(self) -> None:
        self.at, self.boot = 1_000_000.0, "b1"

    def now(self) -> dict[str, Any]:
        return {"boot_id": self.boot, "boot_s": self.at, "up_s": 5.0, "at": self.at}

    def sleep(self, seconds: float) -> None:
        self.at += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    told = SimpleNamespace(time=lambda: made.at, monotonic=lambda: made.at, sleep=made.sleep)
    monkeypatch.setattr(redis_wait, "time", told)
    monkeypatch.setattr(starting, "time", told)
    monkeypatch.setattr(redis_wait, "state", SimpleNamespace(boot_id=lambda: made.boot, epoch=redis_wait.state.epoch))
    monkeypatch.setattr(path_downtime, "now", made.now)
    return made


class Loading:
    """A Redis that is asked again and again: each answer is what it has loaded, or a fault; the last one stays."""

    def __init__(self, *answers: tuple[int, int] | Exception | None) -> None:
        self.answers, self.asked = list(answers), 0

    def server(self) -> Any:
        self.asked += 1
        told = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(told, Exception):
            raise told
        self._told = told
        return SimpleNamespace(redis=self, inspection={"Id": "two"})

    def info(self, section: str) -> dict[str, str]:
        if self._told is None:
            return {"loading": "0"}
        read, keys = self._told
        return {"persistence": {"loading": "1", "loading_loaded_bytes": str(read)}, "keyspace": {"db0": f"keys={keys},expires=0"}}[section]

    def close(self) -> None:
        """Nothing is open."""


def request_of(monkeypatch: pytest.MonkeyPatch, redis: Loading, **more: Any) -> redis_aof.Request:
    monkeypatch.setattr(redis_aof.Request, "server", lambda _request: redis.server())
    return redis_aof.parse({**PERSISTED, **more})


def test_one_that_loads_longer_than_the_limit_is_waited_for_as_long_as_it_gets_on(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    began = clock.at
    steps: list[tuple[int, int] | Exception | None] = [(number // 10, 0) for number in range(5000)]
    assert redis_wait.answering(request_of(monkeypatch, Loading(*steps, None), answer_s=2)).redis is not None
    assert clock.at - began > 400


@pytest.mark.parametrize("told", [(5, 0), (0, 5), LoadingError("LOADING Redis is loading the dataset in memory", (5, 0))])
def test_one_that_loads_nothing_more_is_a_fault(monkeypatch: pytest.MonkeyPatch, clock: Clock, told: Any) -> None:
    began = clock.at
    with pytest.raises(FailedFault, match=r"cache does not answer for 2 s: it still loads its data, and has got no further than . bytes and . keys"):
        redis_wait.answering(request_of(monkeypatch, Loading(told), answer_s=2))
    assert 2 < clock.at - began < 3


def test_one_that_falls_over_at_the_same_place_again_and_again_gets_on_with_nothing(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    begun: list[tuple[int, int] | Exception | None] = [(number % 10, 9 - number % 10) for number in range(1000)]
    with pytest.raises(FailedFault, match="does not answer for 2 s"):
        redis_wait.answering(request_of(monkeypatch, Loading(*begun, None), answer_s=2))
    assert clock.at < 1_000_010


@pytest.mark.parametrize("fault", [RefusedFault("it does not run"), FailedFault("refused"), OSError("gone")])
def test_one_that_says_nothing_is_given_the_limit(monkeypatch: pytest.MonkeyPatch, clock: Clock, fault: Exception) -> None:
    with pytest.raises(FailedFault, match=f"cache does not answer for 2 s: {fault}. Look at 'docker logs cache'"):
        redis_wait.answering(request_of(monkeypatch, Loading(fault), answer_s=2))
    assert clock.at < 1_000_003


def test_one_that_lets_nobody_in_is_not_asked_again(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    redis = Loading(LoginError("Redis demands a login"))
    with pytest.raises(LoginError):
        redis_wait.answering(request_of(monkeypatch, redis))
    assert (redis.asked, clock.at) == (1, 1_000_000)


# Compose's own patience.


class Docker:
    """Docker's word of the container, and Compose's end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, container: str, missing: list[str]) -> None:
        self.waited: list[float] = []
        self.limits: list[float] = []
        held: dict[str, Any] = {"Id": container, "State": {"Running": True, "Health": {"Status": "unhealthy"}}}

        def make_anew(*_: Any, wait_s: float, **__: Any) -> None:
            self.limits.append(wait_s)
            raise FailedFault("Compose did not bring cache up: container cache is unhealthy")

        def wait(_engine: Any, asked: list[dict[str, Any]], limit_s: float) -> tuple[dict[str, float], list[str]]:
            assert asked == [{"id": container, "name": "cache", "demand": "healthy"}]
            self.waited.append(limit_s)
            return {}, missing

        monkeypatch.setattr(compose, "make_anew", make_anew)
        monkeypatch.setattr(redis_anew, "inspected", lambda _name: held)
        monkeypatch.setattr(services, "wait_for_answers", wait)
        for name in ("install_after", "uninstall_after"):
            monkeypatch.setattr(redis_anew.settle_units, name, lambda *_, **__: None)


@pytest.fixture
def half(tmp_path: Path, clock: Clock) -> Run:
    """Return a run whose container is about to be made anew, with writes held for ten seconds by now."""
    made = Home(tmp_path / "home").run("R1")
    made.write(role="redis_aof", phase="making-anew", stack=STACK, old={"id": "one", "health_s": 300.5}, counts={"0": 3}, keys=None)
    path_downtime.begin(made)
    clock.sleep(10)
    return made


def test_one_that_is_called_unhealthy_while_it_loads_is_waited_for_and_then_has_to_be_healthy(
    half: Run, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    docker = Docker(monkeypatch, container="two", missing=[])
    request = request_of(monkeypatch, Loading(*[(number, 0) for number in range(4000)], None), answer_s=5)
    redis_anew.bring_up(half, half, request)
    # As long as its own check takes, where that is longer than what is asked for.
    assert (docker.limits, docker.waited) == ([301], [301])
    assert half.state["downtime_s"]["cache"] == pytest.approx(410, abs=5)
    assert clock.at > 1_000_400
    # By it a later comparison knows whether what its clients did was all counted.
    assert half.state["made"] == "two"


def test_one_that_stays_unhealthy_is_a_fault_and_so_is_one_that_was_not_made_anew(half: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    told = r"^cache is running \(unhealthy\); Compose did not bring cache up: container cache is unhealthy$"
    Docker(monkeypatch, container="two", missing=["cache is running (unhealthy)"])
    with pytest.raises(FailedFault, match=told):
        redis_anew.bring_up(half, half, request_of(monkeypatch, Loading(None)))
    assert half.state["made"] == "two"
    docker = Docker(monkeypatch, container="one", missing=[])
    with pytest.raises(FailedFault, match=r"^Compose did not bring cache up"):
        redis_anew.bring_up(half, half, request_of(monkeypatch, Loading(None)))
    assert docker.waited == []
