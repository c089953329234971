"""loops: lines of work, the gaps in them, and which may be closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.options import output_option, print_json, site_option

if TYPE_CHECKING:
    from controlplane.domain.site import SiteContent


@click.group(epilog="Example: controlplane loops list --open")
def loops() -> None:
    """File, link and close loops; registers/loops.yml stays yours, comments and order included."""


@loops.command("list", epilog="Example: controlplane loops list --open")
@site_option
@click.option("--open", "only_open", is_flag=True, help="Only those that are open.")
@output_option()
def list_loops(site: str | None, only_open: bool, output: str) -> int:
    """List loops with how many of their gaps are open."""
    from controlplane.cli.folding import echo_folded  # noqa: PLC0415 - loaded when the verb runs

    rows = [row for row in _rows(_read(site)) if not only_open or row["status"] == "open"]
    if output == "json":
        print_json({"loops": rows})
        return 0
    widest = max((len(row["id"]) for row in rows), default=0)
    for row in rows:
        counted = f"{len(row['open_gaps'])} of {len(row['gaps'])} gaps open"
        echo_folded(f"{row['id']:<{widest}} {row['status']:<8} {counted:<18} ", row["title"])
    click.echo(f"{len(rows)} {'loop' if len(rows) == 1 else 'loops'}.")
    return 0


@loops.command("show", epilog="Example: controlplane loops show LOOP-STORAGE-BOOT-DRIVE-AUDIT-20260226")
@click.argument("loop")
@site_option
@output_option()
def show_loop(loop: str, site: str | None, output: str) -> int:
    """Show a loop with its gaps and their findings."""
    from controlplane.cli.findings import plain  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.folding import echo_folded  # noqa: PLC0415
    from controlplane.usecases.edit_registers import refuse_unknown  # noqa: PLC0415

    content = _read(site)
    refuse_unknown(content, "loops", loop)
    row = next(one for one in _rows(content) if one["id"] == loop)
    if output == "json":
        print_json(row)
        return 0
    echo_folded(f"{loop}  {row['status']}  ", row["title"])
    for line in str(row.get("text") or "").splitlines():
        echo_folded("  ", plain(line))
    for gap in row["gaps"]:
        click.echo(f"{'open' if gap in row['open_gaps'] else '-':<5} {gap}")
    return 0


@loops.command("file", epilog='Example: controlplane loops file --title "Storage boot drive audit"')
@click.option("--title", required=True, metavar="TEXT", help="One line that says what the work is.")
@click.option("--id", "given", metavar="ID", help="Its id; otherwise made of its title and the day.")
@site_option
@output_option()
def file(title: str, given: str | None, site: str | None, output: str) -> int:
    """File a loop."""
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.gaps import say_edited  # noqa: PLC0415
    from controlplane.usecases.edit_registers import file_loop  # noqa: PLC0415

    fields = {"title": title, "status": "open", "opened": f"{wiring.clock().now():%Y-%m-%d}"}
    return say_edited(file_loop(wiring.registers(site), fields=fields, given=given), "filed", output)


@loops.command("link", epilog="Example: controlplane loops link LOOP-STORAGE-20260226 --gap GAP-OP-947")
@click.argument("loop")
@click.option("--gap", "gaps", multiple=True, required=True, metavar="GAP", help="Gap that is worked on in it; can be given several times.")
@site_option
@output_option()
def link_loop(loop: str, gaps: tuple[str, ...], site: str | None, output: str) -> int:
    """Link gaps to a loop."""
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.gaps import say_edited  # noqa: PLC0415
    from controlplane.usecases.edit_registers import link  # noqa: PLC0415

    return say_edited(link(wiring.registers(site), loop, [("gaps", gap, "loops", loop) for gap in gaps]), "linked", output)


@loops.command("close", epilog="Example: controlplane loops close LOOP-STORAGE-20260226")
@click.argument("loop")
@site_option
@output_option()
def close(loop: str, site: str | None, output: str) -> int:
    """Close a loop in which nothing is open. Exit 4: something is, and nothing was changed."""
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.gaps import say_edited  # noqa: PLC0415
    from controlplane.usecases.close_loop import close_loop  # noqa: PLC0415
    from controlplane.usecases.closing_record import ClosingPorts  # noqa: PLC0415

    ports = ClosingPorts(registers=wiring.registers(site), record=wiring.gate_record(site), entropy=wiring.entropy())
    return say_edited(close_loop(loop, by=wiring.operator(), ports=ports), "closed", output)


@loops.command(epilog="Example: controlplane loops schema > loops.schema.json")
@output_option()
def schema(output: str) -> None:  # noqa: ARG001 - a schema has one form; the option is there because every verb has it
    """Print the JSON Schema of registers/loops.yml, for editors and for CI."""
    from controlplane.domain.governance_schema import governance_schema  # noqa: PLC0415 - loaded when the verb runs

    print_json(governance_schema("loops"))


@loops.command("status", epilog="Example: controlplane loops status")
@site_option
@output_option()
def loops_status(site: str | None, output: str) -> int:
    """Say how the loops stand. Exit 1: an orphan, a dangling link or a contradiction."""
    return print_status("loops", site, output)


def print_status(register: str, site: str | None, output: str) -> int:
    """Print how a register stands and return the exit code."""
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.findings import plain  # noqa: PLC0415
    from controlplane.cli.folding import echo_folded  # noqa: PLC0415
    from controlplane.usecases.read_registers import register_status  # noqa: PLC0415

    governance, governed = wiring.governance(site)
    status = register_status(governance, wiring.gate_record(site), register, governed=governed)
    if output == "json":
        print_json(status.model_dump(mode="json"))
        return status.exit_code()
    counted = ", ".join(f"{count} {name}" for name, count in status.counts.items()) or "none"
    click.echo(f"{register}: {counted}")
    for name in status.closable:
        click.echo(f"closable  {name}")
    if status.closable:
        click.echo(f"Next: controlplane {register} close {status.closable[0]}")
    for fault in status.faults:
        echo_folded("", plain(fault), err=True)
    if status.faults:
        click.echo(f"{len(status.faults)} {'rule does' if len(status.faults) == 1 else 'rules do'} not hold; each is named above.", err=True)
    return status.exit_code()


def _read(site: str | None) -> SiteContent:
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs

    return wiring.site(site).read(run_inventory=False)


def _rows(content: SiteContent) -> list[dict[str, Any]]:
    held = content.governance.checked_registers()
    rows: list[dict[str, Any]] = []
    for name, loop in held.loops.items():
        gaps = [gap for gap, one in held.gaps.items() if name in one.loops]
        still = [gap for gap in gaps if held.gaps[gap].is_open]
        rows.append({"id": name, **loop.model_dump(mode="json", exclude_none=True), "gaps": gaps, "open_gaps": still})
    return rows
