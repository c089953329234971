"""gates status, explain: which runs are looked at, on which hosts, and by what they were judged."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.finding import Verdict
from controlplane.domain.gates.promotion import Standing
from controlplane.domain.registers import Registers
from controlplane.usecases.gate_standings import order_of, standings
from controlplane.usecases.reset_time import reset_time
from tests.fakes.gates import GateSite
from tests.fakes.site import OPERATOR


def stand(site: GateSite, check: str, **more: Any) -> dict[str, Standing]:
    given: dict[str, Any] = {"hosts": ("mint-apps", "mint-data"), "now": site.clock.now(), **more}
    return {
        one.host: one
        for one in standings(site.view, checks=[check], runs=site.coordination, checkers=site.checkers, began=order_of(site.receipts), **given)
    }


def test_a_check_of_machines_stands_on_each_and_one_of_none_on_the_site() -> None:
    site = GateSite()
    assert {host: one.streak for host, one in stand(site, "D204").items()} == {"mint-apps": 0, "mint-data": 0}
    site.run()
    assert {host: one.streak for host, one in stand(site, "D235").items()} == {"mint-apps": 1, "mint-data": 1}
    assert {host: one.streak for host, one in stand(site, "D204").items()} == {"site": 1}


def test_three_runs_far_enough_apart_earn_it_and_two_of_one_hour_are_one() -> None:
    site = GateSite()
    for after in (60, 60, 30):
        site.run(after=timedelta(minutes=after))
    assert (stand(site, "D235")["mint-data"].streak, stand(site, "D235")["mint-data"].proposes) == (2, None)
    site.run()
    assert (stand(site, "D235")["mint-data"].streak, stand(site, "D235")["mint-data"].proposes) == (3, "promote")


@pytest.mark.parametrize("passed", [2, 12])
def test_what_failed_after_a_clock_had_run_ahead_ends_the_streak_also_once_that_time_has_come(passed: int) -> None:
    site = GateSite(promotion={"runs": 2, "interval": 600})
    began = site.clock.time
    site.clock.time = began + timedelta(hours=9)
    for _ in range(passed):
        site.run(after=timedelta(minutes=11))
    ahead, site.clock.time = site.clock.time, began + timedelta(minutes=30)
    given: dict[str, Any] = {"receipts": site.receipts, "store": site.coordination, "clock": site.clock, "entropy": site.gate_ports.entropy}
    reset_time("lab", operator=OPERATOR, reason="its clock ran ahead", **given)
    site.site_checks.says = {("D204", "site"): (Verdict.DRIFTED, "no secret")}
    failed = site.run(after=timedelta(minutes=1)).run
    site.clock.time = ahead + timedelta(minutes=9)
    found = stand(site, "D204", read=4)["site"]
    assert (found.streak, found.proposes, found.runs[0].run) == (0, None, failed)
    assert found.runs[0].reason.startswith("did not pass: ")


def test_runs_that_follow_each_other_quickly_are_looked_at_until_the_streak_is_found() -> None:
    site = GateSite(promotion={"runs": 3, "interval": 1500})
    for _ in range(56):
        site.run(after=timedelta(seconds=57))
    assert stand(site, "D235")["mint-data"].streak == 3


def test_the_policy_the_checker_and_the_host_of_now_decide_which_runs_count() -> None:
    site = GateSite()
    for _ in range(3):
        site.run()
    site.checkers.changed["D204"] = "sha256:other"
    assert stand(site, "D204")["site"].runs[0].reason == "the checker changed since"
    assert stand(site, "D235", seen={"mint-data": "sha256:other"})["mint-data"].runs[0].reason == "the host changed since"
    assert "the host was not observed" in stand(site, "D235", seen={"mint-data": "sha256:other"})["mint-apps"].held_by[-1]
    site.view = site.view.model_copy(update={"policy_digest": "sha256:relaxed"})
    assert stand(site, "D235")["mint-data"].runs[0].reason == "the policy changed since"


def test_a_run_in_which_the_file_of_a_check_broke_counts_against_each_of_its_hosts_and_is_past_once_it_runs() -> None:
    site = GateSite()
    site.site_checks.says = {("D204", host): (Verdict.MET, "as declared") for host in ("mint-apps", "mint-data")}
    for _ in range(3):
        site.run()
    assert {host: one.proposes for host, one in stand(site, "D204").items()} == {"mint-apps": "promote", "mint-data": "promote"}
    good = site.site_checks.says
    site.site_checks.says = {("D204", "site"): (Verdict.UNKNOWN, "was not run to its end")}
    site.run()
    assert {host: (one.streak, one.proposes) for host, one in stand(site, "D204").items()} == dict.fromkeys(
        ("mint-apps", "mint-data", "site"), (0, None)
    )
    site.site_checks.says = good
    site.run()
    assert {host: one.streak for host, one in stand(site, "D204").items()} == {"mint-apps": 1, "mint-data": 1}


def test_a_run_that_broke_far_back_ends_the_streak_however_few_runs_are_read_at_first() -> None:
    site = GateSite(promotion={"runs": 3, "interval": 1500})
    site.site_checks.says = {("D204", "site"): (Verdict.UNKNOWN, "was not run to its end")}
    site.run()
    site.site_checks.says = {("D204", host): (Verdict.MET, "as declared") for host in ("mint-apps", "mint-data")}
    for _ in range(10):
        site.run(after=timedelta(seconds=300))
    found = stand(site, "D204", read=4)["mint-data"]
    assert (found.streak, found.runs[-1].reason) == (2, "did not pass: check:test_it: was not run to its end")


def test_linkage_holds_a_check_back_with_what_is_missing() -> None:
    site = GateSite(registers=False)
    for _ in range(3):
        site.run()
    assert stand(site, "D235")["mint-data"].held_by == ("linkage: the site has no registers",)
    site.registers = Registers()
    site.settle()
    assert stand(site, "D235")["mint-data"].proposes == "promote"
