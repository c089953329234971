"""Whose approval a wave's run rests on: the one that its intent names covers it to its end, and where that no longer holds another one is given."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from controlplane.domain.approval import Approval, approve, used_in
from controlplane.domain.errors import RefusedError
from controlplane.domain.receipt import Receipt
from controlplane.domain.windows import Window
from controlplane.ports.plays import StepResult
from controlplane.usecases.abandon_run import abandon_run
from tests.fakes.site import OPERATOR
from tests.fakes.waves import BOB, FakeWaveSite

CY = "cy@desk"
STOPPED = StepResult(status="interrupted", message="", told={})


class KilledError(BaseException):
    """A SIGKILL: nothing of the program runs on."""


def refusal(act: Any, **more: Any) -> str:
    with pytest.raises(RefusedError) as refused:
        act(**more)
    return str(refused.value)


def demanding(approval: str, by: str | None = None, **more: Any) -> FakeWaveSite:
    """Return a site of that approval, whose wave demands one by itself where the site does not."""
    site = FakeWaveSite(approval=approval, **more)
    if approval == "none":
        site.wave(entry=[{"kind": "approval", "by": by}])
    return site


def stopped(site: FakeWaveSite, by: str = OPERATOR) -> str:
    """Open, plan, have it approved, and let its run be stopped in its first step; return the run."""
    site.open()
    site.plan_wave()
    site.approve(by=by)
    site.runner.ends = [STOPPED]
    result = site.run()
    assert result.outcome == "interrupted"
    return str(result.run)


def approval_of(site: FakeWaveSite) -> Approval:
    return site.approvals.held[site.record().plans[-1].plan]


def intents(site: FakeWaveSite) -> list[Receipt]:
    return [one for one in site.receipts.chain if one.phase == "intent" and one.plan]


def naming(site: FakeWaveSite) -> dict[str, str]:
    """Return by step whose approval its intent names."""
    return {one.step: one.told["approval"]["approver"] for one in intents(site) if one.told is not None}


def again(site: FakeWaveSite) -> list[tuple[str, str, str | None]]:
    """Return whose approval took the place of another one, for which run, and how that entry ended."""
    ends = {one.key: one.outcome for one in site.receipts.chain if one.phase == "result"}
    mine = [one for one in site.receipts.chain if (one.capability, one.phase) == ("plan.approval", "intent")]
    return [(one.told["approval"]["approver"], one.told["run"], ends.get(one.key)) for one in mine if one.told is not None]


def revoke(site: FakeWaveSite, approver: str) -> None:
    """Remove an approver's line from the allowed signers."""
    real = site.approvals.find

    def find(plan: str, *, at: datetime) -> Approval | None:
        held = real(plan, at=at)
        if held is not None and held.approver == approver:
            why = f"the approval of {plan[7:19]} is signed by a key that allowed_signers does not name. Have the plan approved again by one of the"
            raise RefusedError(f"{why} site's allowed signers. Nothing was changed.")
        return held

    site.approvals.find = find  # type: ignore[method-assign]


# --- the approval that the wave demands is taken as the run begins


@pytest.mark.parametrize(("approval", "by"), [("none", None), ("none", "self"), ("self", None)])
def test_the_runs_intent_names_the_approval_whoever_demands_it_and_it_is_used(approval: str, by: str | None) -> None:
    site = demanding(approval, by)
    run = stopped(site)
    assert naming(site) == {"*": OPERATOR}
    assert approval_of(site).used_by == run
    site.clock.time += timedelta(hours=30)
    assert site.run().outcome == "done"
    assert naming(site) == {"*": OPERATOR}


def test_where_nobody_demands_an_approval_none_is_named_and_none_used() -> None:
    site = FakeWaveSite()
    site.led()
    site.approve(by=BOB)
    assert site.run().outcome == "done"
    assert (naming(site), approval_of(site).used_by) == ({}, None)


def test_a_window_that_ended_before_the_first_step_leaves_a_run_that_the_next_one_goes_on_with() -> None:
    site = demanding("none", view={"windows": (Window(start="12:00", end="12:02"),)})
    site.led()
    real = site.evidence.collect

    def slow(*args: Any, **more: Any) -> Any:
        site.clock.time += timedelta(minutes=3)
        return real(*args, **more)

    site.evidence.collect = slow  # type: ignore[method-assign]
    first = site.run()
    assert (first.outcome, site.host.ran) == ("interrupted", [])
    assert approval_of(site).used_by == first.run
    site.evidence.collect = real  # type: ignore[method-assign]
    told = refusal(site.run)
    assert "no maintenance window is open" in told
    assert "approv" not in told
    ran = first
    while ran.outcome == "interrupted":
        site.clock.time = (site.clock.time + timedelta(days=1)).replace(hour=12, minute=0, second=0)
        ran = site.run()
    assert (ran.outcome, ran.run) == ("done", first.run)


