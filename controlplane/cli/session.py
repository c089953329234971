"""session: where an operator begins."""

from __future__ import annotations

import click

from controlplane.cli.options import hosts_option, output_option, print_json, site_option


@click.group(epilog="Example: controlplane session start")
def session() -> None:
    """Begin an operator's session."""


@session.command(epilog="Example: controlplane session start")
@site_option
@hosts_option
@output_option()
def start(site: str | None, hosts: tuple[str, ...], output: str) -> int:
    """Show what drifted since the last session, open runs and waves, registers, and what is proposed; leaves a receipt.

    Exit 3: something drifts. 5: something could not be observed.
    """
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.findings import plain  # noqa: PLC0415
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.usecases.start_session import start_session  # noqa: PLC0415

    with wiring.wave_site(site) as (found, ports), working("looking at the site"):
        made = start_session(found, ports, wiring.sessions(site), hosts=hosts)
    if output == "json":
        print_json(made.model_dump(mode="json"))
        return made.exit_code()
    count = made.report.summary
    click.echo(f"{made.site}: {count.met} met, {count.drifted} drifted, {count.waived} waived, {count.unknown} unknown.")
    click.echo(f"since     {made.since or plain(made.lost or 'this is the first session')}")
    for one in made.drifted:
        click.echo(f"drifted   {one.verdict.value:<8} {one.check} {one.host} {plain(one.surface)}: {plain(one.reason)}")
    for one in made.mended:
        click.echo(f"mended    {one.check} {one.host} {plain(one.surface)}")
    for ended in made.ended:
        click.echo(f"waiver over {ended.check}{f' {ended.surface}' if ended.surface else ''} on {ended.host}: {plain(ended.reason)}")
    for key in made.open_runs:
        click.echo(f"open run  {key}    (controlplane runs show {key})")
    for row in made.waves:
        click.echo(f"wave      {row['wave']} {row['state']}, held by {row['holder']}; next: {row['next']}")
    click.echo(f"gaps      {', '.join(f'{number} {status}' for status, number in made.gaps.items()) or 'none'}")
    click.echo(f"loops     {', '.join(f'{number} {status}' for status, number in made.loops.items()) or 'none'}")
    for change in made.proposed:
        click.echo(f"proposed  {change}")
    click.echo(f"receipt   {made.receipt}")
    return made.exit_code()
