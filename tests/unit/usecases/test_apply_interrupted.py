"""A run that is cut at any of its contacts with the world goes on from there, to the same end."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import pytest

from controlplane.domain.chain import chain_faults
from controlplane.domain.errors import InterruptedRunError, RefusedError, RunFailedError
from controlplane.domain.plan import Plan
from controlplane.domain.receipt import open_intents
from controlplane.domain.run_result import RunResult
from controlplane.ports.plays import StepResult
from tests.fakes.site import FakeSite


def _contacts() -> int:
    site = FakeSite(approval="self")
    plan = site.plan()
    _approve(site, plan.plan)
    site.arm(None)
    site.apply(plan)
    return site.world.count


def _approve(site: FakeSite, plan: str) -> None:
    from controlplane.domain.approval import approve

    site.approvals.add(approve(plan, approver="ann@desk", requester="ann@desk", now=site.clock.now()))


def _apply_until_cut(site: FakeSite, plan: Plan) -> RunResult | str:
    try:
        return site.apply(plan)
    except InterruptedRunError as stop:
        return str(stop)


def _records(result: RunResult) -> Counter[str]:
    return Counter(f"{change.kind} {change.target} {change.status}" for change in result.changed)


CONTACTS = range(1, _contacts() + 1)


@pytest.mark.parametrize("at", CONTACTS)
def test_a_run_cut_at_any_contact_is_resumed_to_the_end_and_a_third_run_changes_nothing(at: int) -> None:
    site = FakeSite(approval="self")
    plan = site.plan()
    _approve(site, plan.plan)
    site.arm(at)
    first = _apply_until_cut(site, plan)
    if isinstance(first, str):
        assert "Nothing was changed" in first or "is recorded as done" in first
    else:
        assert first.outcome == "interrupted"
        assert first.exit_code() == 130
        assert first.messages[-1].startswith(f"Run {first.run} is open. Go on: 'controlplane apply'")
        assert [change.model_dump(exclude={"status"}) for change in first.changed] == [c.model_dump() for step in plan.steps for c in step.changes]
    finished = bool(site.receipts.chain) and not open_intents(site.receipts.chain) and site.receipts.chain[-1].outcome == "done"
    site.arm(None)

    second = site.apply(plan)

    assert second.outcome == "done", second.messages
    assert _records(second) == (Counter() if finished else Counter(f"{c.kind} {c.target} done" for step in plan.steps for c in step.changes))
    assert site.host.formatted == 1
    assert open_intents(site.receipts.chain) == ()
    assert chain_faults(site.receipts.load()) == ()
    results = [receipt for receipt in site.receipts.chain if receipt.phase == "result"]
    assert Counter(receipt.step for receipt in results) == {"mint-data/010": 1, "mint-data/020": 1, "mint-data/030": 1, "*": 1}
    assert {change.status for receipt in results for change in receipt.changes} == {"done"}
    assert {receipt.run for receipt in results} == {results[0].run}
    plays, links = list(site.runner.plays), len(site.receipts.chain)

    third = site.apply(plan)

    assert (third.outcome, third.changed, third.run) == ("done", (), None)
    assert site.runner.plays == plays
    assert len(site.receipts.chain) == links


@pytest.mark.parametrize("at", CONTACTS)
def test_a_run_cut_at_any_contact_can_be_taken_back_instead(at: int) -> None:
    site = FakeSite()
    plan = site.plan()
    before = site.host.evidence("2026-01-02T12:00:00Z").digest()
    site.arm(at)
    try:
        site.apply(plan)
    except InterruptedRunError:
        return
    site.arm(None)
    run = site.receipts.chain[0].run

    back = site.rollback(run)

    assert back.outcome == "rolled-back"
    assert {change.status for change in back.changed} <= {"undone"}
    assert site.host.evidence("2026-01-02T12:00:00Z").digest() == before
    assert open_intents(site.receipts.chain) == ()
    assert chain_faults(site.receipts.load()) == ()


def _rollback_contacts() -> int:
    site = FakeSite()
    run = site.apply(site.plan()).run
    site.arm(None)
    site.rollback(str(run))
    return site.world.count


@pytest.mark.parametrize("at", range(1, _rollback_contacts() + 1))
def test_a_rollback_cut_at_any_contact_is_resumed_to_the_end(at: int) -> None:
    site = FakeSite()
    plan = site.plan()
    before = site.host.evidence("2026-01-02T12:00:00Z").digest()
    run = str(site.apply(plan).run)
    site.arm(at)

    first = site.rollback(run)

    assert first.outcome == "interrupted"
    assert first.exit_code() == 130
    assert "controlplane " in first.messages[-1]
    site.arm(None)
    if {change.status for change in first.changed} != {"undone"}:
        assert site.rollback(run).outcome == "rolled-back"
    assert site.host.evidence("2026-01-02T12:00:00Z").digest() == before
    assert chain_faults(site.receipts.load()) == ()
    undone = [receipt.undoes for receipt in site.receipts.chain if receipt.outcome == "rolled-back" and receipt.undoes]
    assert len(undone) == len(set(undone)) == 3


def test_an_interruption_that_the_runner_took_leaves_the_receipt_open_and_says_what_is_next() -> None:
    site = FakeSite()
    plan = site.plan()
    done = StepResult(status="done", message="", told={})
    site.runner.ends = [done, StepResult(status="interrupted", message="interrupted; what ran was stopped first.", told={})]

    result = site.apply(plan)

    assert result.outcome == "interrupted"
    assert result.messages[0] == "mint-data/020 storage.fstab: interrupted; what ran was stopped first; 1 of 3 steps are done."
    assert [c.status for c in result.changed] == ["done"] * 4 + ["not-done"] * 10
    assert site.apply(plan).outcome == "done"


def test_a_run_that_is_open_while_this_program_became_another_is_taken_back_as_the_refusal_says() -> None:
    site = FakeSite()
    plan = site.plan()
    site.runner.ends = [StepResult(status="interrupted", message="interrupted", told={})]
    run = str(site.apply(plan).run)
    site.roles.content = site.roles.content | {"fstab/tasks/main.yml": b"[] # changed\n"}
    with pytest.raises(RefusedError) as refused:
        site.apply(plan)
    assert str(refused.value) == (
        f"plan {plan.plan[:19]} refused: the roles of this program changed since it was made. Nothing was changed. Its run {run} is open. Undo that "
        f"change and go on with it; or take it back, controlplane rollback {run}, then make a new one: controlplane plan --out FILE"
    )
    assert site.rollback(run).outcome == "rolled-back"
    assert site.apply(site.plan()).outcome == "done"


def test_a_lost_connection_leaves_the_receipt_open_and_the_same_key_is_used_again() -> None:
    site = FakeSite()
    plan = site.plan()
    site.runner.ends = [StepResult(status="unreachable", message="Connection reset", told={})]

    result = site.apply(plan)

    assert result.outcome == "interrupted"
    assert "the connection to mint-data was lost: Connection reset" in result.messages[0]
    assert site.apply(plan).outcome == "done"
    keys = [key for role, key in site.host.ran if role == "data_disk"]
    assert len(keys) == 2
    assert len(set(keys)) == 1


@pytest.mark.parametrize("status", ["done", "failed"])
def test_a_host_that_went_before_it_was_seen_what_became_of_a_step_leaves_the_receipt_open(
    monkeypatch: pytest.MonkeyPatch, status: Literal["done", "failed"]
) -> None:
    """Its power went between the play and the look: neither done nor failed is known, and an approval that is used up is not lost."""
    site = FakeSite(approval="self")
    plan = site.plan()
    _approve(site, plan.plan)
    run = site.runner.run

    def and_then_the_power_goes(*asked: Any, **more: Any) -> StepResult:
        run(*asked, **more)
        site.evidence.unreached = {"mint-data": "No route to host"}
        return StepResult(status=status, message="" if status == "done" else "it broke", told={})

    monkeypatch.setattr(site.runner, "run", and_then_the_power_goes)
    result = site.apply(plan)
    assert result.outcome == "interrupted"
    assert result.messages[0].startswith("mint-data/010 storage.data_disk: mint-data was not reached to see what became of it: No route to host")
    assert {receipt.phase for receipt in site.receipts.chain} == {"intent"}

    site.evidence.unreached = {}
    monkeypatch.setattr(site.runner, "run", run)
    assert site.apply(plan).outcome == "done"
    assert chain_faults(site.receipts.load()) == ()


def test_a_host_that_went_before_it_was_verified_leaves_the_run_open_and_its_steps_done(monkeypatch: pytest.MonkeyPatch) -> None:
    site = FakeSite(hosts=("mint-data", "mint-apps"))
    plan = site.plan()
    collect = site.evidence.collect

    def until_all_is_done(routes: Any, *asked: Any, **more: Any) -> Any:
        # The last step's own look is that of its host; what is verified besides is the other one.
        results = sum(receipt.phase == "result" for receipt in site.receipts.chain)
        site.evidence.unreached = dict.fromkeys(["mint-data", "mint-apps"], "No route to host") if results == len(plan.steps) else {}
        return collect(routes, *asked, **more)

    monkeypatch.setattr(site.evidence, "collect", until_all_is_done)
    result = site.apply(plan)
    assert (result.outcome, result.messages[0].startswith("all steps ended well, and ")) == ("interrupted", True), result.messages
    assert [change.status for change in result.changed] == ["done"] * len(result.changed)
    assert [one.capability for one in open_intents(site.receipts.chain)] == ["plan.apply"]

    monkeypatch.setattr(site.evidence, "collect", collect)
    site.evidence.unreached = {}
    assert site.apply(plan).outcome == "done"
    assert not open_intents(site.receipts.chain)


def test_a_receipt_that_cannot_be_written_ends_the_run_with_what_is_open_and_next() -> None:
    rehearsal = FakeSite()
    whole = rehearsal.plan()
    rehearsal.arm(None)
    rehearsal.apply(whole)
    site = FakeSite()
    plan = site.plan()
    site.arm(rehearsal.world.places.index("write result") + 1, RunFailedError)

    with pytest.raises(RunFailedError) as stop:
        site.apply(plan)

    run = site.receipts.chain[0].run
    assert str(stop.value).endswith(
        f"Run {run} is open. Go on: 'controlplane apply' with the same plan file; or take it back: controlplane rollback {run}"
    )
