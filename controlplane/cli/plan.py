"""plan: the dry-run preview."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from controlplane.cli.options import hosts_option, output_option, print_json, site_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controlplane.domain.capabilities import Capability
    from controlplane.domain.plan import Plan
    from controlplane.domain.site_view import SiteView
    from controlplane.usecases.apply_plan import ApplyPorts


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
    from controlplane.domain.planning import chosen_capabilities  # noqa: PLC0415

    chosen = chosen_capabilities(capabilities)
    view, ports = wiring.governed_site(site)
    return preview(view, ports, hosts=hosts, capabilities=chosen, out=out, output=output)


def preview(view: SiteView, ports: ApplyPorts, *, hosts: tuple[str, ...], capabilities: Sequence[Capability], out: str | None, output: str) -> int:
    """Make the plan, write it where that is asked for, print it, and return the exit code."""
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.preview import show_plan  # noqa: PLC0415
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.usecases.make_plan import plan_site  # noqa: PLC0415

    if out is not None:
        wiring.plan_files().refuse_unless_writable(out)
    with working("collecting evidence"):
        made = plan_site(view, hosts=hosts, capabilities=capabilities, clock=ports.clock, evidence=ports.evidence, roles=ports.roles)
    if out is not None:
        # Written also when there is nothing to do: then apply says so, and a script needs no case of its own.
        wiring.plan_files().write(out, made)
    if output == "json":
        print_json(made.model_dump(mode="json"))
    else:
        show_plan(made, out, approval=view.approval)
    return exit_code_of(made)


def exit_code_of(made: Plan) -> int:
    """Return 5 where a host could not be observed, 3 where there are changes to make, 4 where none can be made, else 0."""
    if any("could not be observed" in refusal.reason for refusal in made.refusals):
        return 5
    if made.steps:
        return 3
    return 4 if made.refusals else 0
