"""snapshot: every STOR finding, how it is linked, and what its checks say now."""

from __future__ import annotations

import click

from controlplane.cli.options import hosts_option, output_option, print_json, site_option


@click.command(epilog="Example: controlplane snapshot -o json")
@site_option
@hosts_option
@output_option()
def snapshot(site: str | None, hosts: tuple[str, ...], output: str) -> int:
    """Show every STOR finding with its linkage on fresh evidence, and drift that belongs to none. Changes nothing.

    Exit 3: a finding is not linked, or a drift belongs to none. 5: something could not be observed.
    """
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.findings import plain  # noqa: PLC0415
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.usecases.snapshot_findings import take_snapshot  # noqa: PLC0415

    view, (governance, _) = wiring.site_view(site), wiring.governance(site)
    with working("collecting evidence"):
        made = take_snapshot(
            view, governance, hosts=hosts, clock=wiring.clock(), evidence=wiring.evidence_source(view), site_checks=wiring.site_checks(view)
        )
    if output == "json":
        print_json(made.model_dump(mode="json"))
        return made.exit_code()
    for one in made.stor:
        gaps = ", ".join(f"{gap} {status}" for gap, status in one.gaps.items())
        click.echo(f"{one.id}  {one.verdict.value if one.verdict else '-':<8} {one.status:<12} {one.title}")
        click.echo(f"          {gaps or 'no gap'}; {', '.join(one.loops) or 'no loop'}; {', '.join(one.waves) or 'no wave'}")
        for fault in one.faults:
            click.echo(f"          NOT LINKED: {plain(fault)}")
        for told in one.unsaid:
            click.echo(f"          UNKNOWN: {plain(told)}")
    for loose in made.unregistered:
        click.echo(f"belongs to none  {loose.verdict.value:<8} {loose.check} {loose.host} {plain(loose.surface)}: {plain(loose.reason)}")
    linked = sum(one.linked for one in made.stor)
    click.echo(f"{linked} of {len(made.stor)} STOR findings are linked; {len(made.unregistered)} findings of checks belong to none.")
    return made.exit_code()
