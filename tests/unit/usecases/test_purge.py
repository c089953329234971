"""A purge that stopped half-way is never told to be done, and is ended by its own run or by a new plan."""

from __future__ import annotations

from datetime import timedelta

import pytest

from controlplane.domain.approval import approve
from controlplane.domain.errors import RefusedError
from controlplane.domain.finding import Verdict
from controlplane.domain.plan import Plan
from controlplane.domain.receipt import open_intents
from controlplane.domain.run_result import RunResult
from controlplane.ports.plays import StepResult
from tests.fakes.site import FakeSite

TREES = ("/var/lib/docker", "/var/lib/containerd")
FAILED = StepResult(status="failed", message="the removal of /var/lib/docker stopped: [Errno 5] Input/output error", told={})
LOST = StepResult(status="unreachable", message="no route to host", told={})
# Parts of the play: both trees put aside, then deleted one after the other.
WHOLE, ASIDE, HALF = 0, 2, 3


def _ready_to_purge(approval: str = "none") -> tuple[FakeSite, str]:
    site = FakeSite(approval=approval)
    run = _apply(site, site.plan()).run
    site.clock.time += timedelta(days=8)
    return site, str(run)


def _apply(site: FakeSite, plan: Plan) -> RunResult:
    if site.view.approval != "none":
        site.approvals.add(approve(plan.plan, approver="ann@desk", requester="ann@desk", now=site.clock.now()))
    return site.apply(plan)


def _stopped(site: FakeSite, plan: Plan, parts: int, end: StepResult) -> RunResult:
    site.host.breaks_after, site.runner.ends = parts, [end]
    result = _apply(site, plan)
    site.host.breaks_after = None
    return result


def _left(site: FakeSite) -> list[str]:
    return [item["path"] for item in site.host.probes["target_state"]["retired"]]


@pytest.mark.parametrize(("parts", "done"), [(WHOLE, 0), (ASIDE, 0), (HALF, 1)])
def test_a_purge_that_failed_says_of_each_tree_what_became_of_it(parts: int, done: int) -> None:
    site, _ = _ready_to_purge()

    result = _stopped(site, site.plan("storage.purge"), parts, FAILED)

    assert (result.outcome, result.exit_code()) == ("failed", 1)
    assert [change.status for change in result.changed].count("done") == done
    assert [change.status for change in result.changed].count("not-done") == len(TREES) - done
    step = next(r for r in site.receipts.chain if r.phase == "result" and r.capability == "storage.purge")
    assert (step.outcome, step.changes) == ("failed", result.changed)
    assert result.verify is not None
    found = {f.surface: f.verdict for f in result.verify.findings if f.check == "D244"}
    assert found == {f"retired:{path}": Verdict.DRIFTED for path in _left(site)}
    assert "by a new plan: controlplane plan --host mint-data --capability storage.purge" in result.messages[0]
    assert "controlplane rollback" not in result.messages[0]


@pytest.mark.parametrize("parts", [ASIDE, HALF])
def test_the_same_plan_is_refused_after_a_failure_and_a_new_one_ends_it(parts: int) -> None:
    site, _ = _ready_to_purge(approval="self")
    plan = site.plan("storage.purge")
    _stopped(site, plan, parts, FAILED)
    left, plays = _left(site), list(site.runner.plays)

    with pytest.raises(RefusedError, match="Nothing was changed"):
        site.apply(plan)
    assert (_left(site), site.runner.plays) == (left, plays)

    again = site.plan("storage.purge")
    assert [(c.kind, c.target, c.destructive) for step in again.steps for c in step.changes] == [("delete", path, True) for path in left]
    ended = _apply(site, again)

    assert (ended.outcome, [change.status for change in ended.changed]) == ("done", ["done"] * len(left))
    assert _left(site) == []
    plays = list(site.runner.plays)
    third = site.apply(plan)
    assert (third.outcome, third.changed, third.messages) == (
        "done",
        (),
        ("this plan was applied before and nothing is left of it: nothing was changed",),
    )
    assert site.runner.plays == plays


@pytest.mark.parametrize("parts", [WHOLE, ASIDE, HALF])
def test_a_purge_that_was_interrupted_is_ended_by_its_own_plan_and_approval(parts: int) -> None:
    site, _ = _ready_to_purge(approval="self")
    plan = site.plan("storage.purge")
    assert _stopped(site, plan, parts, LOST).outcome == "interrupted"

    second = site.apply(plan)

    assert (second.outcome, [change.status for change in second.changed]) == ("done", ["done", "done"])
    assert (_left(site), open_intents(site.receipts.chain)) == ([], ())
    purges = {key for role, key in site.host.ran if role == "purge_retired"}
    assert len(purges) == 1
    third = site.apply(plan)
    assert (third.outcome, third.changed) == ("done", ())


def test_what_no_journal_knows_is_not_told_to_be_done_by_a_second_apply() -> None:
    site, _ = _ready_to_purge()
    plan = site.plan("storage.purge")
    _stopped(site, plan, ASIDE, FAILED)
    for item in site.host.probes["target_state"]["retired"]:
        item["purging"]["run"] = None

    with pytest.raises(RefusedError, match="no longer fits"):
        site.apply(plan)
    assert site.plan("storage.purge").steps == ()
    assert len(site.plan("storage.purge").refusals) == len(TREES)


def test_the_move_does_not_go_back_once_its_old_root_is_half_deleted() -> None:
    site, run = _ready_to_purge()
    failed = _stopped(site, site.plan("storage.purge"), ASIDE, FAILED)
    plays, links = list(site.runner.plays), len(site.receipts.chain)

    with pytest.raises(RefusedError, match=f"{failed.receipts[0]} began to delete /var/lib/docker, which it had retired.*Nothing was changed"):
        site.rollback(run)

    assert (site.runner.plays, len(site.receipts.chain)) == (plays, links)


def test_the_move_goes_back_after_a_purge_that_was_refused_before_its_first_change() -> None:
    site, run = _ready_to_purge()
    _stopped(site, site.plan("storage.purge"), WHOLE, FAILED)

    assert site.rollback(run).outcome == "rolled-back"
