"""gates: run packs of checks, see how each check stands, and earn it from report to enforce."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal

import click

from controlplane.cli.options import hosts_option, output_option, print_json, site_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.domain.evidence import Evidence, Unreached
    from controlplane.domain.gates.promotion import Standing
    from controlplane.domain.gates.proposal import Proposal
    from controlplane.domain.gates.report import GateReport
    from controlplane.domain.site_view import SiteView


@click.group(epilog="Example: controlplane gates run mint")
def gates() -> None:
    """Run packs of checks; earn each check from report to enforce."""


@gates.command(epilog="Example: controlplane gates run mint")
@click.argument("pack", required=False)
@site_option
@hosts_option
@click.option("--all", "everything", is_flag=True, help="Show MET findings too.")
@output_option("junit", "sarif")
def run(pack: str | None, site: str | None, hosts: tuple[str, ...], *, everything: bool, output: str) -> int:
    """Judge a pack on fresh evidence, the site's own checks among it, and put on record what it found.

    Exit 3: a check that is enforced drifts. 5: something could not be observed, in whatever mode. A drift in report mode is shown and exits 0.
    """
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.findings import print_report  # noqa: PLC0415
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.cli.stopping import ON_RECORD, leaving  # noqa: PLC0415
    from controlplane.usecases.run_gates import run_gates  # noqa: PLC0415

    view = wiring.site_view(site)
    with leaving(ON_RECORD), wiring.gate_ports(view) as ports:
        with working("judging"):
            report = run_gates(view, pack=pack, hosts=hosts, operator=wiring.operator(), ports=ports)
        print_report(report, output, everything=everything, own=view.gates.checks)
        if output == "text":
            _say_passing(report)
    return report.exit_code()


def _say_passing(report: GateReport) -> None:
    from controlplane.cli.findings import plain  # noqa: PLC0415 - loaded when the verb runs

    bad = report.not_passed()
    click.echo(f"{len(report.passing) - len(bad)} of {len(report.passing)} checks pass on their hosts in their mode.")
    for one in bad:
        click.echo(f"not passed  {one.check} on {one.host}: {plain(one.reason)}")
    if report.silent:
        click.echo(f"not judged  {', '.join(report.silent)}: nothing to ask of these hosts")
    for ended in report.ended:
        click.echo(f"waiver over {ended.check}{f' {ended.surface}' if ended.surface else ''} on {ended.host}: {plain(ended.reason)}")
    click.echo(f"run         {report.run}")


@gates.command(epilog="Example: controlplane gates status")
@site_option
@hosts_option
@output_option()
def status(site: str | None, hosts: tuple[str, ...], output: str) -> int:
    """Show mode, streak and what is proposed for each check and host, from what is on record; connects to no host.

    Exit 3: a demotion is proposed, because a check that is enforced failed.
    """
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.domain.gates.catalogue import gated_checks  # noqa: PLC0415
    from controlplane.usecases.gate_standings import SOME, order_of, standings  # noqa: PLC0415

    view = wiring.site_view(site)
    names = [desired.host for desired, _ in view.chosen(hosts)]
    with wiring.gate_ports(view) as ports:
        checks, now, began = gated_checks(view.gates), ports.clock.now(), order_of(ports.receipts)
        found = standings(view, checks=checks, hosts=names, runs=ports.runs, checkers=ports.checkers, began=began, now=now, read=SOME)
    if output == "json":
        print_json({"standings": [one.model_dump(mode="json") for one in found]})
    else:
        _print_standings(found)
    return 3 if any(one.proposes == "demote" for one in found) else 0


@gates.command(epilog="Example: controlplane gates explain D235 --host mint-data")
@click.argument("check")
@site_option
@hosts_option
@output_option()
def explain(check: str, site: str | None, hosts: tuple[str, ...], output: str) -> int:
    """Say what a check judges and why, and which recorded runs count for it on each host."""
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.findings import plain  # noqa: PLC0415
    from controlplane.domain.gates.catalogue import description_of, known_checks  # noqa: PLC0415
    from controlplane.usecases.gate_standings import order_of, standings  # noqa: PLC0415

    view = wiring.site_view(site)
    _refuse_unknown((check,), known_checks(view.gates))
    names = [desired.host for desired, _ in view.chosen(hosts)]
    with wiring.gate_ports(view) as ports:
        now, began = ports.clock.now(), order_of(ports.receipts)
        found = standings(view, checks=[check], hosts=names, runs=ports.runs, checkers=ports.checkers, began=began, now=now)
    title, lines = description_of(check, view.gates)
    if output == "json":
        print_json({"check": check, "title": title, "description": lines, "standings": [one.model_dump(mode="json") for one in found]})
        return 0
    click.echo(f"{check}  {title}")
    for line in lines:
        click.echo(f"  {plain(line)}")
    _say_runs(found, named=False)
    return 0


def _say_runs(found: tuple[Standing, ...], *, named: bool) -> None:
    """Say which recorded runs count for each check and host, and why the others don't."""
    from controlplane.cli.findings import plain  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.domain.gates.promotion import BEFORE  # noqa: PLC0415

    for one in found:
        proposed = f"; proposed: {one.proposes}" if one.proposes else ""
        click.echo(f"{f'{one.check} on ' if named else ''}{one.host}: {one.mode}, {one.streak} of {one.wanted} runs count{proposed}")
        # Of those before the one that ended the streak all say the same.
        told = [row for row in one.runs if not row.reason.startswith(BEFORE)]
        for row in told:
            click.echo(f"  {'counts' if row.counts else '-':<7} {row.at}  {row.run}{'' if row.counts else f'  {plain(row.reason)}'}")
        if len(told) < len(one.runs):
            click.echo(f"  -       and {len(one.runs) - len(told)} earlier: {plain(one.runs[-1].reason)}")
        for reason in one.held_by:
            click.echo(f"  held by {plain(reason)}")
        if one.proposes == "promote" and one.runs and one.runs[0].verdict == "DRIFTED":
            click.echo("  note    it drifts, as expected; enforced, it fails until that is mended")


