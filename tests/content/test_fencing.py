"""What a role changes on a host it changes under the lease that its play took, and asks for right then."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.content.test_roles import MUTATING, load, modules_of, tasks_of
from tests.target_verbs import ASKED_BY_ROLES, ASKED_BY_SHARED_WORK

ROLES = Path(__file__).parents[2] / "roles"
# What decides on the controller, and changes nothing anywhere.
INERT = {f"ansible.builtin.{name}" for name in ("assert", "fail", "debug", "set_fact", "include_tasks", "include_role")}
TOOL = "target_run_tool"
# A hypervisor is changed by modules that speak to libvirt; they are given what runs a command under the lease.
MODULES = {"vm_provision_make", "vm_provision_finish"}
LOOKING_MODULES = {"vm_provision_look", "vm_provision_answer"}
THROUGH_AN_API = "api"

FILES = [path for role in MUTATING for path in sorted((role / "tasks").glob("*.yml")) if not path.stem.startswith(THROUGH_AN_API)]


def _verb(task: dict[str, Any]) -> tuple[str, ...]:
    """Return the first two words of what a task asks the tool; they are plain, whatever follows."""
    words = task[TOOL]["words"]
    return tuple(words[:2]) if isinstance(words, list) else tuple(re.findall(r"'([^']+)'", words)[:2])


def _is_in_order(task: dict[str, Any], module: str) -> bool:
    if module == TOOL:
        return _verb(task) in ASKED_BY_ROLES or task[TOOL].get("changes") is True
    return module in INERT | LOOKING_MODULES or (module in MODULES and task[module].get("fence") == "{{ __vm_provision_hold }}")


def test_there_is_something_to_look_at() -> None:
    assert {path.parents[1].name for path in FILES} == {role.name for role in MUTATING}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parents[1].name}/{path.name}")
def test_whatever_does_not_only_look_is_done_under_the_lease(path: Path) -> None:
    for task in tasks_of(load(path)):
        for module in modules_of(task):
            assert _is_in_order(task, module), f"{task['name']}: {module}"


def test_every_verb_that_only_looks_is_asked_by_some_role() -> None:
    asked = {_verb(task) for path in FILES for task in tasks_of(load(path)) if TOOL in task}
    assert asked >= ASKED_BY_ROLES


@pytest.mark.parametrize("name", ["main", "release"])
def test_the_role_that_takes_the_lease_asks_for_nothing_else(name: str) -> None:
    for task in tasks_of(load(ROLES / f"target_run/tasks/{name}.yml")):
        if TOOL in task:
            words = str(task[TOOL]["words"])
            assert {("lease", word) for word in ("take", "show", "release") if word in words} or "'lease', __target_run_action" in words
            assert set(re.findall(r"ternary\('(\w+)', '(\w+)'\)", str(task.get("vars", {})))) <= {("show", "take")}


def test_the_long_work_that_roles_share_is_started_under_the_lease_and_then_only_waited_for() -> None:
    started, waited, judged = load(ROLES / "target_run/tasks/work.yml")
    assert (started[TOOL]["changes"], "--detach" in started[TOOL]["words"]) == (True, True)
    assert waited[TOOL]["words"][1] == "wait"
    assert modules_of(judged) == ["ansible.builtin.assert"]
    tools = load(ROLES / "target_run/meta/argument_specs.yml")["argument_specs"]["work"]["options"]["target_run_work_tool"]["choices"]
    assert {(tool, "wait") for tool in tools} == ASKED_BY_SHARED_WORK


def test_every_module_that_changes_a_hypervisor_works_under_the_lease() -> None:
    for path in sorted((ROLES / "vm_provision/library").glob("*.py")):
        assert ("fence.unless_dry(module)" in path.read_text()) == (path.stem in MODULES), path.name
