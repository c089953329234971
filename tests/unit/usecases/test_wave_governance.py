"""A wave that changes no machine: what it has to say of runs, linkage and promotion, and of gaps and loops."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.desired import Registered
from controlplane.domain.errors import RefusedError
from controlplane.domain.registers import Registers
from controlplane.domain.registers.rules import Broken
from controlplane.usecases.record_run import Ledger
from tests.fakes.waves import FakeWaveSite

GOVERN: dict[str, Any] = {
    "goal": "enforce",
    "mutation": "governance",
    "read_only": ["mint-data"],
    "pack": "mint",
    "gaps": ["GAP-OP-1", "GAP-OP-2"],
    "outputs": ["pack", "last-runs", "linkage", "promotion", "gaps"],
}


def _registers() -> Registers:
    gaps = {
        "GAP-OP-1": {"title": "one", "loops": ["LOOP-A"]},
        "GAP-OP-2": {"title": "two", "status": "accepted", "reason": "r", "loops": ["LOOP-A"]},
    }
    return Registers.model_validate({"loops": {"LOOP-A": {"title": "a"}}, "gaps": gaps}, strict=False)


def _site(*, mode: str = "report", **more: Any) -> FakeWaveSite:
    gates = {
        "packs": {"mint": {"checks": ["D234"]}},
        "promotion": {"runs": 2, "interval": "1s"},
        "modes": {"D234": {"mint-data": mode}},
    }
    exits = [{"kind": "promotable", "checks": ["D234"]}] if mode == "report" else []
    return FakeWaveSite({"W1": GOVERN | {"exit": exits}}, gates=gates, registers=_registers(), **more)


def test_promote_or_hold_is_said_with_the_field_that_would_change() -> None:
    site = _site(registered=Registered(rows=(), doubt=None))
    site.open()

    made = site.close()

    assert made.outputs["last-runs"] == ", ".join(run.run for run in site.store.latest_runs("mint", 2))
    assert made.outputs["promotion"] == "D234 on mint-data: promote; gates.yml modes.D234.mint-data: report -> enforce"


def test_what_has_not_been_earned_keeps_the_wave_open_and_is_on_hold() -> None:
    site = _site()
    site.open()
    with pytest.raises(RefusedError, match="D234 on mint-data: linkage: the site has no registers"):
        site.close()
    site.abort()
    site.wave(exit=[{"kind": "reported", "checks": ["D234"]}], outputs=["pack"])
    site.open()
    assert site.close().outputs == {}


def test_what_is_enforced_is_said_with_its_field() -> None:
    site = _site(mode="enforce")
    site.wave(exit=[{"kind": "promotable", "checks": ["D234"]}])
    site.open()

    made = site.close()

    assert made.outputs["last-runs"] == ", ".join(run.run for run in site.store.latest_runs("mint", 2))
    assert made.outputs["linkage"] == "complete: every finding leads to gaps and a loop"
    assert made.outputs["promotion"] == "D234 on mint-data: enforced; gates.yml modes.D234.mint-data: enforce"
    assert [(one.gap, one.status, one.recommended) for one in made.gaps] == [("GAP-OP-1", "open", False), ("GAP-OP-2", "accepted", False)]
    assert [(one.loop, one.status, one.open_gaps) for one in made.loops] == [("LOOP-A", "open", ("GAP-OP-1",))]
    assert (made.plans, made.actions, made.outcome) == ((), (), "closed")


def test_a_wave_that_wants_an_approved_promotion_does_not_close_on_what_was_earned_or_written_by_hand() -> None:
    site = _site(registered=Registered(rows=(), doubt=None))
    site.wave(exit=[{"kind": "promotable", "checks": ["D234"]}, {"kind": "promoted", "checks": ["D234"]}])
    site.open()

    def refused() -> str:
        with pytest.raises(RefusedError) as refusal:
            site.close()
        return str(refusal.value)

    assert "D234 on mint-data: no promotion of it that somebody approved is on record: controlplane gates promote" in refused()
    by_hand = site.view.gates.model_copy(update={"modes": {"D234": {"mint-data": "enforce"}}})
    site.view = site.view.model_copy(update={"gates": by_hand})
    assert "D234 on mint-data: gates.yml enforces it, and no receipt here says who approved that" in refused()
    key, change = "CAP-20260102-130000__gates.promote__R0001", {"check": "D234", "host": "mint-data", "after": "enforce"}
    ledger = Ledger(site.receipts, site.clock, run=key, site="lab", plan="", policy="x", operator="ann@desk")
    ledger.intend(key, host="*", capability="gates.promote", step="gates.yml", told={"approval": {"approver": "bob"}, "changes": [change]})
    ledger.close(key, host="*", capability="gates.promote", step="gates.yml", outcome="done", told={"changes": [change]})

    made = site.close()

    assert [(one.kind, one.reason) for one in made.gates] == [("promotable", "holds"), ("promoted", f"{key}, approved by bob")]
    assert made.outputs["promotion"] == "D234 on mint-data: enforced; gates.yml modes.D234.mint-data: enforce"


def test_what_can_not_be_said_is_missing_and_not_made_up() -> None:
    site = _site(mode="enforce")
    site.wave(pack=None)
    site.governance = type(site.governance)(gates=site.governance.gates, registers=None, waves=site.governance.waves)
    site.open()
    with pytest.raises(RefusedError) as refused:
        site.close()
    assert str(refused.value) == "wave W1 does not close: it has to leave behind pack, last-runs, linkage, promotion, and did not. It stays open."


def test_a_linkage_that_is_broken_is_told() -> None:
    site = _site(mode="enforce")
    site.wave(exit=[{"kind": "promotable", "checks": ["D234"]}])
    told = Broken("findings", ("findings", "R1"), "R1", "STOR-009 leads nowhere")
    site.governance = type(site.governance)(
        gates=site.governance.gates, registers=site.governance.registers, waves=site.governance.waves, broken=(told,)
    )
    site.open()
    assert site.close().outputs["linkage"] == "R1: STOR-009 leads nowhere"


def test_a_wave_that_looks_only_has_no_plan() -> None:
    site = _site(mode="enforce")
    site.open()
    with pytest.raises(RefusedError, match="changes no machine"):
        site.plan_wave()
    assert site.next() == 'controlplane wave close W1 --attest "..."'
