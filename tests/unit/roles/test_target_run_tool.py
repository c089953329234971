"""One verb on the target: what it is told, what comes of its answer, and what a dry run asks for."""

from __future__ import annotations

import json
import shlex
import zlib
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.roles.loading import action

tool = action("target_run", "target_run_tool")
TOOL = {"command": ["python3", "/run/tool"], "run": "R1", "claim": ["--holder", "ann@desk", "--token", "7"]}
CLAIM = "--run R1 --holder ann@desk --token 7"


class _Action(tool.ActionModule):  # type: ignore[misc, name-defined] # loaded by its path
    """The action with a target that says what it is told to."""

    def __init__(self, arguments: dict[str, Any], said: dict[str, Any], *, check: bool, diff: bool, **connection_is: Any) -> None:
        set_option = lambda name, value: self.options.update({name: value})  # noqa: E731 - as the connection's own
        is_ssh = {"has_pipelining": True, "transport": "ssh", "become": None, "set_option": set_option, "_shell": SimpleNamespace(tmpdir=None)}
        connection = SimpleNamespace(**{**is_ssh, **connection_is})
        self.options: dict[str, Any] = {}
        task = SimpleNamespace(args=arguments, check_mode=check, diff=diff, async_val=0, action="target_run_tool", no_log=False, environment=None)
        super().__init__(task, connection, SimpleNamespace(), None, None, None)
        self._said = said
        self.asked: list[tuple[str, Any]] = []

    def _low_level_execute_command(self, command: str, *, in_data: bytes) -> dict[str, Any]:
        self.asked.append((command, in_data))
        return {"rc": 0, "stderr": "", **self._said}


def _run(
    arguments: dict[str, Any], *, stdout: str = "{}\n", rc: int = 0, stderr: str = "", check: bool = False, diff: bool = False
) -> tuple[dict[str, Any], str, bytes]:
    made = _Action(arguments, {"stdout": stdout, "rc": rc, "stderr": stderr}, check=check, diff=diff)
    result = made.run(task_vars={"__target_run_tool": TOOL})
    return result, *made.asked[0]


def test_a_verb_that_looks_carries_the_claim_and_what_is_asked_goes_over_standard_input() -> None:
    result, command, told = _run({"words": ["fstab", "look"], "request": {"a": "$(reboot) ü"}}, stdout='{"lacking": ["x"]}\n')
    assert command == f"python3 /run/tool fstab look {CLAIM}"
    assert json.loads(told) == {"a": "$(reboot) ü"}
    assert (result["answer"], result["changed"], result.get("failed", False)) == ({"lacking": ["x"]}, False, False)


@pytest.mark.parametrize(("check", "ends"), [(False, f"{CLAIM} --hold"), (True, "--run R1 --check")])
def test_a_verb_that_changes_holds_the_lease_and_in_a_dry_run_only_shows(check: bool, ends: str) -> None:
    result, command, told = _run({"words": ["fstab", "write"], "changes": True}, stdout='{"changed": true}\n', check=check)
    assert command == f"python3 /run/tool fstab write {ends}"
    assert told == b"\n"
    assert result["changed"] is True


def test_laying_down_and_the_first_verb_are_one_start_of_python() -> None:
    python = ["/usr/bin/python3", "-I", "-S", "-X", "utf8"]
    down = {"program": "pass", "folder": "/var/lib/controlplane/R1", "files": {"a.py": "A = 1"}}
    arguments = {"words": ["lease", "take", "--run", "R1"], "command": [*python, "/var/lib/controlplane/R1/controlplane_target"], "lay_down": down}
    _, command, told = _run(arguments)
    assert shlex.split(command) == [*python, "-c", tool._LAY_DOWN, "lease", "take", "--run", "R1"]
    assert json.loads(zlib.decompress(told)) == down


def test_words_are_data_for_the_shell() -> None:
    _, command, _ = _run({"words": ["rollback", "--of", "a b; reboot"]})
    assert shlex.split(command)[:5] == [*TOOL["command"], "rollback", "--of", "a b; reboot"]


