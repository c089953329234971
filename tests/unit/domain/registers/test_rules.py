"""Every rule of the registers: what breaks it, where that is said, and that nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.registers import Registers
from controlplane.domain.registers.links import linkages
from controlplane.domain.registers.rules import Broken, broken_rules
from controlplane.domain.waves.values import Wave
from tests.counting import calls

FILED = "in gaps.yml: file it, or name the right one"
CHECKS = ("D234", "D235", "D236")
CLOSED = {"at": "2026-03-01T12:00:00Z", "by": "ops@desk", "runs": ["CAP-20260301-120000__verify.pack.run__R0001"]}


def plain() -> dict[str, Any]:
    """Return registers in which every rule holds."""
    return {
        "gaps": {
            "GAP-OP-1": {"title": "no durability", "loops": ["LOOP-A-20260101"]},
            "GAP-OP-2": {"title": "too full", "status": "fixed", "loops": ["LOOP-A-20260101"], "closed": CLOSED},
        },
        "loops": {
            "LOOP-A-20260101": {"title": "storage", "status": "open"},
            "LOOP-B-20260101": {"title": "older work", "status": "closed", "text": "all of it was done", "closed": CLOSED},
        },
        "findings": {
            "STOR-001": {"title": "redis", "severity": "high", "gaps": ["GAP-OP-1"], "checks": ["D236"], "hosts": ["mint-data"], "waves": ["W8C"]},
        },
    }


def of_wave(*gaps: str) -> dict[str, Any]:
    return {"W8C": [(("gaps", number), gap) for number, gap in enumerate(gaps)]}


def broken(data: dict[str, Any], **more: Any) -> list[Broken]:
    held = Registers.model_validate(data)
    return list(broken_rules(held, **{"checks": CHECKS, "waves": of_wave("GAP-OP-1"), "governed": ("mint-data",), "live": ("mint-data",), **more}))


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the registers with one field set (None: removed), by a dotted path."""
    data = plain()
    node: Any = data
    *way, last = path.split("/")
    for part in way:
        node = node[part]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return data


def test_registers_in_which_every_rule_holds_have_no_fault() -> None:
    assert broken(plain()) == []


@pytest.mark.parametrize(
    ("path", "value", "place", "words"),
    [
        ("gaps/GAP-OP-1/loops", ["LOOP-X"], ("gaps", "GAP-OP-1", "loops", 0), "there is no LOOP-X in loops.yml"),
        ("gaps/GAP-OP-1/loops", [], ("gaps", "GAP-OP-1"), "is in no loop"),
        ("gaps/GAP-OP-1/loops", ["LOOP-B-20260101"], ("gaps", "GAP-OP-1", "status"), "is open while LOOP-B-20260101 is closed"),
        ("gaps/GAP-OP-2/closed", None, ("gaps", "GAP-OP-2", "status"), "is fixed and does not say who closed it"),
        ("gaps/GAP-OP-1/criteria", ["D234", "D999"], ("gaps", "GAP-OP-1", "criteria", 1), "there is no D999 among the checks of this program"),
        ("gaps/GAP-OP-1/criteria", "D234 on nobody", ("gaps", "GAP-OP-1", "criteria", 0), "there is no nobody in policy.yml"),
        ("gaps/GAP-OP-1/criteria", "STOR-009 is met", ("gaps", "GAP-OP-1", "criteria", 0), "there is no STOR-009 in findings.yml"),
        ("gaps/GAP-OP-2/status", "open", ("gaps", "GAP-OP-2", "closed"), "says who closed it while its status is open"),
        ("gaps/GAP-OP-2/status", "accepted", ("gaps", "GAP-OP-2", "reason"), "an accepted gap says why it may stay"),
        ("gaps/GAP-OP-2/status", "superseded", ("gaps", "GAP-OP-2", "superseded_by"), "write both or none"),
        ("gaps/GAP-OP-2/superseded_by", "GAP-OP-1", ("gaps", "GAP-OP-2", "superseded_by"), "write both or none"),
        ("loops/LOOP-A-20260101/status", "absorbed", ("loops", "LOOP-A-20260101", "absorbed_by"), "write both or none"),
        ("loops/LOOP-B-20260101/text", "the rest remains to be seen", ("loops", "LOOP-B-20260101", "text"), "says 'remains' while it is closed"),
        ("loops/LOOP-B-20260101/text", "moved; two are\nleft", ("loops", "LOOP-B-20260101", "text"), "says 'two are left' while it is closed"),
        ("loops/LOOP-B-20260101/title", "TODO: older work", ("loops", "LOOP-B-20260101", "title"), "says 'TODO' while it is closed"),
        ("loops/LOOP-A-20260101/closed", CLOSED, ("loops", "LOOP-A-20260101", "closed"), "says who closed it while its status is open"),
        ("findings/STOR-001/gaps", [], ("findings", "STOR-001"), "has no gap"),
        ("findings/STOR-001/gaps", ["GAP-OP-9"], ("findings", "STOR-001", "gaps", 0), "there is no GAP-OP-9 in gaps.yml"),
        ("findings/STOR-001/gaps", ["GAP-OP-2"], ("findings", "STOR-001", "status"), "is open while none of its gaps is open"),
        ("findings/STOR-001/status", "closed", ("findings", "STOR-001", "status"), "is closed while GAP-OP-1 is open"),
        ("findings/STOR-001/checks", ["D999"], ("findings", "STOR-001", "checks", 0), "there is no D999 among the checks"),
        ("findings/STOR-001/waves", ["W9"], ("findings", "STOR-001", "waves", 0), "there is no W9 in waves/"),
        ("findings/STOR-001/hosts", ["db9"], ("findings", "STOR-001", "hosts", 0), "there is no db9 in policy.yml"),
    ],
)
def test_each_broken_rule_is_said_where_it_stands(path: str, value: Any, place: tuple[Any, ...], words: str) -> None:
    found = broken(changed(path, value))
    assert any(rule.place == place and words in rule.message for rule in found), found


