"""An audit as JUnit XML: one suite a host, and one for what is judged on no host; one case a surface. And a smoke run: one case a test.

DRIFTED is a failure, UNKNOWN an error, WAIVED is skipped. A smoke test that was skipped is an error: skipped cases pass with most readers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from controlplane.domain.finding import AuditReport, Finding, Verdict
from controlplane.domain.releases.smoke import SmokeReport, SmokeTest

# What XML 1.0 can't hold, not even escaped.
_UNFIT = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ELEMENT = {Verdict.DRIFTED: "failure", Verdict.UNKNOWN: "error", Verdict.WAIVED: "skipped"}


class _Case(NamedTuple):
    """One case; `element` is None where it passed."""

    place: str
    name: str
    element: str | None
    message: str = ""
    kind: str = ""
    seconds: float = 0


def junit_of(report: AuditReport) -> str:
    """Return the document of an audit."""
    # A check of the site's own that looks at no machine is judged on none of the hosts.
    hosts = dict.fromkeys((*(seen.host for seen in report.hosts), *(finding.host for finding in report.findings)))
    suites = [(host, [_judged(finding) for finding in report.findings if finding.host == host]) for host in hosts]
    return _document("controlplane audit", suites, report.judged_at)


def junit_of_smoke(report: SmokeReport) -> str:
    """Return the document of a smoke run; whether it was the manifest's release that was tested is a case of its own."""
    suite = f"{report.stack}.{report.environment}"
    proof = _Case(suite, f"manifest {report.manifest_name} runs", "error" if report.doubt else None, report.doubt or "", "doubt")
    return _document("controlplane release smoke", [(suite, [proof, *(_tested(test, suite) for test in report.tests)])], report.at)


def _judged(finding: Finding) -> _Case:
    kind = "" if finding.verdict is Verdict.WAIVED else finding.severity
    return _Case(f"{finding.host}.{finding.check}", finding.surface, _ELEMENT.get(finding.verdict), finding.reason, kind)


def _tested(test: SmokeTest, suite: str) -> _Case:
    element = {"passed": None, "failed": "failure"}.get(test.outcome, "error")
    return _Case(f"{suite}.{test.host}" if test.host else suite, test.name, element, test.reason, test.outcome, test.seconds)


def _document(name: str, suites: Sequence[tuple[str, Sequence[_Case]]], at: str) -> str:
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<testsuites name={_quoted(name)} {_counts([case for _, cases in suites for case in cases])}>",
    ]
    for suite, cases in suites:
        lines.append(f"  <testsuite name={_quoted(suite)} timestamp={_quoted(at.removesuffix('Z'))} {_counts(cases)}>")
        lines += [line for case in cases for line in _lines(case)]
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>"]) + "\n"


def _lines(case: _Case) -> list[str]:
    head = f'    <testcase classname={_quoted(case.place)} name={_quoted(case.name)} time="{case.seconds:g}"'
    if case.element is None:
        return [f"{head}/>"]
    kind = f" type={_quoted(case.kind)}" if case.kind else ""
    return [f"{head}>", f"      <{case.element} message={_quoted(case.message)}{kind}/>", "    </testcase>"]


def _counts(cases: Sequence[_Case]) -> str:
    count = {element: sum(case.element == element for case in cases) for element in ("failure", "error", "skipped")}
    seconds = sum(case.seconds for case in cases)
    return f'tests="{len(cases)}" failures="{count["failure"]}" errors="{count["error"]}" skipped="{count["skipped"]}" time="{seconds:g}"'


def _quoted(text: str) -> str:
    fit = escape(_UNFIT.sub("\ufffd", text), quote=True)
    return '"' + fit.replace("\n", "&#10;").replace("\r", "&#13;").replace("\t", "&#9;") + '"'
