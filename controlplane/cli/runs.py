"""runs: what ran, what is open, what to do next; and the end of a run whose machine is gone."""

from __future__ import annotations

import json

import click

from controlplane.cli.options import output_option, print_json, site_option


@click.group(epilog="Example: controlplane runs list")
def runs() -> None:
    """Show what ran, what is open, and what to do next; or give up a run whose machine is gone."""


@runs.command("list", epilog="Example: controlplane runs list -o json")
@site_option
@output_option()
def list_runs(site: str | None, output: str) -> int:
    """List every run and step, oldest first."""
    _show(site, None, output)
    return 0


@runs.command("show", epilog="Example: controlplane runs show CAP-20260101-120000__plan.apply__R1a2b")
@click.argument("key")
@site_option
@output_option()
def show_run(key: str, site: str | None, output: str) -> int:
    """Show one run with its steps, or one step."""
    _show(site, key, output)
    return 0


@runs.command("abandon", epilog='Example: controlplane runs abandon CAP-20260101-120000__plan.apply__R1a2b --reason "mint-data burnt down"')
@click.argument("run_key", metavar="RUN_KEY")
@click.option("--reason", required=True, metavar="TEXT", help="What became of the machine; it stands in the receipts under your name.")
@site_option
@output_option()
def abandon(run_key: str, reason: str, site: str | None, output: str) -> int:
    """Close an open run whose machine is gone for good, so that it blocks nothing any more. No host is changed.

    Exit 4: refused, its machine answers, if not as it should: resume the run or take it back.
    """
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.findings import plain  # noqa: PLC0415
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.cli.stopping import ON_RECORD, leaving  # noqa: PLC0415
    from controlplane.usecases.abandon_run import abandon_run  # noqa: PLC0415

    view, ports = wiring.governed_site(site)
    with leaving(ON_RECORD), working("abandoning the run") as progress:
        gone = abandon_run(run_key, view, operator=wiring.operator(), reason=reason, ports=ports, progress=progress)
    if output == "json":
        print_json(gone.model_dump(mode="json"))
        return 0
    click.echo(f"{gone.run} is closed as interrupted; no host was changed.")
    for line in gone.told():
        click.echo(f"  {plain(line)}")
    if gone.should_it_come_back is not None:
        click.echo(f"Should its machine come back: {gone.should_it_come_back}")
    return 0


def _show(site: str | None, key: str | None, output: str) -> None:
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.domain.errors import Fault, InputInvalidError  # noqa: PLC0415
    from controlplane.domain.run_list import run_rows  # noqa: PLC0415

    rows = [row for row in run_rows([receipt for _, receipt in wiring.receipts(site).load()]) if key is None or key in (row.key, row.run)]
    if key is not None and not rows:
        raise InputInvalidError([Fault("KEY", 0, "", f"no run {key!r}; 'controlplane runs list' shows them")])
    if output == "json":
        click.echo(json.dumps([row.model_dump(mode="json") for row in rows], indent=2))
        return
    for row in rows:
        click.echo(f"{row.state:<11}  {row.begun_at}  {row.host:<16}  {row.key}")
        if row.next != "nothing":
            click.echo(f"             next: {row.next}")
    if not rows:
        click.echo("No runs yet.")
