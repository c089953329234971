"""How one step's play ended, in the words of the port."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters import play_runner
from controlplane.adapters.play_runner import StepRunner
from controlplane.adapters.runner import RunResult
from controlplane.domain.inventory import InventoryHost
from controlplane.ports.plays import StepResult
from tests.fakes.unsafe_yaml import load_unsafe

ROLES = {"site.yml": b"[]", "roles/docker_data_root/tasks/main.yml": b"[]"}
TAKEN = {"event": "runner_on_ok", "event_data": {"res": {"stdout": '{"lease": {"run": "KEY", "holder": "ann@desk", "token": 7}}'}}}
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
        told = StepRunner([HOST], holder="ann@desk").run({"site.yml": b"[]"}, key="KEY", host="mint-data", playbook="site.yml", progress=heard.append)
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
    assert (given.get("only_looks", False), given["forks"]) == (False, 1)


def test_a_dry_run_is_ansible_s_check_mode_and_stops_nothing_on_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bool] = []

    def fake(_project: Any, *, check: bool = False, **_options: Any) -> RunResult:
        given.append(check)
        return _ended(outcome="interrupted")

    monkeypatch.setattr(play_runner, "run_playbook", fake)
    told = StepRunner([HOST], holder="ann@desk").dry_run(ROLES, key="KEY", host="mint-data", playbook="site.yml", progress=lambda _: None)
    assert (given, told.status) == ([True], "interrupted")


def test_a_dry_run_tells_how_a_tool_refused_and_what_it_doubts(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [
        {"event": "runner_on_ok", "event_data": {"res": {"rc": 0, "answer": {"doubts": ["a login"]}}}},
        {"event": "runner_on_failed", "event_data": {"res": {"rc": 4, "answer": {"message": "no"}}}},
    ]

    def fake(_project: Any, *, timeout: float, **options: Any) -> RunResult:
        assert timeout == 900
        for event in events:
            options["on_event"](event)
        return _ended(outcome="failed", rc=2, failed={"mint-data": "refuse: no"})

    monkeypatch.setattr(play_runner, "run_playbook", fake)
    told = StepRunner([HOST], holder="ann@desk").dry_run(ROLES, key="KEY", host="mint-data", playbook="site.yml", progress=lambda _: None)
    assert (told.status, told.told) == ("failed", {"run": "KEY", "doubts": ["a login"], "rc": 4})


def test_who_interrupts_the_stopping_too_is_told_that_work_may_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = iter([_ended(outcome="interrupted")])

    def fake(_project: Any, **_options: Any) -> RunResult:
        try:
            return next(ends)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(play_runner, "run_playbook", fake)
    told = StepRunner([HOST], holder="ann@desk").run(ROLES, key="KEY", host="mint-data", playbook="site.yml", progress=lambda _: None)
    assert (told.status, told.message.startswith("interrupted. On mint-data long work may go on by itself")) == ("interrupted", True)


def test_a_step_sees_no_other_host_of_the_site(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bytes] = []

    def fake(_project: Any, *, inventory: bytes, **_options: Any) -> RunResult:
        given.append(inventory)
        return _ended()

    monkeypatch.setattr(play_runner, "run_playbook", fake)
    routes = [HOST, InventoryHost(name="other", variables={"ansible_host": "10.0.0.9"})]
    StepRunner(routes, holder="ann@desk").run({"site.yml": b"[]"}, key="KEY", host="mint-data", playbook="site.yml", progress=lambda _: None)

    [inventory] = given
    assert list(json.loads(inventory)["all"]["hosts"]) == ["mint-data"]


def test_what_could_not_be_ended_keeps_the_hosts_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something of the run may still change the host: nothing of ours goes there any more, the lease stays until it expires."""
    plays: list[bytes] = []

    def fake(project: Any, **_options: Any) -> RunResult:
        plays.append(project["site.yml"])
        return _ended(outcome="interrupted", left_running=True)

    monkeypatch.setattr(play_runner, "run_playbook", fake)
    told = StepRunner([HOST], holder="ann@desk").run(ROLES, key="KEY", host="mint-data", playbook="site.yml", progress=lambda _: None)

    assert plays == [b"[]"]
    assert told.status == "interrupted"
    assert told.message.endswith("Something of it could not be ended: look for ansible-playbook before you go on.")


@pytest.mark.parametrize(
    ("cancelled", "said"),
    [
        (_ended(), "; what ran was stopped first. On mint-data: cancelled. Went back: the services run on the old place again."),
        (_ended(outcome="interrupted"), ". On mint-data long work may go on by itself: 'systemctl list-units controlplane-*' shows it there."),
    ],
)
def test_an_interrupted_step_stops_what_it_left_working_on_the_host(monkeypatch: pytest.MonkeyPatch, cancelled: RunResult, said: str) -> None:
    plays: list[Mapping[str, bytes]] = []
    journal = '{"unit": "controlplane-x.service", "outcome": {"message": "cancelled. Went back: the services run on the old place again."}}'

    def fake(project: Any, **options: Any) -> RunResult:
        plays.append(project)
        options["on_event"](TAKEN if len(plays) == 1 else {"event": "runner_on_ok", "event_data": {"res": {"stdout": journal}}})
        return _ended(outcome="interrupted") if len(plays) == 1 else cancelled

    monkeypatch.setattr(play_runner, "run_playbook", fake)
    told = StepRunner([HOST], holder="ann@desk").run(ROLES, key="KEY", host="mint-data", playbook="site.yml", progress=lambda _: None)

    assert (told.status, told.message) == ("interrupted", f"interrupted{said}")
    [play] = json.loads(plays[1]["site.yml"])
    _, stop, release, _ = (task["ansible.builtin.command"]["argv"][2:] for task in play["tasks"])
    tool, claim = "/var/lib/controlplane/KEY/controlplane_target", ["--run", "KEY", "--holder", "{{ cancel_holder }}", "--token", "7"]
    assert stop[:-1] == [tool, "lease", "hold", *claim, "--", "systemctl", "stop"]
    assert release == [tool, "lease", "release", *claim]
    assert load_unsafe(plays[1]["vars/cancel.yml"]) == {"cancel_holder": "ann@desk"}