@pytest.mark.parametrize("approval", ["none", "self"])
def test_a_kill_between_the_intent_and_the_use_leaves_the_run_its_approval_also_when_that_is_over(approval: str) -> None:
    site = demanding(approval)
    site.led()
    real = site.approvals.use

    def killed(plan: str, run: str) -> None:  # noqa: ARG001 - the port's signature
        raise KilledError

    site.approvals.use = killed  # type: ignore[method-assign]
    with pytest.raises(KilledError):
        site.run()
    site.approvals.use = real  # type: ignore[method-assign]
    assert (len(intents(site)), approval_of(site).used_by) == (1, None)
    site.clock.time += timedelta(hours=30)
    result = site.run()
    assert (result.outcome, result.run) == ("done", intents(site)[0].run)
    assert approval_of(site).used_by == result.run


def test_an_abandoned_run_has_used_its_approval_up() -> None:
    site = FakeWaveSite(hosts=("mint-data", "two"))
    site.wave(hosts=["mint-data", "two"], failure_limit=1, entry=[{"kind": "approval"}])
    run = stopped(site)
    site.evidence.unreached = {"mint-data": "connection timed out"}
    abandon_run(run, site.view, operator=OPERATOR, reason="it burnt down", ports=site.ports, progress=lambda _: None)
    links = len(intents(site))
    for act in (site.run, site.approve):
        assert "has no plan that did not run yet" in refusal(act)
    assert (len(intents(site)), approval_of(site).used_by) == (links, run)
    assert {step.host for step in site.plan_wave().steps} == {"two"}
    assert "has no approval for this wave: controlplane wave approve W1" in refusal(site.run)


# --- an open run whose approval no longer holds


def _lost(site: FakeWaveSite) -> None:
    del site.approvals.held[site.record().plans[-1].plan]


def _written_over(site: FakeWaveSite) -> None:
    plan = site.record().plans[-1].plan
    site.approvals.add(approve(plan, approver=CY, requester=None, now=site.clock.now()))


GONE: list[Callable[[FakeWaveSite], None]] = [_lost, _written_over, lambda site: revoke(site, BOB)]


@pytest.mark.parametrize("gone", GONE, ids=["lost", "written over", "revoked"])
@pytest.mark.parametrize(("approval", "by"), [("none", "other"), ("self", None), ("other", None)])
def test_an_open_run_whose_approval_is_gone_goes_on_by_another_one_alone(approval: str, by: str | None, gone: Callable[[FakeWaveSite], None]) -> None:
    site = demanding(approval, by)
    run = stopped(site, by=BOB)
    gone(site)
    before = (list(site.host.ran), len(site.receipts.chain))
    assert "controlplane wave approve W1" in refusal(site.run)
    assert (site.host.ran, len(site.receipts.chain)) == before

    site.approve(by=CY)

    assert (site.state(), site.record().plans[-1].run) == ("running", run)
    site.runner.ends = [StepResult(status="done", message="", told={}), STOPPED]
    assert site.run().outcome == "interrupted"
    # What goes on by it names it, and is covered by it from there on, as long as it may take.
    assert (naming(site), again(site)) == ({"*": BOB}, [(CY, run, "done")])
    assert approval_of(site).used_by == run
    site.clock.time += timedelta(hours=30)
    result = site.run()
    assert (result.outcome, result.run) == ("done", run)
    assert (naming(site), again(site)) == ({"*": BOB}, [(CY, run, "done")])
    assert "has no plan that did not run yet" in refusal(site.approve, by=CY)
    assert site.close().outcome == "closed"


