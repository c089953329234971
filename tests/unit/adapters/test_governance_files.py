"""gates.yml, registers and waves are read whole: every fault of every file at once, with the line that it stands in."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.governance_files import read_governance
from controlplane.domain.governance import Governance

GATES = """\
checks:
  D204: {title: secrets are there, file: checks/test_d204.py}
packs:
  mint: {checks: [D204, D235]}
modes:
  D235: {mint-data: enforce}
expected:
  - {check: D204, host: site, surface: "check:test_it", stor: STOR-001}
"""
FILES = {
    "gates.yml": GATES,
    "checks/test_d204.py": "def test_it():\n    pass\n",
    "registers/gaps.yml": "gaps:\n  GAP-OP-1:\n    title: x\n    loops: [LOOP-A]\n",
    "registers/loops.yml": "loops:\n  LOOP-A: {title: work}\n",
    "registers/findings.yml": "findings:\n  STOR-001:\n    title: x\n    severity: high\n    gaps: [GAP-OP-1]\n    checks: [D204]\n",
}


def read(folder: Path, **more: Any) -> Governance:
    return read_governance(folder, **{"governed": ["mint-data"], "live": ["mint-data"], **more})


def faults(folder: Path, **more: Any) -> list[str]:
    return [str(fault).removeprefix(f"{folder}/") for fault in read(folder, **more).faults]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        write(tmp_path, name, text)
    return tmp_path


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_site_that_says_all_of_it_well_has_no_fault(folder: Path) -> None:
    assert faults(folder) == []
    assert read(folder).linkages()[0].open_gaps == ("GAP-OP-1",)


def test_a_site_that_says_nothing_of_it_has_no_fault_and_no_registers(tmp_path: Path) -> None:
    assert (faults(tmp_path), read(tmp_path).registers) == ([], None)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("D204: {title", "D234: {title", "gates.yml:2: checks.D234: is a check of this program: give the site's own another id"),
        ("[D204, D235]", "[D204, D235, D204]", "gates.yml:4: packs.mint.checks.2: names D204 twice: leave one of the two out"),
        ("[D204, D235]", "[D204, D999]", "gates.yml:4: packs.mint.checks.1: there is no check D999"),
        ("[D204, D235]", "[]", "gates.yml:4: packs.mint.checks: "),
        ("  D235: {mint", "  D999: {mint", "gates.yml:6: modes.D999: there is no check D999"),
        ("mint-data: enforce", "mint-dat: enforce", "gates.yml:6: modes.D235.mint-dat: is no host of policy.yml: name one, or site"),
        ("mint-data: enforce", "mint-data: block", "gates.yml:6: modes.D235.mint-data: 'block' is none of the choices"),
        ("{check: D204", "{check: D999", "gates.yml:8: expected.0.check: there is no check D999"),
        ("host: site", "host: nobody", "gates.yml:8: expected.0.host: is no host of policy.yml"),
        ("stor: STOR-001", "stor: STOR-009", "gates.yml:8: expected.0.stor: there is no STOR-009 in findings.yml"),
        ("test_d204.py", "test_gone.py", "gates.yml:2: checks.D204.file: checks/test_gone.py is no file of the site"),
        ("checks/test_d204.py", "../test_d204.py", "gates.yml:2: checks.D204.file: '../test_d204.py' leaves the site folder"),
        ("modes:\n", "mode:\n", "gates.yml:5: mode: unknown key: did you mean 'modes'?"),
        ("packs:\n", "promotion: {interval: 1}\npacks:\n", "gates.yml:3: promotion.interval: "),
        ("packs:\n", "promotion: {runs: 0}\npacks:\n", "gates.yml:3: promotion.runs: "),
        ("packs:\n", "checks: {}\npacks:\n", "gates.yml:3: checks: "),
        ("[D204, D235]", "[[D204], {a: b}]", "gates.yml:4: packs.mint.checks.0: "),
        ("{mint-data: enforce}", "enforce", "gates.yml:6: modes.D235: 'enforce' is no mapping"),
    ],
)
def test_a_fault_of_the_gates_is_said_where_it_stands(folder: Path, old: str, new: str, told: str) -> None:
    assert old in GATES
    write(folder, "gates.yml", GATES.replace(old, new, 1))
    found = faults(folder)
    assert any(fault.startswith(told) for fault in found), found


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("gaps", "title: x", "titel: x", "registers/gaps.yml:3: gaps.GAP-OP-1.titel: unknown key: did you mean 'title'?"),
        ("gaps", "[LOOP-A]", "[LOOP-B]", "registers/gaps.yml:4: gaps.GAP-OP-1.loops.0: there is no LOOP-B in loops.yml"),
        ("gaps", "GAP-OP-1:", "gap-1:", "registers/gaps.yml:2: gaps.gap-1: 'gap-1' is no gap id such as GAP-OP-932"),
        ("gaps", "    title: x\n", "    title: x\n  GAP-OP-1:\n    title: y\n", "registers/gaps.yml:4: gaps.GAP-OP-1: "),
        ("findings", "severity: high", "severity: awful", "registers/findings.yml:4: findings.STOR-001.severity: 'awful' is none of the choices"),
        ("findings", "[GAP-OP-1]", "[]", "registers/findings.yml:2: findings.STOR-001: has no gap"),
        ("findings", "[D204]", "[D999]", "registers/findings.yml:6: findings.STOR-001.checks.0: there is no D999"),
        ("loops", "title: work", "title: [work]", "registers/loops.yml:2: loops.LOOP-A.title: "),
        ("loops", "loops:\n", "", "registers/loops.yml:1: "),
        ("findings", "title: x", "title: &a x\n    root_cause: *a", "registers/findings.yml:3: "),
        ("gaps", "gaps:\n", "\x00gaps:\n", "registers/gaps.yml:1: "),
    ],
)
def test_a_fault_of_a_register_is_said_where_it_stands(folder: Path, name: str, old: str, new: str, told: str) -> None:
    text = FILES[f"registers/{name}.yml"]
    assert old in text
    write(folder, f"registers/{name}.yml", text.replace(old, new, 1))
    found = faults(folder)
    assert any(fault.startswith(told) for fault in found), found


def test_a_finding_names_no_wave_where_there_are_none(folder: Path) -> None:
    shutil.rmtree(folder / "waves", ignore_errors=True)
    text = FILES["registers/findings.yml"]
    write(folder, "registers/findings.yml", text.replace("    severity: high\n", "    severity: high\n    waves: [W9]\n", 1))
    found = faults(folder)
    assert any(fault.startswith("registers/findings.yml:5: findings.STOR-001.waves.0: there is no W9 in waves/") for fault in found), found


def test_a_host_that_lives_and_has_no_row_is_a_fault_of_the_policy(folder: Path) -> None:
    assert faults(folder, live=["mint-data", "stray"]) == [
        "policy.yml: hosts.stray: lives in the inventory, and policy.yml has no row for it: say where its data belong"
    ]


def test_a_host_that_is_called_as_checks_of_no_machine_are_judged_is_refused(folder: Path) -> None:
    assert any("a host of policy.yml is called site" in fault for fault in faults(folder, governed=["mint-data", "site"]))


def test_a_register_that_is_missing_is_empty_and_what_leads_to_it_dangles(folder: Path) -> None:
    (folder / "registers" / "loops.yml").unlink()
    assert any("there is no LOOP-A in loops.yml" in fault for fault in faults(folder))


def test_a_file_that_is_no_file_is_said(folder: Path) -> None:
    (folder / "registers" / "loops.yml").unlink()
    (folder / "registers" / "loops.yml").mkdir()
    (folder / "gates.yml").unlink()
    (folder / "gates.yml").symlink_to("nowhere.yml")
    found = faults(folder)
    assert any(fault.startswith("registers/loops.yml: is a folder") for fault in found), found
    assert any(fault.startswith("gates.yml: does not exist") for fault in found), found


def test_registers_that_can_not_be_read_are_no_registers_and_say_why(folder: Path) -> None:
    write(folder, "registers/gaps.yml", "gaps: [\n")
    held = read(folder)
    assert held.registers is None
    assert held.register_faults


WAVE = "goal: look\nmutation: none\nread_only: [mint-data]\npack: mint\nexit:\n  - {kind: checks, checks: [D204]}\n"


@pytest.mark.parametrize("text", [GATES.replace("enforce", "block"), GATES.replace("packs:", "packs: ["), "[]\n", "\x00\r"])
def test_gates_with_faults_give_no_fault_to_who_names_what_stands_in_them(folder: Path, text: str) -> None:
    write(folder, "waves/W1.yml", WAVE)
    assert faults(folder) == []
    write(folder, "gates.yml", text)
    assert {fault.partition(":")[0] for fault in faults(folder)} == {"gates.yml"}


def test_gates_with_faults_still_say_which_names_are_wrong(folder: Path) -> None:
    write(folder, "gates.yml", GATES.replace("enforce", "block"))
    write(folder, "waves/W1.yml", WAVE.replace("pack: mint", "pack: mnt").replace("[D204]", "[D999]"))
    found = faults(folder)
    for start in ("gates.yml:6: ", "waves/W1.yml:4: pack: there is no pack mnt", "waves/W1.yml:6: exit.0.checks.0: D999 is no check"):
        assert any(fault.startswith(start) for fault in found), (start, found)


def test_a_gap_that_a_gate_wants_decided_has_to_be_there(folder: Path) -> None:
    write(folder, "waves/W1.yml", WAVE + "  - {kind: decided, gaps: [GAP-OP-999]}\n")
    found = [fault for fault in faults(folder) if "GAP-OP-999" in fault]
    assert found == ["waves/W1.yml:7: exit.1.gaps.0: there is no GAP-OP-999 in gaps.yml: file it, or name the right one"]
