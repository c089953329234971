"""What a kill leaves of a service's stop is brought to an end: a server on its way down counts neither as running nor as started."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import compose, path_layer, path_move, path_stack, settle_units
from controlplane_target.cancel import Cancel
from controlplane_target.faults import FailedFault
from controlplane_target.path_move import PathMove
from controlplane_target.path_proof import Proof
from controlplane_target.path_request import as_json, parse
from controlplane_target.state import Home, Run

pytestmark = pytest.mark.slow

UNLESS_STOPPED = {"Name": "unless-stopped", "MaximumRetryCount": 0}
NO = {"Name": "no", "MaximumRetryCount": 0}


class Docker:
    """An engine with one container. One that was told to end does so once it was looked at a few times, and only then can it be started."""

    path = "/run/docker.sock"

    def __init__(self, *, policy: dict[str, Any], ending: bool) -> None:
        self.policy, self.running, self.looks_left = policy, True, 1 if ending else None
        self.asked: list[str] = []

    def call(self, method: str, target: str, *, body: Any = None, **_: Any) -> tuple[int, Any]:
        what = target.rpartition("/")[2].partition("?")[0]
        if method == "GET":
            return 200, self._inspection()
        self.asked.append(what)
        if what == "start":
            was, self.running = self.running, True
            return (304 if was else 204), None
        if what == "update":
            self.policy = body["RestartPolicy"]
            return 200, {}
        self.looks_left = 1
        if what == "stop":
            self.running, self.looks_left = False, None
        return 204, None

    def summaries(self, *_: str) -> list[Any]:
        return []

    def get(self, _target: str, **_: Any) -> Any:
        return self._inspection()

    def _inspection(self) -> dict[str, Any]:
        if self.looks_left is not None:
            self.looks_left -= 1
            if self.looks_left < 0:
                # Told to end by a signal that is its own to stop by: Docker does not bring it up again.
                self.running, self.looks_left = False, None
        status = "running" if self.running else "exited"
        state = {"Status": status, "Running": self.running, "ExitCode": 0, "Pid": 1 << 30, "StartedAt": "2026-01-02T08:00:00Z"}
        return {"Id": "id", "Name": "/db", "Config": {}, "State": state, "HostConfig": {"RestartPolicy": self.policy}}


def stopping(tmp_path: Path, docker: Docker, monkeypatch: pytest.MonkeyPatch, *, told: bool, kind: str = "postgres") -> tuple[PathMove, Run]:
    """Return the leg of a run that was killed while it stopped its server; `told`: it had got so far as to tell it."""
    request = parse({"container": "db", "answer_s": 1, "paths": [{"kind": kind, "data": "/data", "place": "/mnt/data/db"}]})
    run = Home(tmp_path / "home").run("R1")
    run.folder.mkdir(parents=True, exist_ok=True)
    old = {"id": "id", "name": "db", "restart": UNLESS_STOPPED, "stop_timeout": 1, "started_at": "2026-01-02T08:00:00Z"}
    more = {"stopped_at": 1.0} if told else {}
    ends = {"well": "done", "back": "reverted"}
    run.write(role="persistent_paths", phase="stopping", request=as_json(request), paths=[], trees=[], old=old, ends=ends, leg="forward", **more)
    for module, name in ((compose, "await_unit"), (path_layer, "off"), (path_stack, "put_back"), (settle_units, "uninstall_after")):
        monkeypatch.setattr(module, name, lambda *_: None)
    return path_move.PathMove(run, Cancel(), [], Proof(docker, request)), run  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", [True, False], ids=["on its way down", "not told yet"])
def test_a_server_that_was_told_to_end_before_a_kill_is_down_before_it_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: bool
) -> None:
    docker = Docker(policy=NO, ending=ending)
    leg, run = stopping(tmp_path, docker, monkeypatch, told=True)
    monkeypatch.setattr(leg.proof, "answered_at", lambda _: time.time())
    leg.go_back("interrupted while stopping")
    assert (docker.running, docker.policy, run.phase) == (True, UNLESS_STOPPED, "reverted")
    assert run.state.get("complaint") is None
    assert docker.asked[-2:] == ["start", "update"]


def test_a_server_that_was_told_nothing_is_left_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = Docker(policy=UNLESS_STOPPED, ending=False)
    leg, _ = stopping(tmp_path, docker, monkeypatch, told=False)
    leg.go_back("interrupted while stopping")
    assert docker.asked == ["start", "update"]


@pytest.mark.parametrize("phase", ["stopping", "copied", "switched"])
def test_a_journal_that_has_no_room_keeps_no_service_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    docker = Docker(policy=NO, ending=False)
    docker.running = False
    leg, run = stopping(tmp_path, docker, monkeypatch, told=True)
    run.write(phase=phase)

    def full(**_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run, "write", full)
    with pytest.raises(OSError, match="No space left"):
        leg.go_back("the copy differs")
    assert (docker.running, docker.policy, docker.asked) == (True, UNLESS_STOPPED, ["start", "update"])
    # It goes back again once there is room, and is over then.
    monkeypatch.undo()
    leg, run = stopping(tmp_path, docker, monkeypatch, told=True)
    leg.go_back("the copy differs")
    assert (docker.running, run.phase) == (True, "reverted")


def test_a_layer_that_can_not_be_unmounted_keeps_no_service_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = Docker(policy=NO, ending=False)
    docker.running = False
    leg, run = stopping(tmp_path, docker, monkeypatch, told=True)

    def busy(*_: Any) -> None:
        raise FailedFault("/run/controlplane/R1/layer can't be unmounted: target is busy")

    monkeypatch.setattr(path_layer, "off", busy)
    with pytest.raises(FailedFault, match="target is busy"):
        leg.go_back("the copy differs")
    assert (docker.running, docker.policy, run.phase) == (True, UNLESS_STOPPED, "reverting")


class Hold:
    """What a Redis says while it is held; `fault` is why it can't be. It is noted whether it was stopped within."""

    def __init__(self, docker: Docker, *, fault: Exception | None = None, answers: bool = True) -> None:
        self.docker, self.fault, self.is_answering = docker, fault, answers

    @contextmanager
    def held(self, _wait_s: float) -> Iterator[None]:
        self.docker.asked.append("hold")
        if self.fault is not None:
            raise self.fault
        yield
        self.docker.asked.append("let go")

    def looked(self) -> tuple[bool, tuple[int, int]]:
        return self.is_answering, (0, 0)


