"""What a role changes on a host it changes under the lease that its play took, and asks for right then."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.content.test_roles import MUTATING, load, modules_of, tasks_of

# Files whose tasks change the host. `prepare` writes into the run's own folder, by modules that are held to the lease below.
CHANGING = ("change", "rollback", "break_glass", "work")
INERT = {f"ansible.builtin.{name}" for name in ("assert", "fail", "debug", "set_fact", "stat", "include_tasks")}
# They make again what is there as it should be, and the module is not ours: asked right before.
ASKED_BEFORE = {"vm_provision_make"}
# What may work for long ends with its connection, and so does what takes a lease. Everything else goes on to its end under the lease.
ENDS_WITH_ITS_CONNECTION = {"data_disk_filesystem", "target_run_package", "vm_provision_make", "vm_provision_finish"}
CHECK = {"name": "target_run", "tasks_from": "check"}

FILES = [path for role in MUTATING for path in sorted((role / "tasks").glob("*.yml")) if path.stem in CHANGING]


def _is_under_the_lease(task: dict[str, Any], module: str) -> bool:
    arguments = task[module]
    if module == "ansible.builtin.command":
        # Waiting changes nothing, and is told the claim so that it prolongs no other play's lease.
        return str(arguments["argv"]).startswith("{{ __target_run_hold + ") or "['wait'," in arguments["argv"]
    return isinstance(arguments, dict) and arguments.get("fence") == "{{ __target_run_hold }}"


def _changes_nothing(task: dict[str, Any], module: str) -> bool:
    """Say whether it only reads, runs in dry runs alone, or has systemd read again what is there."""
    return module in INERT or task.get("when") == "ansible_check_mode" or task[module] == {"daemon_reload": True}


def test_there_is_something_to_look_at() -> None:
    assert {path.parents[1].name for path in FILES} == {role.name for role in MUTATING}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parents[1].name}/{path.name}")
def test_every_change_is_made_under_the_lease_or_right_after_asking_for_it(path: Path) -> None:
    asked = False
    for task in tasks_of(load(path)):
        for module in modules_of(task):
            if _changes_nothing(task, module):
                continue
            if module == "ansible.builtin.include_role":
                asked = task[module] == CHECK
            elif _is_under_the_lease(task, module):
                asked = False
            else:
                assert module in ASKED_BEFORE, f"{task['name']}: {module}"
                assert asked, f"{task['name']}: the lease is not asked for right before"


@pytest.mark.parametrize("role", MUTATING, ids=lambda role: role.name)
def test_every_module_that_changes_the_host_is_given_the_lease(role: Path) -> None:
    tasks = [task for file in (role / "tasks").glob("*.yml") for task in tasks_of(load(file))]
    own = sorted((role / "library").glob("*.py"))
    for path in (*own, role.parent / "target_run/library/target_run_way_back.py"):
        if "fence.held(module)" in path.read_text():
            told = [task[path.stem] for task in tasks if path.stem in task]
            assert told or path not in own, path.name
            assert all(arguments.get("fence") == "{{ __target_run_hold }}" for arguments in told), path.name


@pytest.mark.parametrize("role", [*MUTATING, Path(__file__).parents[2] / "roles/target_run"], ids=lambda role: role.name)
def test_what_may_work_for_long_ends_with_its_connection(role: Path) -> None:
    for task in (task for file in (role / "tasks").glob("*.yml") for task in tasks_of(load(file))):
        ends = task.get("vars", {}).get("ansible_pipelining") is False
        assert ends == bool(ENDS_WITH_ITS_CONNECTION & set(task)), task["name"]


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("roles/target_run/tasks/*.yml")), ids=lambda path: path.name)
def test_the_lease_is_asked_for_and_given_back_with_what_the_play_took(path: Path) -> None:
    for task in tasks_of(load(path)):
        argv = str(task.get("ansible.builtin.command", {}).get("argv", ""))
        if re.search(r"'lease', '(check|release|hold)'", argv):
            assert argv.endswith("+ __target_run_claim }}"), task["name"]
