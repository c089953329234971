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


class Lives:
    """An engine whose containers have lives: `ending` were told to end, and do after the next look at them; `broken` end at once, with a fault."""

    def __init__(self, *, ending: tuple[str, ...] = (), down: tuple[str, ...] = (), broken: tuple[str, ...] = ()) -> None:
        self.ending, self.down, self.broken = set(ending), {*down, *broken}, set(broken)
        self.signal: str | None = None
        self.life, self.asked = dict.fromkeys(("db", "web"), "1"), list[str]()

    def get(self, _path: str) -> list[dict[str, Any]]:
        return []

    def call(self, method: str, path: str, **_: Any) -> tuple[int, Any]:
        name = path.split("/")[2]
        if name not in self.life:
            return 404, {"message": "no such container"}
        if method == "POST":
            verb = path.split("/")[3].partition("?")[0]
            self.asked.append(f"{verb} {name}")
            if verb == "kill":
                return 204, None
            if verb == "stop":
                self.ending.discard(name)
                self.down.add(name)
            elif name in self.down:
                self.life[name] += "+"
                self.down -= {name} - self.broken
            # Docker says of one that still goes down that it runs, and does nothing.
            return 204, None
        runs = name not in self.down
        state = {"Running": runs, "Status": "running" if runs else "exited", "ExitCode": int(name in self.broken), "StartedAt": self.life[name]}
        if name in self.ending:
            self.ending.discard(name)
            self.down.add(name)
        return 200, {"State": {**state, "Pid": {"db": 7, "web": 8}[name] if runs else 0}, "Config": {"StopSignal": self.signal}}


DB, WEB = ({"id": name, "name": name, "demand": "running", "stop_timeout": 1, "started_at": "1"} for name in ("db", "web"))


@pytest.fixture
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    at = [0.0]
    monkeypatch.setattr(
        services, "time", SimpleNamespace(time=lambda: at[0], monotonic=lambda: at[0], sleep=lambda seconds: at.__setitem__(0, at[0] + seconds))
    )


@pytest.mark.usefixtures("_no_waiting")
def test_one_that_was_told_to_end_before_a_kill_ends_first_and_runs_again() -> None:
    docker: Any = Lives(ending=("db",))
    docker.life["web"] = "2"
    assert services.let_end(docker, [DB, WEB], 1) == []
    assert docker.asked == ["stop db"]
    assert services.start_all(docker, [DB, WEB]) == {}
    assert services.wait_for_answers(docker, [DB, WEB], 5)[1] == []
    assert "db" not in docker.down


@pytest.mark.usefixtures("_no_waiting")
def test_the_end_of_the_life_that_was_stopped_is_no_answer() -> None:
    docker: Any = Lives(down=("db",))
    answered, missing = services.wait_for_answers(docker, [DB, WEB], 5)
    assert (list(answered), len(missing)) == (["web"], 1)
    docker.life["db"] = "2"
    assert services.wait_for_answers(docker, [DB, WEB], 5)[1] == []
    assert services.wait_for_answers(docker, [{key: value for key, value in DB.items() if key != "started_at"}], 5)[1] == []


@pytest.mark.usefixtures("_no_waiting")
def test_who_is_owed_is_started_again_and_all_others_are_left_alone() -> None:
    docker: Any = Lives(down=("db",))
    assert services.start_again(docker, [DB, {**DB, "id": "gone", "name": "gone"}], 5) == []
    assert docker.asked == ["start db"]
    broken: Any = Lives(broken=("db",))
    assert services.start_again(broken, [DB], 5) == ["db is exited (exit code 1), not running, 5 s after its start"]
    assert services.start_again(broken, [], 5) == []


@pytest.mark.usefixtures("_no_waiting")
def test_one_that_does_not_end_is_named_and_so_is_one_that_does_not_start() -> None:
    docker: Any = Lives()
    call = docker.call

    def stuck(method: str, path: str, **more: Any) -> tuple[int, Any]:
        return (500, {"message": "did not receive an exit event"}) if method == "POST" else call(method, path, **more)

    docker.call = stuck
    assert services.let_end(docker, [DB, WEB], 1) == ["db", "web"]
    assert services.start_again(docker, [DB], 5) == ["db was told to end, did not, and may end yet"]
    docker.life["db"] = "2"
    assert services.start_again(docker, [DB], 5) == ["db does not start: did not receive an exit event"]
    # Nothing is demanded of one that was unhealthy before; but it ran.
    down: Any = Lives(down=("db",))
    down.life["web"] = "2"
    assert services.silent(down, [{**DB, "demand": "nothing"}, WEB]) == {"db": "db is exited (exit code 0)"}
    assert list(services.silent(down, [DB, {**WEB, "started_at": "2"}])) == ["db", "web"]


def test_only_one_that_docker_does_not_know_is_absent() -> None:
    docker: Any = Lives()
    docker.call = lambda *_, **__: (500, {"message": "busy"})
    assert services.silent(docker, [DB]) == {"db": "db is unknown (500) (exit code 1)"}
    docker.call = lambda *_, **__: (404, {"message": "no such container"})
    assert services.silent(docker, [DB]) == {}


def test_a_leg_back_knows_the_lives_that_it_stops() -> None:
    docker: Any = Lives()
    docker.life["db"] = "7"
    assert [held["started_at"] for held in services.as_they_live(docker, [DB, WEB])] == ["7", "1"]
    docker.call = lambda *_, **__: (_ for _ in ()).throw(OSError("no socket"))
    assert services.as_they_live(docker, [DB]) == [DB]


@pytest.mark.parametrize(("signal", "is_asked"), [(None, True), ("", True), ("SIGTERM", True), ("SIGINT", False), ("SIGQUIT", False)])
def test_a_postgresql_ends_its_sessions_before_docker_tells_it_to_end(monkeypatch: pytest.MonkeyPatch, signal: str | None, *, is_asked: bool) -> None:
    """At SIGTERM it waits for each client as long as Docker lets it, and all others stand still as long."""
    docker: Any = Lives()
    docker.signal = signal
    monkeypatch.setattr(services, "_program_of", {7: "postgres", 8: "node", 0: "", None: ""}.__getitem__)
    assert services.stop_all(docker, [DB, WEB], 1) == []
    asked = sorted(docker.asked)
    assert asked == (["kill db"] if is_asked else []) + ["stop db", "stop web"]
    assert not is_asked or docker.asked.index("kill db") < docker.asked.index("stop db")


def test_a_process_that_is_gone_has_no_name() -> None:
    assert (services._program_of(None), services._program_of(2**22 + 1)) == ("", "")
    assert services._program_of(1) != ""


def test_who_can_not_be_asked_what_it_is_is_stopped_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: Any) -> None:
        raise TimeoutError

    docker: Any = Lives()
    monkeypatch.setattr(services, "_end_sessions", slow)
    assert services.stop_all(docker, [DB, WEB], 1) == []
    assert sorted(docker.asked) == ["stop db", "stop web"]
