"""`controlplane evidence`: one collection a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from controlplane.cli.options import hosts_option, output_option, print_json, site_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.domain.evidence import Evidence, Unreached


@click.command(epilog="Example: controlplane evidence --host mint-data --out evidence.json")
@site_option
@hosts_option
@click.option("--target", metavar="[USER@]ADDRESS|local", help="One machine instead of a site.")
@click.option("--out", metavar="FILE", help="Write the evidence there; 'audit --evidence FILE' judges it.")
@output_option()
def evidence(site: str | None, hosts: tuple[str, ...], target: str | None, out: str | None, output: str) -> int:
    """Collect what hosts show, in one round trip each; changes nothing.

    Exit code 5 if a host gave none or a probe could not observe.
    """
    from controlplane import wiring  # noqa: PLC0415 - a verb that isn't called costs nothing
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.domain.evidence_file import evidence_document  # noqa: PLC0415
    from controlplane.domain.target import target_host  # noqa: PLC0415
    from controlplane.usecases.collect_evidence import collect_site, collect_target  # noqa: PLC0415

    if target is not None and (site is not None or hosts):
        raise click.UsageError("--target stands for itself: leave --site and --host out, or name a host of the site with --host.")
    if out is not None:
        wiring.evidence_files().refuse_unless_writable(out)
    if target is not None:
        host = target_host(target)
        with working("collecting evidence"):
            seen = collect_target(host, evidence=wiring.evidence_source())
    else:
        view = wiring.site_view(site)
        with working("collecting evidence"):
            seen = collect_site(view, hosts=hosts, evidence=wiring.evidence_source(view))
    if out is not None:
        wiring.evidence_files().write(out, seen)
    if output == "json":
        print_json(evidence_document(seen))
    else:
        _print(seen, out)
    return 5 if any(_doubts(one) for one in seen.values()) else 0


def _doubts(one: Evidence | Unreached) -> list[str]:
    from controlplane.domain.evidence import Unreached  # noqa: PLC0415 - as above

    if isinstance(one, Unreached):
        return [one.reason]
    return [f"{name}: {record.status}: {record.error}" for name, record in sorted(one.probes.items()) if record.status in ("failed", "timeout")]


def _print(seen: Mapping[str, Evidence | Unreached], out: str | None) -> None:
    from controlplane.domain.evidence import Unreached  # noqa: PLC0415 - as above

    for host, one in sorted(seen.items()):
        doubts = _doubts(one)
        if isinstance(one, Unreached):
            click.echo(f"{host}: not reached: {one.reason}")
            continue
        absent = sum(record.status == "absent" for record in one.probes.values())
        told = f"{len(one.probes) - absent - len(doubts)} probes ok" + (f", {absent} not installed" if absent else "")
        click.echo(f"{host}: {told}" + (f", {len(doubts)} could not observe" if doubts else ""))
        for doubt in doubts:
            click.echo(f"  {doubt}")
    if out is None:
        click.echo("Nothing was kept: add --out FILE, or -o json.", err=True)
    else:
        click.echo(f"Written to {out}.", err=True)
