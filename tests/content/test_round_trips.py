"""How often a role goes to its target: on a slow machine each time costs seconds, so one more is a decision and no accident."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.content.test_fencing import INERT, ROLES
from tests.content.test_roles import PHASES, load, modules_of, tasks_of

# What a whole run of the role asks its target for, phase by phase, where there is all to be done; target_run's lease is its own.
ROUND_TRIPS = {
    "data_disk": {"refuse": 1, "prepare": 1, "change": 1, "prove": 1},
    "fstab": {"refuse": 1, "prepare": 1, "change": 1, "prove": 1},
    "vm_bootstrap": {"refuse": 1, "prepare": 1, "change": 1, "prove": 1},
    "vm_provision": {"refuse": 1, "prepare": 1, "change": 1, "prove": 3},
}


def _asks(path: Path) -> int:
    return sum(module not in INERT for task in tasks_of(load(path)) for module in modules_of(task))


@pytest.mark.parametrize("role", ROUND_TRIPS)
def test_a_new_machines_roles_go_to_their_target_as_often_as_they_have_to(role: str) -> None:
    assert {phase: _asks(ROLES / role / f"tasks/{phase}.yml") for phase in PHASES} == ROUND_TRIPS[role]


@pytest.mark.parametrize("role", ["data_disk", "docker_data_root", "fstab", "vm_bootstrap"])
def test_the_proof_gives_the_lease_back_where_the_play_ends_with_it(role: str) -> None:
    [proof] = [task["target_run_tool"] for task in tasks_of(load(ROLES / role / "tasks/prove.yml")) if "target_run_tool" in task]
    assert proof["releases"] == "{{ target_run_ends_with_role | default(false) }}"


@pytest.mark.parametrize("phase", ["main", "release"])
def test_a_lease_is_one_round_trip_each_way(phase: str) -> None:
    asked = [task for task in tasks_of(load(ROLES / f"target_run/tasks/{phase}.yml")) if not set(modules_of(task)) <= INERT]
    # What only a dry run does is no part of a change.
    assert len([task for task in asked if task.get("when") != "ansible_check_mode"]) == 1


def test_what_a_hypervisors_modules_only_look_at_is_one_round_trip_each() -> None:
    """A module that keeps to its connection is copied, started and removed again, each by itself."""
    for task in tasks_of(load(ROLES / "vm_provision/tasks/prove.yml")):
        looks = {"vm_provision_look", "vm_provision_answer"} & set(modules_of(task))
        assert not looks or task["vars"] == {"ansible_pipelining": True}, task["name"]
