"""gaps: what is missing, who works on it, and what may be closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.options import output_option, print_json, site_option

if TYPE_CHECKING:
    from controlplane.domain.registers import Gap
    from controlplane.domain.registers.closing import Recommendation
    from controlplane.usecases.edit_registers import Edited


@click.group(epilog="Example: controlplane gaps list --open")
def gaps() -> None:
    """File, link and close gaps; registers/gaps.yml stays yours, comments and order included."""


@gaps.command("list", epilog="Example: controlplane gaps list --open --loop LOOP-STORAGE-BOOT-DRIVE-AUDIT-20260226")
@site_option
@click.option("--open", "only_open", is_flag=True, help="Only those that are open.")
@click.option("--loop", metavar="LOOP", help="Only those of this loop.")
@click.option("--finding", metavar="STOR", help="Only those of this finding.")
@output_option()
def list_gaps(site: str | None, only_open: bool, loop: str | None, finding: str | None, output: str) -> int:
    """List gaps with their findings; 'closable' are those whose findings and criteria are all MET in recorded runs."""
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.folding import echo_folded  # noqa: PLC0415
    from controlplane.domain.registers.closing import recommend  # noqa: PLC0415
    from controlplane.usecases.edit_registers import refuse_unknown  # noqa: PLC0415
    from controlplane.usecases.read_registers import resting  # noqa: PLC0415

    content = wiring.site(site).read(run_inventory=False)
    governance, governed = content.governance, sorted(content.policy.hosts)
    held = governance.checked_registers()
    for register, name in (("loops", loop), ("findings", finding)):
        if name is not None:
            refuse_unknown(content, register, name)
    rests = resting(governance, wiring.gate_record(site), governed=governed)
    rows: list[dict[str, Any]] = []
    for name, gap in held.gaps.items():
        findings = rests.served.get(name, ())
        if (only_open and not gap.is_open) or (loop is not None and loop not in gap.loops) or (finding is not None and finding not in findings):
            continue
        closable = gap.is_open and recommend(name, rests).closable
        rows.append({"id": name, **gap.model_dump(mode="json", exclude_none=True), "findings": list(findings), "closable": closable})
    if output == "json":
        print_json({"gaps": rows})
        return 0
    for row in rows:
        status = "closable" if row["closable"] else row["status"]
        echo_folded(f"{row['id']:<16} {status:<11} {', '.join(row['findings']) or '-':<20} ", row["title"])
    click.echo(f"{len(rows)} {'gap' if len(rows) == 1 else 'gaps'}.")
    return 0


@gaps.command("show", epilog="Example: controlplane gaps show GAP-OP-947")
@click.argument("gap")
@site_option
@output_option()
def show_gap(gap: str, site: str | None, output: str) -> int:
    """Show a gap, what it serves, and what still speaks against closing it."""
    from controlplane.cli.findings import plain  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.folding import echo_folded  # noqa: PLC0415

    held, recommended = _recommended(gap, site)
    if output == "json":
        print_json({"id": gap, **held.model_dump(mode="json", exclude_none=True), "recommendation": recommended.model_dump(mode="json")})
        return 0
    echo_folded(f"{gap}  {held.status}  ", held.title)
    for name, value in held.model_dump(mode="json", exclude_none=True, exclude={"title", "status", "criteria"}).items():
        echo_folded(f"{name:<12} ", plain(_shown(value)))
    for criterion in held.criteria:
        echo_folded(f"{'criteria':<12} ", plain(criterion))
    echo_folded(f"{'findings':<12} ", ", ".join(recommended.findings) or "none")
    if held.is_open:
        for one in recommended.criteria:
            told = one.objection or f"met in {one.run}"
            echo_folded(f"{'open' if one.objection else 'met':<12} ", f"{one.finding} {one.check} on {one.host}: {plain(told)}")
        for name in recommended.unjudged:
            echo_folded(f"{'open':<12} ", f"{name}: no check judges it; who closes the gap says why it is mended, with --attest")
        for criterion in recommended.unstated:
            told = f"criteria: {plain(criterion)}: no check judges all of it; who closes the gap says how it was shown, with --met"
            echo_folded(f"{'open':<12} ", told)
        left = len(recommended.objections) + len(recommended.unjudged) + len(recommended.unstated)
        click.echo("closable" if recommended.closable else f"not closable yet: {left} in the way")
    return 0


@gaps.command("file", epilog='Example: controlplane gaps file --title "Redis keeps nothing durable" --loop LOOP-STORAGE-20260226 --finding STOR-003')
@click.option("--title", required=True, metavar="TEXT", help="One line that says what is missing.")
@click.option("--loop", "loops", multiple=True, required=True, metavar="LOOP", help="Loop in which it is worked on; can be given several times.")
@click.option("--finding", "findings", multiple=True, metavar="STOR", help="Finding that it stands for; can be given several times.")
@click.option(
    "--criteria",
    multiple=True,
    metavar="TEXT",
    help="What else has to hold before it is closed: a check ('D234 on mint-data'), a finding, or words; can be given several times.",
)
@click.option("--area", default="OP", show_default=True, metavar="AREA", help="Middle part of its id.")
@click.option("--id", "given", metavar="ID", help="Its id; otherwise the next free number of its area.")
@site_option
@output_option()
def file(
    title: str, loops: tuple[str, ...], findings: tuple[str, ...], *, criteria: tuple[str, ...], area: str, given: str | None, **common: Any
) -> int:
    """File a gap, and link it."""
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.usecases.edit_registers import file_gap  # noqa: PLC0415

    fields = {"title": title, "status": "open", "loops": list(dict.fromkeys(loops)), "filed": f"{wiring.clock().now():%Y-%m-%d}"}
    # One is written as people write it: as a line.
    fields |= {"criteria": criteria[0] if len(criteria) == 1 else list(criteria)} if criteria else {}
    return say_edited(file_gap(wiring.registers(common["site"]), area=area, fields=fields, findings=findings, given=given), "filed", common["output"])


@gaps.command("link", epilog="Example: controlplane gaps link GAP-OP-947 --finding STOR-005")
@click.argument("gap")
@click.option("--loop", "loops", multiple=True, metavar="LOOP", help="Loop to link it to; can be given several times.")
@click.option("--finding", "findings", multiple=True, metavar="STOR", help="Finding to link to it; can be given several times.")
@site_option
@output_option()
def link_gap(gap: str, loops: tuple[str, ...], findings: tuple[str, ...], site: str | None, output: str) -> int:
    """Link a gap to loops, and findings to it."""
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.usecases.edit_registers import link  # noqa: PLC0415

    if not loops and not findings:
        raise click.UsageError("name at least one --loop or --finding")
    links = [("gaps", gap, "loops", loop) for loop in loops] + [("findings", finding, "gaps", gap) for finding in findings]
    return say_edited(link(wiring.registers(site), gap, links), "linked", output)


@gaps.command("close", epilog="Example: controlplane gaps close GAP-OP-948 --run CAP-20260301-120000__verify.pack.run__R1a2b")
@click.argument("gap")
@click.option("--run", "runs", multiple=True, metavar="KEY", help="Run that shows it mended; otherwise the latest of each check and host.")
@click.option("--attest", metavar="TEXT", help="Why it is mended, where no check judges a finding of it.")
@click.option("--met", multiple=True, metavar="TEXT", help="A criterion that no check judges, word for word, a colon, and how it was shown.")
@click.option("--accept", metavar="REASON", help="Close it as accepted, not as fixed: why it may stay.")
@site_option
@output_option()
def close(gap: str, runs: tuple[str, ...], *, attest: str | None, met: tuple[str, ...], accept: str | None, site: str | None, output: str) -> int:
    """Close a gap on the evidence of recorded runs. Exit 4: its criteria are not met, and nothing was changed."""
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.usecases.close_gap import Word, close_gap  # noqa: PLC0415
    from controlplane.usecases.closing_record import ClosingPorts  # noqa: PLC0415

    if accept is not None and (runs or attest is not None or met):
        raise click.UsageError("--accept rests on no evidence: leave --run, --attest and --met out")
    ports = ClosingPorts(registers=wiring.registers(site), record=wiring.gate_record(site), entropy=wiring.entropy())
    edited = close_gap(gap, Word(by=wiring.operator(), runs=runs, attest=attest, met=met, accept=accept), ports=ports)
    return say_edited(edited, "accepted" if accept else "closed", output)


@gaps.command(epilog="Example: controlplane gaps schema > gaps.schema.json")
@click.option("--findings", is_flag=True, help="That of registers/findings.yml instead.")
@output_option()
def schema(findings: bool, output: str) -> None:  # noqa: ARG001 - a schema has one form; the option is there because every verb has it
    """Print the JSON Schema of registers/gaps.yml, for editors and for CI."""
    from controlplane.domain.governance_schema import governance_schema  # noqa: PLC0415 - loaded when the verb runs

    print_json(governance_schema("findings" if findings else "gaps"))


@gaps.command("status", epilog="Example: controlplane gaps status")
@site_option
@output_option()
def gaps_status(site: str | None, output: str) -> int:
    """Say how the gaps stand. Exit 1: an orphan, a dangling link or a contradiction."""
    from controlplane.cli.loops import print_status  # noqa: PLC0415 - loaded when the verb runs

    return print_status("gaps", site, output)


def _recommended(gap: str, site: str | None) -> tuple[Gap, Recommendation]:
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.domain.registers.closing import recommend  # noqa: PLC0415
    from controlplane.usecases.edit_registers import refuse_unknown  # noqa: PLC0415
    from controlplane.usecases.read_registers import resting  # noqa: PLC0415

    content = wiring.site(site).read(run_inventory=False)
    refuse_unknown(content, "gaps", gap)
    rests = resting(content.governance, wiring.gate_record(site), governed=sorted(content.policy.hosts))
    return rests.registers.gaps[gap], recommend(gap, rests)


def _shown(value: Any) -> str:
    """Return a field's value as a person reads it: lists by comma, a mapping's values in turn; what is empty is left out."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items() if one)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def say_edited(edited: Edited, done: str, output: str) -> int:
    if output == "json":
        print_json(edited.model_dump(mode="json"))
        return 0
    if not edited.files and edited.receipt is None:
        click.echo(f"{edited.id} is {done} already. Nothing was changed.")
        return 0
    with_it = f"; {', '.join(edited.closed_findings)} closed with it" if edited.closed_findings else ""
    click.echo(f"{edited.id} {done}{with_it}.")
    for key, earlier in edited.written_before.items():
        ended = "was stopped" if earlier.ended == "stopped" else "did not end well"
        click.echo(f"before    {', '.join(earlier.findings)} was written by {key}, which {ended}")
    for path in edited.files:
        click.echo(f"changed   {path}")
    if edited.receipt is not None:
        click.echo(f"receipt   {edited.receipt}")
    return 0
