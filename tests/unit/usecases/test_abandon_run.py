"""A run whose machine is gone for good is closed by a person who says so, and by nothing else."""

from __future__ import annotations

import pytest

from controlplane.domain.chain import chain_faults
from controlplane.domain.errors import InputInvalidError, RefusedError, UnknownError
from controlplane.domain.inventory import Inventory
from controlplane.domain.receipt import open_intents
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
        "abandoned: the machine burnt down. Not reached: mint-data: connection timed out. What state it was left in is not known."
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


def test_of_two_hosts_only_the_one_that_the_run_waits_for_is_asked() -> None:
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

    assert _abandon(site).unreached == {"mint-data": "the inventory does not name it any more"}


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
