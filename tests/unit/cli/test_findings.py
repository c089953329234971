"""What an operator reads of an audit, on a pipe and on a terminal, and how `audit` ends."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from controlplane.cli.audit import audit
from controlplane.cli.findings import print_report
from controlplane.cli.options import print_json
from controlplane.cli.uncollected import uncollected
from controlplane.domain.evidence_file import evidence_document
from controlplane.domain.finding import AuditReport, Finding, HostSeen, Verdict, summarise
from tests.fakes.evidence_builder import GB, EvidenceBuilder

AGE = "9999d"


def report(*findings: Finding) -> AuditReport:
    row = HostSeen(host="h", reached=True, collected_at="2026-01-01T00:00:00Z", evidence_digest=None)
    return AuditReport(site="lab", policy_digest=None, judged_at="2026-01-01T00:00:00Z", summary=summarise(findings), hosts=(row,), findings=findings)


DRIFT = Finding(check="D235", host="h", surface="s", verdict=Verdict.DRIFTED, severity="high", reason="lies on \x1b[31mvda\n")
MET = Finding(check="D234", host="h", surface="boot.usage", verdict=Verdict.MET, severity="high", reason="fine")


def test_on_a_pipe_each_finding_is_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(report(MET, DRIFT), "text", next_command="do this")
    assert capsys.readouterr().out.splitlines() == [
        "DRIFTED high   D235  h  s  lies on \ufffd[31mvda\ufffd",
        "1 host, 2 findings: 1 met, 1 drifted, 0 waived, 0 unknown.",
        "Next: do this",
    ]


def test_what_is_met_is_listed_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(report(MET), "text", everything=True)
    assert capsys.readouterr().out.splitlines()[0] == "MET     high   D234  h  boot.usage  fine"
    print_report(report(MET), "text")
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing drifts; --all lists what was judged."


@pytest.mark.parametrize("width", [60, 80, 200])
def test_on_a_terminal_the_table_fits(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_report(report(DRIFT.model_copy(update={"surface": "service:" + "x" * 90, "reason": "because " * 40})), "text")
    lines = capsys.readouterr().out.splitlines()
    assert max(len(click.unstyle(line)) for line in lines) <= width


def test_json_is_the_text_that_every_other_verb_prints(capsys: pytest.CaptureFixture[str]) -> None:
    odd = report(MET, DRIFT.model_copy(update={"reason": 'ä \u2028 \x1f \x7f \\ " \U0001f600', "stor": ("STOR-002",)}))

    print_report(odd, "json")
    fast = capsys.readouterr().out
    print_json(odd.model_dump(mode="json"))

    assert fast == capsys.readouterr().out


def test_the_search_for_garbage_comes_back_whatever_happened() -> None:
    def fail() -> None:
        with uncollected():
            raise KeyboardInterrupt(str(gc.isenabled()))

    with pytest.raises(KeyboardInterrupt, match="False"):
        fail()
    assert gc.isenabled()


def _file(tmp_path: Path, builder: EvidenceBuilder) -> str:
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps(evidence_document({"db1": builder.build("db1")})))
    return str(path)


def _audit(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(audit, arguments, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.stdout


def test_a_file_is_judged_without_a_site_and_the_exit_code_tells(tmp_path: Path) -> None:
    healthy = EvidenceBuilder()
    code, printed = _audit("--target", "db1", "--evidence", _file(tmp_path, healthy), "--max-age", AGE, "-o", "json")
    assert (code, json.loads(printed)["summary"]["drifted"]) == (0, 0)
    healthy.probes["docker_usage"]["images"] = 100 * GB
    code, printed = _audit("--target", "db1", "--evidence", _file(tmp_path, healthy), "--max-age", AGE)
    assert code == 3
    assert "DRIFTED medium D237  db1  budget.images  images: 100.0 GB, budget 15.0 GB\n" in printed
    assert printed.endswith("Next: controlplane policy suggest --target db1    (a policy to start from)\n")
    assert _audit("--target", "db1", "--evidence", _file(tmp_path, healthy.fail("usage")), "--max-age", AGE)[0] == 5


def test_target_and_site_are_not_mixed() -> None:
    with pytest.raises(click.UsageError) as refusal:
        _audit("--target", "db1", "--site", "x")
    assert str(refusal.value) == "--target names a machine without a site: leave out --site and --host"


def test_a_host_that_gave_nothing_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    blind = HostSeen(host="h", reached=False, collected_at=None, evidence_digest=None)
    unknown = [
        Finding(check=check, host="h", surface="boot.usage", verdict=Verdict.UNKNOWN, severity="high", reason="the host was not reached: no route")
        for check in ("D234", "D237")
    ]
    print_report(report(*unknown).model_copy(update={"hosts": (blind,)}), "text")
    assert capsys.readouterr().out.splitlines() == [
        "h: no evidence, so 2 findings are UNKNOWN: the host was not reached: no route",
        "1 host, 2 findings: 0 met, 0 drifted, 0 waived, 2 unknown.",
    ]


def test_a_host_that_gave_nothing_and_was_asked_for_nothing_is_no_doubt(capsys: pytest.CaptureFixture[str]) -> None:
    blind = HostSeen(host="h", reached=False, collected_at=None, evidence_digest=None)
    print_report(report(MET.model_copy(update={"host": "site"})).model_copy(update={"hosts": (blind,)}), "text")
    assert capsys.readouterr().out.splitlines()[0] == "h: no evidence, and none of these checks asked for any"
