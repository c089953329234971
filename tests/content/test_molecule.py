"""Every capability has its scenarios, and what they feed in is what the planner would."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader

from controlplane.domain.capabilities.fstab_text import guard_text
from controlplane.domain.checks.hygiene_timer import digest_of_settings

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT / ".config/molecule"
SCENARIOS = sorted(path for path in (ROOT / "molecule").iterdir() if path.is_dir())
# A role that changes a machine has a way back; target_run, which only carries the lease and the tools, has none.
MUTATING = sorted(path.parents[1].name for path in (ROOT / "roles").glob("*/tasks/rollback.yml"))

# A libvirt host is no lab machine: the same cases are played against a libvirt of the test's own, with machines that boot.
PLAYED_ELSEWHERE = {"vm_provision": "tests/vm/test_provision.py"}

# What a killed program leaves half-way inside one step of these (mkfs, dpkg, rm -r) is laid down by their prepare.sh.
LEFT_BY_HAND = {"data_disk", "fstab", "purge_retired", "vm_bootstrap"}


def cases(role: str) -> set[str]:
    return {path.name.partition("-")[2] for path in SCENARIOS if path.name.partition("-")[0] == role}


def test_every_role_but_the_lease_has_a_way_back() -> None:
    assert {path.name for path in (ROOT / "roles").iterdir() if path.is_dir()} - set(MUTATING) == {"target_run"}


@pytest.mark.parametrize("role", sorted(set(MUTATING) - set(PLAYED_ELSEWHERE)))
def test_each_mutating_role_has_the_five_cases(role: str) -> None:
    assert cases(role) >= {"default", "refuses", "check", "rollback", "interrupted"}


@pytest.mark.parametrize("role", sorted(PLAYED_ELSEWHERE))
def test_what_has_no_scenario_has_its_cases_in_a_test(role: str) -> None:
    text = (ROOT / PLAYED_ELSEWHERE[role]).read_text()
    assert cases(role) == set()
    for words in ("second_plan_has_no_steps", "refused", "changes_nothing", "taken_back", "killed"):
        assert f"{words}" in "".join(re.findall(r"^def (test_\w+)", text, re.MULTILINE)), words


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
def test_a_scenario_runs_what_its_case_says(scenario: Path) -> None:
    case = scenario.name.partition("-")[2]
    steps = (DataLoader().load_from_file(str(scenario / "molecule.yml"), cache="none") or {}).get("scenario", {}).get("test_sequence")
    between = {
        "default": ["converge", "idempotence"],
        "interrupted": ["converge", "idempotence"],
        "refuses": ["converge"],
        "check": ["check"],
        "rollback": ["converge", "side_effect"],
    }[case]
    # Without a sequence of its own a scenario has the shared one.
    shared = DataLoader().load_from_file(str(SHARED / "config.yml"), cache="none")["scenario"]["test_sequence"]
    assert (steps or shared) == ["destroy", "create", "prepare", *between, "verify", "destroy"]


def test_no_preparation_is_written_down_twice() -> None:
    shared = [path.read_text() for path in SHARED.glob("prepare/*.sh")]
    own = [path.read_text() for path in (ROOT / "molecule").glob("*/prepare.sh")]
    assert len({*shared, *own}) == len([*shared, *own])
    assert [text for text, part in product(own, shared) if part in text] == []


def test_a_shared_preparation_is_that_of_every_machine_or_of_a_role() -> None:
    assert {path.stem for path in SHARED.glob("prepare/*.sh")} <= {"machine", *MUTATING}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
def test_a_scenario_names_its_role_and_ends_in_a_judgement(scenario: Path) -> None:
    assert (ROOT / "roles" / scenario.name.partition("-")[0]).is_dir()
    assert "verdicts()" in "".join(path.read_text() for path in scenario.glob("test_*.py"))


def test_the_guard_of_the_scenarios_is_the_planners() -> None:
    variables = DataLoader().load_from_file(str(ROOT / ".config/molecule/vars/fstab.yml"), cache="none", unsafe=True)
    [entry] = variables["fstab_entries"]
    mounts = [(entry["file"], entry["spec"].removeprefix("UUID="))]
    assert variables["fstab_guard_text"] == guard_text("docker.service", mounts)
    assert variables["fstab_socket_guard_text"] == guard_text("docker.socket", mounts)


def test_the_timer_of_the_scenarios_is_the_planners() -> None:
    timer = DataLoader().load_from_file(str(SHARED / "vars/docker_hygiene.yml"), cache="none", unsafe=True)["docker_hygiene_timer"]
    assert timer["digest"] == digest_of_settings(timer["settings"], timer["every"])


@pytest.mark.parametrize("scenario", [path for path in SCENARIOS if (path / "prepare.yml").exists()], ids=lambda path: path.name)
def test_a_preparation_of_its_own_is_the_one_that_is_played(scenario: Path) -> None:
    assert f"molecule/{scenario.name}/prepare.yml" in (scenario / "molecule.yml").read_text()


@pytest.mark.parametrize("scenario", [path for path in SCENARIOS if path.name.endswith("-interrupted")], ids=lambda path: path.name)
def test_an_interrupted_run_was_really_interrupted(scenario: Path) -> None:
    own = scenario / "prepare.yml"
    is_cut = own.exists() and "/.config/molecule/cut.yml" in own.read_text()
    assert is_cut == (scenario.name.partition("-")[0] not in LEFT_BY_HAND)


@pytest.mark.parametrize(
    "scenario", [path for path in SCENARIOS if "hold.yml" in "".join(p.read_text() for p in path.glob("prepare.yml"))], ids=lambda path: path.name
)
def test_a_removal_that_was_held_is_shown_to_be_half_way(scenario: Path) -> None:
    held, cut, shown = ((scenario / "prepare.yml").read_text().find(words) for words in ("/hold.yml", "/cut.yml", "- name: Assert"))
    assert -1 < held < cut < shown
