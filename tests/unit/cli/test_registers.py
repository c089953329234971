"""gaps and loops as a person meets them: on a copy of the lab's site, files and all."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from controlplane import wiring
from controlplane.adapters.register_files import RegisterFiles
from controlplane.adapters.strict_yaml import read_document
from controlplane.cli import main
from controlplane.domain.errors import RunFailedError
from controlplane.domain.finding import Finding, Summary, Verdict
from controlplane.domain.gates.report import GateReport
from controlplane.usecases.record_run import STAMP, Ledger
from tests.counting import calls
from tests.fakes.command_line import Run, command_line
from tests.fakes.forked import forked

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
    # What the gap's own criteria name beyond its finding is asked as well: the retired root has to be purged.
    record(site, key(3), ("D244", "mint-data", "retired:/var/lib/docker.retired", Verdict.DRIFTED))
    said = run("gaps", "close", "GAP-OP-932")
    assert (said.code, "criteria: D244 on mint-data: retired:/var/lib/docker.retired is DRIFTED" in said.err) == (4, True), said
    assert "closable" not in run("gaps", "status").out
    record(site, key(4), ("D244", "mint-data", "retired", Verdict.MET))
    assert "closable  GAP-OP-932" in run("gaps", "status").out
    said = run("gaps", "close", "GAP-OP-932", "-o", "json")
    assert (said.code, said.json()["closed_findings"]) == (0, ["STOR-001"]), said
    gap = run("gaps", "show", "GAP-OP-932", "-o", "json").json()
    assert (gap["status"], gap["closed"]["runs"]) == ("fixed", [key(1), key(2), key(4)])
    assert run("gaps", "close", "GAP-OP-932").err == "GAP-OP-932 is fixed already. Nothing was changed.\n"
    assert run("policy", "check").code == 0


def test_the_run_that_stands_last_in_the_receipts_decides_whatever_its_time_says(run: Run, site: Path) -> None:
    of = [("D234", "mint-data", "boot.usage"), ("D237", "mint-data", "budget.images"), ("D244", "mint-data", "retired")]
    minutes_ago = [(wiring.clock().now() - timedelta(minutes=one)).strftime(STAMP) for one in (10, 20)]
    record(site, key(1), *((*one, Verdict.MET) for one in of), at=minutes_ago[0])
    assert "closable  GAP-OP-932" in run("gaps", "status").out
    record(site, key(2), *((*one, Verdict.DRIFTED) for one in of), at=minutes_ago[1])
    assert "closable" not in run("gaps", "status").out
    said = run("gaps", "close", "GAP-OP-932")
    assert (said.code, f"boot.usage is DRIFTED in {key(2)}" in said.err) == (4, True), said


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


WORDS = "The vendor signed the contract, and D237 on mint-data holds"


def gap_of_words(run: Run, site: Path) -> str:
    """File a gap whose criteria no check judges all of; every run that it rests on is there."""
    words = ("--loop", LOOP, "--finding", "STOR-006", "--criteria", WORDS, "--criteria", "D234 on mint-data")
    gap = str(run("gaps", "file", "--title", "No contract", *words, "-o", "json").json()["id"])
    record(site, key(1), ("D238", "mint-apps", "tmp:/tmp/x", Verdict.MET), ("D234", "mint-data", "boot.usage", Verdict.MET))
    record(site, key(2), ("D237", "mint-data", "budget.images", Verdict.MET))
    return gap


def test_a_criterion_that_no_check_judges_takes_a_statement_that_register_and_receipt_hold(run: Run, site: Path) -> None:
    gap = gap_of_words(run, site)
    register = site / "registers" / "gaps.yml"
    before = register.read_bytes()
    assert f"open         criteria: {WORDS}: no check judges all of it" in run("gaps", "show", gap).out
    assert gap not in run("gaps", "status").out
    told = "criteria: no check judges all of it, so say that it is met, and how that was shown: --met "
    assert told + f"'{WORDS}: HOW IT WAS SHOWN'" in run("gaps", "close", gap).err
    for strange in (WORDS, f"{WORDS}:  ", "Something else: as I know"):
        said = run("gaps", "close", gap, "--met", strange)
        assert (said.code, "repeats no criterion that takes your word" in said.err) == (4, True), said
    assert register.read_bytes() == before
    statement = f"{WORDS}: signed on 2026-03-01, file 7"
    said = run("gaps", "close", gap, "--met", statement, "-o", "json")
    assert said.code == 0, said
    closed = run("gaps", "show", gap, "-o", "json").json()["closed"]
    assert (closed["met"], closed["runs"]) == ([statement], [key(1), key(2)])
    receipt = run("receipts", "show", said.json()["receipt"], "-o", "json").out
    assert statement in receipt
    assert run("receipts", "verify").code == 0
    assert run("policy", "check").code == 0


def test_what_is_accepted_rests_on_no_evidence(run: Run, site: Path) -> None:
    gap = gap_of_words(run, site)
    said = run("gaps", "close", gap, "--accept", "nobody needs it", "--met", f"{WORDS}: as I know")
    assert (said.code, "--accept rests on no evidence" in said.err) == (2, True), said
    assert run("gaps", "close", gap, "--accept", "nobody needs it").code == 0


@pytest.mark.parametrize(
    ("criteria", "told"),
    [
        ("D999 on mint-data", "there is no D999 among the checks of this program and of the site"),
        ("D234 on mint-dat", "there is no mint-dat in policy.yml"),
        ("STOR-999 is met", "there is no STOR-999 in findings.yml"),
    ],
)
def test_criteria_that_name_what_there_is_not_are_refused(run: Run, site: Path, criteria: str, told: str) -> None:
    before = (site / "registers" / "gaps.yml").read_bytes()
    said = run("gaps", "file", "--title", "T", "--loop", LOOP, "--criteria", criteria)
    assert (said.code, told in said.err) == (4, True), said
    assert (site / "registers" / "gaps.yml").read_bytes() == before
    file = site / "registers" / "gaps.yml"
    file.write_text(file.read_text().replace("[D234 on mint-data, D244 on mint-data]", f"[D244 on mint-data, {criteria}]"))
    said = run("gaps", "status")
    assert (said.code, f"{file}:8: gaps.GAP-OP-932.criteria.1: {told}" in said.err) == (1, True), said


def test_a_closing_that_was_stopped_before_its_last_receipt_is_brought_to_its_end_by_the_same_call(
    run: Run, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gap = gap_of_words(run, site)
    words = ("gaps", "close", gap, "--met", f"{WORDS}: signed")
    close = Ledger.close

    def stop(*_args: object, **_more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(Ledger, "close", stop)
        assert run(*words).code == 130
    assert Ledger.close is close
    text = (site / "registers" / "gaps.yml").read_bytes()
    assert f"({gap}) was stopped before its end was on record" in run("doctor").out
    said = run(*words, "-o", "json")
    assert (said.code, said.json()["files"]) == (0, []), said
    assert (site / "registers" / "gaps.yml").read_bytes() == text
    assert "was stopped" not in run("doctor").out
    assert run(*words).err == f"{gap} is fixed already. Nothing was changed.\n"


def test_a_loop_whose_closing_was_stopped_is_told_with_the_call_that_ends_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = run("loops", "file", "--title", "Short work", "-o", "json").json()["id"]
    with monkeypatch.context() as stopped:
        stopped.setattr(Ledger, "close", lambda *_args, **_more: stop_at_once())
        assert run("loops", "close", loop).code == 130
    assert f"controlplane loops close {loop} brings it to its end" in run("doctor").out
    assert run("loops", "close", loop).code == 0
    assert "was stopped" not in run("doctor").out


def test_a_register_that_can_not_be_written_leaves_a_receipt_that_says_so(run: Run, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _text: str) -> None:
        raise RunFailedError("gaps.yml can't be written (No space left on device)")

    with monkeypatch.context() as failing:
        failing.setattr(RegisterFiles, "_write", staticmethod(full))
        assert run("gaps", "close", "GAP-OP-949", "--accept", "for now").code == 1
    receipts = [receipt for _, receipt in wiring.receipts(str(site)).load()]
    assert [(one.phase, one.outcome) for one in receipts] == [("intent", None), ("result", "failed")]
    assert "was stopped" not in run("doctor").out


@pytest.mark.parametrize(("words", "name"), [(("gaps", "close", "GAP-OP-949", "--accept", "for now"), "gaps"), (("loops", "close"), "loops")])
def test_what_a_person_saves_while_a_closing_is_signed_is_not_lost(
    run: Run, site: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], name: str
) -> None:
    if name == "loops":
        words = (*words, run("loops", "file", "--title", "Small work", "-o", "json").json()["id"])
    file, sign = site / "registers" / f"{name}.yml", Ledger.intend

    def signed_slowly(self: Ledger, *about: Any, **more: Any) -> Any:
        file.write_text(file.read_text() + "# saved meanwhile\n")
        return sign(self, *about, **more)

    before = {path: path.read_bytes() for path in (site / "registers").iterdir()}
    with monkeypatch.context() as slow:
        slow.setattr(Ledger, "intend", signed_slowly)
        said = run(*words)
    receipt = wiring.receipts(str(site)).load()[-1][1]
    assert (receipt.phase, receipt.outcome, receipt.told) == ("result", "failed", {"written": []})
    told = f"{receipt.step} is not closed: no register was written, and receipt {receipt.key} says so.\n"
    why = f"{file} was changed by another hand meanwhile, and is left as that made it. Look at it, then run this again."
    assert (said.code, said.err) == (4, f"{why} {told}")
    assert {path: path.read_bytes() for path in (site / "registers").iterdir()} == before | {file: before[file] + b"# saved meanwhile\n"}
    assert run(*words).code == 0
    assert "# saved meanwhile\n" in file.read_text()


def test_a_gap_is_not_filed_over_what_was_saved_since_it_was_read(run: Run, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, prepared = site / "registers" / "findings.yml", RegisterFiles.prepared

    def saved_before(self: RegisterFiles, edits: Any) -> Any:
        file.write_text(file.read_text() + "# saved meanwhile\n")
        return prepared(self, edits)

    before = {path: path.read_bytes() for path in (site / "registers").iterdir()}
    monkeypatch.setattr(RegisterFiles, "prepared", saved_before)
    said = run("gaps", "file", "--title", "T", "--loop", LOOP, "--finding", "STOR-006")
    assert (said.code, said.err.startswith(f"{file} was changed by another hand meanwhile")) == (4, True), said
    assert {path: path.read_bytes() for path in (site / "registers").iterdir()} == before | {file: before[file] + b"# saved meanwhile\n"}


def test_a_gap_is_filed_and_linked_whole_or_not_at_all(run: Run, site: Path) -> None:
    findings, elsewhere = site / "registers" / "findings.yml", site / "findings.yml"
    findings.rename(elsewhere)
    findings.symlink_to(elsewhere)
    before = {path: path.read_bytes() for path in (site / "registers").iterdir()}
    said = run("gaps", "file", "--title", "T", "--loop", LOOP, "--finding", "STOR-006")
    assert (said.code, "findings.yml is a symbolic link" in said.err) == (4, True), said
    assert {path: path.read_bytes() for path in (site / "registers").iterdir()} == before


def test_a_closing_that_was_stopped_between_its_two_files_goes_on(run: Run, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(site, key(1), ("D234", "mint-data", "boot.usage", Verdict.MET), ("D237", "mint-data", "budget.images", Verdict.MET))
    record(site, key(2), ("D244", "mint-data", "retired", Verdict.MET))
    write = RegisterFiles._write

    def stop(path: Path, text: str) -> None:
        write(path, text)
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(RegisterFiles, "_write", staticmethod(stop))
        assert run("gaps", "close", "GAP-OP-932").code == 130
    assert run("policy", "check").code == 2
    [first] = [one for _, one in wiring.receipts(str(site)).load() if one.step == "GAP-OP-932"]
    # A second one that is stopped before it writes names what the first wrote as well, and is no other writer of it.
    with monkeypatch.context() as stopped:
        stopped.setattr(RegisterFiles, "_write", staticmethod(lambda *_: stop_at_once()))
        assert run("gaps", "close", "GAP-OP-932").code == 130
    said = run("gaps", "close", "GAP-OP-932")
    assert said.code == 0
    assert "GAP-OP-932 closed; STOR-001 closed with it.\n" in said.out
    assert f"before    STOR-001 was written by {first.key}, which was stopped\n" in said.out
    told = [one for _, one in wiring.receipts(str(site)).load() if one.step == "GAP-OP-932"][-1].told
    assert told is not None
    assert (told["findings"], told["written_before"]) == (["STOR-001"], {first.key: {"findings": ["STOR-001"], "ended": "stopped"}})
    assert run("policy", "check").code == 0


def stop_at_once() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("written", [0, 1])
def test_a_closing_that_could_not_be_written_is_named_for_what_it_wrote_alone(
    run: Run, site: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    write, left = RegisterFiles._write, iter(range(written))

    def full(path: Path, text: str) -> None:
        if next(left, None) is None:
            raise RunFailedError(f"{path.name} can't be written (No space left on device)")
        write(path, text)

    with monkeypatch.context() as failing:
        failing.setattr(RegisterFiles, "_write", staticmethod(full))
        assert run("gaps", "close", "GAP-OP-949", "--accept", "for now").code == 1
    first = wiring.receipts(str(site)).load()[-1][1]
    findings = site / "registers" / "findings.yml"
    assert (first.outcome, first.told) == ("failed", {"written": [str(findings)] if written else []})
    if not written:
        at = findings.read_text().index("STOR-006:")
        findings.write_text(findings.read_text()[:at] + findings.read_text()[at:].replace("status: open", "status: closed", 1))
    said = run("gaps", "close", "GAP-OP-949", "--accept", "for now")
    told = f"before    STOR-006 was written by {first.key}, which did not end well\n"
    assert (said.code, told in said.out, "before " in said.out) == (0, bool(written), bool(written)), said


def test_a_finding_that_somebody_closed_before_is_none_that_closes_with_a_gap(run: Run, site: Path) -> None:
    file = site / "registers" / "findings.yml"
    at = file.read_text().index("STOR-006:")
    file.write_text(file.read_text()[:at] + file.read_text()[at:].replace("status: open", "status: closed", 1))
    said = run("gaps", "close", "GAP-OP-949", "--accept", "uploads are passed on", "-o", "json")
    assert (said.code, said.json()["closed_findings"], said.json()["written_before"]) == (0, [], {}), said


def test_several_links_of_one_call_are_all_there(run: Run, site: Path) -> None:
    other = run("loops", "file", "--title", "Other work", "-o", "json").json()["id"]
    more = run("loops", "file", "--title", "More work", "-o", "json").json()["id"]
    assert run("gaps", "link", "GAP-OP-949", "--loop", other, "--loop", more, "--finding", "STOR-005").code == 0
    held = wiring.governance(str(site))[0].checked_registers()
    assert set(held.gaps["GAP-OP-949"].loops) >= {other, more}
    assert "GAP-OP-949" in held.findings["STOR-005"].gaps
    assert run("gaps", "link", "GAP-OP-949", "--loop", other, "-o", "json").json()["files"] == []
    assert run("loops", "link", other, "--gap", "GAP-OP-949").out == f"{other} is linked already. Nothing was changed.\n"


@pytest.mark.parametrize("words", [("gaps", "schema"), ("gaps", "schema", "--findings"), ("loops", "schema")])
def test_a_schema_takes_what_the_example_sites_say(run: Run, words: tuple[str, ...]) -> None:
    validator = Draft202012Validator(run(*words).json())
    name = "findings" if "--findings" in words else words[0]
    for example in ("lab", "mint"):
        data = read_document(ROOT / "inventory" / example / "registers" / f"{name}.yml", multiline=True).data
        assert [error.message for error in validator.iter_errors(data)] == []
        assert [*validator.iter_errors({name: {"X": {"titel": "y"}}})] != []
    for criteria, right in (("D234", True), (["D234", "in words"], True), ([1], False), ("", False)):
        gap = {"gaps": {"GAP-OP-1": {"title": "x", "criteria": criteria}}}
        assert name != "gaps" or ([*validator.iter_errors(gap)] == []) == right


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
        (("loops", "file", "--title", "x", "--id", LOOP), 4, f"loops.yml has {LOOP} already: choose another id with --id. Nothing was changed.\n"),
        (("gaps", "show", "GAP-../x"), 2, "there is no GAP-../x"),
        (("gaps", "show", "gap-op-947"), 2, "lab/registers/gaps.yml: gaps: there is no gap-op-947; did you mean GAP-OP-947?"),
        (
            ("gaps", "close", "X"),
            2,
            "lab/registers/gaps.yml: gaps: there is no X; there are GAP-OP-932, GAP-OP-933, GAP-OP-940, GAP-OP-942, GAP-OP-944, ...",
        ),
        (("gaps", "list", "--loop", "LOOP-NONE"), 2, "lab/registers/loops.yml: loops: there is no LOOP-NONE; there are LOOP-STORAGE"),
        (("gaps", "list", "--finding", "STOR-0060"), 2, "lab/registers/findings.yml: findings: there is no STOR-0060; did you mean STOR-006?"),
        (("loops", "show", f"{LOOP}7"), 2, f"lab/registers/loops.yml: loops: there is no {LOOP}7; did you mean {LOOP}?"),
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


@pytest.mark.parametrize("width", [100, 80])
def test_what_is_listed_fits_a_terminal_and_stays_one_line_each_for_other_programs(run: Run, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    verbs = (("gaps", "list"), ("gaps", "show", "GAP-OP-947"), ("loops", "list"), ("loops", "show", LOOP), ("gaps", "status"))
    assert run("gaps", "file", "--title", "A title " * 30 + "ends", "--loop", LOOP, "--criteria", "words " * 40).code == 0
    assert len(run("gaps", "list").out.splitlines()) == 12
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("controlplane.cli.folding.sys", SimpleNamespace(stdout=Terminal(), stderr=Terminal()))
    for verb in (*verbs, ("gaps", "show", "GAP-OP-950")):
        said = run(*verb)
        assert [line for line in said.out.splitlines() if len(line) > width] == []
    folded = run("gaps", "list").out
    assert " ".join(folded.split()).endswith("A title ends 11 gaps.")


class Terminal:
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_loop_is_called_closable_once_gaps_of_it_are_closed_and_not_before_there_is_one(run: Run) -> None:
    loop = run("loops", "file", "--title", "Small work", "-o", "json").json()["id"]
    assert "closable" not in run("loops", "status").out
    assert run("loops", "link", loop, "--gap", "GAP-OP-949").code == 0
    assert "closable" not in run("loops", "status").out
    assert run("gaps", "close", "GAP-OP-949", "--accept", "uploads are passed on").code == 0
    assert run("loops", "status").out == f"loops: 3 open\nclosable  {loop}\nNext: controlplane loops close {loop}\n"


def test_a_closing_of_a_loop_that_was_stopped_is_brought_to_its_end_by_the_same_call(run: Run, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = run("loops", "file", "--title", "Small work", "-o", "json").json()["id"]

    def stop(*_args: object, **_more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(Ledger, "close", stop)
        assert run("loops", "close", loop).code == 130
    [intent] = [one for _, one in wiring.receipts(str(site)).load() if one.capability == "loops.close"]
    text = (site / "registers" / "loops.yml").read_bytes()
    said = run("loops", "close", loop, "-o", "json")
    assert (said.code, said.json()["files"], said.json()["receipt"]) == (0, [], intent.key), said
    assert (site / "registers" / "loops.yml").read_bytes() == text
    assert run("loops", "close", loop).err == f"{loop} is closed already. Nothing was changed.\n"


def test_a_loop_closes_once_nothing_in_it_is_open(run: Run, site: Path) -> None:
    said = run("loops", "file", "--title", "Small work", "-o", "json")
    loop = said.json()["id"]
    assert loop.startswith("LOOP-SMALL-WORK-20")
    assert run("loops", "link", loop, "--gap", "GAP-OP-949").code == 0
    said = run("loops", "close", loop)
    assert (said.code, f"{loop} is closed while GAP-OP-949 is open in it" in said.err) == (4, True), said
    assert run("gaps", "close", "GAP-OP-949", "--accept", "uploads are passed on").code == 0
    said = run("loops", "close", loop, "-o", "json")
    assert said.code == 0
    intent, result = [one for _, one in wiring.receipts(str(site)).load() if one.capability == "loops.close"]
    assert (said.json()["receipt"], intent.phase, result.outcome) == (intent.key, "intent", "done")
    assert result.told == intent.told
    assert intent.told is not None
    assert (intent.told["loop"], intent.told["gaps"]) == (loop, ["GAP-OP-949"])
    assert run("loops", "close", loop).err == f"{loop} is closed already. Nothing was changed.\n"
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


def test_an_edit_of_hundreds_of_entries_costs_little_more_than_their_reading(run: Run, site: Path) -> None:
    numbers = range(1, 301)
    gaps = "".join(f"  GAP-XX-{one}:\n    title: Gap {one}\n    loops: [{LOOP}]\n" for one in numbers)
    found = "".join(f"  STOR-{1000 + one}:\n    title: F\n    severity: high\n    gaps: [GAP-XX-{one}]\n    checks: [D235]\n" for one in numbers)
    for name, text in (("gaps", gaps), ("findings", found)):
        file = site / "registers" / f"{name}.yml"
        file.write_text(file.read_text() + text)
    # What is called only once, because it is imported then, counts for neither.
    assert run("gaps", "close", "GAP-XX-100", "--accept", "it may stay").code == 0
    assert run("gaps", "list").code == 0
    reading = calls(lambda: run("gaps", "list"))
    assert calls(lambda: run("gaps", "file", "--title", "T", "--loop", LOOP, "--finding", "STOR-1007")) < 2.5 * reading
    assert calls(lambda: run("gaps", "close", "GAP-XX-200", "--accept", "it may stay")) < 2.5 * reading


def test_editors_at_the_same_time_never_take_one_id(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["controlplane", "gaps", "file", "--title", "T", "--loop", LOOP, "--finding", "STOR-005", "--site", str(site), "-o", "json"]
    monkeypatch.setattr(sys, "argv", words)
    said = [(tmp_path / f"said-{number}").open("w+") for number in range(4)]
    editors = [forked(main, stdout=one.fileno()) for one in said]
    for editor in editors:
        editor.join(60)
    ids = [json.loads(Path(one.name).read_text())["id"] for one in said]
    assert sorted(ids) == [f"GAP-OP-{number}" for number in range(950, 954)]
    governance, _ = wiring.governance(str(site))
    assert not governance.faults
    assert set(ids) <= set(governance.checked_registers().findings["STOR-005"].gaps)
