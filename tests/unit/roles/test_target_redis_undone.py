"""What is told of a Redis' way back is its own: what it cost, how its keys fared and what it forgot, and nothing of the way there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from controlplane_target import compose, compose_replacing, redis_anew, redis_aof, redis_dump, redis_gone, redis_persist
from controlplane_target.faults import FailedFault
from controlplane_target.state import Home, Run

from tests.unit.roles.test_target_redis_wait import STACK

ASKED: dict[str, Any] = {"container": "cache", "settings": {"appendonly": "yes"}, "persist": [], "route": "compose", "file": "", "port": 6379}
KEYS = {"before": 3, "equal": 2, "lost": 0, "unknown": 1, "names": ["db0 somebody@example.org"]}
THERE: dict[str, Any] = {"downtime_s": {"cache": 4.0}, "forgotten": {"users": ["ops"]}, "keys": KEYS}


class _Server:
    def __init__(self) -> None:
        self.redis = self

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return the run of a way there; its way back is over once its container runs."""
    monkeypatch.setattr(redis_aof.Request, "server", lambda _request: _Server())
    for module in (redis_aof, redis_gone):
        monkeypatch.setattr(module, "state_of", lambda _name: {"Running": True, "Status": "running", "StartedAt": "2026-01-01T00:00:00Z"})
    monkeypatch.setattr(redis_aof, "_set_back", lambda *_: True)
    for module, name in ((redis_persist, "refuse_back"), (redis_dump, "drop")):
        monkeypatch.setattr(module, name, lambda *_: None)
    return Home(tmp_path / "home").run("R1")


def undone(run: Run, **journal: Any) -> dict[str, Any]:
    run.write(role="redis_aof", **journal)
    answer = redis_aof.undo(run, run, redis_aof.parse(ASKED))
    assert (answer.pop("changed"), run.phase) == (True, "undone")
    return answer


def test_a_way_back_without_a_restart_costs_and_forgets_nothing(run: Run) -> None:
    assert undone(run, phase="done", **THERE) == {"downtime_s": {}}


def test_what_a_way_there_cost_that_was_cut_off_is_told_by_the_way_back(run: Run) -> None:
    told = undone(run, phase="making-anew", **THERE)
    kept = {name: value for name, value in KEYS.items() if name != "names"}
    assert told == {"downtime_s": {"cache": 4.0}, "told": {"container": "cache", "forgotten": {"users": ["ops"]}, "keys": kept}}


def test_where_the_newest_data_of_one_that_is_gone_lie_is_said_once_and_stays(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever goes on with the run finds no guard any more, and would say it anew without the place."""
    monkeypatch.setattr(redis_gone.settle_units, "uninstall_after", lambda _key: None)
    doubts: list[str] = []
    monkeypatch.setattr(redis_gone.redis_guard, "doubt", lambda _journal, said: doubts.append(said))
    request = redis_aof.parse(ASKED)
    run.write(role="redis_aof", phase="making-anew", guard={"manifest": "/mnt/data/redis/appendonlydir/appendonly.aof.manifest"})
    said = redis_gone.forsake(run, request)
    assert "/mnt/data/redis/appendonlydir" in said
    assert (redis_gone.forsake(run, request), run.state["forsaken"], len(doubts)) == (said, said, 1)
    # Kept down once more, it may have gone elsewhere.
    run.write(guard={"manifest": "/mnt/data/other/appendonlydir/appendonly.aof.manifest"})
    assert "/mnt/data/other" in redis_gone.forsake(run, request)


def test_keys_that_nobody_compared_are_told_as_not_proven(run: Run) -> None:
    told = undone(run, phase="undoing", downtime_s={"cache": 4.0}, keys=None)["told"]
    assert told["keys"] == {"not_proven": ["all of it: the way back was cut off before its keys were compared"]}


def test_a_container_that_a_cut_off_compose_left_beside_the_old_one_is_gone_after_a_way_back(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every later plan at that service would be refused for it."""
    did: list[Any] = []
    monkeypatch.setattr(compose, "await_unit", did.append)
    monkeypatch.setattr(compose_replacing, "settle", lambda _engine, *words: did.append(words) or ["f5bf63758c55_cache"])
    undone(run, phase="making-anew", stack=STACK, **THERE)
    assert did == [redis_anew._unit(redis_aof.parse(ASKED)), ("p", ["cache"])]


def test_where_that_can_not_be_settled_the_way_back_goes_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise FailedFault("it can't be settled")

    monkeypatch.setattr(compose, "await_unit", lambda _unit: None)
    monkeypatch.setattr(compose_replacing, "settle", fails)
    undone(run, phase="making-anew", stack=STACK, **THERE)
    assert run.phase == "undone"
