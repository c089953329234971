"""An audit as JUnit XML: one suite a host, and one for what is judged on no host; one case a surface.

DRIFTED is a failure, UNKNOWN an error, WAIVED is skipped.
"""

from __future__ import annotations

import re
from html import escape

from controlplane.domain.finding import AuditReport, Finding, Verdict

# What XML 1.0 can't hold, not even escaped.
_UNFIT = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ELEMENT = {Verdict.DRIFTED: "failure", Verdict.UNKNOWN: "error", Verdict.WAIVED: "skipped"}


def junit_of(report: AuditReport) -> str:
    """Return the document."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<testsuites name="controlplane audit" {_counts(report.findings)}>']
    # A check of the site's own that looks at no machine is judged on none of the hosts.
    for host in dict.fromkeys((*(seen.host for seen in report.hosts), *(finding.host for finding in report.findings))):
        mine = tuple(finding for finding in report.findings if finding.host == host)
        lines.append(f"  <testsuite name={_quoted(host)} timestamp={_quoted(report.judged_at.removesuffix('Z'))} {_counts(mine)}>")
        lines += [line for finding in mine for line in _case(finding)]
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>"]) + "\n"


def _case(finding: Finding) -> list[str]:
    head = f'    <testcase classname={_quoted(f"{finding.host}.{finding.check}")} name={_quoted(finding.surface)} time="0"'
    element = _ELEMENT.get(finding.verdict)
    if element is None:
        return [f"{head}/>"]
    kind = "" if finding.verdict is Verdict.WAIVED else f" type={_quoted(finding.severity)}"
    return [f"{head}>", f"      <{element} message={_quoted(finding.reason)}{kind}/>", "    </testcase>"]


def _counts(findings: tuple[Finding, ...]) -> str:
    count = {verdict: sum(1 for finding in findings if finding.verdict is verdict) for verdict in Verdict}
    return f'tests="{len(findings)}" failures="{count[Verdict.DRIFTED]}" errors="{count[Verdict.UNKNOWN]}" skipped="{count[Verdict.WAIVED]}" time="0"'


def _quoted(text: str) -> str:
    fit = escape(_UNFIT.sub("\ufffd", text), quote=True)
    return '"' + fit.replace("\n", "&#10;").replace("\r", "&#13;").replace("\t", "&#9;") + '"'
