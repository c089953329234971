"""Each kind of gate, open, shut and UNKNOWN."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from controlplane.domain.finding import Finding
from controlplane.domain.gates.promoted import Promoted
from controlplane.domain.gates.promotion import AHEAD, Counted, Judged, Standing
from controlplane.domain.gates.run_order import Begun
from controlplane.domain.registers import Registers
from controlplane.domain.waves.changed import LastChange
from controlplane.domain.waves.gates import GateCase, describe, judge_gates
from controlplane.domain.waves.record import PackRan
from controlplane.domain.waves.values import Wave

CHANGED = LastChange("CAP-C", datetime(2026, 1, 2, 12, tzinfo=UTC), ahead=False, place=5, began={})
AHEAD_OF_NOW = CHANGED._replace(at=datetime(2027, 2, 6, 12, tzinfo=UTC), ahead=True, began={"CAP-1": Begun(6, None)})


def wave(*entry: dict[str, Any], **more: Any) -> Wave:
    return Wave.model_validate({"goal": "g", "mutation": "none", "read_only": ["a", "b"], "entry": list(entry), **more})


def finding(verdict: str, host: str = "a", surface: str = "service:db", check: str = "D236") -> Finding:
    data = {"check": check, "host": host, "surface": surface, "verdict": verdict, "severity": "high", "reason": f"{surface} is {verdict}"}
    return Finding.model_validate(data, strict=False)


def ran(verdict: str = "MET", at: str = "2026-01-02T13:00:00Z", *, passed: bool = True) -> Judged:
    said = {"run": f"CAP-{at}", "at": at, "verdict": verdict, "passed": passed, "reason": "so", "policy": "p", "checker": "c", "host": "h"}
    return Judged.model_validate(said)


def pack(at: str = "2026-01-02T13:00:00Z", name: str = "mint", *, passed: bool = True, unknown: bool = False) -> PackRan:
    return PackRan(run="CAP-1", pack=name, at=at, after="*", passed=passed, unknown=unknown, reason="so")


def superseded(status: str) -> Registers:
    """Return registers in which GAP-OP-1 was superseded by GAP-OP-2, and that by GAP-OP-3, which is as it is said."""
    gaps = {f"GAP-OP-{n}": {"title": "t", "status": "superseded", "superseded_by": f"GAP-OP-{n + 1}"} for n in (1, 2)}
    return Registers.model_validate({"gaps": {**gaps, "GAP-OP-3": {"title": "t", "status": status}}}, strict=False)


def standing(*held_by: str) -> Standing:
    return Standing(check="D236", host="a", mode="report", streak=0, wanted=3, runs=(), held_by=held_by, proposes=None)


def enforced(*verdicts: str, proposes: str | None = None) -> Standing:
    """Return the standing of an enforced check whose runs, the newest first, ended so; one that is AHEAD of now is MET."""
    rows = [
        Counted(run=f"CAP-{number}", at="2026-01-02T13:00:00Z", counts=False, reason=reason, verdict=verdict)
        for number, one in enumerate(verdicts)
        for verdict, reason in [("MET", AHEAD) if one == AHEAD else (one, "as seen")]
    ]
    return Standing.model_validate(standing().model_dump() | {"mode": "enforce", "runs": tuple(rows), "proposes": proposes})


def case(**given: Any) -> GateCase:
    told: dict[str, Any] = {
        "hosts": ("a", "b"),
        "carved": frozenset(),
        "findings": (),
        "registers": Registers(),
        "history": lambda _check, _host: (),
        "interval": 3600,
        "standings": lambda _checks, _hosts: (),
        "closed_waves": {},
        "unlinked": (),
    }
    return GateCase(**told | given)


def runs(*judged: Judged) -> Any:
    return lambda _check, host: () if host == "site" else judged


CHECKS = {"kind": "checks", "checks": ["D236"], "hosts": ["a"]}
MET = {"kind": "met", "checks": ["D236"], "hosts": ["a"]}
SERVICES = MET | {"surfaces": ["service:*"]}
STABLE = {"kind": "stable", "checks": ["D236"], "hosts": ["a"], "runs": 2}
REPORTED = {"kind": "reported", "checks": ["D236"], "hosts": ["a"]}
APPROVED = {("D236", "a"): Promoted("CAP-9", "bob")}


@pytest.mark.parametrize(
    ("gate", "given", "verdict", "reason"),
    [
        (CHECKS, {"findings": None}, "UNKNOWN", "nothing was looked at"),
        (CHECKS, {"findings": [finding("MET", host="b")]}, "UNKNOWN", "nothing was judged of D236 on a"),
        (CHECKS, {"findings": [finding("UNKNOWN"), finding("MET")]}, "UNKNOWN", "D236 on a: service:db: service:db is UNKNOWN"),
        (CHECKS, {"findings": [finding("DRIFTED")]}, "DRIFTED", "D236 on a: service:db: service:db is DRIFTED (no STOR finding is linked to it)"),
        (CHECKS, {"findings": [finding("WAIVED"), finding("DRIFTED", host="b")]}, "MET", "holds"),
        (CHECKS | {"hosts": []}, {"findings": [finding("MET")]}, "UNKNOWN", "nothing was judged of D236 on b"),
        (CHECKS | {"hosts": []}, {"findings": [finding("MET", host="site")]}, "MET", "holds"),
        (CHECKS | {"hosts": ["c"]}, {"findings": [finding("MET")]}, "UNKNOWN", "nothing was judged of D236 on c"),
        (MET, {"findings": None}, "UNKNOWN", "nothing was looked at"),
        (MET, {}, "UNKNOWN", "nothing was judged of D236 on a"),
        (MET, {"findings": [finding("WAIVED")]}, "DRIFTED", "D236 service:db on a: service:db is WAIVED"),
        (MET | {"waived": True}, {"findings": [finding("WAIVED")]}, "MET", "holds"),
        (SERVICES, {"findings": [finding("MET"), finding("DRIFTED", surface="redis:db")]}, "MET", "holds"),
        (SERVICES, {"findings": [finding("MET"), finding("UNKNOWN", surface="D236")]}, "UNKNOWN", "D236 D236 on a: D236 is UNKNOWN"),
        (SERVICES, {"findings": [finding("MET", surface="redis:db")]}, "UNKNOWN", "no finding speaks of service:*; service:* on a"),
        (
            SERVICES | {"surfaces": ["service:*", "redis:*"]},
            {"findings": [finding("MET")]},
            "UNKNOWN",
            "no finding speaks of redis:*",
        ),
        (
            SERVICES | {"hosts": ["a", "b"]},
            {"findings": [finding("MET"), finding("MET", host="b", surface="x")]},
            "UNKNOWN",
            "no finding speaks of service:* on b",
        ),
        (REPORTED, {}, "DRIFTED", "no recorded run judged D236 on a: controlplane gates run"),
        (REPORTED, {"history": runs(ran("DRIFTED", passed=False))}, "MET", "holds"),
        (REPORTED, {"history": runs(ran("UNKNOWN", passed=False), ran())}, "UNKNOWN", "D236 on a was UNKNOWN in CAP-2026-01-02T13:00:00Z: so"),
        (
            STABLE,
            {"history": runs(ran())},
            "DRIFTED",
            "D236 on a has 1 of 2 recorded runs, 1h apart: controlplane gates run, next from 2026-01-02T14:00:00Z on",
        ),
        (STABLE, {}, "DRIFTED", "D236 on a has 0 of 2 recorded runs, 1h apart: controlplane gates run"),
        # Runs that follow each other quickly are one, however many there are; one that failed among them is none.
        (
            STABLE,
            {"history": runs(*(ran(at=f"2026-01-02T13:{minute:02}:00Z") for minute in range(59, 0, -1)))},
            "DRIFTED",
            "D236 on a has 1 of 2 recorded runs, 1h apart: controlplane gates run, next from 2026-01-02T14:59:00Z on",
        ),
        (
            STABLE,
            {"history": runs(ran(at="2026-01-02T13:59:00Z"), ran(at="2026-01-02T13:30:00Z", passed=False), ran(at="2026-01-02T12:00:00Z"))},
            "DRIFTED",
            "D236 on a did not pass in CAP-2026-01-02T13:30:00Z: so",
        ),
        (STABLE | {"interval": 60}, {"history": runs(ran(at="2026-01-02T13:01:00Z"), ran(at="2026-01-02T13:00:00Z"))}, "MET", "holds"),
        (
            STABLE | {"interval": 7200},
            {"history": runs(ran(), ran(at="2026-01-02T11:30:00Z"))},
            "DRIFTED",
            "D236 on a has 1 of 2 recorded runs, 2h apart: controlplane gates run, next from 2026-01-02T15:00:00Z on",
        ),
        (STABLE, {"history": runs(ran(), ran(passed=False), ran())}, "DRIFTED", "D236 on a did not pass in CAP-2026-01-02T13:00:00Z: so"),
        (STABLE, {"history": runs(ran("UNKNOWN", passed=False), ran())}, "UNKNOWN", "D236 on a did not pass in CAP-2026-01-02T13:00:00Z: so"),
        (
            STABLE,
            {"history": runs(ran("DRIFTED"), ran(at="2026-01-02T12:00:00Z"), ran(at="2026-01-02T11:00:00Z", passed=False))},
            "MET",
            "holds",
        ),
        (
            STABLE,
            {"history": runs(ran(), ran(at="2026-01-02T11:59:59Z")), "changed": CHANGED},
            "DRIFTED",
            (
                "D236 on a has 1 of 2 recorded runs since the last change at 2026-01-02T12:00:00Z, 1h apart: controlplane gates run, next from "
                "2026-01-02T14:00:00Z on"
            ),
        ),
        (STABLE, {"history": runs(ran(), ran(at="2026-01-02T12:00:00Z")), "changed": CHANGED}, "MET", "holds"),
        ({"kind": "pack", "pack": "mint"}, {}, "DRIFTED", "pack mint was not run after the last change: controlplane wave close runs it"),
        (
            {"kind": "pack", "pack": "mint"},
            {"packs": [pack(name="other")]},
            "DRIFTED",
            "pack mint was not run after the last change: controlplane wave close runs it",
        ),
        (
            {"kind": "pack", "pack": "mint"},
            {"packs": [pack(at="2026-01-02T11:00:00Z")], "changed": CHANGED},
            "DRIFTED",
            "pack mint was not run after the last change: controlplane wave close runs it",
        ),
        # A change that is dated later than now: the chain says what came after it, and nobody of a run that the chain lacks.
        ({"kind": "pack", "pack": "mint"}, {"packs": [pack()], "changed": AHEAD_OF_NOW}, "MET", "CAP-1"),
        (
            {"kind": "pack", "pack": "mint"},
            {"packs": [pack()], "changed": AHEAD_OF_NOW._replace(began={})},
            "UNKNOWN",
            (
                "nobody can say whether CAP-1, which these receipts lack, was since the last change at 2027-02-06T12:00:00Z (CAP-C: later than "
                "now, a clock ran ahead; the order of the receipts counts): controlplane wave close runs the pack"
            ),
        ),
        (
            STABLE | {"runs": 1},
            {"history": runs(ran()), "changed": AHEAD_OF_NOW},
            "DRIFTED",
            (
                "D236 on a has 0 of 1 recorded runs since the last change at 2027-02-06T12:00:00Z (CAP-C: later than now, a clock ran ahead; the "
                "order of the receipts counts), 1h apart: controlplane gates run"
            ),
        ),
        (
            STABLE | {"runs": 1},
            {"history": runs(ran(passed=False)), "changed": AHEAD_OF_NOW},
            "DRIFTED",
            "D236 on a did not pass in CAP-2026-01-02T13:00:00Z: so",
        ),
        ({"kind": "pack", "pack": "mint"}, {"packs": [pack(), pack(passed=False)]}, "DRIFTED", "CAP-1: so"),
        ({"kind": "pack", "pack": "mint"}, {"packs": [pack(passed=False, unknown=True)]}, "UNKNOWN", "CAP-1: so"),
        ({"kind": "pack", "pack": "mint"}, {"packs": [pack(passed=False), pack()]}, "MET", "CAP-1"),
        ({"kind": "closed", "wave": "W1"}, {}, "DRIFTED", "W1 is not opened yet"),
        ({"kind": "closed", "wave": "W1"}, {"closed_waves": {"W1": "aborted"}}, "DRIFTED", "W1 is aborted"),
        ({"kind": "closed", "wave": "W1"}, {"closed_waves": {"W1": "closed"}}, "MET", "closed"),
        ({"kind": "linked"}, {"registers": None}, "UNKNOWN", "no registers could be read"),
        ({"kind": "linked"}, {"unlinked": ["STOR-001: leads to no gap"]}, "DRIFTED", "STOR-001: leads to no gap"),
        ({"kind": "linked"}, {}, "MET", "holds"),
        ({"kind": "decided", "gaps": ["GAP-OP-1"]}, {"registers": None}, "UNKNOWN", "no registers could be read"),
        (
            {"kind": "decided", "gaps": ["GAP-OP-3"]},
            {"registers": superseded("open")},
            "DRIFTED",
            "GAP-OP-3 is open: close it on its evidence, or accept it with a reason (controlplane gaps close)",
        ),
        (
            {"kind": "decided", "gaps": ["GAP-OP-1"]},
            {"registers": Registers.model_validate({"gaps": {"GAP-OP-1": {"title": "t", "status": "accepted", "reason": "r"}}}, strict=False)},
            "MET",
            "holds",
        ),
        (
            {"kind": "decided", "gaps": ["GAP-OP-1"]},
            {"registers": superseded("open")},
            "DRIFTED",
            "GAP-OP-3, which took the place of GAP-OP-1, is open: close it on its evidence, or accept it with a reason (controlplane gaps close)",
        ),
        ({"kind": "decided", "gaps": ["GAP-OP-1"]}, {"registers": superseded("fixed")}, "MET", "holds"),
        ({"kind": "decided", "gaps": ["GAP-OP-1", "GAP-OP-2"]}, {"registers": superseded("accepted")}, "MET", "holds"),
        (
            {"kind": "decided", "gaps": ["GAP-OP-1"]},
            {"registers": superseded("superseded")},
            "DRIFTED",
            (
                "GAP-OP-3, which took the place of GAP-OP-1, was superseded and leads to no other gap: name the one that took its place "
                "(superseded_by in gaps.yml)"
            ),
        ),
        (
            {"kind": "decided", "gaps": ["GAP-OP-9"]},
            {"registers": superseded("fixed")},
            "DRIFTED",
            "there is no GAP-OP-9 in gaps.yml: file it, or name the right one",
        ),
        (
            {"kind": "promotable", "checks": ["D236"]},
            {"standings": lambda *_: [standing("1 of 3 consecutive runs passed")]},
            "DRIFTED",
            "D236 on a: 1 of 3 consecutive runs passed",
        ),
        ({"kind": "promotable", "checks": ["D236"]}, {"standings": lambda *_: [standing()]}, "MET", "holds"),
        (
            {"kind": "promoted", "checks": ["D236"]},
            {"standings": lambda *_: [standing()]},
            "DRIFTED",
            "D236 on a: no promotion of it that somebody approved is on record: controlplane gates promote",
        ),
        (
            {"kind": "promoted", "checks": ["D236"]},
            {"standings": lambda *_: [enforced("MET")]},
            "DRIFTED",
            "D236 on a: gates.yml enforces it, and no receipt here says who approved that: controlplane gates demote, then promote it",
        ),
        (
            {"kind": "promoted", "checks": ["D236"]},
            {"standings": lambda *_: [standing()], "promoted": APPROVED},
            "DRIFTED",
            "D236 on a: CAP-9 enforced it, and gates.yml only reports it",
        ),
        (
            {"kind": "promoted", "checks": ["D236"]},
            {"standings": lambda *_: [enforced("MET")], "promoted": APPROVED},
            "MET",
            "CAP-9, approved by bob",
        ),
        ({"kind": "promoted", "checks": ["D236"]}, {"promoted": APPROVED}, "UNKNOWN", "nothing is on record of D236"),
        ({"kind": "window"}, {"window": "no maintenance window is open"}, "DRIFTED", "no maintenance window is open"),
        ({"kind": "window"}, {}, "MET", "holds"),
        ({"kind": "approval"}, {"approval": "has none"}, "DRIFTED", "has none"),
        ({"kind": "undo"}, {"undo": "x does not say"}, "DRIFTED", "x does not say"),
        ({"kind": "backup"}, {}, "UNKNOWN", "the site names no proof of a backup (site.yml, backup_gate)"),
        ({"kind": "backup", "max_age": "1h"}, {"backup": lambda most: ("MET", f"younger than {most}")}, "MET", "younger than 3600"),
    ],
)
def test_a_gate_is_judged(gate: dict[str, Any], given: dict[str, Any], verdict: str, reason: str) -> None:
    [judged] = judge_gates(wave(gate), "entry", case(**given))
    assert (judged.verdict, judged.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("stood", "verdict", "reason"),
    [
        (enforced("MET"), "MET", "holds"),
        (enforced("DRIFTED", proposes="demote"), "DRIFTED", "D236 on a: it is enforced and was DRIFTED in CAP-0: mend that, or demote it"),
        (enforced(AHEAD, "UNKNOWN", proposes="demote"), "UNKNOWN", "D236 on a: it is enforced and was UNKNOWN in CAP-1: mend that, or demote it"),
        (enforced(), "UNKNOWN", "D236 on a: it is enforced, and no recorded run judged it: controlplane gates run"),
        (
            enforced("UNKNOWN").model_copy(update={"mode": "report", "held_by": ("0 of 3 consecutive runs passed",)}),
            "UNKNOWN",
            "D236 on a: 0 of 3 consecutive runs passed",
        ),
    ],
)
def test_an_enforced_check_that_failed_is_not_promotable_and_doubt_about_it_is_unknown(stood: Standing, verdict: str, reason: str) -> None:
    [judged] = judge_gates(wave({"kind": "promotable", "checks": ["D236"]}), "entry", case(standings=lambda *_: [stood]))
    assert (judged.verdict, judged.reason) == (verdict, reason)


@pytest.mark.parametrize("gate", [STABLE | {"hosts": ["a", "b"]}, REPORTED | {"hosts": ["a", "b"]}])
def test_recorded_runs_are_asked_where_the_check_is_judged_now_and_of_each_host_that_is_named(gate: dict[str, Any]) -> None:
    apart = (ran(), ran(at="2026-01-02T12:00:00Z"))
    held = {"site": apart, "a": apart, "b": (ran("UNKNOWN", passed=False), ran())}

    def judged(*places: str) -> tuple[str, str]:
        stood = [standing().model_copy(update={"host": place}) for place in places]
        [one] = judge_gates(wave(gate), "entry", case(history=lambda _, host: held[host], standings=lambda *_: stood))
        return one.verdict, one.reason

    # What was once said of the site, such as that the check's file broke, is past.
    assert judged("a", "b")[0] == "UNKNOWN"
    assert "D236 on b" in judged("a", "b")[1]
    assert judged("a", "site")[0] == "UNKNOWN"
    # It looks at no machine.
    assert judged("site") == ("MET", "holds")


def test_a_check_that_could_not_promise_anything_is_no_pass() -> None:
    [judged] = judge_gates(wave({"kind": "promotable", "checks": ["D236"]}), "entry", case())
    assert (judged.verdict, judged.reason) == ("UNKNOWN", "nothing is on record of D236")


@pytest.mark.parametrize("gate", [CHECKS, MET, SERVICES, REPORTED, STABLE])
def test_a_gate_whose_hosts_were_carved_out_keeps_no_other_from_closing(gate: dict[str, Any]) -> None:
    [judged] = judge_gates(wave(gate), "entry", case(hosts=("b",), carved=frozenset({"a"})))
    assert (judged.verdict, judged.reason) == ("MET", "carved out of the wave: a")


def test_of_the_hosts_that_are_left_each_is_asked() -> None:
    [judged] = judge_gates(wave(MET | {"hosts": []}), "entry", case(hosts=("b",), carved=frozenset({"a"})))
    assert (judged.verdict, judged.reason) == ("UNKNOWN", "nothing was judged of D236 on b")


def test_what_holds_for_a_time_only_is_asked_apart() -> None:
    one = wave({"kind": "window"}, {"kind": "linked"}, {"kind": "approval"}, {"kind": "undo"}, {"kind": "backup"})
    assert [gate.kind for gate in judge_gates(one, "entry", case(), at_run=False)] == ["linked"]
    assert [gate.kind for gate in judge_gates(one, "entry", case(), at_run=True)] == ["window", "approval", "undo", "backup"]


def test_a_gate_reads_as_words_and_its_reason_holds_nothing_that_a_terminal_obeys() -> None:
    [gate] = wave(SERVICES).entry
    assert describe(gate) == "these checks are met: hosts a, checks D236, surfaces service:*"
    [judged] = judge_gates(wave(MET), "entry", case(findings=[finding("DRIFTED", surface="tmp:\x1b[2J")]))
    assert judged.reason == "D236 tmp: [2J on a: tmp: [2J is DRIFTED"
