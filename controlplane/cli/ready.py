"""ready: may this host be called ready?"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from controlplane.cli.options import output_option, print_json, site_option

if TYPE_CHECKING:
    from controlplane.domain.plan import Plan
    from controlplane.domain.readiness import Readiness
    from controlplane.domain.ready_needs import Need
    from controlplane.domain.site_view import SiteView
    from controlplane.usecases.apply_plan import ApplyPorts


@click.command(epilog="Example: controlplane ready mint-data --plan mend.json")
@click.argument("host")
@site_option
@click.option("--plan", "plan_file", metavar="FILE", help="Write the plan that would mend what is in the way.")
@click.option("--standing", is_flag=True, help="Only say whether the last ready receipt still holds; makes no connection.")
@click.option("--after-reboot", is_flag=True, help="Reboot the host first, as 'verify --after-reboot' does, and wait for it.")
@output_option()
def ready(host: str, *, site: str | None, plan_file: str | None, standing: bool, after_reboot: bool, output: str) -> int:
    """Judge a host on fresh evidence by two witnesses and leave a signed receipt; what is in the way is named with what mends it.

    Exit 0: ready. 3: not ready. 5: something could not be observed, and doubt is never ready.
    """
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.stopping import ON_RECORD, leaving  # noqa: PLC0415
    from controlplane.usecases.judge_ready import standing_of  # noqa: PLC0415

    if standing and after_reboot:
        raise click.UsageError("--standing makes no connection, and --after-reboot reboots the host: leave one of them out")
    view, ports = wiring.governed_site(site)
    if standing:
        receipt, why = standing_of(host, view, clock=ports.clock, receipts=ports.receipts)
        if output == "json":
            print_json({"host": host, "receipt": receipt.key, "holds": why is None, "reason": why, "expires_at": receipt.expires_at})
        else:
            click.echo(f"{host}: {receipt.key} {f'holds until {receipt.expires_at}' if why is None else f'does not hold: {why}'}")
        return 0 if why is None else 3
    if plan_file is not None:
        wiring.plan_files().refuse_unless_writable(plan_file)
    with leaving(ON_RECORD) if after_reboot else nullcontext():
        answer, plan = _judged(host, view, ports, after_reboot=after_reboot)
        if plan_file is not None:
            wiring.plan_files().write(plan_file, plan)
        if output == "json":
            print_json(answer.model_dump(mode="json"))
        else:
            _print_text(answer, plan_file, steps=len(plan.steps), approval=view.approval)
    return answer.exit_code()


def _judged(host: str, view: SiteView, ports: ApplyPorts, *, after_reboot: bool) -> tuple[Readiness, Plan]:
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.usecases.judge_ready import judge_ready  # noqa: PLC0415
    from controlplane.usecases.reboot_hosts import Waves, reboot_hosts  # noqa: PLC0415

    with working("judging by two witnesses") as progress:
        if after_reboot:
            waves = Waves(wiring.waves_of(view), wiring.wave_files_of(view))
            operator = wiring.operator()
            reboot_hosts(view, hosts=(host,), operator=operator, ports=ports, progress=progress, judged_by="ready", waves=waves)
        return judge_ready(host, view, operator=wiring.operator(), ports=ports, rebooted=after_reboot)


def _print_text(answer: Readiness, plan_file: str | None, *, steps: int, approval: str) -> None:
    from controlplane.cli.preview import way_on  # noqa: PLC0415 - loaded when the verb runs

    for need in answer.needs:
        _print_need(need, "red")
    for need in answer.noted:
        _print_need(need, "yellow")
    if answer.ready:
        click.secho(f"{answer.host} is ready: {answer.met} findings met, and the second witness contradicts none.", fg="green")
        click.echo(f"receipt   {answer.receipt}, until {answer.expires_at}")
        return
    click.secho(f"{answer.host} is not ready: {len(answer.needs)} in the way, {answer.met} met.", fg="red")
    if plan_file is not None and steps:
        counted = f"{steps} {'step' if steps == 1 else 'steps'}"
        click.echo(f"next      {way_on('controlplane apply', plan_file, approval)}    ({counted}; nothing was changed so far)")


def _print_need(need: Need, colour: str) -> None:
    from controlplane.cli.findings import plain  # noqa: PLC0415 - loaded when the verb runs

    mends = f"  [{need.capability}]" if need.capability else ""
    click.secho(f"{need.verdict.value:<8}{plain(need.what)}{mends}", fg=colour)
    click.echo(f"        {plain(need.reason)}")
    click.echo(f"        next: {plain(need.next)}")
