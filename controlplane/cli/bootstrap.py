"""bootstrap: the preview of what a machine lacks of its baseline; the same plan as `plan --host`, without its machine."""

from __future__ import annotations

import click

from controlplane.cli.options import output_option, site_option


@click.command(epilog="Example: controlplane bootstrap mint-data --out plan.json && controlplane apply plan.json")
@click.argument("host", metavar="HOST")
@site_option
@click.option("--out", metavar="FILE", help="Write the plan for approve and apply.")
@output_option()
def bootstrap(host: str, site: str | None, out: str | None, output: str) -> int:
    """Preview what HOST lacks of its baseline: data disk, fstab, boot guard, packages, units, Docker on its root. Changes nothing.

    Exit 3: something to bring. 4: refused. 5: the host could not be observed. 0: it is at its baseline.
    """
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.plan import preview  # noqa: PLC0415
    from controlplane.domain.capabilities import vm_provision  # noqa: PLC0415
    from controlplane.domain.planning import chosen_capabilities  # noqa: PLC0415

    view, ports = wiring.governed_site(site)
    view.machine_of(host)
    inside = [capability for capability in chosen_capabilities(()) if capability.id != vm_provision.ID]
    return preview(view, ports, hosts=(host,), capabilities=inside, out=out, output=output)
