"""What the store says of gate runs is believed as far as their receipts and reports bear it out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.coordination import GateRun, stamp_of
from controlplane.domain.errors import RefusedError, RunFailedError
from controlplane.domain.finding import Verdict
from controlplane.domain.gates.promotion import Standing
from controlplane.usecases.gate_standings import order_of, standings
from tests.fakes.gates import GateSite

DRIFT = {("D204", "site"): (Verdict.DRIFTED, "no owner")}


def stand(site: GateSite, check: str = "D204") -> Standing:
    [one] = standings(
        site.view, checks=[check], hosts=("mint-data",), runs=site.runs, checkers=site.checkers, began=order_of(site.receipts), now=site.clock.now()
    )
    return one


def earned(bad: int | None = None, runs: int = 3) -> GateSite:
    """Return a site with that many runs, of which one, counted from the oldest, did not pass."""
    site = GateSite()
    for number in range(runs):
        site.site_checks.says = DRIFT if number == bad else {}
        site.run()
    site.site_checks.says = {}
    return site


def rewrite(site: GateSite, number: int, **changed: Any) -> None:
    """Change a row of the store; what names no field of the run is of all of its results."""
    run = site.coordination.runs[number]
    mine = {name: value for name, value in changed.items() if name in GateRun.model_fields}
    its = {name: value for name, value in changed.items() if name not in mine}
    site.coordination.runs[number] = run.model_copy(update={"results": tuple(one.model_copy(update=its) for one in run.results)} | mine)


def not_promoted(site: GateSite) -> str:
    with pytest.raises(RefusedError) as refused:
        site.propose("promote", "D204")
    assert site.file.text == ""
    return str(refused.value)


def test_runs_that_their_reports_bear_out_count_as_they_did() -> None:
    site = earned()
    assert (stand(site).streak, stand(site).proposes) == (3, "promote")
    assert site.runs.latest_runs("mint", 2) == site.coordination.latest_runs("mint", 2)
    assert site.runs.runs_of("D204", "site") == site.coordination.runs_of("D204", "site")


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_a_failure_that_the_store_calls_passed_is_what_its_report_says(bad: int) -> None:
    site = earned(bad)
    rewrite(site, bad, passed=True, verdict="MET", reason="as declared")
    row = next(one for one in stand(site).runs if one.run == site.coordination.runs[bad].run)
    assert (row.counts, row.verdict, row.reason) == (
        False,
        "DRIFTED",
        "did not pass: check:test_it: no owner (no STOR finding is linked to it)",
    )
    assert "D204 on site" in not_promoted(site)


def test_by_what_a_run_judged_and_when_says_its_report_too() -> None:
    site = earned(runs=1)
    site.view = site.view.model_copy(update={"policy_digest": "sha256:relaxed"})
    rewrite(site, 0, policy="sha256:relaxed")
    assert stand(site).runs[0].reason == "the policy changed since"
    site = earned(runs=1)
    site.checkers.changed["D204"] = "sha256:other"
    rewrite(site, 0, checker="sha256:other")
    assert stand(site).runs[0].reason == "the checker changed since"
    site = earned()
    site.hosts["mint-data"].probes["identity"]["machine_id"] = "another"
    site.run()
    for number in range(3):
        rewrite(site, number, hosts=site.coordination.runs[-1].hosts)
    assert [one.reason for one in stand(site, "D235").runs[:2]] == ["counts", "the host changed since"]
    site = GateSite()
    for _ in range(3):
        site.run(after=timedelta(minutes=1))
    for number in range(3):
        rewrite(site, number, at=stamp_of(site.clock.now() - timedelta(hours=3 - number)))
    assert stand(site).streak == 1


@pytest.mark.parametrize(
    ("lost", "why"),
    [
        ("receipt", "the receipts of this site folder hold no such run: it was another controller's"),
        ("report", "is gone: restore it from a copy"),
        ("other report", "its report is not the one that receipt"),
        ("old report", "it was recorded before reports said what the hosts were: run the pack again"),
        ("no report", "x.json is no report of a gate run: restore it, or move it away."),
        ("its place", "its report says nothing of it"),
    ],
)
def test_what_passed_by_the_store_alone_is_unknown_and_ends_the_streak(lost: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site = earned()
    run = site.coordination.runs[1].run
    report = site.reports.held[run]
    if lost == "receipt":
        site.receipts.chain = [one for one in site.receipts.chain if one.key != run]
    elif lost == "report":
        del site.reports.held[run]
    elif lost == "other report":
        site.reports.held[run] = report.model_copy(update={"pack": "other"})
    elif lost == "no report":
        monkeypatch.setattr(
            site.reports, "head_of", lambda _run: fails("x.json is no report of a gate run: restore it, or move it away. Nothing was changed.")
        )
    else:
        site.reports.held[run] = report.model_copy(update={"facts": {}} if lost == "old report" else {"passing": report.passing[:1]})
        evidence = site.reports.held[run].digest()
        site.receipts.chain = [
            one.model_copy(update={"evidence": evidence}) if (one.key, one.phase) == (run, "result") else one for one in site.receipts.chain
        ]
    found = stand(site)
    # One that may be another controller's ends nothing.
    assert found.streak == {"no report": 0, "receipt": 2}.get(lost, 1)
    row = found.runs[0 if lost == "no report" else 1]
    ends = "" if lost == "receipt" else "did not pass: "
    assert (row.verdict, row.counts, row.reason.startswith(f"{ends}only the store says that it passed, ")) == ("UNKNOWN", False, True)
    assert why in row.reason
    assert "Nothing was changed" not in row.reason
    assert "D204 on site" in not_promoted(site)


def fails(why: str) -> Any:
    raise RunFailedError(why)


def test_a_run_that_ended_in_an_error_has_no_report_and_ends_the_streak() -> None:
    site = earned()
    real, site.site_checks.run = site.site_checks.run, lambda *_: fails("pytest is gone")  # type: ignore[method-assign]
    with pytest.raises(RunFailedError):
        site.run()
    site.site_checks.run = real  # type: ignore[method-assign]
    assert (stand(site).streak, stand(site).runs[0].reason) == (0, "did not pass: pytest is gone")
    assert stand(site, "D235").streak == 0
    # Called passed by the store it has nothing that bears it out.
    rewrite(site, 3, passed=True, verdict="MET")
    assert (stand(site).streak, stand(site).runs[0].verdict) == (0, "UNKNOWN")


@pytest.mark.parametrize("own", [2, 3])
def test_a_run_that_another_controller_made_or_nobody_earns_nothing_and_ends_nothing(own: int) -> None:
    site = earned(runs=own)
    run, at = "CAP-20260102-235959__verify.pack.run__Rffff", stamp_of(site.clock.now())
    site.coordination.runs.append(site.coordination.runs[1].model_copy(update={"run": run, "at": at}))
    found = stand(site)
    assert (found.streak, found.runs[0].verdict, found.runs[0].counts, found.proposes) == (own, "UNKNOWN", False, "promote" if own == 3 else None)
    assert found.runs[0].reason.endswith("it was another controller's")
    # What did not pass holds back, whoever saw it.
    rewrite(site, own, passed=False, verdict="DRIFTED", reason="no owner")
    assert (stand(site).streak, stand(site).proposes) == (0, None)


def test_a_failure_that_the_store_has_lost_ends_the_streak_all_the_same() -> None:
    site = earned(1)
    del site.coordination.runs[1]
    assert [one.reason for one in stand(site).runs[:2]] == ["counts", "did not pass: check:test_it: no owner (no STOR finding is linked to it)"]
    assert [one.streak for one in [stand(site), stand(site, "D235")]] == [1, 2]
    assert [one.run for one in site.runs.latest_runs("mint", 2)] == list(reversed(site.reports.held))[:2]
    assert site.runs.latest_runs("other") == ()


def test_receipts_that_cant_be_read_leave_what_the_store_says_unproven_and_stop_nobody_who_looks() -> None:
    site = earned()
    site.receipts.load = lambda: fails("x.json is no receipt")  # type: ignore[method-assign]
    assert (stand(site).streak, stand(site).runs[0].verdict) == (0, "UNKNOWN")
    assert stand(site).runs[0].reason.endswith("x.json is no receipt")


def reads(site: GateSite, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that fills with what is read while many places are looked at, each twice."""
    told: list[str] = []

    def counted(what: str, read: Any, *of: Any) -> Any:
        told.append(what)
        return read(*of)

    load, report_of = site.receipts.load, site.reports.head_of
    monkeypatch.setattr(site.receipts, "load", lambda: counted("receipts", load))
    monkeypatch.setattr(site.reports, "head_of", lambda run: counted(run, report_of, run))
    for place in [("D204", "site"), ("D235", "mint-data"), ("D235", "mint-apps"), ("D240", "mint-data")] * 2:
        site.runs.runs_of(*place)
    return told


