"""gates run: what a run judges, what it leaves on record, and what an ending on the way leaves behind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.desired import DesiredState, HostWaiver
from controlplane.domain.errors import InputInvalidError, InterruptedRunError, RefusedError, RunFailedError
from controlplane.domain.finding import Verdict
from controlplane.domain.policy import Until
from controlplane.domain.receipt import open_intents
from controlplane.domain.registers import Registers
from controlplane.domain.run_list import run_rows
from controlplane.usecases.gate_standings import order_of, standings
from controlplane.usecases.look_at_wave import pack_ran
from tests.fakes.gates import GateSite


def test_a_run_is_on_record_with_what_it_was_judged_by() -> None:
    site = GateSite()
    report = site.run()
    [run] = site.coordination.runs
    assert (report.run, report.pack, report.exit_code()) == (run.run, "mint", 0)
    assert {(one.check, one.host, one.verdict, one.checker) for one in run.results} == {
        ("D235", "mint-apps", "MET", "sha256:program"),
        ("D235", "mint-data", "MET", "sha256:program"),
        ("D204", "site", "MET", "sha256:file"),
    }
    assert run.policy == "sha256:policy"
    assert set(run.hosts) == {"mint-apps", "mint-data", "site"}
    assert len(set(run.hosts.values())) == 3
    assert [(one.phase, one.outcome) for one in site.receipts.chain] == [("intent", None), ("result", "done")]
    [kept] = site.reports.latest(1, {})
    assert site.receipts.chain[-1].evidence == kept.digest
    assert (kept.policy, kept.checkers) == ("sha256:policy", {"D235": "sha256:program", "D204": "sha256:file"})


def test_the_checks_of_a_pack_are_judged_in_its_order_and_the_sites_own_among_them() -> None:
    report = GateSite(packs={"mint": {"checks": ["D204", "D241", "D235"]}}).run()
    assert list(dict.fromkeys(one.check for one in report.passing)) == ["D204", "D241", "D235"]


def test_a_check_that_asks_nothing_of_these_hosts_is_told_and_never_counted_as_passed() -> None:
    report = GateSite(packs={"mint": {"checks": ["D235", "D248"]}}).run()
    assert (report.silent, {one.check for one in report.passing}) == (("D248",), {"D235"})


def test_unknown_is_5_in_report_mode_and_wins_over_an_enforced_drift() -> None:
    site = GateSite()
    site.enforce("D204", "site")
    site.site_checks.says["D204", "site"] = (Verdict.DRIFTED, "no owner")
    assert site.run().exit_code() == 3
    site.evidence.unreached = {"mint-data": "No route to host"}
    report = site.run()
    assert report.exit_code() == 5
    assert {(one.check, one.host, one.verdict) for one in report.not_passed()} == {
        ("D235", "mint-data", "UNKNOWN"),
        ("D204", "site", "DRIFTED"),
    }
    assert site.coordination.runs[-1].hosts["mint-data"] == "unreached"


def test_a_drift_that_is_only_reported_is_shown_and_exits_with_0() -> None:
    site = GateSite()
    site.site_checks.says["D204", "site"] = (Verdict.DRIFTED, "no owner")
    report = site.run()
    assert (report.exit_code(), report.summary.drifted) == (0, 1)
    assert [one.reason for one in report.not_passed()] == ["check:test_it: no owner (no STOR finding is linked to it)"]
    assert site.receipts.chain[-1].outcome == "failed"


def test_an_expected_drift_of_an_enforced_check_is_on_record_as_failed_and_so_is_the_pack() -> None:
    site = GateSite()
    site.registers = Registers.model_validate(
        {
            "loops": {"LOOP-A": {"title": "work"}},
            "gaps": {"GAP-OP-1": {"title": "owners", "loops": ["LOOP-A"]}},
            "findings": {"STOR-001": {"title": "owners", "severity": "high", "gaps": ["GAP-OP-1"], "checks": ["D204"]}},
        }
    )
    site.settle()
    site.site_checks.says["D204", "site"] = (Verdict.DRIFTED, "no owner")
    assert pack_ran(site.run(), "*").passed
    site.enforce("D204", "site")
    report = site.run()
    assert (report.exit_code(), [(one.check, one.verdict) for one in report.not_passed()]) == (3, [("D204", "DRIFTED")])
    assert [one.passed for one in site.coordination.runs[-1].results if one.check == "D204"] == [False]
    assert site.receipts.chain[-1].outcome == "failed"
    ran = pack_ran(report, "*")
    assert (ran.passed, ran.unknown, "expected by GAP-OP-1, and enforced" in ran.reason) == (False, False, True)


def test_a_waiver_passes_by_name_goes_on_being_judged_and_ends_by_its_day_or_by_its_limit() -> None:
    site = GateSite(packs={"mint": {"checks": ["D234"]}}, checks={})
    usage = site.host.probes["usage"]["/"]
    usage |= dict.fromkeys(("free", "available"), usage["size"] * 15 // 100)
    ends = site.clock.time + timedelta(days=1)
    waiver = HostWaiver(check="D234", reason="is pruned weekly", approved_by="ops", ends_at=ends, until=Until(root_used=90))
    waived = [one.model_copy(update={"waivers": (waiver,)}) for one in site.view.desired.hosts]
    site.view = site.view.model_copy(update={"desired": DesiredState(hosts=tuple(waived))})
    [passing] = site.run(hosts=("mint-data",)).passing
    assert (passing.verdict, passing.passed, "waived by ops" in passing.reason) == ("WAIVED", True, True), passing
    usage |= dict.fromkeys(("free", "available"), usage["size"] * 5 // 100)
    [passing] = site.run(hosts=("mint-data",)).passing
    assert (passing.verdict, passing.passed, "its waiver by ops is void" in passing.reason) == ("DRIFTED", False, True), passing
    crossed = site.receipts.chain[-1]
    # It fell below again: what was crossed once is over, and the receipt of the run that saw it says so.
    usage |= dict.fromkeys(("free", "available"), usage["size"] * 15 // 100)
    report = site.run(hosts=("mint-data",))
    [passing] = report.passing
    over = f"its waiver by ops ended for good: root_used is 95%, it was given up to 90% in {crossed.key}. Give it anew in policy.yml, or take it out"
    assert (passing.verdict, passing.passed, over in passing.reason) == ("DRIFTED", False, True), passing
    # Said once: later receipts do not repeat it.
    assert (report.ended, site.receipts.chain[-1].told) == ((), None)
    usage |= dict.fromkeys(("free", "available"), usage["size"] * 15 // 100)
    [passing] = site.run(hosts=("mint-data",), after=timedelta(days=2)).passing
    assert (passing.verdict, "its waiver by ops ended" in passing.reason) == ("DRIFTED", True), passing


def test_a_run_that_saw_a_limit_crossed_and_then_fails_ends_the_waiver_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    site = GateSite(packs={"usage": {"checks": ["D234"]}}, checks={})
    usage = site.host.probes["usage"]["/"]
    usage |= dict.fromkeys(("free", "available"), usage["size"] * 5 // 100)
    ends = site.clock.time + timedelta(days=9)
    waiver = HostWaiver(check="D234", reason="grows", approved_by="ops", ends_at=ends, until=Until(root_used=90))
    waived = [one.model_copy(update={"waivers": (waiver,)}) for one in site.view.desired.hosts]
    site.view = site.view.model_copy(update={"desired": DesiredState(hosts=tuple(waived))})

    def busy(*_given: object, **_told: object) -> None:
        raise RefusedError("the store is busy")

    with monkeypatch.context() as failing:
        failing.setattr(site.coordination, "add_run", busy)
        with pytest.raises(RefusedError, match="the store is busy"):
            site.run("usage", hosts=("mint-data",))
    usage |= dict.fromkeys(("free", "available"), usage["size"] * 15 // 100)
    [passing] = site.run("usage", hosts=("mint-data",)).passing
    assert (passing.verdict, "its waiver by ops ended for good: root_used is 95%" in passing.reason) == ("DRIFTED", True), passing


def test_a_limit_that_is_crossed_while_nothing_drifts_ends_its_waiver_too_and_one_given_anew_is_another() -> None:
    site = GateSite(packs={"mint": {"checks": ["D240"]}, "usage": {"checks": ["D234"]}}, checks={})
    usage = site.host.probes["usage"]["/"]
    waiver = HostWaiver(check="D234", reason="grows", approved_by="ops", ends_at=site.clock.time + timedelta(days=9), until=Until(root_used=90))

    def give(one: HostWaiver) -> None:
        hosts = [host.model_copy(update={"waivers": (one,)}) for host in site.view.desired.hosts if host.host == "mint-data"]
        site.view = site.view.model_copy(update={"desired": DesiredState(hosts=tuple(hosts))})

    give(waiver)
    usage |= dict.fromkeys(("free", "available"), usage["size"] * 5 // 100)
    # Its check is none of this pack.
    [ended] = site.run("mint", hosts=("mint-data",)).ended
    assert (ended.host, ended.check, ended.reason) == ("mint-data", "D234", "root_used is 95%, it was given up to 90%")
    usage |= dict.fromkeys(("free", "available"), usage["size"] * 15 // 100)
    assert [one.verdict for one in site.run("usage", hosts=("mint-data",)).passing] == ["DRIFTED"]
    give(waiver.model_copy(update={"reason": "grows, and is pruned from now on"}))
    assert [one.verdict for one in site.run("usage", hosts=("mint-data",)).passing] == ["WAIVED"]


def test_a_run_of_some_hosts_says_nothing_of_the_others() -> None:
    site = GateSite()
    site.run(hosts=("mint-data",))
    assert {one.host for one in site.coordination.runs[0].results} == {"mint-data", "site"}
    assert "mint-apps" not in site.coordination.runs[0].hosts


def test_a_host_that_is_called_site_keeps_its_own_digest() -> None:
    site = GateSite(hosts=("site",), checks={}, packs={"mint": {"checks": ["D235"]}})
    site.run()
    assert site.coordination.runs[0].hosts["site"] != "site"


@pytest.mark.parametrize(
    ("pack", "hosts", "words"),
    [("mnt", (), "there is no pack mnt in inventory/lab/gates.yml; there are mint"), ("mint", ("nobody",), "nobody is not")],
)
def test_a_pack_or_host_that_there_is_not_is_said_before_anything_is_begun(pack: str, hosts: tuple[str, ...], words: str) -> None:
    site = GateSite()
    with pytest.raises(InputInvalidError, match=words):
        site.run(pack, hosts=hosts)
    assert (site.receipts.chain, site.evidence.asked) == ([], 0)


def test_without_a_name_every_check_is_run_that_is_judged_by_default() -> None:
    report = GateSite(registers=False).run(None)
    assert report.pack == "all"
    assert {"D234", "D235", "D204"} <= {one.check for one in report.passing}
    assert "D239" not in {one.check for one in report.passing}


def test_a_controller_whose_clock_is_behind_is_refused_before_anything_is_begun() -> None:
    site = GateSite()
    site.run()
    before = list(site.receipts.chain)
    with pytest.raises(RefusedError, match="this controller's clock says"):
        site.run(after=timedelta(hours=-2))
    assert (site.receipts.chain, len(site.coordination.runs), len(site.reports.held)) == (before, 1, 1)


def test_two_hosts_that_are_one_machine_end_the_run_and_its_receipt_says_so() -> None:
    site = GateSite()
    site.hosts["mint-apps"].name = "mint-data"
    site.hosts["mint-apps"].probes["identity"]["machine_id"] = site.hosts["mint-data"].probes["identity"]["machine_id"]
    with pytest.raises(InputInvalidError, match="is the same machine as"):
        site.run()
    assert site.receipts.chain[-1].outcome == "failed"


def test_a_run_that_ends_in_an_error_ends_every_streak_and_one_that_was_stopped_ends_none(monkeypatch: pytest.MonkeyPatch) -> None:
    site = GateSite()
    for _ in range(3):
        site.run()

    def ends(error: Exception) -> None:
        def run(*_: Any) -> Any:
            raise error

        with monkeypatch.context() as broken:
            broken.setattr(site.site_checks, "run", run)
            with pytest.raises(type(error)):
                site.run()

    ends(InterruptedRunError("stopped"))
    assert len(site.coordination.runs) == 3
    ends(RunFailedError("pytest is gone"))
    last = site.coordination.runs[-1]
    assert (last.run, last.pack) == (site.receipts.chain[-1].run, "mint")
    assert {(one.check, one.host, one.verdict, one.passed, one.reason) for one in last.results} == {
        (check, host, "UNKNOWN", False, "pytest is gone") for check, host in (("D235", "mint-apps"), ("D235", "mint-data"), ("D204", "site"))
    }
    stood = standings(
        site.view,
        checks=["D235", "D204"],
        hosts=["mint-data"],
        runs=site.coordination,
        checkers=site.checkers,
        began=order_of(site.receipts),
        now=site.clock.now(),
    )
    assert [(one.check, one.host, one.streak, one.proposes) for one in stood] == [("D235", "mint-data", 0, None), ("D204", "site", 0, None)]


def test_a_store_that_fails_is_told_by_the_receipt_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    site = GateSite()

    def busy(*_: Any, **__: Any) -> None:
        raise RefusedError("the store is busy")

    monkeypatch.setattr(site.coordination, "add_run", busy)
    with pytest.raises(RefusedError, match="the store is busy"):
        site.run()
    assert (site.receipts.chain[-1].outcome, site.receipts.chain[-1].reason) == ("failed", "the store is busy")


def test_a_run_that_is_cut_off_anywhere_counts_whole_or_not_at_all_and_is_never_in_the_way() -> None:
    whole = GateSite()
    whole.arm(None)
    whole.run()
    for at in range(1, whole.world.count + 1):
        site = GateSite()
        site.arm(at)
        with pytest.raises(KeyboardInterrupt):
            site.run()
        site.arm(None)
        assert all(one.results for one in site.coordination.runs)
        assert open_intents(site.receipts.chain) == ()
        for row in run_rows(site.receipts.chain):
            assert row.next in {"nothing", "see how the checks stand: controlplane gates run mint"}
        assert site.run().exit_code() == 0
