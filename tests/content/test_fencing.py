"""What a role changes on a host it changes under the lease that its play took, and asks for right then."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.content.test_roles import MUTATING, load, modules_of, tasks_of

# What looks or decides on the controller, and what has a test of its own to look at.
INERT = {f"ansible.builtin.{name}" for name in ("assert", "fail", "debug", "set_fact", "stat", "include_tasks", "include_role", "wait_for")}
LOOKS = {"data_disk_look", "fstab_look", "vm_provision_look", "vm_provision_answer", "target_run_preview"}
LOOKING_VERBS = ("refuse", "prove", "wait")
# They write into the run's own folder alone, in a moment.
RECORDS = {"target_run_way_back", "fstab_record"}
THROUGH_AN_API = "api"

FILES = [path for role in MUTATING for path in sorted((role / "tasks").glob("*.yml")) if not path.stem.startswith(THROUGH_AN_API)]


def _is_under_the_lease(task: dict[str, Any], module: str) -> bool:
    arguments = task[module]
    if module == "ansible.builtin.command":
        return str(arguments["argv"]).startswith("{{ __target_run_hold + ")
    return isinstance(arguments, dict) and arguments.get("fence") == "{{ __target_run_hold }}"


def _looks(task: dict[str, Any], module: str) -> bool:
    """Say whether it changes nothing. Waiting doesn't either, and is told the claim so that it prolongs no other play's lease."""
    if module == "ansible.builtin.command":
        return any(f"['{verb}'," in str(task[module]["argv"]) for verb in LOOKING_VERBS)
    return module in INERT | LOOKS or task.get("when") == "ansible_check_mode"


def test_there_is_something_to_look_at() -> None:
    assert {path.parents[1].name for path in FILES} == {role.name for role in MUTATING}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parents[1].name}/{path.name}")
def test_whatever_does_not_only_look_is_done_under_the_lease(path: Path) -> None:
    for task in tasks_of(load(path)):
        for module in modules_of(task):
            assert _looks(task, module) or _is_under_the_lease(task, module), f"{task['name']}: {module}"


@pytest.mark.parametrize("role", MUTATING, ids=lambda role: role.name)
def test_what_is_pipelined_only_looks_or_writes_a_record(role: Path) -> None:
    """A command that is pipelined outlives its connection, so that Ctrl-C could not stop it."""
    pipelined = []
    for path in sorted((role / "tasks").glob("*.yml")):
        for task in tasks_of(load(path)):
            if "ansible_pipelining" in task.get("vars", {}):
                assert path.name == "main.yml", task["name"]
                pipelined.append(role / "tasks" / task["ansible.builtin.include_tasks"]["file"])
    assert pipelined, role.name
    for path in pipelined:
        for task in tasks_of(load(path)):
            assert all(_looks(task, module) or module in RECORDS for module in modules_of(task)), f"{path.name}: {task['name']}"


@pytest.mark.parametrize("role", MUTATING, ids=lambda role: role.name)
def test_every_module_that_changes_the_host_is_given_the_lease(role: Path) -> None:
    tasks = [task for file in (role / "tasks").glob("*.yml") for task in tasks_of(load(file))]
    own = sorted((role / "library").glob("*.py"))
    for path in (*own, role.parent / "target_run/library/target_run_way_back.py"):
        if "fence.held(module)" in path.read_text():
            told = [task[path.stem] for task in tasks if path.stem in task]
            assert told or path not in own, path.name
            assert all(arguments.get("fence") == "{{ __target_run_hold }}" for arguments in told), path.name


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("roles/target_run/tasks/*.yml")), ids=lambda path: path.name)
def test_the_lease_is_asked_for_and_given_back_with_what_the_play_took(path: Path) -> None:
    for task in tasks_of(load(path)):
        argv = str(task.get("ansible.builtin.command", {}).get("argv", ""))
        if re.search(r"'lease', '(check|release|hold)'", argv):
            assert argv.endswith("+ __target_run_claim }}"), task["name"]
