"""doctor: is this site governed, or does it drift?"""

from __future__ import annotations

import click

from controlplane.cli.options import output_option, print_json, site_option

_COLOURS = {"pass": "green", "warn": "yellow", "fail": "red"}


@click.command(epilog="Example: controlplane doctor")
@site_option
@output_option()
def doctor(site: str | None, output: str) -> int:
    """Look at policy, registers, gates, waves, signers, chain, store and version control; asks no host. Exit 1: a point fails."""
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.findings import plain  # noqa: PLC0415
    from controlplane.usecases.examine_site import examine_site  # noqa: PLC0415

    with wiring.doctor_ports(site) as (name, ports):
        found = examine_site(name, ports)
    if output == "json":
        print_json(found.model_dump(mode="json"))
        return found.exit_code()
    for point in found.points:
        click.echo(f"{click.style(f'{point.level:<5}', fg=_COLOURS[point.level])} {point.name:<16} {plain(point.told)}")
    click.echo(f"{found.passed} pass, {found.warned} warn, {found.failed} fail: {click.style(found.verdict, bold=True)}")
    return found.exit_code()
