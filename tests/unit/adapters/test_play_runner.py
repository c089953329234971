"""How one step's play ended, in the words of the port."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from controlplane.adapters import play_runner
from controlplane.adapters.play_runner import StepRunner
from controlplane.adapters.runner import RunResult
from controlplane.domain.inventory import InventoryHost
from controlplane.ports import StepResult

HOST = InventoryHost(name="mint-data", variables={"ansible_host": "10.0.0.1"})


def _ended(**other: Any) -> RunResult:
    plain: dict[str, Any] = {"outcome": "done", "rc": 0, "unreachable": {}, "failed": {}, "said": ""}
    return RunResult(**(plain | other))


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[StepResult, list[str], dict[str, Any]]]:
    def run(result: RunResult, *events: dict[str, Any]) -> tuple[StepResult, list[str], dict[str, Any]]:
        given: dict[str, Any] = {}
        heard: list[str] = []

        def fake(project: Any, **options: Any) -> RunResult:
            given.update(options, project=project)
            for event in events:
                options["on_event"](event)
            return result

        monkeypatch.setattr(play_runner, "run_playbook", fake)
        told = StepRunner([HOST]).run({"site.yml": b"[]"}, key="KEY", host="mint-data", playbook="site.yml", progress=heard.append)
        return told, heard, given

    return run


@pytest.mark.parametrize(
    ("ended", "status", "message"),
    [
        (_ended(), "done", ""),
        (_ended(outcome="interrupted"), "interrupted", "interrupted; what ran was stopped first."),
        (_ended(outcome="interrupted", left_running=True), "interrupted", "Something of it could not be ended: look for ansible-playbook"),
        (_ended(outcome="failed", rc=4, unreachable={"mint-data": "reset"}), "unreachable", "reset"),
        (_ended(outcome="failed", rc=2, failed={"mint-data": "a task: no"}), "failed", "a task: no"),
        (_ended(outcome="failed", rc=1, said="the end"), "failed", "the end"),
        (_ended(outcome="failed", rc=1), "failed", "Ansible gave no reason"),
        (_ended(outcome="timeout"), "failed", "it took longer than 24 hours"),
    ],
)
def test_each_end_has_its_status_and_words(play: Any, ended: RunResult, status: str, message: str) -> None:
    told, _, _ = play(ended)

    assert told.status == status
    assert message in told.message


def test_tasks_are_heard_and_a_tools_downtime_is_told(play: Any) -> None:
    start = {"event": "playbook_on_task_start", "event_data": {"name": "change | Move"}}
    tool = {"event": "runner_on_ok", "event_data": {"res": {"stdout": '{"downtime_s": {"engine": 2.5}, "other": 1}'}}}
    noise = [{"event": "runner_on_ok", "event_data": {"res": {"stdout": text}}} for text in ("{", "[1]", "plain", '{"x": 1}')]

    told, heard, given = play(_ended(), start, tool, *noise)

    assert heard == ["  change | Move"]
    assert told.told == {"run": "KEY", "downtime_s": {"engine": 2.5}}
    assert (given["pipelining"], given["forks"]) == (False, 1)


def test_a_step_sees_no_other_host_of_the_site(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bytes] = []

    def fake(_project: Any, *, inventory: bytes, **_options: Any) -> RunResult:
        given.append(inventory)
        return _ended()

    monkeypatch.setattr(play_runner, "run_playbook", fake)
    routes = [HOST, InventoryHost(name="other", variables={"ansible_host": "10.0.0.9"})]
    StepRunner(routes).run({"site.yml": b"[]"}, key="KEY", host="mint-data", playbook="site.yml", progress=lambda _: None)

    [inventory] = given
    assert list(json.loads(inventory)["all"]["hosts"]) == ["mint-data"]


def test_what_could_not_be_ended_keeps_the_hosts_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something of the run may still change the host: nothing of ours goes there any more, the lease stays until it expires."""
    plays: list[bytes] = []

    def fake(project: Any, **_options: Any) -> RunResult:
        plays.append(project["site.yml"])
        return _ended(outcome="interrupted", left_running=True)

    monkeypatch.setattr(play_runner, "run_playbook", fake)
    project = {"site.yml": b"[]", "roles/docker_data_root/tasks/main.yml": b"[]"}
    told = StepRunner([HOST]).run(project, key="KEY", host="mint-data", playbook="site.yml", progress=lambda _: None)

    assert plays == [b"[]"]
    assert told.status == "interrupted"
    assert told.message.endswith("Something of it could not be ended: look for ansible-playbook before you go on.")


@pytest.mark.parametrize(
    ("cancelled", "said"),
    [
        (_ended(), "On mint-data: cancelled. Went back: the services run on the old place again."),
        (_ended(outcome="interrupted"), "On mint-data long work may go on by itself: 'systemctl list-units controlplane-*' shows it there."),
    ],
)
def test_an_interrupted_step_stops_what_it_left_working_on_the_host(monkeypatch: pytest.MonkeyPatch, cancelled: RunResult, said: str) -> None:
    plays: list[bytes] = []
    journal = '{"unit": "controlplane-x.service", "outcome": {"message": "cancelled. Went back: the services run on the old place again."}}'

    def fake(project: Any, **options: Any) -> RunResult:
        plays.append(project["site.yml"])
        if len(plays) == 1:
            return _ended(outcome="interrupted")
        options["on_event"]({"event": "runner_on_ok", "event_data": {"res": {"stdout": journal}}})
        return cancelled

    monkeypatch.setattr(play_runner, "run_playbook", fake)
    project = {"site.yml": b"[]", "roles/docker_data_root/tasks/main.yml": b"[]"}
    told = StepRunner([HOST]).run(project, key="KEY", host="mint-data", playbook="site.yml", progress=lambda _: None)

    assert (told.status, told.message) == ("interrupted", f"interrupted; what ran was stopped first. {said}")
    assert b"/var/lib/controlplane/KEY/controlplane_target" in plays[1]
    assert b"systemctl" in plays[1]
