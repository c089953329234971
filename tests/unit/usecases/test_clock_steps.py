"""A controller's clock that steps by an hour or by 400 days: no approval revives, nothing is begun, and a person finds the way back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from controlplane.adapters.approvals import ApprovalFiles
from controlplane.adapters.signing import SshSigner
from controlplane.domain.approval import approve
from controlplane.domain.chain import chain_faults, last_reset
from controlplane.domain.coordination import moment_of, stamp_of
from controlplane.domain.errors import RefusedError
from controlplane.domain.plan import Plan
from controlplane.ports.plays import StepResult
from controlplane.usecases.approval_guard import judge_approval
from controlplane.usecases.judge_ready import judge_ready, standing_of
from controlplane.usecases.reboot_hosts import reboot_hosts
from controlplane.usecases.reset_time import reset_time
from controlplane.usecases.take_lease import take_lease
from tests.fakes.chains import receipt
from tests.fakes.coordination import FakeCoordination
from tests.fakes.evidence_builder import healthy_probes
from tests.fakes.host import FakeHost
from tests.fakes.ports import FakeEntropy
from tests.fakes.site import OPERATOR, FakeSite

HOUR, LONG = timedelta(hours=1), timedelta(days=400)
STEPS = [HOUR, LONG]


def _approved(approval: str = "self") -> tuple[FakeSite, Plan]:
    site = FakeSite(approval=approval)
    plan = site.plan()
    site.approvals.add(approve(plan.plan, approver="bob@example.org", requester=None, now=site.clock.now()))
    return site, plan


def _refused(act: Callable[[], object]) -> str:
    with pytest.raises(RefusedError) as refused:
        act()
    return str(refused.value)


VERBS: dict[str, Callable[[FakeSite, Plan], object]] = {
    "apply": lambda site, plan: site.apply(plan),
    "rollback": lambda site, _: site.rollback(site.receipts.chain[0].run),
    "ready": lambda site, _: judge_ready("mint-data", site.view, operator=OPERATOR, ports=site.ports),
    "reboot": lambda site, _: reboot_hosts(site.view, hosts=("mint-data",), operator=OPERATOR, ports=site.ports, progress=lambda _: None),
    "lease take": lambda site, _: take_lease(site.view, "mint-data", operator=OPERATOR, ports=site.ports, progress=lambda _: None),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("verb", VERBS)
def test_a_clock_that_stepped_back_behind_the_chain_is_refused_with_both_times(verb: str, step: timedelta) -> None:
    site, plan = _approved()
    site.apply(plan)
    newest = site.receipts.chain[-1].at
    plays, links = list(site.runner.plays), len(site.receipts.chain)
    site.clock.time -= step
    says = stamp_of(site.clock.time + timedelta(seconds=1))

    told = _refused(lambda: VERBS[verb](site, plan))

    assert told.startswith(f"this controller's clock says {says}, and the newest receipt of the site is of {newest}. Nothing was changed.")
    assert told.endswith("controlplane receipts reset-time --reason TEXT")
    assert (site.runner.plays, len(site.receipts.chain)) == (plays, links)


@pytest.mark.parametrize("step", STEPS)
def test_a_clock_that_steps_back_while_a_step_runs_leaves_a_chain_that_holds(step: timedelta) -> None:
    site, plan = _approved()
    run = site.runner.run

    def stepping(*args: object, **more: object) -> StepResult:
        site.clock.time -= step
        return run(*args, **more)  # type: ignore[arg-type]

    site.runner.run = stepping  # type: ignore[method-assign]

    site.apply(plan)

    times = [one.at for one in site.receipts.chain]
    assert times == sorted(times)
    assert chain_faults(site.receipts.load()) == ()


@pytest.mark.parametrize("step", [timedelta(days=1), LONG])
def test_an_approval_that_was_seen_expired_does_not_revive_though_no_receipt_shows_the_later_time(step: timedelta) -> None:
    site, plan = _approved()
    expires = site.approvals.held[plan.plan].expires_at
    site.clock.time += step
    assert f"its approval expired at {expires}: approve it again" in _refused(lambda: site.apply(plan))

    site.clock.time -= step

    assert f"its approval expired at {expires}: approve it again" in _refused(lambda: site.apply(plan))
    assert site.receipts.chain == []


def _at(site: FakeSite, *, host: datetime, controller: datetime) -> None:
    site.host.probes["identity"]["clock_epoch"] = host.timestamp()
    site.clock.time = controller


def test_an_approval_whose_end_nobody_saw_pass_is_over_by_the_clock_of_a_host_that_this_controllers_is_an_hour_behind() -> None:
    site, plan = _approved()
    expires = site.approvals.held[plan.plan].expires_at
    over = moment_of(expires)
    _at(site, host=over + timedelta(minutes=10), controller=over - timedelta(minutes=50))

    told = _refused(lambda: site.apply(plan))

    says = stamp_of(site.clock.time)
    assert told == (
        f"plan {plan.plan[:19]} refused: its approval expired at {expires}, by the clock of mint-data: it says 2026-01-03T12:10:03Z, and this "
        f"controller's {says}. Nothing was changed. Set the one that is wrong; where that is this controller's, approve the plan again as well. "
        "Then run this again."
    )
    assert (site.receipts.chain, site.runner.plays, site.approvals.held[plan.plan].expired) == ([], [], False)
    # It was the host's clock that was wrong: the approval is still good.
    site.host.probes["identity"]["clock_epoch"] = site.clock.time.timestamp()
    assert site.apply(plan).outcome == "done"


@pytest.mark.parametrize(
    ("host", "controller"),
    [(timedelta(minutes=1), timedelta(minutes=-2)), (timedelta(minutes=-1), timedelta(hours=-2)), (timedelta(days=-400), timedelta(hours=-2))],
    ids=["minutes apart", "it lasts by both", "the host is behind"],
)
def test_a_difference_that_does_not_matter_refuses_nothing(host: timedelta, controller: timedelta) -> None:
    site, plan = _approved()
    over = moment_of(site.approvals.held[plan.plan].expires_at)
    _at(site, host=over + host, controller=over + controller)
    assert site.apply(plan).outcome == "done"


def test_a_run_goes_on_by_the_approval_that_it_took_whatever_its_hosts_clocks_say() -> None:
    site, plan = _approved()
    over = moment_of(site.approvals.held[plan.plan].expires_at)
    site.runner.ends = [StepResult(status="interrupted", message="interrupted", told={})]
    site.apply(plan)
    _at(site, host=over + HOUR, controller=over - HOUR)
    assert site.apply(plan).outcome == "done"


@pytest.mark.parametrize("step", STEPS)
def test_an_approval_of_a_time_that_is_still_to_come_allows_nothing(step: timedelta) -> None:
    site, plan = _approved()
    given = site.approvals.held[plan.plan].approved_at
    site.clock.time -= step

    assert f"its approval was given at {given}, and it is " in _refused(lambda: site.apply(plan))


def test_a_clock_that_is_minutes_behind_is_judged_by_the_chains_time() -> None:
    site, plan = _approved()
    site.apply(plan)
    other = site.plan("storage.fstab")
    site.approvals.held[other.plan] = site.approvals.held[plan.plan].model_copy(
        update={"plan": other.plan, "used_by": None, "expires_at": site.receipts.chain[-1].at}
    )
    assert other.steps == ()
    drifted = site.receipts.chain[-1].at
    site.clock.time -= timedelta(minutes=4)

    told = judge_approval(
        other.plan,
        demanded="self",
        operator=OPERATOR,
        approvals=site.approvals,
        chain=site.receipts.chain,
        run=None,
        now=site.clock.now(),
    )[1]
    assert told == f"its approval expired at {drifted}: approve it again"


@pytest.mark.parametrize("step", STEPS)
def test_a_resumed_run_is_covered_after_its_approval_and_the_approvers_key_ended(step: timedelta) -> None:
    site, plan = _approved()
    site.runner.ends = [StepResult(status="interrupted", message="interrupted", told={})]
    begun = site.apply(plan)
    site.clock.time += step

    asked: list[str] = []
    find = site.approvals.find
    site.approvals.find = lambda digest, *, at: (asked.append(stamp_of(at)), find(digest, at=at))[1]  # type: ignore[method-assign]

    assert site.apply(plan).outcome == "done"
    assert asked == [site.receipts.chain[0].at]
    assert site.receipts.chain[0].run == begun.run


def test_losing_the_mark_of_its_use_frees_no_approval() -> None:
    site, plan = _approved()
    run = str(site.apply(plan).run)
    site.rollback(run)
    site.approvals.held[plan.plan] = site.approvals.held[plan.plan].model_copy(update={"used_by": None})

    assert f"its approval was used by {run}" in _refused(lambda: site.apply(plan))
    taken = site.receipts.chain[0].told
    assert taken is not None
    assert taken["approval"]["approver"] == "bob@example.org"


def test_the_marks_of_use_and_of_expiry_are_files_that_a_new_approval_takes_away(tmp_path: Path) -> None:
    site, store = FakeSite(), ApprovalFiles(tmp_path, SshSigner(None, None))
    now = site.clock.now()
    store.add(approve("sha256:aa", approver="a", requester=None, now=now))
    signed = (tmp_path / "aa.json").read_bytes()
    store.use("sha256:aa", "RUN1")
    store.expire("sha256:aa", seen_at=stamp_of(now))

    held = store.find("sha256:aa", at=now)
    assert held is not None
    assert (held.used_by, held.expired) == ("RUN1", True)
    assert (tmp_path / "aa.json").read_bytes() == signed
    assert b"used_by" not in signed

    store.add(approve("sha256:aa", approver="a", requester=None, now=now))
    again = store.find("sha256:aa", at=now)
    assert again is not None
    assert (again.used_by, again.expired) == (None, False)


def _reset(site: FakeSite, store: FakeCoordination) -> str:
    return reset_time(
        "lab",
        operator=OPERATOR,
        reason="desk2 ran ahead",
        receipts=site.receipts,
        store=store,
        clock=site.clock,
        entropy=FakeEntropy(),
    )


@pytest.mark.parametrize("step", STEPS)
def test_after_a_clock_that_ran_ahead_a_person_resets_the_time_and_nothing_given_before_holds(step: timedelta) -> None:
    site, plan = _approved()
    right = site.clock.time
    old = site.plan("storage.fstab")
    site.approvals.add(approve(old.plan, approver="bob@example.org", requester=None, now=right))
    site.clock.time += step
    site.approvals.add(approve(plan.plan, approver="bob@example.org", requester=None, now=site.clock.now()))
    site.apply(plan)
    ahead = site.receipts.chain[-1].at
    store = FakeCoordination()
    store.assert_time(site.clock.time)
    site.clock.time = right + timedelta(minutes=10)
    assert "controlplane receipts reset-time" in _refused(lambda: site.rollback(site.receipts.chain[0].run))

    key = _reset(site, store)

    intent, result = site.receipts.chain[-2:]
    assert (intent.capability, result.key, result.reason, result.told) == ("site.time", key, "desk2 ran ahead", {"from": ahead})
    assert chain_faults(site.receipts.load()) == ()
    assert site.rollback(site.receipts.chain[0].run).outcome == "rolled-back"
    again = site.plan()
    site.approvals.held[again.plan] = site.approvals.held[old.plan].model_copy(update={"plan": again.plan})
    assert f"its approval was given before the site's time was reset at {intent.at}" in _refused(lambda: site.apply(again))
    site.approvals.add(approve(again.plan, approver="bob@example.org", requester=None, now=site.clock.now(), reset=last_reset(site.receipts.chain)))
    assert site.apply(again).outcome == "done"


def test_a_reset_by_a_clock_that_was_set_back_revives_no_approval_that_was_over() -> None:
    site, plan = _approved()
    given = site.clock.time
    for phase in ("intent", "result"):
        site.receipts.append(receipt(1, phase, minute=3 * 24 * 60))
    site.clock.time = given - timedelta(minutes=30)
    _reset(site, FakeCoordination())
    reset = last_reset(site.receipts.chain)
    assert reset is not None
    # By this clock it was given after the reset, and it lasts.
    site.clock.time = given + timedelta(hours=1)

    assert f"its approval was given before the site's time was reset at {reset.at}: approve it again" in _refused(lambda: site.apply(plan))

    site.approvals.add(approve(plan.plan, approver="bob@example.org", requester=None, now=site.clock.now(), reset=reset))
    assert site.apply(plan).outcome == "done"


def test_what_a_clock_that_ran_ahead_called_ready_is_not_ready_after_a_reset() -> None:
    site = FakeSite()
    site.hosts["mint-data"] = FakeHost("mint-data", healthy_probes())
    right = site.clock.time
    site.clock.time += LONG

    def stands() -> str | None:
        return standing_of("mint-data", site.view, clock=site.clock, receipts=site.receipts)[1]

    assert judge_ready("mint-data", site.view, operator=OPERATOR, ports=site.ports)[0].ready
    assert stands() is None
    site.clock.time = right
    _reset(site, FakeCoordination())
    reset = last_reset(site.receipts.chain)
    assert reset is not None

    for days in (0, 300):
        site.clock.time = right + timedelta(days=days)
        assert stands() == f"it was given before the site's time was reset at {reset.at}"


def test_a_time_that_nobody_ran_ahead_of_is_not_reset() -> None:
    site, plan = _approved()
    site.apply(plan)
    store, links = FakeCoordination(), len(site.receipts.chain)

    told = _refused(lambda: _reset(site, store))

    assert told.endswith("and the site has seen no later time. Nothing was changed.")
    assert len(site.receipts.chain) == links


def test_a_store_that_alone_saw_a_later_time_is_reset_too() -> None:
    site, _ = _approved()
    store = FakeCoordination()
    store.assert_time(site.clock.time + LONG)

    _reset(site, store)

    store.assert_time(site.clock.now())
