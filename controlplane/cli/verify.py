"""verify: two witnesses, after a reboot where that is asked for."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from controlplane.cli.options import hosts_option, output_option, site_option

if TYPE_CHECKING:
    from controlplane.domain.finding import AuditReport


@click.command(epilog="Example: controlplane verify --host mint-data --after-reboot    (without a site: controlplane verify --target local)")
@site_option
@hosts_option
@click.option("--target", metavar="[USER@]ADDRESS|local", help="A machine without a site: general checks only.")
@click.option("--after-reboot", is_flag=True, help="Reboot the hosts first, one after the other, and wait for each.")
@output_option("junit", "sarif")
def verify(site: str | None, hosts: tuple[str, ...], target: str | None, after_reboot: bool, output: str) -> int:
    """Judge on fresh evidence and have live machines confirm it; where the two disagree the verdict is UNKNOWN."""
    from controlplane.cli.findings import print_report  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.stopping import ON_RECORD, leaving  # noqa: PLC0415

    if target is not None and (site is not None or hosts):
        raise click.UsageError("--target names a machine without a site: leave out --site and --host")
    if target is not None and after_reboot:
        raise click.UsageError("--after-reboot needs a site, which keeps a receipt of each reboot: leave it out, or reboot the machine yourself")
    with leaving(ON_RECORD) if after_reboot else nullcontext():
        report = _of_site(site, hosts, after_reboot=after_reboot) if target is None else _of_target(target)
        print_report(report, output)
    return report.exit_code()


def _of_target(target: str) -> AuditReport:
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.domain.target import target_host  # noqa: PLC0415
    from controlplane.usecases.verify_hosts import verify_target  # noqa: PLC0415

    host = target_host(target)
    with working("verifying"):
        return verify_target(host, clock=wiring.clock(), evidence=wiring.evidence_source(), witness=wiring.witness())


def _of_site(site: str | None, hosts: tuple[str, ...], *, after_reboot: bool) -> AuditReport:
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.usecases.reboot_hosts import Waves, reboot_hosts  # noqa: PLC0415
    from controlplane.usecases.verify_hosts import verify_hosts  # noqa: PLC0415

    view, ports = wiring.governed_site(site)
    with working("verifying") as progress:
        if after_reboot:
            waves = Waves(wiring.waves_of(view), wiring.wave_files_of(view))
            reboot_hosts(view, hosts=hosts, operator=wiring.operator(), ports=ports, progress=progress, waves=waves)
        return verify_hosts(view, hosts=hosts, clock=ports.clock, evidence=ports.evidence, witness=ports.witness, rebooted=after_reboot)
