"""audit: judge hosts by the policy, live or from a file, or any machine without one."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from controlplane.cli.options import age, hosts_option, inventory_option, output_option, site_option

if TYPE_CHECKING:
    from controlplane.domain.finding import AuditReport


@click.command(epilog="Example: controlplane audit --host mint-data    (without a site: controlplane audit --target root@db1.example.org)")
@site_option
@hosts_option
@click.option("--check", "checks", multiple=True, metavar="ID", help="Only this check, such as D235; can be given several times.")
@click.option("--evidence", "file", metavar="FILE", help="Judge this file; no connection is made, and no inventory script or plugin runs.")
@inventory_option
@click.option("--target", metavar="[USER@]ADDRESS|local", help="A machine without a site: general checks only.")
@click.option("--max-age", metavar="AGE", help="Older evidence is UNKNOWN, such as 24h; otherwise the site's evidence_max_age.")
@click.option("--all", "everything", is_flag=True, help="Also list what is met.")
@output_option("junit", "sarif")
def audit(  # noqa: PLR0917 - click passes each option by its name
    site: str | None,
    hosts: tuple[str, ...],
    checks: tuple[str, ...],
    file: str | None,
    run_inventory: bool,
    target: str | None,
    max_age: str | None,
    everything: bool,
    output: str,
) -> int:
    """Judge hosts by the policy; changes nothing.

    Exit 0: everything is met or waived. 3: something drifts. 5: something could not be observed.
    """
    from controlplane.cli.findings import print_report  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.uncollected import uncollected  # noqa: PLC0415

    if target is not None and (site is not None or hosts):
        raise click.UsageError("--target names a machine without a site: leave out --site and --host")
    if max_age is not None and file is None:
        raise click.UsageError("--max-age is for --evidence: what is collected now is fresh")
    if run_inventory and (file is None or target is not None):
        raise click.UsageError("--inventory is for --evidence and a site: what is collected now is found by the inventory anyway")
    with uncollected() if file is not None else nullcontext():
        report = (
            _of_target(target, checks, file, max_age)
            if target is not None
            else _of_site(site, hosts, checks, file, max_age, run_inventory=run_inventory, digests=output == "json")
        )
        print_report(report, output, everything=everything, next_command=_next(report, target, file))
    return report.exit_code()


def _of_target(target: str, checks: tuple[str, ...], file: str | None, max_age: str | None) -> AuditReport:
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.domain.target import target_host  # noqa: PLC0415
    from controlplane.usecases.audit import audit_evidence, audit_target, chosen_checks  # noqa: PLC0415

    host = target_host(target)
    chosen_checks(checks)
    clock = wiring.clock()
    limit = age(max_age)
    if file is not None:
        seen = wiring.evidence_files().read(file)
        return audit_evidence(host.name, checks=checks, clock=clock, seen=seen, max_age=limit)
    with working("collecting evidence"):
        return audit_target(host, checks=checks, clock=clock, evidence=wiring.evidence_source())


def _of_site(
    site: str | None,
    hosts: tuple[str, ...],
    checks: tuple[str, ...],
    file: str | None,
    max_age: str | None,
    *,
    run_inventory: bool,
    digests: bool,
) -> AuditReport:
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.usecases.audit import audit_offline, audit_site, chosen_checks  # noqa: PLC0415

    chosen_checks(checks)
    clock = wiring.clock()
    if file is None:
        view = wiring.site_view(site)
        with working("collecting evidence"):
            return audit_site(view, hosts=hosts, checks=checks, clock=clock, evidence=wiring.evidence_source(view))
    limit = age(max_age)
    view = wiring.site_view(site, run_inventory=run_inventory)
    return audit_offline(view, hosts=hosts, checks=checks, clock=clock, seen=wiring.evidence_files().read(file), max_age=limit, digests=digests)


def _next(report: AuditReport, target: str | None, file: str | None) -> str:
    if not report.summary.drifted:
        return "see to what could not be observed, named above, then run this again"
    if target is not None:
        return f"controlplane policy suggest --target {target}    (a policy to start from)"
    drifting = sorted({finding.host for finding in report.findings if finding.verdict == "DRIFTED"})
    only = "" if file is None and len(drifting) == len(report.hosts) else "".join(f" --host {host}" for host in drifting)
    return f"controlplane plan{only} --out plan.json    (a preview; changes nothing)"
