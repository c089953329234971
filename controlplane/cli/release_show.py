"""release status, brief, close: where a stack stands, how it is promoted, and the receipt at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.options import output_option, print_json, site_option

if TYPE_CHECKING:
    from controlplane.domain.releases.values import EnvironmentName


@click.command(epilog="Example: controlplane release status shop")
@click.argument("stack", metavar="[STACK]", required=False)
@site_option
@output_option()
def status(stack: str | None, site: str | None, output: str) -> int:
    """Say what runs where, by receipts and by fresh evidence, what is open, and what goes on with it.

    Exit 3: a host does not run what was brought there, or something is open. 5: a host could not be observed, or nobody can say where a stack stands.
    """
    from controlplane.cli.progress import working  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.usecases.show_releases import every_status, release_status  # noqa: PLC0415
    from controlplane.wiring.releases import releasing  # noqa: PLC0415

    with releasing(site, None, "production") as (found, ports), working("collecting evidence"):
        rows = [release_status(found, stack, ports)] if stack else every_status(found, ports)
    if output == "json":
        print_json({"releases": rows})
    else:
        for row in rows:
            _show(row)
        if not rows:
            click.echo("The site has no releases: write releases/STACK.yml.")
    verdicts = {host["verdict"] for row in rows for place in row["environments"] for host in place["hosts"]}
    if "UNKNOWN" in verdicts or any(row["doubt"] for row in rows):
        return 5
    going_on = any(place["goes_on"] or place["doubt"] for row in rows for place in row["environments"])
    return 3 if going_on or verdicts - {"MET", None} else 0


@click.command(epilog="Example: controlplane release brief shop")
@click.argument("stack", metavar="STACK")
@site_option
@output_option()
def brief(stack: str, site: str | None, output: str) -> int:
    """Print the runbook of a promotion for the person who does it."""
    from controlplane.usecases.brief_release import release_brief  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.wiring.releases import releasing  # noqa: PLC0415

    with releasing(site, stack, "production") as (found, ports):
        lines = release_brief(found, stack, ports)
    if output == "json":
        print_json({"stack": stack, "brief": lines})
        return 0
    for line in lines:
        click.echo(line)
    return 0


@click.command(epilog='Example: controlplane release close shop --env production --attest "orders come in, seen by me"')
@click.argument("stack", metavar="STACK")
@click.option("--env", "environment", required=True, type=click.Choice(["staging", "production"]), help="Where.")
@click.option("--attest", required=True, metavar="TEXT", help="What you attest; it stands in the closeout receipt under your name.")
@click.option("--deferred", multiple=True, metavar="TEXT", help="What is left for later; can be given several times.")
@site_option
@output_option()
def close(stack: str, environment: str, attest: str, deferred: tuple[str, ...], site: str | None, output: str) -> int:  # noqa: PLR0917 - click's
    """Look once more by two witnesses, and leave the closeout receipt. Exit 4 or 5: it is not proven, or a gap of its loop is open."""
    from controlplane.cli.progress import working  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.stopping import leaving  # noqa: PLC0415
    from controlplane.usecases.close_release import close_release  # noqa: PLC0415
    from controlplane.wiring.releases import closing  # noqa: PLC0415

    name: EnvironmentName = "production" if environment == "production" else "staging"
    told = "Its receipt is there or it is not, nothing else was changed; run the same command again."
    with closing(site, stack, name) as (found, ports), leaving(told), working("judging by two witnesses"):
        made, page, key = close_release(found, stack, name, ports, attest=attest, deferred=deferred)
    if output == "json":
        print_json({"receipt": key, "page": page, **made.model_dump(mode="json")})
        return 0
    count = made.verify
    click.echo(f"{stack} in {environment} is closed with {made.manifest}: {count.met} met, {count.drifted} drifted, {count.unknown} unknown.")
    click.echo(f"open      gaps {', '.join(one.gap for one in made.open_gaps) or 'none'}; loops {', '.join(made.open_loops) or 'none'}")
    click.echo(f"receipt   {key}")
    click.echo(f"page      {found.view.folder}/{page}")
    return 0


def _show(row: dict[str, Any]) -> None:
    from controlplane.cli.findings import plain  # noqa: PLC0415 - loaded when the verb runs

    click.secho(f"{row['stack']}  {plain(row['goal'])}", bold=True)
    for line in (row["doubt"] or "").splitlines():
        click.secho(f"  {plain(line)}", fg="yellow")
    for place in row["environments"]:
        proof = f"{'proven' if place['proof']['passed'] else 'found wanting'} by {place['proof']['run']}" if place["proof"] else "not proven"
        click.echo(f"  {place['environment']:<11} {place['manifest'] or 'nothing'}{'' if place['manifest'] is None else f', {proof}'}")
        for host in place["hosts"]:
            verdict = host["verdict"] or "-"
            colour = {"MET": "green", "UNKNOWN": "yellow", "-": None}.get(verdict, "red")
            click.secho(f"    {host['host']:<20} {verdict:<8} {host['brought'] or '-':<12} {plain(host['reason'])}", fg=colour)
            if host["open"]:
                click.secho(f"    {'':<20} open: {host['open']['manifest']} is {host['open']['state']}, {host['open']['run']}", fg="yellow")
        if place["doubt"]:
            click.secho(f"    {plain(place['doubt'])}", fg="yellow")
    click.echo(f"  Next: {row['next']}")