def test_receipts_are_read_no_more_often_for_more_places_where_they_lack_runs_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    # As where two controllers share a store and not their state/.
    site = earned()
    lacking = {one.run for one in site.coordination.runs[1:]}
    site.receipts.chain = [one for one in site.receipts.chain if one.key not in lacking]
    told = reads(site, monkeypatch)
    assert told.count("receipts") == 2
    assert all(row.results[0].verdict == "UNKNOWN" for row in site.runs.runs_of("D204", "site")[:2])
    # What ran meanwhile is looked for.
    site.run()
    assert site.runs.runs_of("D204", "site")[0].results[0].passed


def test_receipts_without_a_gate_run_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reads(GateSite(), monkeypatch) == ["receipts"]


def test_receipts_that_can_not_be_read_are_not_read_for_each_place(monkeypatch: pytest.MonkeyPatch) -> None:
    site = earned()
    monkeypatch.setattr(site.receipts, "load", lambda: fails("x.json is no receipt"))
    assert reads(site, monkeypatch).count("receipts") <= 2


def test_a_report_that_bears_nothing_out_is_read_once_for_all_places(monkeypatch: pytest.MonkeyPatch) -> None:
    site = earned(bad=1)
    old = {run: report.model_copy(update={"facts": {}}) for run, report in site.reports.held.items()}
    site.reports.held.update(old)
    site.receipts.chain = [
        one.model_copy(update={"evidence": old[one.key].digest()}) if one.phase == "result" and one.key in old else one for one in site.receipts.chain
    ]
    told = reads(site, monkeypatch)
    assert sorted(one for one in told if one != "receipts") == sorted(old)
