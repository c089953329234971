"""What a rollback cost, and how the data fared on the way back, is on record and told."""

from __future__ import annotations

from typing import Any

from controlplane.ports.plays import StepResult
from tests.fakes.site import FakeSite

UNPROVEN = {"container": "shop", "paths": [{"data": "/data", "proof": {"not_proven": ["all of it: what it was before the stop is not known"]}}]}
FORGOTTEN = {"container": "cache", "forgotten": {"users": ["ops"]}}


def ended(status: Any = "done", **told: Any) -> StepResult:
    return StepResult(status=status, message="" if status == "done" else "no", told=told)


def applied() -> tuple[FakeSite, str]:
    site = FakeSite()
    return site, str(site.apply(site.plan()).run)


def test_what_each_step_cost_on_its_way_back_is_on_record_and_added_up() -> None:
    site, run = applied()
    site.runner.ends = [ended(downtime_s={"shop": 2.5, "engine": 1.0}), ended(), ended(downtime_s={"shop": 0.25})]

    result = site.rollback(run)

    assert (result.outcome, result.downtime_s) == ("rolled-back", {"shop": 2.75, "engine": 1.0})
    assert [r.downtime_s for r in site.receipts.chain if r.phase == "result" and r.undoes] == [{"shop": 2.5, "engine": 1.0}, {}, {"shop": 0.25}]
    assert result.messages == ()


def test_what_a_role_told_of_the_way_back_is_on_record_and_what_is_not_proven_is_said() -> None:
    site, run = applied()
    site.runner.ends = [ended(told=UNPROVEN), ended(told=FORGOTTEN)]

    result = site.rollback(run)

    assert (result.outcome, result.exit_code()) == ("rolled-back", 0)
    assert [r.told for r in site.receipts.chain if r.phase == "result" and r.undoes][:2] == [UNPROVEN, FORGOTTEN]
    assert result.messages == (
        "mint-data/030 | roll back: /data of shop is not proven: all of it: what it was before the stop is not known",
        "mint-data/020 | roll back: cache: its server forgot by its restart what it had only while it ran: users ops. Set that again",
    )


def test_what_an_attempt_that_failed_cost_counts_and_its_message_comes_last() -> None:
    site, run = applied()
    site.runner.ends = [ended(told=UNPROVEN, downtime_s={"shop": 1.0}), ended("failed", downtime_s={"shop": 4.0})]

    first = site.rollback(run)

    assert (first.outcome, first.downtime_s) == ("failed", {"shop": 5.0})
    assert first.messages[0].startswith("mint-data/030 | roll back: /data of shop is not proven")
    assert first.messages[-1].endswith(f"controlplane rollback {run}")
    site.runner.ends = [ended(downtime_s={"shop": 0.5}), ended()]
    second = site.rollback(run)
    assert second.outcome == "rolled-back"
    # Of this attempt's steps alone: what was back before is not asked for again.
    assert second.downtime_s == {"shop": 4.5}
