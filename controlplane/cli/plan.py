"""plan: the dry-run preview."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from controlplane.cli.options import hosts_option, output_option, site_option

if TYPE_CHECKING:
    from controlplane.domain.plan import Change, Plan, Step


@click.command(epilog="Example: controlplane plan --host mint-data --out plan.json")
@site_option
@hosts_option
@click.option("--capability", "capabilities", multiple=True, metavar="ID", help="Only this capability, such as storage.purge; can be repeated.")
@click.option("--out", metavar="FILE", help="Write the plan for approve and apply.")
@output_option()
def plan(site: str | None, hosts: tuple[str, ...], capabilities: tuple[str, ...], out: str | None, output: str) -> int:
    """Preview the change: steps, diffs, destructive actions, downtime, undo. Changes nothing.

    Exit 3: changes to make. 4: refused, nothing can be made. 5: a host could not be observed. 0: nothing to do.
    """
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.domain.planning import chosen_capabilities  # noqa: PLC0415
    from controlplane.usecases.make_plan import plan_site  # noqa: PLC0415

    chosen = chosen_capabilities(capabilities)
    view, ports = wiring.governed_site(site)
    with working("collecting evidence"):
        made = plan_site(view, hosts=hosts, capabilities=chosen, clock=ports.clock, evidence=ports.evidence, roles=ports.roles)
    if out is not None:
        wiring.plan_files().write(out, made)
    if output == "json":
        click.echo(made.model_dump_json(indent=2))
    else:
        show_plan(made, out)
    return _exit_code(made)


def _exit_code(made: Plan) -> int:
    if any("could not be observed" in refusal.reason for refusal in made.refusals):
        return 5
    if made.steps:
        return 3
    return 4 if made.refusals else 0


def show_plan(made: Plan, out: str | None) -> None:
    """Print the preview for people, on standard output."""
    for step in made.steps:
        _show_step(step)
    for bound in made.bounds:
        click.echo(f"bound    {bound.host}: {bound.what}: at least {bound.at_least:,} needed at apply")
    for refusal in made.refusals:
        click.echo(f"refused  {refusal.host} {refusal.capability}: {refusal.reason}")
    destructive = [change.target for step in made.steps for change in step.changes if change.destructive]
    count = sum(len(step.changes) for step in made.steps)
    click.echo("")
    click.echo(f"{len(made.steps)} steps, {count} changes on {len(made.hosts)} hosts, {len(made.refusals)} refused.")
    click.echo(f"destroys: {', '.join(destructive) or 'nothing'}")
    click.echo(f"plan {made.plan}")
    if made.steps and out is not None:
        click.echo(f"Next: controlplane apply {out}    (nothing was changed so far)")
    elif made.steps:
        click.echo("Next: run this again with --out FILE, then controlplane apply FILE    (nothing was changed so far)")


def _show_step(step: Step) -> None:
    click.echo(f"{step.id}  {step.capability}")
    for mend in step.mends:
        click.echo(f"  mends     {mend.check} {mend.surface}")
    for change in step.changes:
        _show_change(change)
    if step.downtime.services:
        click.echo(f"  downtime  at most {step.downtime.estimate_s} s for {', '.join(step.downtime.services)}")
    else:
        click.echo("  downtime  none")
    click.echo(f"  undo      {step.undo}")


def _show_change(change: Change) -> None:
    mark = "DESTROYS" if change.destructive else change.kind
    if "\n" not in (change.before or "") + (change.after or ""):
        click.echo(f"  {mark:<9} {change.target}: {change.before or 'nothing'} -> {change.after or 'nothing'}")
        return
    click.echo(f"  {mark:<9} {change.target}:")
    for sign, text in (("-", change.before), ("+", change.after)):
        for line in (text or "").splitlines():
            click.echo(f"    {sign} {line}")
