"""A way back that was killed while its service stopped: Docker goes on with that, and who goes on after it waits for the end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import path_kept
from controlplane_target.faults import FailedFault
from controlplane_target.path_leg import NEVER, RETURNING
from controlplane_target.path_return import PathReturn

from tests.unit.roles.test_target_path_edited import ALWAYS, Docker, Host
from tests.unit.roles.test_target_path_unheld import Hold, host, stop

SILENT = "shop does not answer on its port"


class Killed(BaseException):
    """The process is gone: nobody catches that."""


class Ending(Docker):
    """An engine whose container takes its time to end: who waits for its first stop is killed. Started meanwhile it runs by its word, and is gone."""

    is_ending = False

    def call(self, method: str, target: str, **more: Any) -> tuple[int, Any]:
        told = super().call(method, target, **more)
        if method == "POST" and "/stop" in target and not self.is_ending:
            self.running = self.is_ending = True
            raise Killed
        if method == "POST" and "/start" in target and self.is_ending:
            self.running = told[0] != 304
        return told


def cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, kind: str, leg: str) -> Host:
    """Return a host whose way back was killed right after its service was told to end."""
    made = host(tmp_path, monkeypatch, kind=kind, leg=leg)
    made.docker = Ending(made.place)
    inspected = made.docker.get
    made.docker.get = lambda *_, **__: inspected("") | {"Config": {"StopTimeout": 1}}
    with pytest.raises(Killed):
        stop(made, Hold(), monkeypatch)
    assert (made.docker.running, made.docker.policy, made.run.phase, path_kept.kept(made.run)) == (True, NEVER, RETURNING, {"keys": 1})
    return made


@pytest.mark.parametrize("why", ["the file was edited", "the old disk is gone"])
@pytest.mark.parametrize("leg", ["carry", "undo"])
@pytest.mark.parametrize("kind", ["redis", "files"])
def test_one_that_can_not_go_back_any_more_is_down_before_it_is_started_on_its_new_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, leg: str, why: str
) -> None:
    made = cut(tmp_path, monkeypatch, kind=kind, leg=leg)
    if why == "the file was edited":
        made.edit()
    else:
        made.unmount(monkeypatch)
    goes_on = made.leg(PathReturn)
    Hold(SILENT, answers=False).on(goes_on, monkeypatch)
    monkeypatch.setattr(goes_on.proof, "answered_at", lambda _: time.time())
    with pytest.raises(FailedFault, match=rf"It was not taken back: shop was left on {made.place}"):
        goes_on.come_back("")
    assert (made.docker.running, made.docker.policy, made.docker.asked) == (True, ALWAYS, ["update", "stop", "stop", "update", "start"])
    assert made.run.phase == ("done" if leg == "undo" else RETURNING)


def test_one_that_was_told_nothing_is_not_stopped_to_be_left_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = host(tmp_path, monkeypatch, kind="files", leg="undo")
    # Its own policy is an off one, and it ran on because it could not be held.
    made.docker.policy = NEVER
    old = {"id": "new", "restart": NEVER, "stop_timeout": 1, "started_at": made.docker.get("")["State"]["StartedAt"]}
    made.run.write(phase=RETURNING, old=old, stop=None, stopped_at=1.0, ends_back="undone")
    made.edit()
    with pytest.raises(FailedFault, match="shop was left on"):
        made.leg(PathReturn).come_back("")
    assert (made.docker.asked, made.docker.running, made.run.phase) == (["update", "start"], True, "done")


@pytest.mark.parametrize(("kind", "answers"), [("redis", False), ("files", None)])
@pytest.mark.parametrize("leg", ["carry", "undo"])
def test_one_that_still_goes_down_is_gone_on_with_by_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leg: str, kind: str, answers: Any
) -> None:
    made = cut(tmp_path, monkeypatch, kind=kind, leg=leg)
    before = made.run.state
    stop(made, Hold(SILENT, answers=answers), monkeypatch)
    assert (made.docker.running, made.docker.policy, made.docker.asked) == (False, NEVER, ["update", "stop", "stop"])
    assert (made.run.phase, made.run.state["old"]["restart"], path_kept.kept(made.run)) == (RETURNING, ALWAYS, {"keys": 1})
    # It is the same stop, and it is down since then.
    assert [made.run.state[key] for key in ("stop", "stopped_at", "down_since")] == [before[key] for key in ("stop", "stopped_at", "down_since")]


def test_one_that_answers_was_told_nothing_and_is_stopped_by_what_it_has_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cut(tmp_path, monkeypatch, kind="redis", leg="undo")
    mark, hold = made.run.state["stop"], Hold()
    hold.taking = {"keys": 2}
    stop(made, hold, monkeypatch)
    assert (made.docker.running, made.run.state["stop"] == mark, path_kept.kept(made.run)) == (False, False, {"keys": 2})


def test_one_that_somebody_started_since_the_kill_is_stopped_by_what_it_has_now_and_known_by_that_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cut(tmp_path, monkeypatch, kind="files", leg="undo")
    inspected = made.docker.get
    state = {**inspected("")["State"], "StartedAt": "2026-01-03T08:00:00Z"}
    made.docker.get = lambda *_, **__: inspected("") | {"State": {**state, "Running": made.docker.running}}
    made.docker.is_ending, hold = False, Hold()
    hold.taking = {"keys": 2}
    with pytest.raises(Killed):
        stop(made, hold, monkeypatch)
    stop(made, Hold(SILENT, answers=False), monkeypatch)
    assert (made.docker.running, made.run.state["old"]["restart"], path_kept.kept(made.run)) == (False, ALWAYS, {"keys": 2})