@gates.command(epilog="Example: controlplane gates promote D235 D236 --host mint-data --out promotion.json")
@click.argument("checks", nargs=-1, metavar="[CHECK...]")
@site_option
@hosts_option
@click.option("--out", metavar="FILE", help="Write the proposal, to be approved.")
@click.option("--apply", "apply_file", metavar="FILE", help="Carry out a proposal that was approved.")
@output_option()
def promote(checks: tuple[str, ...], site: str | None, hosts: tuple[str, ...], **given: Any) -> int:
    """Propose to enforce checks that have earned it, on fresh evidence; or carry out such a proposal.

    Exit 4: they have not, or nobody approved it. Nothing was changed then.
    """
    return _decide("promote", checks, site, hosts, reason="", **given)


@gates.command(epilog='Example: controlplane gates demote D235 --host mint-data --reason "disk is being replaced" --out demotion.json')
@click.argument("checks", nargs=-1, metavar="[CHECK...]")
@site_option
@hosts_option
@click.option("--reason", default="", metavar="TEXT", help="Why; needed for a proposal.")
@click.option("--out", metavar="FILE", help="Write the proposal, to be approved.")
@click.option("--apply", "apply_file", metavar="FILE", help="Carry out a proposal that was approved.")
@output_option()
def demote(checks: tuple[str, ...], site: str | None, hosts: tuple[str, ...], **given: Any) -> int:
    """Propose to only report checks again; or carry out such a proposal. Only a person demotes."""
    if given["apply_file"] is None and not given["reason"].strip():
        raise click.UsageError("say why, with --reason")
    return _decide("demote", checks, site, hosts, **given)


def _decide(
    kind: Literal["promote", "demote"],
    checks: tuple[str, ...],
    site: str | None,
    hosts: tuple[str, ...],
    *,
    reason: str,
    out: str | None,
    apply_file: str | None,
    output: str,
) -> int:
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.domain.gates.catalogue import known_checks  # noqa: PLC0415
    from controlplane.usecases.change_modes import considered, propose  # noqa: PLC0415

    if bool(checks) == (apply_file is not None):
        raise click.UsageError("name checks for a proposal, or --apply FILE to carry one out")
    if apply_file is not None:
        if hosts or out is not None:
            raise click.UsageError("--apply carries out a proposal as it stands: leave --host and --out out")
        return _carry_out(kind, apply_file, site, output)
    view = wiring.site_view(site)
    _refuse_unknown(checks, known_checks(view.gates))
    names = tuple(desired.host for desired, _ in view.chosen(hosts))
    with wiring.mode_ports(view) as ports:
        seen = _seen(view, names) if kind == "promote" else None
        stood = considered(view, checks=checks, hosts=names, seen=seen, ports=ports)
        if kind == "promote" and output == "text":
            _say_runs(stood, named=True)
        proposal = propose(
            view, kind, checks=checks, hosts=names, seen=seen or {}, requester=wiring.operator(), reason=reason, ports=ports, stood=stood
        )
    if out is not None:
        wiring.proposal_files(view.folder).write(out, proposal)
    return _say_proposed(proposal, out, output)


