"""Print an audit: a table that fits the terminal, plain lines elsewhere, JSON, JUnit or SARIF.

What a machine said is data: control characters in it never reach a terminal.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.domain.finding import AuditReport, Finding
    from controlplane.domain.gates.values import SiteCheck

_COLOURS = {"MET": "green", "DRIFTED": "red", "WAIVED": "yellow", "UNKNOWN": "magenta"}
_ORDER = ("UNKNOWN", "DRIFTED", "WAIVED", "MET")


def print_report(
    report: AuditReport, output: str, *, everything: bool = False, next_command: str | None = None, own: Mapping[str, SiteCheck] | None = None
) -> None:
    """Print the report on standard output in the form that `-o` named; text shows MET findings only with `everything`.

    `own` are the site's own checks, where the report has some: SARIF says what each is about.
    """
    if output == "json":
        # The same text as `print_json` gives, in a fifth of the time: an audit of fifty hosts has a thousand findings.
        click.echo(report.model_dump_json(indent=2))
    elif output == "sarif":
        from controlplane.cli.options import print_json  # noqa: PLC0415 - loaded for the form that is asked for
        from controlplane.render.sarif import sarif_of  # noqa: PLC0415

        print_json(sarif_of(report, own))
    elif output == "junit":
        from controlplane.render.junit import junit_of  # noqa: PLC0415

        click.echo(junit_of(report), nl=False)
    else:
        _print_text(report, everything=everything, next_command=next_command)


def _print_text(report: AuditReport, *, everything: bool, next_command: str | None) -> None:
    # Of a host that gave no evidence every finding says the same: one line below tells it.
    blind = {seen.host for seen in report.hosts if not seen.reached}
    listed = [f for f in report.findings if everything or (f.verdict != "MET" and f.host not in blind)]
    shown = sorted(listed, key=lambda f: (f.host, _ORDER.index(f.verdict.value)))
    if sys.stdout.isatty():
        _print_table(shown)
    else:
        for finding in shown:
            click.echo("  ".join([f"{finding.verdict.value:<8}{finding.severity:<7}{finding.check}", *_cells(finding)]))
    for line in closing_lines(report, everything=everything, next_command=next_command):
        click.echo(line)


def _print_table(shown: list[Finding]) -> None:
    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    if not shown:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, wide in (("verdict", False), ("check", False), ("host", False), ("surface", True), ("reason", True)):
        table.add_column(name, no_wrap=not wide, overflow="fold", ratio={"surface": 2, "reason": 5}.get(name))
    for finding in shown:
        host, surface, reason = (Text(cell) for cell in _cells(finding))
        table.add_row(Text(finding.verdict.value, style=_COLOURS[finding.verdict.value]), finding.check, host, surface, reason)
    Console().print(table)


def _cells(finding: Finding) -> tuple[str, str, str]:
    return plain(finding.host), plain(finding.surface), plain(finding.reason)


def plain(text: str) -> str:
    """Return text on one line without control characters, as it may go to a terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def closing_lines(report: AuditReport, *, everything: bool, next_command: str | None) -> list[str]:
    """Return what stands under the table: hosts that gave nothing, the counts, and what to do next."""
    count = report.summary
    lines = [_no_evidence(report, seen.host) for seen in report.hosts if not seen.reached]
    total = count.met + count.drifted + count.waived + count.unknown
    hosts = f"{len(report.hosts)} {'host' if len(report.hosts) == 1 else 'hosts'}"
    lines.append(f"{hosts}, {total} findings: {count.met} met, {count.drifted} drifted, {count.waived} waived, {count.unknown} unknown.")
    if count.met and not everything and not (count.drifted or count.unknown or count.waived):
        lines.append("Nothing drifts; --all lists what was judged.")
    if next_command is not None and (count.drifted or count.unknown):
        lines.append(f"Next: {next_command}")
    return lines


def _no_evidence(report: AuditReport, host: str) -> str:
    reasons = [finding.reason for finding in report.findings if finding.host == host]
    if not reasons:
        return f"{host}: no evidence, and none of these checks asked for any"
    return plain(f"{host}: no evidence, so {len(reasons)} findings are UNKNOWN: {reasons[0]}")
