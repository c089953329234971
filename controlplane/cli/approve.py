"""approve: sign a plan's digest."""

from __future__ import annotations

import click

from controlplane.cli.options import output_option, site_option


@click.command(epilog="Example: controlplane approve plan.json")
@click.argument("plan_file", metavar="PLAN_FILE")
@site_option
@output_option()
def approve(plan_file: str, site: str | None, output: str) -> int:
    """Sign a plan's digest, or that of a proposed change of modes; the approval lasts a day and serves once."""
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.findings import plain  # noqa: PLC0415
    from controlplane.cli.stopping import leaving  # noqa: PLC0415
    from controlplane.domain.approval import approve as make_approval  # noqa: PLC0415
    from controlplane.domain.chain import last_reset  # noqa: PLC0415

    asked = wiring.approvable(plan_file)
    approvals = wiring.approvals(site)
    reset = last_reset([receipt for _, receipt in wiring.receipts(site).load()])
    made = make_approval(asked.digest, approver=wiring.operator(), requester=asked.requester, now=wiring.clock().now(), reset=reset)
    with leaving("The approval is there or it is not, nothing else was changed; run the same command again."):
        made = approvals.add(made)
    if output == "json":
        click.echo(made.model_dump_json(indent=2))
    else:
        destructive = "" if asked.modes else f" Destructive actions in it: {', '.join(asked.destructive) or 'none'}."
        click.echo(f"Approved {asked.digest} by {made.approver} until {made.expires_at}.{destructive}")
        for line in asked.modes:
            click.echo(plain(line))
        click.echo(f"Next: controlplane {asked.then} {plan_file}")
    return 0