@pytest.mark.parametrize("diff", [True, False])
def test_a_difference_is_shown_only_where_it_is_asked_for(diff: bool) -> None:
    result, _, _ = _run({"words": ["fstab", "write"]}, stdout='{"changed": true, "diff": [{"before": "a"}]}\n', diff=diff)
    assert result.get("diff") == ([{"before": "a"}] if diff else None)
    assert result["answer"] == {"changed": True}


@pytest.mark.parametrize(
    ("stdout", "stderr", "rc", "message"),
    [
        ('{"message": "refused. Nothing was changed."}\n', "refused. Nothing was changed.\n", 4, "refused. Nothing was changed."),
        ("", "python3: can't open file\n", 2, "python3: can't open file"),
        ("Traceback\n", "", 1, "Traceback"),
        ("", "", 0, "the tool ended with 0 and no word"),
        ('{"changed": true, "cut off\n', "", 0, '{"changed": true, "cut off'),
        ("welcome to this host\n", "", 0, "welcome to this host"),
    ],
)
def test_whoever_says_no_or_nothing_fails_the_task_with_his_own_words(stdout: str, stderr: str, rc: int, message: str) -> None:
    result, _, _ = _run({"words": ["fstab", "look"]}, stdout=stdout, stderr=stderr, rc=rc)
    assert (result["failed"], result["changed"], result["msg"], result["rc"]) == (True, False, message, rc)


def test_what_a_profile_prints_around_the_answer_is_passed_over() -> None:
    result, _, _ = _run({"words": ["fstab", "look"]}, stdout='welcome {\n{"a": "1\u2028\u0085"}\n{ bye\n')
    assert result["answer"] == {"a": "1\u2028\u0085"}
    assert not result.get("failed")


def test_a_play_that_took_no_lease_asks_nobody() -> None:
    made = _Action({"words": ["fstab", "write"], "changes": True}, {}, check=False, diff=False)
    result = made.run(task_vars={})
    assert (result["failed"], made.asked) == (True, [])
    assert result["msg"] == "This play took no lease, so it changes nothing. Nothing was changed. Its first role has to be target_run."


@pytest.mark.parametrize(
    ("connection_is", "words"),
    [
        ({"has_pipelining": False, "transport": "paramiko"}, "the connection paramiko takes no input"),
        ({"become": SimpleNamespace(name="su", pipelining=False)}, "the become method su takes no input"),
        ({"become": SimpleNamespace(name="machinectl", require_tty=True)}, "the become method machinectl takes no input"),
    ],
)
def test_what_takes_no_input_is_refused_by_name(connection_is: dict[str, Any], words: str) -> None:
    made = _Action({"words": ["fstab", "look"]}, {}, check=False, diff=False, **connection_is)
    result = made.run(task_vars={"__target_run_tool": TOOL})
    assert (result["failed"], made.asked) == (True, [])
    assert words in result["msg"]
    assert "Nothing was changed." in result["msg"]


def test_on_the_controller_itself_a_password_prompt_does_not_take_the_input_away() -> None:
    made = _Action({"words": ["fstab", "look"]}, {"stdout": "{}\n"}, check=False, diff=False, transport="local")
    made.run(task_vars={"__target_run_tool": TOOL})
    assert made.options == {"pipelining": True}


def test_what_only_the_controller_knows_goes_over_standard_input_for_this_host_alone(tmp_path: Any) -> None:
    known = tmp_path / "known"
    known.write_text(json.dumps({"mint-data": {"cache": {"password": "hidden"}}, "other": {"cache": {"password": "else"}}}))
    for host, told in (("mint-data", {"cache": {"password": "hidden"}}), ("unknown", {})):
        made = _Action({"words": ["redis", "refuse"], "request": {"a": 1}, "told": str(known)}, {"stdout": "{}\n"}, check=False, diff=False)
        result = made.run(task_vars={"__target_run_tool": TOOL, "inventory_hostname": host})
        [(command, asked)] = made.asked
        assert json.loads(asked) == {"a": 1, "told": told}
        assert "hidden" not in command + str(result)
    _, _, asked = _run({"words": ["redis", "refuse"], "request": {"a": 1}, "told": ""})
    assert json.loads(asked) == {"a": 1}