def test_another_approval_is_on_record_before_the_step_goes_on_that_was_begun_by_the_first() -> None:
    site = demanding("self")
    site.led()
    site.run()
    site.clock.time += timedelta(days=9)
    site.plan_wave("storage.purge")
    site.approve(by=BOB)
    site.runner.ends = [STOPPED]
    run = str(site.run().run)
    revoke(site, BOB)
    site.approve(by=CY)
    real, told = site.runner.run, []

    def working(*given: Any, **more: Any) -> Any:
        told.append((again(site), used_in(approval_of(site), site.receipts.chain), refusal(site.approve, by=OPERATOR)))
        return real(*given, **more)

    site.runner.run = working  # type: ignore[method-assign]
    assert site.run().outcome == "done"
    # A third one would take its place under the running run.
    refused = f"run {run} of wave W1 is open and needs no other approval. Nothing was changed. Go on with it: controlplane wave run W1"
    assert told == [([(CY, run, "done")], run, refused)]
    assert (approval_of(site).approver, approval_of(site).used_by) == (CY, run)
    assert site.close().outcome == "closed"


def test_another_approval_that_was_used_by_another_run_meanwhile_covers_nothing() -> None:
    site = demanding("self")
    run = stopped(site, by=BOB)
    revoke(site, BOB)
    site.approve(by=CY)
    ran, real = list(site.host.ran), site.approvals.use

    def used(plan: str, run: str) -> None:  # noqa: ARG001 - the port's signature
        raise RefusedError("the approval was used by another a moment ago. Nothing was changed.")

    site.approvals.use = used  # type: ignore[method-assign]
    assert "used by another a moment ago" in refusal(site.run)
    assert (again(site), used_in(approval_of(site), site.receipts.chain), site.host.ran) == ([(CY, run, "refused")], None, ran)
    site.approvals.use = real  # type: ignore[method-assign]
    # It was never taken: it does not outlast its day.
    site.clock.time += timedelta(hours=30)
    assert "its approval expired at " in refusal(site.run)


def test_who_runs_it_does_not_stand_in_for_the_other_person_whose_approval_was_revoked() -> None:
    site = demanding("none", "other")
    run = stopped(site, by=BOB)
    revoke(site, BOB)
    site.approve()
    ran = list(site.host.ran)
    assert f"demands another person's approval, and {OPERATOR} approved it alone (controlplane wave approve W1)" in refusal(site.run)
    # Neither does a mark of its use make it the one that the run took, nor the time that it says that it was given at.
    site.approvals.use(approval_of(site).plan, run)
    assert "approved it alone" in refusal(site.run)
    taken = intents(site)[0].told
    assert taken is not None
    forged = approval_of(site).model_copy(update={"approved_at": taken["approval"]["approved_at"]})
    site.approvals.held[forged.plan] = forged
    assert "approved it alone" in refusal(site.run)
    assert site.host.ran == ran
    site.approve(by=CY)
    assert site.run().outcome == "done"


def test_another_approval_that_expired_before_the_run_went_on_is_given_once_more() -> None:
    site = demanding("self")
    stopped(site, by=BOB)
    revoke(site, BOB)
    site.approve(by=CY)
    site.clock.time += timedelta(hours=30)
    assert "its approval expired at " in refusal(site.run)
    site.approve(by=CY)
    assert site.run().outcome == "done"


def test_a_run_that_its_approval_covers_takes_no_other() -> None:
    site = demanding("none")
    run = stopped(site)
    given = approval_of(site)
    site.clock.time += timedelta(hours=30)
    assert refusal(site.approve, by=BOB) == (
        f"run {run} of wave W1 is open and needs no other approval. Nothing was changed. Go on with it: controlplane wave run W1"
    )
    assert approval_of(site) == given
    assert site.run().outcome == "done"


def test_a_run_that_is_gone_on_with_is_not_closed_as_refused_where_its_approval_was_used_meanwhile() -> None:
    site = demanding("self")
    run = stopped(site)
    real = site.approvals.use

    def used(plan: str, run: str) -> None:  # noqa: ARG001 - the port's signature
        raise RefusedError("the approval was used by another a moment ago. Nothing was changed.")

    site.approvals.use = used  # type: ignore[method-assign]
    assert "used by another a moment ago" in refusal(site.run)
    assert [one.outcome for one in site.receipts.chain if one.capability == "plan.apply"] == [None]
    site.approvals.use = real  # type: ignore[method-assign]
    result = site.run()
    assert (result.outcome, result.run) == ("done", run)


def test_a_wave_whose_run_is_done_closes_also_after_its_approver_was_revoked() -> None:
    site = demanding("self")
    site.open()
    site.plan_wave()
    site.approve(by=BOB)
    assert site.run().outcome == "done"
    revoke(site, BOB)
    assert site.close().outcome == "closed"
