"""runs: what ran, what is open, what to do next."""

from __future__ import annotations

import json

import click

from controlplane.cli.options import output_option, site_option


@click.group(epilog="Example: controlplane runs list")
def runs() -> None:
    """Show what ran, what is open, and what to do next."""


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
