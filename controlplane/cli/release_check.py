"""release check: everything of a release that needs no machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal

import click

from controlplane.cli.options import output_option, print_json, site_option

if TYPE_CHECKING:
    from controlplane.usecases.check_release import ReleaseCheck

_COLOURS = {"met": "green", "fault": "red", "unknown": "magenta"}


@click.command(epilog="Example: controlplane release check shop --env staging")
@click.argument("stack")
@click.option("--env", "environment", type=click.Choice(["staging", "production"]), help="Only this environment; otherwise all that there are.")
@site_option
@output_option()
def check(stack: str, environment: Literal["staging", "production"] | None, site: str | None, output: str) -> int:
    """List every fault of a release's files, its environment files, and secrets in the site and its history; makes no connection.

    Exit 2: faults, each with file and line. 5: something could not be looked at.
    """
    from controlplane.cli.progress import working  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.usecases.check_release import check_release  # noqa: PLC0415
    from controlplane.wiring.releases import check_ports  # noqa: PLC0415

    with working("looking through files and history"):
        found = check_release(stack, environment=environment, ports=check_ports(site))
    if output == "json":
        print_json(_plain(found))
    else:
        _print_text(found)
    return found.exit_code()


def _plain(found: ReleaseCheck) -> dict[str, Any]:
    faults = [{"file": one.file, "line": one.line, "field": one.field, "message": one.message} for one in found.faults]
    return {
        "stack": found.stack,
        "environments": list(found.environments),
        "valid": found.exit_code() == 0,
        "checks": [{"check": one.what, "environment": one.environment or None, "verdict": one.verdict, "told": one.told} for one in found.rows],
        "faults": faults,
        "unknown": list(found.doubts),
    }


def _print_text(found: ReleaseCheck) -> None:
    from controlplane.cli.findings import plain  # noqa: PLC0415 - loaded for the form that is asked for

    rows: list[tuple[str, str, str, str]] = [(one.verdict, one.what, one.environment or "-", plain(one.told)) for one in found.rows]
    if sys.stdout.isatty():
        _print_table(rows)
    else:
        for verdict, what, environment, told in rows:
            click.echo(f"{verdict:<9}{what:<18}{environment:<12}{told}".rstrip())
    for fault in found.faults:
        click.echo(plain(str(fault)))
    for doubt in found.doubts:
        click.echo(f"unknown: {plain(doubt)}")
    counted = {"fault": len(found.faults), "unknown": len(found.doubts)}
    bad = ", ".join(f"{number} {what}{'s' if what == 'fault' and number != 1 else ''}" for what, number in counted.items() if number)
    click.echo(f"{found.stack}: {bad or 'nothing is in the way'}; no connection was made.")


def _print_table(rows: list[tuple[str, str, str, str]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, ratio in (("verdict", None), ("check", None), ("environment", None), ("told", 5)):
        table.add_column(name, no_wrap=ratio is None, overflow="fold", ratio=ratio)
    for verdict, what, environment, told in rows:
        table.add_row(Text(verdict, style=_COLOURS[verdict]), what, environment, Text(told))
    Console().print(table)