def test_a_closed_loop_with_an_open_gap_is_said_at_both() -> None:
    data = changed("loops/LOOP-A-20260101", {"title": "storage", "status": "closed", "closed": CLOSED})
    assert [(rule.file, rule.id) for rule in broken(data)] == [("gaps", "GAP-OP-1"), ("loops", "LOOP-A-20260101")]


def test_what_was_superseded_or_absorbed_is_not_linked_to() -> None:
    data = changed("gaps/GAP-OP-2", {"title": "too full", "status": "superseded", "superseded_by": "GAP-OP-1"})
    data["findings"]["STOR-001"]["gaps"] = ["GAP-OP-2", "GAP-OP-1"]
    data["loops"]["LOOP-A-20260101"] = {"title": "storage", "status": "absorbed", "absorbed_by": "LOOP-C"}
    data["loops"]["LOOP-C"] = {"title": "all of it"}
    told = {(rule.id, rule.message) for rule in broken(data)}
    assert ("STOR-001", "GAP-OP-2 was superseded by GAP-OP-1: link to that one") in told
    assert ("GAP-OP-1", "LOOP-A-20260101 was absorbed by LOOP-C: link to that one") in told


def test_what_took_each_others_place_leads_nowhere() -> None:
    data = changed("gaps/GAP-OP-2", {"title": "a", "status": "superseded", "superseded_by": "GAP-OP-3"})
    data["gaps"]["GAP-OP-3"] = {"title": "b", "status": "superseded", "superseded_by": "GAP-OP-2"}
    data["loops"]["LOOP-C"] = {"title": "c", "status": "absorbed", "absorbed_by": "LOOP-D"}
    data["loops"]["LOOP-D"] = {"title": "d", "status": "absorbed", "absorbed_by": "LOOP-C"}
    assert [(rule.id, rule.message) for rule in broken(data)] == [
        ("GAP-OP-2", "leads from GAP-OP-3 back to the gap itself: name the one that took its place"),
        ("GAP-OP-3", "leads from GAP-OP-2 back to the gap itself: name the one that took its place"),
        ("LOOP-C", "leads from LOOP-D back to the loop itself: name the one that took it in"),
        ("LOOP-D", "leads from LOOP-C back to the loop itself: name the one that took it in"),
    ]


def test_a_wave_that_names_what_was_superseded_is_told_what_took_its_place() -> None:
    data = changed("gaps/GAP-OP-2", {"title": "too full", "status": "superseded", "superseded_by": "GAP-OP-1"})
    [rule] = broken(data, waves=of_wave("GAP-OP-2"))
    assert (rule.place, rule.message) == (("W8C", "gaps", 0), "GAP-OP-2 was superseded by GAP-OP-1: name that one")


def test_a_gap_that_a_gate_wants_decided_is_held_to_the_same_rules() -> None:
    data = changed("gaps/GAP-OP-2", {"title": "too full", "status": "superseded", "superseded_by": "GAP-OP-1"})
    gate = {"kind": "decided", "gaps": ["GAP-OP-1", "GAP-OP-2", "GAP-OP-7"]}
    wave = Wave.model_validate({"goal": "end", "mutation": "none", "entry": [gate], "exit": [{"kind": "linked"}, gate]}, strict=False)
    assert [(rule.file, rule.place, rule.message) for rule in broken(data, waves={"W8C": wave.named_gaps})] == [
        ("waves", ("W8C", *at, number), message)
        for at in (("entry", 0, "gaps"), ("exit", 1, "gaps"))
        for number, message in ((1, "GAP-OP-2 was superseded by GAP-OP-1: name that one"), (2, f"there is no GAP-OP-7 {FILED}"))
    ]


