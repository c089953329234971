"""Every capability has its scenarios, and what they feed in is what the planner would."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader

from controlplane.domain.capabilities.fstab_text import guard_text

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = sorted(path for path in (ROOT / "molecule").iterdir() if path.is_dir())


@pytest.mark.parametrize("role", ["data_disk", "fstab"])
def test_each_role_has_the_five_cases(role: str) -> None:
    cases = {path.name.partition("-")[2] for path in SCENARIOS if path.name.startswith(f"{role}-")}
    assert {"default", "refuses", "check", "rollback", "interrupted"} <= cases


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
def test_a_scenario_names_its_role_and_ends_in_a_judgement(scenario: Path) -> None:
    assert (ROOT / "roles" / scenario.name.partition("-")[0]).is_dir()
    assert "verdicts()" in "".join(path.read_text() for path in scenario.glob("test_*.py"))


def test_the_guard_of_the_scenarios_is_the_planners() -> None:
    variables = DataLoader().load_from_file(str(ROOT / ".config/molecule/vars/fstab.yml"), cache="none", unsafe=True)
    [entry] = variables["fstab_entries"]
    assert variables["fstab_guard_text"] == guard_text([(entry["file"], entry["spec"].removeprefix("UUID="))])