@pytest.mark.parametrize(
    ("kind", "fault", "answers", "asked"),
    [
        ("redis", None, True, ["hold", "stop", "let go", "start", "update"]),
        ("redis", FailedFault("db does not answer on its port"), False, ["hold", "stop", "start", "update"]),
        ("files", None, True, ["stop", "start", "update"]),
    ],
    ids=["a Redis that serves", "a Redis on its way down", "whatever has no dump"],
)
def test_a_redis_that_still_serves_is_stopped_with_its_dump_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, fault: Exception | None, answers: bool, asked: list[str]
) -> None:
    docker = Docker(policy=NO, ending=False)
    leg, run = stopping(tmp_path, docker, monkeypatch, told=True, kind=kind)
    hold: Any = Hold(docker, fault=fault, answers=answers)
    monkeypatch.setattr(leg.proof, "held", hold.held)
    monkeypatch.setattr(leg.proof, "_looked", hold.looked)
    leg.go_back("interrupted while stopping")
    assert (docker.asked, docker.running, run.phase) == (asked, True, "reverted")


def test_a_redis_that_serves_and_can_not_write_its_dump_is_left_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = Docker(policy=NO, ending=False)
    leg, run = stopping(tmp_path, docker, monkeypatch, told=True, kind="redis")
    hold: Any = Hold(docker, fault=FailedFault("db could not write its dump"))
    monkeypatch.setattr(leg.proof, "held", hold.held)
    monkeypatch.setattr(leg.proof, "_looked", hold.looked)
    with pytest.raises(FailedFault, match="could not write its dump"):
        leg.go_back("interrupted while stopping")
    assert (docker.asked, docker.running, run.phase) == (["hold"], True, "reverting")


def test_a_server_that_an_attempt_before_started_again_is_not_stopped_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = Docker(policy=NO, ending=False)
    leg, run = stopping(tmp_path, docker, monkeypatch, told=True)
    run.write(old={**run.state["old"], "started_at": "2026-01-01T08:00:00Z"})
    leg.go_back("interrupted while stopping")
    assert docker.asked == ["start", "update"]
