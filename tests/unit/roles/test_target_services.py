"""How long containers that start are waited for: as whoever waits says, and at least as long as their own health checks take."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from controlplane_target import services

SECOND = 1_000_000_000
CHECK = {"Test": ["CMD", "probe"], "Interval": 20 * SECOND, "StartPeriod": 300 * SECOND, "Retries": 4}


class Docker:
    """An engine whose containers become healthy so many seconds after they started; the clock goes on only while somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, healthy_at: dict[str, float], checks: dict[str, Any] | None = None) -> None:
        self.healthy_at, self.checks, self.at, self.unhealthy_at = healthy_at, checks or {}, 0.0, float("inf")
        monkeypatch.setattr(services, "time", SimpleNamespace(time=lambda: self.at, monotonic=lambda: self.at, sleep=self._sleep))

    def _sleep(self, seconds: float) -> None:
        self.at += seconds

    def call(self, method: str, path: str) -> tuple[int, Any]:
        name = path.split("/")[2]
        assert method == "GET"
        health = {"Status": "healthy" if self.at >= self.healthy_at[name] else "unhealthy" if self.at >= self.unhealthy_at else "starting"}
        return 200, {"State": {"Running": True, "Status": "running", "Health": health}, "Config": {"Healthcheck": self.checks.get(name)}}

    def wait(self, limit_s: float, *names: str, demand: str = "healthy") -> tuple[dict[str, float], list[str]]:
        return services.wait_for_answers(self, [{"id": name, "name": name, "demand": demand} for name in names], limit_s)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("check", "seconds"),
    [
        (None, 0.0),
        ({}, 0.0),
        ({"Test": ["NONE"]}, 0.0),
        ({"Test": []}, 0.0),
        (CHECK, 400.0),
        # As Docker has them where none is named.
        ({"Test": ["CMD", "probe"]}, 120.0),
        ({"Test": ["CMD-SHELL", "probe"], "Interval": 0, "Retries": 0, "StartPeriod": 0}, 120.0),
        ({"Test": ["CMD", "probe"], "Interval": SECOND // 2, "Retries": 1}, 1.0),
        # It would be forty minutes.
        ({"Test": ["CMD", "probe"], "Interval": 600 * SECOND}, 900.0),
    ],
)
def test_a_health_check_says_by_itself_how_long_it_takes(check: dict[str, Any] | None, seconds: float) -> None:
    assert services.healthy_within({"Config": {"Healthcheck": check}}) == seconds
    assert services.healthy_within({"Config": {}}) == 0.0


def test_one_whose_own_check_takes_longer_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    docker = Docker(monkeypatch, {"slow": 350.0}, {"slow": CHECK})
    answered, missing = docker.wait(120, "slow")
    assert (missing, answered["slow"]) == ([], pytest.approx(350, abs=1))


@pytest.mark.parametrize(("check", "limit_s", "ends"), [(None, 120, 120), (CHECK, 120, 400), (CHECK, 900, 900), (CHECK, 5, 5)])
def test_what_is_longer_of_both_is_the_limit_and_who_gives_nothing_gives_nothing(
    monkeypatch: pytest.MonkeyPatch, check: dict[str, Any] | None, limit_s: float, ends: float
) -> None:
    docker = Docker(monkeypatch, {"slow": 9999.0}, {"slow": check})
    assert docker.wait(limit_s, "slow") == ({}, [f"slow is running (starting), not healthy, {ends} s after its start"])
    assert docker.at == pytest.approx(ends, abs=1)


@pytest.mark.parametrize(("unhealthy_at", "ends"), [(10, 120), (200, 200)])
def test_one_that_its_check_calls_unhealthy_is_waited_for_no_longer_than_whoever_waits_gives(
    monkeypatch: pytest.MonkeyPatch, unhealthy_at: float, ends: float
) -> None:
    docker = Docker(monkeypatch, {"slow": 9999.0}, {"slow": CHECK})
    docker.unhealthy_at = unhealthy_at
    assert docker.wait(120, "slow") == ({}, [f"slow is running (unhealthy), not healthy, {ends} s after its start"])
    # Within that it may still become healthy.
    docker = Docker(monkeypatch, {"slow": 100.0}, {"slow": CHECK})
    docker.unhealthy_at = 10
    assert docker.wait(120, "slow")[1] == []


def test_the_first_that_is_over_its_own_limit_ends_it_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    docker = Docker(monkeypatch, {"slow": 9999.0, "plain": 9999.0, "up": 0.0}, {"slow": CHECK})
    answered, missing = docker.wait(30, "slow", "plain", "up")
    assert (set(answered), len(missing), docker.at) == ({"up"}, 2, pytest.approx(30, abs=1))


def test_what_a_check_takes_is_nothing_to_one_that_only_has_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    docker = Docker(monkeypatch, {"slow": 9999.0}, {"slow": CHECK})
    assert docker.wait(30, "slow", demand="running") == ({"slow": 0.0}, [])