def _carry_out(kind: Literal["promote", "demote"], apply_file: str, site: str | None, output: str) -> int:
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.stopping import ON_RECORD, leaving  # noqa: PLC0415
    from controlplane.usecases.change_modes import carry_out  # noqa: PLC0415

    view = wiring.site_view(site)
    files = wiring.proposal_files(view.folder)
    proposal = files.read(apply_file)
    if proposal.kind != kind:
        raise click.UsageError(f"{apply_file} is to {proposal.kind}: controlplane gates {proposal.kind} --apply {apply_file}")
    author = files.author(apply_file, at=wiring.clock().now())
    names = tuple(dict.fromkeys(change.host for change in proposal.changes if change.host in view.desired.by_name()))
    with wiring.mode_ports(view) as ports, leaving(ON_RECORD):
        seen = _seen(view, names) if kind == "promote" and names else {}
        key = carry_out(proposal, view, seen=seen, operator=wiring.operator(), author=author, ports=ports)
    return _say_done(proposal, key, output)


def _seen(view: SiteView, names: tuple[str, ...]) -> Mapping[str, Evidence | Unreached]:
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.progress import working  # noqa: PLC0415

    with working("collecting evidence"):
        return wiring.collect(view, names)


def _say_proposed(proposal: Proposal, out: str | None, output: str) -> int:
    if output == "json":
        print_json(proposal.model_dump(mode="json"))
        return 0
    for change in proposal.changes:
        runs = f"    (on {', '.join(change.runs)})" if change.runs else ""
        click.echo(f"{proposal.file}  {change.field}: {change.before} -> {change.after}{runs}")
    if out is None:
        click.echo(f"Nothing was changed. Next: controlplane gates {proposal.kind} ... --out FILE    (a proposal that can be approved)")
    else:
        click.echo(f"Nothing was changed. Next: controlplane approve {out}, then: controlplane gates {proposal.kind} --apply {out}")
    return 0


def _say_done(proposal: Proposal, key: str, output: str) -> int:
    if output == "json":
        print_json({"receipt": key, "proposal": proposal.proposal, "changes": [change.model_dump(mode="json") for change in proposal.changes]})
        return 0
    for change in proposal.changes:
        click.echo(f"changed   {proposal.file}  {change.field}: {change.after}")
    click.echo(f"receipt   {key}")
    return 0


@gates.command(epilog="Example: controlplane gates schema > gates.schema.json")
@output_option()
def schema(output: str) -> None:  # noqa: ARG001 - a schema has one form; the option is there because every verb has it
    """Print the JSON Schema of gates.yml, for editors and for CI."""
    from controlplane.domain.governance_schema import governance_schema  # noqa: PLC0415 - loaded when the verb runs

    print_json(governance_schema("gates"))


def _refuse_unknown(checks: tuple[str, ...], known: tuple[str, ...]) -> None:
    from controlplane.domain.errors import Fault, InputInvalidError  # noqa: PLC0415 - loaded when the verb runs

    strange = [check for check in dict.fromkeys(checks) if check not in known]
    if strange:
        raise InputInvalidError([Fault("CHECK", 0, "", f"{check!r} is no check; there are {', '.join(known)}") for check in strange])


def _print_standings(found: tuple[Standing, ...]) -> None:
    from controlplane.cli.findings import plain  # noqa: PLC0415 - loaded when the verb runs

    rows = [(one.check, one.host, one.mode, f"{one.streak}/{one.wanted}", one.proposes or "", "; ".join(one.held_by)) for one in found]
    if not sys.stdout.isatty():
        for check, host, mode, streak, proposes, held in rows:
            click.echo(f"{check:<6} {host:<20} {mode:<8} {streak:<6} {proposes:<8} {plain(held)}".rstrip())
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("check", "host", "mode", "streak", "proposed", "held by"):
        table.add_column(name, no_wrap=name != "held by", overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    Console().print(table)
