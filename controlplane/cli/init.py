"""`controlplane init`: a site folder that validates."""

from __future__ import annotations

import click

from controlplane.cli.options import output_option, print_json


@click.command(epilog="Example: controlplane init inventory/prod")
@click.argument("folder", metavar="DIR")
@output_option()
def init(folder: str, output: str) -> None:
    """Write a site folder that validates, with comments that say what to change."""
    from controlplane import wiring  # noqa: PLC0415 - a verb that isn't called costs nothing
    from controlplane.cli.stopping import leaving  # noqa: PLC0415
    from controlplane.usecases.init_site import init_site  # noqa: PLC0415

    with leaving(f"{folder} may hold a part of the new files: remove what is there, then run the same command again."):
        written = init_site(wiring.new_site(folder))
    if output == "json":
        print_json({"site": folder, "files": list(written)})
        return
    for path in written:
        click.echo(f"wrote {path}")
    click.echo(f"Next: edit these, then run 'controlplane policy check --site {folder}'.", err=True)
