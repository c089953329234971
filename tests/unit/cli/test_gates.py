"""gates and approve as a person and a script meet them: exit codes, forms of output, and what is said."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from controlplane import wiring
from controlplane.adapters.proposal_files import ProposalFiles
from controlplane.adapters.strict_yaml import parse_document, read_document
from controlplane.domain.desired import DesiredState, HostWaiver
from controlplane.domain.finding import Verdict
from controlplane.domain.policy import Until
from tests.fakes.command_line import Run, command_line
from tests.fakes.gates import GateSite

ROOT = Path(__file__).parents[3]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> GateSite:
    fake = GateSite(approval="self")

    @contextmanager
    def ports(held: Any) -> Iterator[Any]:
        fake.clock.time += timedelta(hours=1)
        yield held

    monkeypatch.setattr(wiring, "site_view", lambda _given: fake.view)
    monkeypatch.setattr(wiring, "gate_ports", lambda _view: ports(fake.gate_ports))
    monkeypatch.setattr(wiring, "mode_ports", lambda _view: ports(fake.mode_ports))
    monkeypatch.setattr(wiring, "collect", lambda _view, hosts: fake.seen(hosts))
    monkeypatch.setattr(wiring, "approvals", lambda _given: fake.approvals)
    monkeypatch.setattr(wiring, "receipts", lambda _given: fake.receipts)
    monkeypatch.setattr(wiring, "clock", lambda: fake.clock)
    monkeypatch.setattr(wiring, "proposal_files", lambda _given: ProposalFiles())
    monkeypatch.setattr(wiring, "operator", lambda: "ann@desk")
    return fake


@pytest.fixture
def run(site: GateSite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:  # noqa: ARG001 - the verbs meet the fake site
    monkeypatch.chdir(tmp_path)
    return command_line(monkeypatch, capsys)


def test_a_run_that_passes_says_so_and_under_which_key(run: Run, site: GateSite) -> None:
    said = run("gates", "run", "mint")
    assert said.code == 0
    assert said.out.splitlines() == [
        "2 hosts, 5 findings: 5 met, 0 drifted, 0 waived, 0 unknown.",
        "Nothing drifts; --all lists what was judged.",
        "3 of 3 checks pass on their hosts in their mode.",
        f"run         {site.coordination.runs[0].run}",
    ]


def test_a_check_that_asks_nothing_is_named(run: Run, site: GateSite) -> None:
    site.settle(packs={"mint": site.gates.packs["mint"].model_copy(update={"checks": ("D235", "D248")})})
    assert "not judged  D248: nothing to ask of these hosts" in run("gates", "run", "mint").out


def test_a_waiver_that_a_run_ends_is_named(run: Run, site: GateSite) -> None:
    waiver = HostWaiver(check="D234", reason="grows", approved_by="ops", ends_at=site.clock.time + timedelta(days=9), until=Until(root_used=10))
    hosts = [host.model_copy(update={"waivers": (waiver,)}) if host.host == "mint-data" else host for host in site.view.desired.hosts]
    site.view = site.view.model_copy(update={"desired": DesiredState(hosts=tuple(hosts))})
    told = "waiver over D234 on mint-data: root_used is 20.8%, it was given up to 10%\n"
    assert told in run("gates", "run", "mint").out
    assert told not in run("gates", "run", "mint").out


@pytest.mark.parametrize(
    ("verdict", "mode", "code"),
    [
        (Verdict.MET, "enforce", 0),
        (Verdict.DRIFTED, "report", 0),
        (Verdict.DRIFTED, "enforce", 3),
        (Verdict.UNKNOWN, "report", 5),
        (Verdict.UNKNOWN, "enforce", 5),
    ],
)
def test_the_exit_code_is_the_weightiest_verdict_in_its_mode(run: Run, site: GateSite, verdict: Verdict, mode: Any, code: int) -> None:
    site.enforce("D204", "site", mode)
    site.site_checks.says["D204", "site"] = (verdict, "as seen")
    said = run("gates", "run", "mint")
    assert said.code == code
    assert ("not passed  D204 on site: check:test_it: as seen" in said.out) is (verdict is not Verdict.MET)


def test_a_drift_in_report_mode_is_in_every_form_of_output(run: Run, site: GateSite) -> None:
    site.site_checks.says["D204", "site"] = (Verdict.DRIFTED, "no owner\x1b[31m")
    data = run("gates", "run", "mint", "-o", "json").json()
    assert list(data)[:6] == ["site", "policy_digest", "judged_at", "summary", "hosts", "findings"]
    assert (data["pack"], data["run"], data["summary"]["drifted"]) == ("mint", site.coordination.runs[0].run, 1)
    assert {(one["check"], one["host"], one["passed"]) for one in data["passing"]} == {
        ("D235", "mint-apps", True),
        ("D235", "mint-data", True),
        ("D204", "site", False),
    }
    suites = ET.fromstring(run("gates", "run", "mint", "-o", "junit").out)  # noqa: S314 - a document of our own
    assert [(suite.get("name"), suite.get("failures")) for suite in suites] == [("mint-apps", "0"), ("mint-data", "0"), ("site", "1")]
    assert sum(int(suite.get("tests", 0)) for suite in suites) == int(suites.get("tests", 0))
    [sarif] = run("gates", "run", "mint", "-o", "sarif").json()["runs"]
    rules = {rule["id"]: rule for rule in sarif["tool"]["driver"]["rules"]}
    assert {check: rule["shortDescription"]["text"] for check, rule in rules.items()} == {
        "D235": "placement of Docker's roots",
        "D204": "secrets are there",
    }
    assert (rules["D204"]["defaultConfiguration"], "checks/test_d204.py" in rules["D204"]["fullDescription"]["text"]) == ({"level": "error"}, True)
    assert [one["kind"] for one in sarif["results"] if one["ruleId"] == "D204"] == ["fail"]
    assert "\x1b" not in run("gates", "run", "mint").out


def test_a_host_that_is_not_reached_is_5_and_named(run: Run, site: GateSite) -> None:
    site.evidence.unreached = {"mint-data": "No route to host"}
    said = run("gates", "run", "mint")
    assert said.code == 5
    assert "mint-data: no evidence, so 2 findings are UNKNOWN: the host was not reached: No route to host" in said.out
    assert "2 of 3 checks pass on their hosts in their mode." in said.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("run", "mnt"), "there is no pack mnt in inventory/lab/gates.yml; there are mint"),
        (("run", "--host", "nobody"), "nobody is not governed by"),
        (("explain", "D999"), "'D999' is no check; there are D234, "),
        (("promote", "D999", "D998"), "'D998' is no check"),
        (("promote",), "name checks for a proposal, or --apply FILE"),
        (("promote", "D235", "--apply", "p.json"), "name checks for a proposal, or --apply FILE"),
        (("promote", "--apply", "p.json", "--host", "mint-data"), "leave --host and --out out"),
        (("promote", "--apply", "nowhere.json"), "does not exist"),
        (("demote", "D235"), "say why, with --reason"),
        (("demote", "D235", "--reason", " "), "say why, with --reason"),
    ],
)
def test_what_can_not_be_asked_is_2_and_connects_to_nothing(run: Run, site: GateSite, words: tuple[str, ...], told: str) -> None:
    said = run("gates", *words)
    assert (said.code, told in said.err, site.evidence.asked) == (2, True, 0), said


def test_status_and_explain_say_what_counts_and_make_no_connection(run: Run, site: GateSite) -> None:
    run("gates", "run", "mint")
    asked = site.evidence.asked
    assert run("gates", "status").out.splitlines() == [
        "D235   mint-apps            report   1/3             1 of 3 consecutive runs passed",
        "D235   mint-data            report   1/3             1 of 3 consecutive runs passed",
        "D204   site                 report   1/3             1 of 3 consecutive runs passed",
    ]
    said = run("gates", "explain", "D235", "--host", "mint-data")
    assert said.out.splitlines()[0] == "D235  placement of Docker's roots"
    assert said.out.splitlines()[-3:] == [
        "mint-data: report, 1 of 3 runs count",
        f"  counts  {site.coordination.runs[0].at}  {site.coordination.runs[0].run}",
        "  held by 1 of 3 consecutive runs passed",
    ]
    rows = run("gates", "status", "-o", "json").json()["standings"]
    assert {(one["check"], one["streak"], one["wanted"], one["proposes"]) for one in rows} == {("D235", 1, 3, None), ("D204", 1, 3, None)}
    assert run("gates", "explain", "D204", "-o", "json").json()["description"][0].startswith("The site's own, checks/test_d204.py")
    assert site.evidence.asked == asked


def test_a_promotion_from_its_table_to_its_receipt(run: Run, site: GateSite) -> None:
    refused = run("gates", "promote", "D235", "--host", "mint-data", "--out", "p.json")
    assert (refused.code, Path("p.json").exists()) == (4, False)
    assert "D235 on mint-data: 0 of 3 consecutive runs passed" in refused.err
    for _ in range(3):
        run("gates", "run", "mint")
    said = run("gates", "promote", "D235", "--host", "mint-data", "--out", "p.json")
    runs = [one.run for one in reversed(site.coordination.runs)]
    assert said.code == 0
    assert said.out.splitlines() == [
        "D235 on mint-data: report, 3 of 3 runs count; proposed: promote",
        *(f"  counts  {one.at}  {one.run}" for one in reversed(site.coordination.runs)),
        f"gates.yml  modes.D235.mint-data: report -> enforce    (on {', '.join(runs)})",
        "Nothing was changed. Next: controlplane approve p.json, then: controlplane gates promote --apply p.json",
    ]
    refused = run("gates", "promote", "--apply", "p.json")
    assert (refused.code, "this plan has none" in refused.err, site.file.text) == (4, True, "")
    assert (
        run("gates", "demote", "--apply", "p.json").err.splitlines()[-1].endswith("p.json is to promote: controlplane gates promote --apply p.json")
    )
    approved = run("approve", "p.json")
    assert approved.out.splitlines()[1:] == [
        "gates.yml  modes.D235.mint-data: report -> enforce",
        "Next: controlplane gates promote --apply p.json",
    ]
    done = run("gates", "promote", "--apply", "p.json")
    assert (done.code, done.out.splitlines()) == (
        0,
        ["changed   gates.yml  modes.D235.mint-data: enforce", f"receipt   {site.receipts.chain[-1].key}"],
    )
    assert site.file.text == "modes.D235.mint-data: enforce\n"
    again = run("gates", "promote", "--apply", "p.json")
    assert (again.code, "gates.yml changed since it was made" in again.err) == (4, True)


def test_an_enforced_check_that_fails_proposes_its_demotion_which_a_person_carries_out(run: Run, site: GateSite) -> None:
    site.enforce("D204", "site")
    site.site_checks.says["D204", "site"] = (Verdict.DRIFTED, "no owner")
    assert run("gates", "run", "mint").code == 3
    said = run("gates", "status")
    assert (said.code, "enforce  0/3    demote" in said.out) == (3, True), said
    asked = site.evidence.asked
    assert run("gates", "demote", "D204", "--reason", "owner is on leave", "--out", "d.json").code == 0
    run("approve", "d.json")
    assert run("gates", "demote", "--apply", "d.json", "-o", "json").json()["changes"][0]["after"] == "report"
    assert site.evidence.asked == asked


def test_a_proposal_as_json_is_alone_on_standard_output(run: Run) -> None:
    for _ in range(3):
        run("gates", "run", "mint")
    said = run("gates", "promote", "D235", "D204", "-o", "json", "--out", "p.json")
    assert said.json() == json.loads(Path("p.json").read_text())
    assert [one["field"] for one in said.json()["changes"]] == ["modes.D235.mint-apps", "modes.D235.mint-data", "modes.D204.site"]


def test_what_drifts_as_expected_is_noted_before_it_is_enforced(run: Run, site: GateSite) -> None:
    held = {
        "gaps": {"GAP-OP-1": {"title": "x", "loops": ["LOOP-A"]}},
        "loops": {"LOOP-A": {"title": "work"}},
        "findings": {"STOR-001": {"title": "x", "severity": "high", "gaps": ["GAP-OP-1"], "checks": ["D204"]}},
    }
    site.registers = type(site.registers).model_validate(held)  # type: ignore[union-attr]
    site.settle()
    site.site_checks.says["D204", "site"] = (Verdict.DRIFTED, "no owner")
    for _ in range(3):
        run("gates", "run", "mint")
    assert "  note    it drifts, as expected; enforced, it fails until that is mended" in run("gates", "promote", "D204").out


def test_the_schema_takes_what_the_program_takes(run: Run) -> None:
    validator = Draft202012Validator(run("gates", "schema").json())
    examples = [read_document(path).data for path in (ROOT / "inventory").glob("*/gates.yml")]
    examples.append(parse_document("checks: {D204: {title: x, file: c.py}}\nmodes: {D204: {site: enforce}}\npromotion: {interval: 12h}\n", "x").data)
    assert len(examples) >= 2
    assert [error.message for data in examples for error in validator.iter_errors(data)] == []
    for wrong in ({"mode": {}}, {"packs": {"mint": {"checks": []}}}, {"modes": {"D204": {"x": "block"}}}, {"promotion": {"interval": "1y"}}):
        assert [*validator.iter_errors(wrong)] != []
