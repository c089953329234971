"""gaps and loops as a person meets them: on a copy of the lab's site, files and all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from controlplane import wiring
from controlplane.adapters.register_files import RegisterFiles
from controlplane.adapters.strict_yaml import read_document
from controlplane.domain.finding import Finding, Summary, Verdict
from controlplane.domain.gates.report import GateReport
from controlplane.usecases.record_run import STAMP, Ledger
from tests.fakes.command_line import Run, command_line

ROOT = Path(__file__).parents[3]
LOOP = "LOOP-STORAGE-BOOT-DRIVE-AUDIT-20260226"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "lab"
    shutil.copytree(ROOT / "inventory" / "lab", folder, ignore=shutil.ignore_patterns("state"))
    (folder / "site.yml").write_text("name: lab\ninventory: hosts.yml\napproval: self\n")
    return folder


@pytest.fixture
def run(site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("CONTROLPLANE_SITE", str(site))
    return command_line(monkeypatch, capsys)


def record(site: Path, run: str, *rows: tuple[str, str, str, Verdict], at: str | None = None, receipt: bool = True) -> None:
    """Leave the report of a gate run of just now, and its receipt."""
    at = at or wiring.clock().now().strftime(STAMP)
    found = tuple(Finding(check=c, host=h, surface=s, verdict=v, severity="high", reason="as seen") for c, h, s, v in rows)
    none = Summary(met=0, drifted=0, waived=0, unknown=0)
    plain = {"site": "lab", "policy_digest": "x", "judged_at": at, "hosts": (), "pack": "mint", "passing": ()}
    report = GateReport(**plain, summary=none, findings=found, run=run)
    wiring.gate_reports(str(site)).keep(report)
    if receipt:
        ledger = Ledger(wiring.receipts(str(site)), wiring.clock(), run=run, site="lab", plan="", policy="x", operator="ann@desk")
        ledger.intend(run, host="*", capability="verify.pack.run", step="mint")
        ledger.close(run, host="*", capability="verify.pack.run", step="mint", outcome="done", evidence=report.digest())


def key(number: int) -> str:
    return f"CAP-20260301-12000{number}__verify.pack.run__R000{number}"


def test_a_gap_is_filed_under_the_next_number_and_linked_in_the_same_call(run: Run, site: Path) -> None:
    before = (site / "registers" / "gaps.yml").read_text()
    said = run("gaps", "file", "--title", "Logs grow", "--loop", LOOP, "--finding", "STOR-005", "-o", "json")
    assert (said.code, said.json()["id"]) == (0, "GAP-OP-950"), said
    text = (site / "registers" / "gaps.yml").read_text()
    assert text.startswith(before)
    assert "GAP-OP-950" in (site / "registers" / "findings.yml").read_text()
    assert run("gaps", "status").code == 0
    assert [row["id"] for row in run("gaps", "list", "--finding", "STOR-005", "-o", "json").json()["gaps"]] == ["GAP-OP-947", "GAP-OP-950"]


def test_what_would_break_a_rule_is_refused_and_nothing_is_written(run: Run, site: Path) -> None:
    files = {path: path.read_bytes() for path in (site / "registers").iterdir()}
    said = run("gaps", "file", "--title", "Logs grow", "--loop", "LOOP-NONE")
    assert said.code == 4
    assert said.err == (
        "that would leave the registers at odds with themselves:\n  GAP-OP-950 there is no LOOP-NONE in loops.yml: file it, or name the right one\n"
        "Nothing was changed.\n"
    )
    assert run("loops", "close", LOOP).code == 4
    assert run("gaps", "close", "GAP-OP-932").code == 4
    assert {path: path.read_bytes() for path in (site / "registers").iterdir()} == files


def test_a_gap_closes_on_runs_and_takes_a_finding_with_it_that_has_no_other(run: Run, site: Path) -> None:
    record(site, key(1), ("D234", "mint-data", "boot.usage", Verdict.MET))
    said = run("gaps", "close", "GAP-OP-932")
    assert (said.code, "STOR-001: D237 on mint-data: no recorded run judged it" in said.err) == (4, True), said
    record(site, key(2), ("D237", "mint-data", "budget.images", Verdict.MET))
    assert "closable  GAP-OP-932" in run("gaps", "status").out
    said = run("gaps", "close", "GAP-OP-932", "-o", "json")
    assert (said.code, said.json()["closed_findings"]) == (0, ["STOR-001"]), said
    gap = run("gaps", "show", "GAP-OP-932", "-o", "json").json()
    assert (gap["status"], gap["closed"]["runs"]) == ("fixed", [key(1), key(2)])
    assert run("gaps", "close", "GAP-OP-932").err == "GAP-OP-932 is fixed already. Nothing was changed.\n"
    assert run("policy", "check").code == 0


def test_a_run_without_its_receipt_or_of_a_day_to_come_closes_nothing(run: Run, site: Path) -> None:
    record(site, key(1), ("D234", "mint-data", "boot.usage", Verdict.MET), ("D237", "mint-data", "budget.images", Verdict.MET), receipt=False)
    said = run("gaps", "close", "GAP-OP-932")
    assert (said.code, f"{key(1)} has no receipt: run the gates again" in said.err) == (4, True), said
    path = site / "state" / "gates" / f"{key(2)}.json"
    record(site, key(2), ("D234", "mint-data", "boot.usage", Verdict.DRIFTED))
    path.write_text(path.read_text().replace("DRIFTED", "MET"))
    said = run("gaps", "close", "GAP-OP-932")
    assert (said.code, f"{key(2)} is not what its receipt holds: run the gates again" in said.err) == (4, True), said
    ahead = "CAP-21260301-120000__verify.pack.run__R0009"
    record(site, ahead, ("D236", "mint-data", "redis:mint-modules-redis", Verdict.MET), at="2126-03-01T12:00:00Z")
    said = run("gaps", "close", "GAP-OP-948")
    assert (said.code, f"no recorded run judged it: controlplane gates run ({ahead}: dated later than now" in said.err) == (4, True), said
    assert "status: fixed" not in (site / "registers" / "gaps.yml").read_text()


def test_a_closing_that_was_stopped_between_its_two_files_goes_on(run: Run, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(site, key(1), ("D234", "mint-data", "boot.usage", Verdict.MET), ("D237", "mint-data", "budget.images", Verdict.MET))
    write = RegisterFiles._write

    def stop(path: Path, text: str) -> None:
        write(path, text)
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(RegisterFiles, "_write", staticmethod(stop))
        assert run("gaps", "close", "GAP-OP-932").code == 130
    assert run("policy", "check").code == 2
    assert run("gaps", "close", "GAP-OP-932").code == 0
    assert run("policy", "check").code == 0


def test_several_links_of_one_call_are_all_there(run: Run, site: Path) -> None:
    other = run("loops", "file", "--title", "Other work", "-o", "json").json()["id"]
    more = run("loops", "file", "--title", "More work", "-o", "json").json()["id"]
    assert run("gaps", "link", "GAP-OP-949", "--loop", other, "--loop", more, "--finding", "STOR-005").code == 0
    held = wiring.governance(str(site))[0].checked_registers()
    assert set(held.gaps["GAP-OP-949"].loops) >= {other, more}
    assert "GAP-OP-949" in held.findings["STOR-005"].gaps
    assert run("gaps", "link", "GAP-OP-949", "--loop", other, "-o", "json").json()["files"] == []


@pytest.mark.parametrize("words", [("gaps", "schema"), ("gaps", "schema", "--findings"), ("loops", "schema")])
def test_a_schema_takes_what_the_example_sites_say(run: Run, words: tuple[str, ...]) -> None:
    validator = Draft202012Validator(run(*words).json())
    name = "findings" if "--findings" in words else words[0]
    for example in ("lab", "mint"):
        data = read_document(ROOT / "inventory" / example / "registers" / f"{name}.yml", multiline=True).data
        assert [error.message for error in validator.iter_errors(data)] == []
        assert [*validator.iter_errors({name: {"X": {"titel": "y"}}})] != []


def test_what_no_check_judges_is_closed_on_somebodys_word_and_what_stays_on_a_reason(run: Run, site: Path) -> None:
    said = run("gaps", "close", "GAP-OP-944")
    assert (said.code, "no check judges STOR-007: say why it is mended with --attest" in said.err) == (4, True), said
    assert run("gaps", "close", "GAP-OP-944", "--attest", "policy.yml is the contract").code == 0
    assert run("gaps", "close", "GAP-OP-947", "--accept", "the disk is larger now").code == 0
    held = (site / "registers" / "gaps.yml").read_text()
    assert "reason: the disk is larger now" in held
    assert run("policy", "check").code == 0


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("gaps", "file", "--title", "a\nb", "--loop", LOOP), 2, "GAP-OP-950: title: holds a control character or a line break"),
        (("gaps", "file", "--title", "x", "--loop", LOOP, "--area", "op"), 2, "registers: gaps.GAP-op-1: 'GAP-op-1' is no gap id such as GAP-OP-932"),
        (("gaps", "file", "--title", "x", "--loop", LOOP, "--id", "GAP-OP-932"), 4, "has GAP-OP-932 already: choose another id"),
        (("gaps", "file", "--title", "x", "--loop", LOOP, "--finding", "STOR-999"), 2, "there is no STOR-999; there are STOR-001"),
        (("loops", "file", "--title", "\u00dc"), 2, "give one, such as --id LOOP-STORAGE-20260226"),
        (("gaps", "show", "GAP-../x"), 2, "there is no GAP-../x"),
        (("gaps", "close", "GAP-OP-944", "--attest", " "), 4, "no check judges STOR-007"),
        (("gaps", "close", "GAP-OP-944", "--accept", " "), 2, "gaps.GAP-OP-944.reason: is empty"),
        (("gaps", "link", "GAP-OP-944"), 2, "name at least one --loop or --finding"),
        (("loops", "close", "LOOP-NONE"), 2, "there is no LOOP-NONE"),
    ],
)
def test_what_can_not_be_written_is_said_and_nothing_is(run: Run, site: Path, words: tuple[str, ...], code: int, told: str) -> None:
    files = {path: path.read_bytes() for path in (site / "registers").iterdir()}
    said = run(*words)
    assert (said.code, told in said.err) == (code, True), said
    assert {path: path.read_bytes() for path in (site / "registers").iterdir()} == files


def test_a_loop_closes_once_nothing_in_it_is_open(run: Run) -> None:
    said = run("loops", "file", "--title", "Small work", "-o", "json")
    loop = said.json()["id"]
    assert loop.startswith("LOOP-SMALL-WORK-20")
    assert run("loops", "link", loop, "--gap", "GAP-OP-949").code == 0
    said = run("loops", "close", loop)
    assert (said.code, f"{loop} is closed while GAP-OP-949 is open in it" in said.err) == (4, True), said
    assert run("gaps", "close", "GAP-OP-949", "--accept", "uploads are passed on").code == 0
    assert run("loops", "close", loop).code == 0
    assert [row["status"] for row in run("loops", "list", "-o", "json").json()["loops"]] == ["open", "open", "closed"]
    assert "GAP-OP-949" in run("loops", "show", loop).out


def test_faults_are_said_with_file_and_line_and_fail_the_status(run: Run, site: Path) -> None:
    file = site / "registers" / "gaps.yml"
    file.write_text(file.read_text().replace("title: Docker's", "titel: Docker's"))
    said = run("gaps", "status")
    assert (said.code, said.err.splitlines()[0]) == (
        2,
        f"{file}:{1 + file.read_text().splitlines().index('  GAP-OP-947:')}: gaps.GAP-OP-947.title: is missing: One line that says what is missing",
    ), said
    assert "did you mean 'title'?" in said.err
    # Registers that can't be read are UNKNOWN, never a reason to leave hosts alone.
    audit = wiring.site_view(str(site))
    assert all(desired.registered is not None and "titel" in str(desired.registered.doubt) for desired in audit.desired.hosts)


def test_an_orphan_fails_the_status_and_the_check_of_the_policy(run: Run, site: Path) -> None:
    file = site / "registers" / "findings.yml"
    file.write_text(file.read_text().replace("gaps: [GAP-OP-949]", "gaps: []"))
    said = run("gaps", "status", "-o", "json")
    assert said.code == 1
    assert any("findings.STOR-006: has no gap" in fault for fault in said.json()["faults"])
    assert run("policy", "check").code == 2


def test_editors_at_the_same_time_never_take_one_id(site: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "controlplane",
        "gaps",
        "file",
        "--title",
        "T",
        "--loop",
        LOOP,
        "--finding",
        "STOR-005",
        "--site",
        str(site),
        "-o",
        "json",
    ]
    editors = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(4)]
    ids = [json.loads(editor.communicate(timeout=60)[0])["id"] for editor in editors]
    assert sorted(ids) == [f"GAP-OP-{number}" for number in range(950, 954)]
    governance, _ = wiring.governance(str(site))
    assert not governance.faults
    assert set(ids) <= set(governance.checked_registers().findings["STOR-005"].gaps)
