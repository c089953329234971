"""Marks of findings, the catalogue of checks, and proposals."""

from __future__ import annotations

import pytest

from controlplane.domain.checks import CHECKS
from controlplane.domain.errors import RefusedError
from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.gates.catalogue import description_of, gated_checks, known_checks
from controlplane.domain.gates.marks import marked
from controlplane.domain.gates.promotion import Counted, Standing
from controlplane.domain.gates.proposal import demotions, promotions, seal
from controlplane.domain.gates.values import Gates
from controlplane.domain.registers import Registers

GATES = Gates.model_validate(
    {
        "checks": {"D204": {"title": "secrets are there", "file": "checks/test_d204.py"}},
        "packs": {"mint": {"checks": ["D204", "D235"]}},
        "modes": {"D241": {"mint-data": "enforce"}},
        "expected": [{"check": "D204", "host": "site", "surface": "check:test_it", "stor": "STOR-002"}],
    }
)
HELD = Registers.model_validate(
    {
        "findings": {
            "STOR-001": {"title": "x", "severity": "high", "checks": ["D235"], "hosts": ["mint-data"], "surfaces": ["docker.*"]},
            "STOR-003": {"title": "x", "severity": "high", "checks": ["D235"]},
        }
    }
)


def finding(check: str, host: str, surface: str) -> Finding:
    return Finding(check=check, host=host, surface=surface, verdict=Verdict.DRIFTED, severity="high", reason="as seen")


def test_a_finding_is_marked_with_its_mode_and_its_stor_findings_each_once() -> None:
    rows = [
        finding("D235", "mint-data", "docker.data_root"),
        finding("D235", "mint-apps", "docker.data_root"),
        finding("D204", "site", "check:test_it"),
        finding("D204", "site", "check:test_other"),
        finding("D241", "mint-data", "boot.guard"),
        finding("D241", "mint-apps", "boot.guard"),
    ]
    assert [(one.mode, one.stor) for one in marked(rows, GATES, HELD)] == [
        ("report", ("STOR-001", "STOR-003")),
        ("report", ("STOR-003",)),
        ("report", ("STOR-002",)),
        ("report", ()),
        ("enforce", ()),
        ("report", ()),
    ]
    assert marked(rows, Gates(), None) == tuple(rows)


def test_the_checks_of_packs_and_modes_are_gated_or_all_where_none_is_named() -> None:
    assert known_checks(GATES) == (*CHECKS, "D204")
    assert gated_checks(GATES) == ("D235", "D241", "D204")
    assert gated_checks(Gates()) == tuple(CHECKS)


def test_every_check_is_described() -> None:
    for check in known_checks(GATES):
        title, lines = description_of(check, GATES)
        assert title
        assert lines


def standing(host: str, mode: str = "report", held_by: tuple[str, ...] = ()) -> Standing:
    rows = tuple(Counted(run=f"CAP-{n}", at="2026-01-01T00:00:00Z", counts=n != 2, reason="", verdict="MET") for n in (4, 3, 2, 1))
    return Standing(check="D235", host=host, mode=mode, streak=3, wanted=2, runs=rows, held_by=held_by, proposes=None)  # type: ignore[arg-type]


def test_a_promotion_names_the_runs_that_count_and_leaves_what_is_enforced() -> None:
    changes = promotions((standing("a"), standing("b", "enforce")))
    assert [(one.field, one.before, one.after, one.runs) for one in changes] == [("modes.D235.a", "report", "enforce", ("CAP-4", "CAP-3"))]


def test_one_that_is_held_back_holds_back_all_and_says_why() -> None:
    with pytest.raises(RefusedError) as caught:
        promotions((standing("a"), standing("b", held_by=("1 of 3 consecutive runs passed", "linkage: x"))))
    assert str(caught.value) == (
        "not earned yet:\n  D235 on b: 1 of 3 consecutive runs passed\n  D235 on b: linkage: x\n"
        "Nothing was changed. 'controlplane gates explain CHECK' shows which runs count."
    )


def test_a_demotion_may_always_be_and_names_the_last_run() -> None:
    assert [(one.field, one.after, one.runs) for one in demotions((standing("a"), standing("b", "enforce")))] == [
        ("modes.D235.b", "report", ("CAP-4",))
    ]


def test_a_proposal_is_known_by_all_of_its_content() -> None:
    plain = {
        "kind": "promote",
        "site": "lab",
        "made_at": "t",
        "requester": "ann",
        "reason": "",
        "file": "gates.yml",
        "file_digest": "x",
        "policy": "p",
    }
    first = seal(**plain, changes=promotions((standing("a"),)))
    assert first.proposal == first.expected()
    assert seal(**{**plain, "requester": "bob"}, changes=first.changes).proposal != first.proposal
    assert seal(**plain, changes=()).proposal != first.proposal
