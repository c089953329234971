"""provision: the preview of a host's machine; the same plan as `plan --capability infra.vm.provision`."""

from __future__ import annotations

import click

from controlplane.cli.options import output_option, site_option


@click.command(epilog="Example: controlplane provision mint-data --out plan.json && controlplane apply plan.json")
@click.argument("host", metavar="HOST")
@site_option
@click.option("--out", metavar="FILE", help="Write the plan for approve and apply.")
@output_option()
def provision(host: str, site: str | None, out: str | None, output: str) -> int:
    """Preview the machine that HOST is declared to be: volumes, disks with their serial numbers, network, login. Changes nothing.

    Exit 3: a machine, or a disk of it, to make. 4: refused. 5: its hypervisor could not be observed. 0: it is as declared.
    """
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.plan import preview  # noqa: PLC0415
    from controlplane.domain.capabilities import vm_provision  # noqa: PLC0415

    view, ports = wiring.governed_site(site)
    view.refuse_made_elsewhere(host)
    return preview(view, ports, hosts=(host,), capabilities=(vm_provision.CAPABILITY,), out=out, output=output)
