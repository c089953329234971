"""lease: who may change a host right now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from controlplane.cli.options import output_option, print_json, site_option

if TYPE_CHECKING:
    from controlplane.domain.lease_view import LeaseView


@click.group(epilog="Example: controlplane lease show mint-data")
def lease() -> None:
    """Show who may change a host right now, or take over what a killed run left."""


@lease.command("show", epilog="Example: controlplane lease show mint-data -o json")
@click.argument("host")
@site_option
@output_option()
def show_lease(host: str, site: str | None, output: str) -> int:
    """Show a host's lease: holder, run, since when, until when. Exit 5: it could not be observed."""
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.usecases.take_lease import show_lease as show  # noqa: PLC0415

    with working("asking the host"):
        view = wiring.site_view(site)
        seen = show(view, host, clock=wiring.clock(), evidence=wiring.evidence_source(view))
    if output == "json":
        print_json(seen.model_dump(mode="json"))
    else:
        _print(seen)
    return 0


@lease.command("take", epilog="Example: controlplane lease take mint-data")
@click.argument("host")
@site_option
@output_option()
def take_lease(host: str, site: str | None, output: str) -> int:
    """Take over a lease that a killed run left; that run's token is refused from then on.

    Exit 4: refused, its run still works there. 5: the host could not be observed.
    """
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.cli.stopping import leaving  # noqa: PLC0415
    from controlplane.usecases.take_lease import take_lease as take  # noqa: PLC0415

    view, ports = wiring.governed_site(site)
    state = f"The lease was taken over and given back, or it is as it was. Next: controlplane lease show {host}"
    with leaving(state), working("taking over the lease") as progress:
        before = take(view, host, operator=wiring.operator(), ports=ports, progress=progress)
    if output == "json":
        print_json({"host": host, "taken_from": before.model_dump(mode="json") if before.held else None})
    elif before.held:
        click.echo(f"The lease of {before.run} on {host} was taken over and given back; that run's token is refused from now on.")
        click.echo("Next: controlplane runs list    (an open run is resumed or taken back from here)")
    else:
        click.echo(f"Nobody holds {host}: nothing to take over.")
    return 0


def _print(seen: LeaseView) -> None:
    from controlplane.cli.findings import plain  # noqa: PLC0415 - loaded when the verb runs

    if not seen.held:
        click.echo(f"{seen.host}: nobody holds it")
        return
    click.echo(f"{seen.host}: leased to {plain(str(seen.run))}")
    click.echo(f"  holder   {plain(str(seen.holder))}, token {seen.token}")
    click.echo(f"  since    {plain(str(seen.taken_at))}")
    click.echo(f"  until    {plain(str(seen.expires_at))}{'    (expired)' if seen.expired else ''}")
    click.echo(f"  works    {plain(seen.working) if seen.working else 'nothing of it runs there now'}")
    if seen.working is None:
        click.echo(f"Next, if its program is dead: controlplane lease take {seen.host}")
