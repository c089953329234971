"""A run whose machine is gone for good is closed by a person who says so, and by nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from controlplane.domain.chain import chain_faults
from controlplane.domain.desired import DesiredState
from controlplane.domain.errors import InputInvalidError, RefusedError, UnknownError
from controlplane.domain.inventory import Inventory
from controlplane.domain.receipt import Receipt, open_intents
from controlplane.domain.run_list import run_rows
from controlplane.ports.plays import StepResult
from controlplane.usecases.abandon_run import Abandoned, abandon_run
from tests.fakes.site import OPERATOR, FakeSite

GONE = StepResult(status="unreachable", message="no route to host", told={})
WHY = "the machine burnt down."


def _lost(*, at: int = 1, hosts: tuple[str, ...] = ("mint-data",)) -> FakeSite:
    """Return a site whose first host was lost in step `at` of an apply, counted from 0."""
    site = FakeSite(hosts=hosts)
    site.runner.ends = [StepResult(status="done", message="", told={})] * at + [GONE]
    assert site.apply(site.plan()).outcome == "interrupted"
    site.evidence.unreached = {"mint-data": "connection timed out"}
    return site


def _abandon(site: FakeSite, key: str = "", reason: str = WHY) -> Abandoned:
    return abandon_run(key or site.receipts.chain[0].run, site.view, operator=OPERATOR, reason=reason, ports=site.ports, progress=lambda _: None)


def test_an_open_run_whose_host_is_gone_is_closed_and_nothing_of_it_is_called_done() -> None:
    site = _lost()
    plays = list(site.runner.plays)

    gone = _abandon(site)

    chain = site.receipts.chain
    assert gone.unreached == {"mint-data": "connection timed out"}
    assert [(r.capability, r.outcome, r.changes) for r in chain[-2:]] == [("storage.fstab", "interrupted", ()), ("plan.apply", "interrupted", ())]
    assert {r.reason for r in chain[-2:]} == {
        "abandoned: the machine burnt down. mint-data was not reached: connection timed out. What state it was left in is not known."
    }
    assert open_intents(chain) == ()
    assert chain_faults(site.receipts.load()) == ()
    assert site.runner.plays == plays
    assert site.locks.held_by == {}


def test_it_is_found_by_the_key_of_a_step_as_well() -> None:
    site = _lost()
    step = next(r.key for r in site.receipts.chain if r.capability == "storage.fstab")

    assert _abandon(site, step).run == site.receipts.chain[0].run


def test_a_host_that_can_be_reached_is_resumed_or_taken_back_instead() -> None:
    site = _lost()
    site.evidence.unreached = {}
    links = len(site.receipts.chain)

    with pytest.raises(RefusedError) as refusal:
        _abandon(site)

    run = site.receipts.chain[0].run
    assert str(refusal.value) == (
        f"run {run} is not abandoned: mint-data can be reached. Nothing was changed. "
        f"Go on: controlplane apply with the plan file; or take it back: controlplane rollback {run}"
    )
    assert len(site.receipts.chain) == links


def test_of_two_hosts_only_the_one_that_the_run_waits_for_has_to_be_gone() -> None:
    site = _lost(at=0, hosts=("mint-data", "mint-apps"))
    lost = next(r.host for r in open_intents(site.receipts.chain) if r.host != "*")
    site.evidence.unreached = {lost: "connection timed out"}

    assert _abandon(site).unreached == {lost: "connection timed out"}


def test_a_run_whose_last_host_could_not_be_verified_is_closed_too() -> None:
    site = FakeSite()
    plan = site.plan()
    asked = 1 + len(plan.steps) + 1
    collect = site.evidence.collect

    def losing(*args: object, **other: object) -> object:
        if site.evidence.asked >= asked - 1:
            site.evidence.unreached = {"mint-data": "connection timed out"}
        return collect(*args, **other)  # type: ignore[arg-type]

    site.evidence.collect = losing  # type: ignore[method-assign, assignment]
    assert site.apply(plan).outcome == "interrupted"

    assert _abandon(site).unreached == {"mint-data": "connection timed out"}
    assert open_intents(site.receipts.chain) == ()


def test_a_host_that_the_inventory_no_longer_names_is_gone() -> None:
    site = _lost()
    site.view = site.view.model_copy(update={"inventory": Inventory(hosts=())})

    gone = _abandon(site)

    assert gone.unreached == {"mint-data": "the inventory does not name it any more"}
    assert gone.told() == ("mint-data was not asked: the inventory does not name it any more",)


def test_a_machine_whose_hypervisor_alone_answers_is_gone() -> None:
    site = _lost()
    site.evidence.unreached, site.evidence.by_hypervisor = {}, {"mint-data": "connection timed out"}

    assert _abandon(site).unreached == {"mint-data": "its hypervisor answers, it does not"}


def test_a_step_that_goes_on_through_the_hypervisor_goes_on_as_long_as_that_answers() -> None:
    site = _lost()
    digest = site.receipts.chain[0].plan
    plan = site.ports.plans.get(digest)
    through = tuple(step.model_copy(update={"runs_on": "kvm1"}) for step in plan.steps)
    site.ports.plans.held[digest] = plan.model_copy(update={"steps": through})  # type: ignore[attr-defined]
    site.evidence.unreached, site.evidence.by_hypervisor = {}, {"mint-data": "connection timed out"}

    with pytest.raises(RefusedError, match=r"the hypervisor of mint-data answers\. Nothing was changed\. Go on: controlplane apply"):
        _abandon(site)

    site.evidence.unreached = {"mint-data": "connection timed out; the hypervisor kvm1 was not reached"}
    assert list(_abandon(site).unreached) == ["mint-data"]


def test_a_host_where_something_answers_is_not_gone() -> None:
    site = _lost()
    site.evidence.unreached, site.evidence.at_odds = {"mint-data": "its host key is not the pinned one."}, {"mint-data"}
    links = len(site.receipts.chain)

    with pytest.raises(RefusedError, match=r"mint-data is not known to be gone \(its host key is not the pinned one\)\. Nothing was changed\. Go on"):
        _abandon(site)

    assert len(site.receipts.chain) == links


def _two(*capabilities: str) -> tuple[FakeSite, str]:
    """Return a site with two hosts whose steps on the first are done, and the key of the first step of the other, which was lost."""
    site = FakeSite(hosts=("mint-apps", "mint-data"))
    if capabilities:
        assert site.apply(site.plan()).outcome == "done"
        site.clock.time += timedelta(days=8)
    plan = site.plan(*capabilities)
    first = [step.host for step in plan.steps].index("mint-data")
    site.runner.ends = [StepResult(status="done", message="", told={})] * first + [GONE]
    assert site.apply(plan).outcome == "interrupted"
    return site, next(r.key for r in open_intents(site.receipts.chain) if r.host == "mint-data")


def test_where_another_host_of_the_run_is_gone_the_step_that_is_open_is_taken_back_first() -> None:
    site, key = _two()
    run = site.receipts.chain[0].run
    site.evidence.unreached = {"mint-apps": "connection timed out"}

    with pytest.raises(RefusedError) as refusal:
        _abandon(site)

    assert str(refusal.value) == (
        f"run {run} is not abandoned: mint-data can be reached. Nothing was changed. "
        f"Take back what is open on mint-data, then abandon the run: controlplane rollback {key}"
    )
    assert site.rollback(key).outcome == "rolled-back"
    assert _abandon(site).unreached == {"mint-apps": "connection timed out"}
    assert open_intents(site.receipts.chain) == ()


def test_where_another_host_is_gone_a_purge_that_does_not_go_back_is_closed_as_well() -> None:
    site, key = _two("storage.purge")
    run = next(r.run for r in site.receipts.chain if r.key == key)
    site.evidence.unreached = {"mint-apps": "connection timed out"}

    gone = _abandon(site, run)

    assert gone.unreached == {"mint-apps": "connection timed out"}
    assert gone.receipts == (key, run)
    told = {r.key: r.told for r in site.receipts.chain if r.outcome == "interrupted"}
    assert told == {key: {"unreached": {}}, run: {"unreached": {"mint-apps": "connection timed out"}}}


def test_of_two_open_rollbacks_that_of_the_host_that_answers_is_named() -> None:
    site = FakeSite(hosts=("mint-apps", "mint-data"))
    run = str(site.apply(site.plan()).run)
    last = {r.host: r.key for r in site.receipts.chain if r.phase == "intent" and r.host != "*"}
    for host in ("mint-apps", "mint-data"):
        site.runner.ends = [GONE]
        assert site.rollback(last[host]).outcome == "interrupted"
    site.evidence.unreached = {"mint-apps": "connection timed out"}

    with pytest.raises(RefusedError, match=f"abandon the run: controlplane rollback {last['mint-data']}$"):
        _abandon(site, run)


def test_a_begun_rollback_is_closed_with_its_run() -> None:
    site = FakeSite()
    run = str(site.apply(site.plan()).run)
    site.runner.ends = [GONE]
    assert site.rollback(run).outcome == "interrupted"
    site.evidence.unreached = {"mint-data": "connection timed out"}

    gone = _abandon(site, run)

    assert len(gone.receipts) == 1
    last = site.receipts.chain[-1]
    assert (last.key, last.outcome, last.undoes is not None) == (gone.receipts[0], "interrupted", True)


def test_asked_for_again_it_says_that_nothing_is_open() -> None:
    site = _lost()
    _abandon(site)
    links = len(site.receipts.chain)

    with pytest.raises(RefusedError, match=r"is not open\. Nothing was changed"):
        _abandon(site)

    assert len(site.receipts.chain) == links


@pytest.mark.parametrize("at", range(20))
def test_cut_off_anywhere_it_is_closed_by_asking_again(at: int) -> None:
    site = _lost()
    site.arm(at)
    try:
        _abandon(site)
    except KeyboardInterrupt:
        site.arm(None)
        if open_intents(site.receipts.chain):
            _abandon(site)
    site.arm(None)

    assert open_intents(site.receipts.chain) == ()
    assert [r.outcome for r in site.receipts.chain if r.phase == "result"] == ["done", "interrupted", "interrupted"]


def test_who_was_cut_off_and_finds_the_machine_back_is_told_what_was_closed() -> None:
    site = _lost()
    close = site.ports.receipts.append

    def cut(receipt: Receipt) -> Receipt:
        if receipt.capability == "plan.apply":
            raise KeyboardInterrupt
        return close(receipt)

    site.receipts.append = cut  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        _abandon(site)
    site.receipts.append = close  # type: ignore[method-assign]
    site.evidence.unreached = {}

    with pytest.raises(RefusedError, match=r"mint-data can be reached\. mint-data/020 of it was closed as interrupted before\. Nothing was changed"):
        _abandon(site)


def test_a_reason_without_a_full_stop_gets_one() -> None:
    site = _lost()
    _abandon(site, reason=" it burnt down ")

    assert str(site.receipts.chain[-1].reason).startswith("abandoned: it burnt down. mint-data was not reached: connection timed out. What")


def test_a_machine_that_comes_back_is_taken_back_in_order() -> None:
    site = _lost()
    _abandon(site)
    site.evidence.unreached = {}
    run = site.receipts.chain[0].run
    first = next(r.key for r in site.receipts.chain if r.capability == "storage.data_disk")

    # Nobody knows whether the second was done, so the first does not go back before it.
    with pytest.raises(RefusedError, match="later steps stand on it"):
        site.rollback(first)

    assert site.rollback(run).outcome == "rolled-back"
    assert all(row.state == "rolled-back" for row in run_rows(site.receipts.chain) if row.run == run and row.key in (run, first))


def test_a_new_plan_goes_on_from_what_the_machine_shows() -> None:
    site = _lost()
    _abandon(site)
    site.evidence.unreached = {}

    assert site.apply(site.plan()).outcome == "done"


def test_a_plan_whose_run_was_abandoned_and_ended_on_the_host_all_the_same_has_nothing_left() -> None:
    site = _lost(at=2)
    plan = site.ports.plans.get(site.receipts.chain[0].plan)
    _abandon(site)
    site.evidence.unreached = {}

    result = site.apply(plan)

    assert (result.outcome, result.messages) == ("done", ("this plan was applied before and nothing is left of it: nothing was changed",))


def test_a_purge_that_was_abandoned_is_planned_anew_and_never_told_to_go_back() -> None:
    site = FakeSite()
    first = str(site.apply(site.plan()).run)
    site.clock.time += timedelta(days=8)
    site.runner.ends = [GONE]
    run = str(site.apply(site.plan("storage.purge")).run)
    site.evidence.unreached = {"mint-data": "connection timed out"}

    gone = _abandon(site, run)

    anew = "controlplane plan --host mint-data --capability storage.purge"
    assert gone.should_it_come_back == anew
    assert {row.next for row in run_rows(site.receipts.chain) if row.run == run} == {f"should its machine come back: {anew}"}
    site.evidence.unreached = {}
    with pytest.raises(RefusedError, match="purged what it had retired, and with it the way back"):
        site.rollback(first)


def test_a_run_that_was_abandoned_before_its_first_step_has_no_way_back_and_needs_none() -> None:
    site = FakeSite()
    plan = site.plan()
    append = site.receipts.append

    def killed(receipt: Receipt) -> Receipt:
        if receipt.step != "*":
            raise SystemExit
        return append(receipt)

    site.receipts.append = killed  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        site.apply(plan)
    site.receipts.append = append  # type: ignore[method-assign]
    site.evidence.unreached = {"mint-data": "connection timed out"}

    gone = _abandon(site)

    assert (gone.should_it_come_back, [row.next for row in run_rows(site.receipts.chain)]) == (None, ["nothing"])
    with pytest.raises(RefusedError, match=f"^{gone.run} ended before its first step: there is nothing to take back. Nothing was changed.$"):
        site.rollback(gone.run)


def test_a_run_with_a_host_that_nobody_governs_any_more_names_the_steps_of_the_others() -> None:
    site, key = _two()
    run = site.receipts.chain[0].run
    inventory = Inventory(hosts=tuple(host for host in site.view.inventory.hosts if host.name != "mint-apps"))
    desired = DesiredState(hosts=tuple(host for host in site.view.desired.hosts if host.host != "mint-apps"))
    site.view = site.view.model_copy(update={"inventory": inventory, "desired": desired})
    links = len(site.receipts.chain)

    with pytest.raises(RefusedError) as refusal:
        site.rollback(run)

    assert str(refusal.value) == (
        f"{run} can't go back, inventory/lab/policy.yml does not govern mint-apps any more. Nothing was changed. Govern mint-apps again, then run "
        f"this again. Without it, in this order: controlplane rollback {key}"
    )
    assert len(site.receipts.chain) == links


def test_who_meets_an_open_run_is_told_that_it_can_be_given_up() -> None:
    site = _lost()
    run = site.receipts.chain[0].run
    site.evidence.unreached = {}

    with pytest.raises(RefusedError, match=rf"A machine is gone for good\? controlplane runs abandon {run} --reason"):
        site.apply(site.plan())


def test_who_resumes_without_the_machine_is_told_of_it_and_so_is_who_lists_runs() -> None:
    site = _lost()
    run = site.receipts.chain[0].run
    plan = site.ports.plans.get(site.receipts.chain[0].plan)

    with pytest.raises(UnknownError, match=rf"A machine is gone for good\? controlplane runs abandon {run} --reason"):
        site.apply(plan)

    assert all(
        row.next.endswith(f"its machine is gone for good: controlplane runs abandon {run}")
        for row in run_rows(site.receipts.chain)
        if row.state == "open"
    )


@pytest.mark.parametrize(
    ("key", "reason", "told"),
    [
        ("", " ", "--reason"),
        ("CAP-x", WHY, "is no run key"),
        ("CAP-20260101-000000__plan.apply__R0000", WHY, "no run CAP-20260101-000000__plan.apply__R0000 of a plan"),
    ],
)
def test_what_is_asked_wrongly_is_a_usage_error(key: str, reason: str, told: str) -> None:
    with pytest.raises(InputInvalidError, match=told):
        _abandon(_lost(), key, reason)
