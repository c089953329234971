"""A way back whose hold of writes fails: nothing is stopped that would lose data by it, and the next attempt gets there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import path_kept
from controlplane_target.faults import FailedFault
from controlplane_target.path_leg import NEVER, RETURNING
from controlplane_target.path_request import as_json, parse
from controlplane_target.path_return import PathReturn

from tests.unit.roles.test_target_path_edited import ALWAYS, Host

UNWRITTEN = "shop could not write its dump"


class Hold:
    """What the service says while it is held; `fault` is why that can't be, `at_halt` is called once it is."""

    def __init__(self, fault: str = "", *, answers: bool = True, at_halt: Callable[[], None] = lambda: None) -> None:
        self.fault, self.is_answering, self.at_halt, self.taking = fault, answers, at_halt, {"keys": 1}

    @contextmanager
    def held(self, _wait_s: float, begin: Callable[[], None] = lambda: None) -> Iterator[None]:
        begin()
        self.before = self.taking
        if self.fault:
            raise FailedFault(self.fault)
        self.at_halt()
        yield

    def on(self, leg: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(leg.proof, "held", self.held)
        monkeypatch.setattr(leg.proof, "answers", lambda: self.is_answering)
        monkeypatch.setattr(leg.proof, "taken", lambda: self.taking)


def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, kind: str, leg: str) -> Host:
    made = Host(tmp_path, monkeypatch, "starting" if leg == "carry" else "done")
    made.request = parse({"container": "shop", "answer_s": 1, "paths": [{"kind": kind, "data": "/data", "place": str(made.place)}]})
    made.run.write(leg=leg, request=as_json(made.request))
    inspected = made.docker.get
    made.docker.get = lambda *_, **__: inspected("") | {"Config": {"StopTimeout": 1}}
    return made


def stop(made: Host, hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = made.leg(PathReturn)
    hold.on(leg, monkeypatch)
    leg._stop_for_return({"reason": "it failed", "ends_back": "reverted"})


@pytest.mark.parametrize("leg", ["carry", "undo"])
def test_a_redis_that_answers_and_can_not_be_held_is_left_running_and_the_next_attempt_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leg: str
) -> None:
    made = host(tmp_path, monkeypatch, kind="redis", leg=leg)
    with pytest.raises(FailedFault, match=rf"^{UNWRITTEN}\. It was not taken back: shop was left on {made.place}, .*Mend that, then run this again$"):
        stop(made, Hold(UNWRITTEN), monkeypatch)
    assert (made.docker.running, made.docker.policy, "stop" in made.docker.asked) == (True, ALWAYS, False)
    # What was read then proves nothing of a later stop, and no downtime goes on from it.
    assert (made.run.state["stop"], made.run.state["down_since"], made.run.phase) == (None, None, RETURNING if leg == "carry" else "done")
    stop(made, Hold(), monkeypatch)
    assert (made.docker.running, made.docker.policy, made.run.phase) == (False, NEVER, RETURNING)
    assert (made.run.state["old"]["restart"], path_kept.kept(made.run)) == (ALWAYS, {"keys": 1})


@pytest.mark.parametrize(("kind", "answers"), [("redis", False), ("postgres", True), ("files", True)])
def test_what_a_failed_leg_left_without_an_answer_is_stopped_and_not_judged_by_what_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, answers: bool
) -> None:
    made = host(tmp_path, monkeypatch, kind=kind, leg="carry")
    leg = made.leg(PathReturn)
    Hold("it does not answer", answers=answers).on(leg, monkeypatch)
    leg.proof.take(None if kind == "redis" else {"keys": 1})
    leg._stop_for_return({})
    assert (made.docker.running, made.run.phase, made.run.state["stop"], leg.proof.is_taken) == (False, RETURNING, None, False)


@pytest.mark.parametrize("leg", ["carry", "undo"])
def test_a_journal_without_room_for_what_the_data_are_stops_nothing_and_gives_the_policy_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leg: str
) -> None:
    made = host(tmp_path, monkeypatch, kind="redis", leg=leg)
    with monkeypatch.context() as full:

        def keep(*_: Any) -> None:
            raise FailedFault("what the data are before the stop can't be kept")

        full.setattr(path_kept, "keep", keep)
        with pytest.raises(FailedFault, match=r"can't be kept\. It was not taken back: shop was left on"):
            stop(made, Hold(), monkeypatch)
    assert (made.docker.running, made.docker.policy, made.run.phase, made.run.state["stop"]) == (True, ALWAYS, RETURNING, None)
    stop(made, Hold(), monkeypatch)
    assert (made.docker.running, made.run.state["old"]["restart"], path_kept.kept(made.run)) == (False, ALWAYS, {"keys": 1})


def test_a_service_whose_stop_fails_within_the_hold_keeps_its_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = host(tmp_path, monkeypatch, kind="redis", leg="undo")
    call = made.docker.call
    made.docker.call = lambda method, target, **more: (500, {"message": "busy"}) if "/stop" in target else call(method, target, **more)
    with pytest.raises(FailedFault, match=r"^shop can't be stopped: busy\. It was not taken back"):
        stop(made, Hold(), monkeypatch)
    assert (made.docker.running, made.docker.policy, made.docker.asked) == (True, ALWAYS, ["update", "update"])


def test_one_that_stopped_although_docker_failed_is_gone_on_with_by_what_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = host(tmp_path, monkeypatch, kind="redis", leg="undo")
    call = made.docker.call

    def stops_and_fails(method: str, target: str, **more: Any) -> tuple[int, Any]:
        said = call(method, target, **more)
        return (500, {"message": "busy"}) if "/stop" in target else said

    made.docker.call = stops_and_fails
    with pytest.raises(FailedFault, match=r"^shop can't be stopped: busy$"):
        stop(made, Hold(), monkeypatch)
    assert (made.docker.running, made.run.phase) == (False, RETURNING)
    stop(made, Hold(), monkeypatch)
    assert path_kept.kept(made.run) == {"keys": 1}