def _cancelled(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> StepResult:
    """Return how a step ends that took the lease and was interrupted, where the tasks of its cancelling say this."""
    plays: list[bytes] = []

    def fake(project: Any, **options: Any) -> RunResult:
        plays.append(project["site.yml"])
        for event in [TAKEN] if len(plays) == 1 else [{"event": "runner_on_ok", "event_data": {"res": {"stdout": text}}} for text in said]:
            options["on_event"](event)
        return _ended(outcome="interrupted") if len(plays) == 1 else _ended()

    monkeypatch.setattr(play_runner, "run_playbook", fake)
    return StepRunner([HOST], holder="ann@desk").run(ROLES, key="KEY", host="mint-data", playbook="site.yml", progress=lambda _: None)


def test_an_interrupted_step_stops_nothing_of_the_controller_that_went_on_with_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = "mint-data is leased to run KEY by bob@lap since 2026-01-01T00:00:00Z; run KEY carries token 7, the host's is 8. Nothing was changed."
    said = [
        json.dumps({"unit": "controlplane-x.service", "outcome": None}),
        json.dumps({"message": refused}),
        '{"released": false}',
        '{"outcome": null}',
    ]
    told = _cancelled(monkeypatch, said)

    assert told.message == f"interrupted; what ran was stopped first. On mint-data: {refused}"


def test_what_goes_on_by_itself_is_not_called_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    said = ['{"unit": null}', '{"released": false, "left": "controlplane-vm-bootstrap.service"}', '{"outcome": null}']
    told = _cancelled(monkeypatch, said)

    assert told.message == (
        "interrupted. On mint-data controlplane-vm-bootstrap.service goes on to its end, and the lease stays until then: "
        "'controlplane lease show mint-data' tells more."
    )


@pytest.mark.parametrize("event", [[], [json.loads(json.dumps(TAKEN).replace("KEY", "OTHER"))]], ids=["nothing taken", "another run's"])
def test_a_step_that_took_no_lease_yet_takes_it_to_stop_what_an_earlier_attempt_left(monkeypatch: pytest.MonkeyPatch, event: list[Any]) -> None:
    plays: list[Any] = []

    def fake(project: Any, **options: Any) -> RunResult:
        plays.append(project)
        for each in event:
            options["on_event"](each)
        return _ended(outcome="interrupted")

    monkeypatch.setattr(play_runner, "run_playbook", fake)
    StepRunner([HOST], holder="ann@desk").run(ROLES, key="KEY", host="mint-data", playbook="site.yml", progress=lambda _: None)

    [play] = json.loads(plays[1]["site.yml"])
    _, take, stop, release, _ = (task["ansible.builtin.command"]["argv"][3:] for task in play["tasks"])
    who = ["--run", "KEY", "--holder", "{{ cancel_holder }}"]
    assert take == ["lease", "take", *who, "--role", "{{ (__cancel_state.stdout | from_json).role }}"]
    assert stop[: stop.index("--")] == ["lease", "hold", *who, "--token", "{{ cancel_token }}"]
    assert release == ["lease", "release", *who, "--token", "{{ cancel_token }}"]


def test_what_only_the_controller_knows_is_a_place_in_memory_and_only_while_the_step_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, Any]] = []

    def fake(project: Any, **options: Any) -> RunResult:
        place = json.loads(options["inventory"])["all"]["hosts"]["mint-data"]["redis_aof_told"]
        seen.append((place, json.loads(Path(place).read_text())))
        assert "hidden" not in str(options["inventory"]) + str(project)
        return _ended()

    monkeypatch.setattr(play_runner, "run_playbook", fake)
    passwords = {"mint-data": {"cache": {"password": "hidden"}}}
    runner = StepRunner([HOST], holder="ann@desk", told=lambda host: passwords.get(host, {}))
    runner.run({"site.yml": b"[]"}, key="KEY", host="mint-data", playbook="site.yml", progress=lambda _: None)

    [(place, told)] = seen
    assert told == passwords
    assert not Path(place).exists()


def test_what_a_role_read_and_measured_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(_project: Any, **options: Any) -> RunResult:
        for answer in ({"downtime_s": {"cache": 1.5}}, {"told": {"before": {"appendonly": "no"}}}):
            options["on_event"]({"event": "runner_on_ok", "event_data": {"res": {"answer": answer}}})
        return _ended()

    monkeypatch.setattr(play_runner, "run_playbook", fake)
    result = StepRunner([HOST], holder="ann@desk").run({"site.yml": b"[]"}, key="KEY", host="mint-data", playbook="site.yml", progress=lambda _: None)
    assert result.told == {"run": "KEY", "downtime_s": {"cache": 1.5}, "told": {"before": {"appendonly": "no"}}}
