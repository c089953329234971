"""verify: two witnesses, after a reboot where that is asked for."""

from __future__ import annotations

import click

from controlplane.cli.options import hosts_option, output_option, site_option


@click.command(epilog="Example: controlplane verify --host mint-data --after-reboot")
@site_option
@hosts_option
@click.option("--after-reboot", is_flag=True, help="Reboot the hosts first, one after the other, and wait for each.")
@output_option("junit", "sarif")
def verify(site: str | None, hosts: tuple[str, ...], after_reboot: bool, output: str) -> int:
    """Judge on fresh evidence and have live machines confirm it; where the two disagree the verdict is UNKNOWN."""
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.findings import print_report  # noqa: PLC0415
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.cli.stopping import stopping_in_order  # noqa: PLC0415
    from controlplane.usecases.verify_hosts import reboot_hosts, verify_hosts  # noqa: PLC0415

    view, ports = wiring.governed_site(site)
    with stopping_in_order(), working("verifying") as progress:
        if after_reboot:
            reboot_hosts(
                view,
                hosts=hosts,
                operator=wiring.operator(),
                clock=ports.clock,
                entropy=ports.entropy,
                evidence=ports.evidence,
                runner=ports.runner,
                receipts=ports.receipts,
                locks=ports.locks,
                progress=progress,
            )
        report = verify_hosts(view, hosts=hosts, clock=ports.clock, evidence=ports.evidence, witness=ports.witness)
    print_report(report, output)
    return report.exit_code()