def test_an_expected_finding_that_is_not_there_is_a_dangling_link_of_the_gates() -> None:
    [rule] = broken(plain(), expected=("STOR-001", "STOR-009"))
    assert rule == Broken("gates", ("expected", 1, "stor"), "STOR-009", "there is no STOR-009 in findings.yml: file it, or name the right one")


@pytest.mark.parametrize(
    "text",
    [
        "nothing remains",
        "All done; no gap is still open.",
        "None remain.",
        "0 remaining",
        "no work was left to do",
        "nothing remained, but it took a year",
        "What remained was closed by W8E",
        "the mount remained up the whole time",
        "nothing remains to save",
    ],
)
def test_a_closed_loop_may_say_that_nothing_is_left(text: str) -> None:
    assert broken(changed("loops/LOOP-B-20260101/text", text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "no decision on the remaining volumes",
        "nothing was decided, two remain",
        "Nothing remains save the old volume",
        "Nothing remains but the two volumes of minio",
        "nothing is left to do, except on mint-apps",
        "No gap is still open other than GAP-OP-1",
    ],
)
def test_a_closed_loop_may_not_hide_a_rest_behind_a_no(text: str) -> None:
    [rule] = broken(changed("loops/LOOP-B-20260101/text", text))
    assert rule.place == ("loops", "LOOP-B-20260101", "text")
    assert rule.message.endswith("file what is left as a gap, or reopen it; where nothing is left, say it in other words")


def test_a_finding_in_progress_whose_loops_are_all_closed_is_nobodys() -> None:
    data = changed("findings/STOR-001/status", "in-progress")
    data["loops"]["LOOP-A-20260101"] = {"title": "storage", "status": "closed", "closed": CLOSED}
    assert any(rule.id == "STOR-001" and "nobody works on it" in rule.message for rule in broken(data))


def test_a_wave_names_only_gaps_that_a_finding_has() -> None:
    found = broken(plain(), waves=of_wave("GAP-OP-2", "GAP-OP-7"))
    assert [(rule.file, rule.place, rule.message.partition(",")[0]) for rule in found] == [
        ("waves", ("W8C", "gaps", 0), "GAP-OP-2 is named by no finding"),
        ("waves", ("W8C", "gaps", 1), "there is no GAP-OP-7 in gaps.yml: file it"),
    ]


def test_a_host_that_lives_without_a_row_in_the_policy_is_said() -> None:
    [found] = broken(plain(), live=("mint-data", "mint-new"))
    assert (found.file, found.id) == ("hosts", "mint-new")
    assert "policy.yml has no row for it" in found.message


def test_what_is_wrong_with_a_gap_or_a_loop_shows_at_the_findings_that_lead_there() -> None:
    data = changed("gaps/GAP-OP-1/loops", [])
    held = Registers.model_validate(data)
    [row] = linkages(held, broken(data))
    assert row.faults == (
        "leads to no loop by GAP-OP-1: link a gap of it to one",
        "GAP-OP-1: is in no loop, so nobody works on it: link it to one (loops: [LOOP-…])",
    )


def test_thousands_of_entries_are_judged_without_looking_at_each_pair() -> None:
    def cost(count: int) -> int:
        data = {
            "gaps": {f"GAP-OP-{n}": {"title": "x", "loops": [f"LOOP-L-{n}"]} for n in range(count)},
            "loops": {f"LOOP-L-{n}": {"title": "x", "status": "closed", "closed": CLOSED} for n in range(count)},
            "findings": {f"STOR-{n:05d}": {"title": "x", "severity": "low", "gaps": [f"GAP-OP-{n}"], "checks": ["D236"]} for n in range(count)},
        }
        held = Registers.model_validate(data)
        return calls(lambda: broken_rules(held, checks=CHECKS))

    assert cost(3000) <= 10.5 * cost(300)


def test_criteria_of_what_is_closed_and_checks_that_could_not_be_read_are_no_fault() -> None:
    assert broken(changed("gaps/GAP-OP-2/criteria", ["D999", "STOR-009"])) == []
    assert broken(changed("gaps/GAP-OP-1/criteria", "D999"), checks=None) == []
