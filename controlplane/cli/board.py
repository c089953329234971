"""board: one page of the site, for people on call and reviewers."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from controlplane.cli.options import hosts_option, inventory_option, output_option, print_json, site_option

if TYPE_CHECKING:
    from controlplane.domain.board import Board


@click.command(epilog="Example: controlplane board --out board.html    (offline: controlplane board --evidence evidence.json --out board.html)")
@click.option("--out", required=True, metavar="FILE", help="The page; a file that is there already is replaced.")
@site_option
@hosts_option
@click.option("--evidence", "file", metavar="FILE", help="Show this file's evidence; no connection is made, and no inventory script or plugin runs.")
@inventory_option
@click.option("--max-age", metavar="AGE", help="Older evidence is UNKNOWN, such as 24h; otherwise the site's evidence_max_age.")
@output_option()
def board(out: str, site: str | None, hosts: tuple[str, ...], file: str | None, run_inventory: bool, max_age: str | None, output: str) -> int:  # noqa: PLR0917 - click passes each option by its name
    """Write the site as one HTML page: disks, findings, receipts. Changes nothing.

    Exit 0 once the page is written, whatever it shows: `audit` has exit codes for drift and doubt.
    """
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.uncollected import uncollected  # noqa: PLC0415
    from controlplane.render.board_page import board_page  # noqa: PLC0415

    if max_age is not None and file is None:
        raise click.UsageError("--max-age is for --evidence: what is collected now is fresh")
    if run_inventory and file is None:
        raise click.UsageError("--inventory is for --evidence: what is collected now is found by the inventory anyway")
    pages = wiring.page_files()
    pages.refuse_unless_writable(out, made_from=file)
    with uncollected() if file is not None else nullcontext():
        drawn = _live(site, hosts) if file is None else _offline(site, hosts, file, max_age, run_inventory=run_inventory)
        page = board_page(drawn)
    pages.write(out, page)
    if output == "json":
        print_json({"site": drawn.report.site, "out": out, "bytes": len(page), "judged_at": drawn.report.judged_at, "summary": _summary(drawn)})
        return 0
    counts = ", ".join(f"{count} {verdict}" for verdict, count in _summary(drawn).items())
    click.echo(f"{len(drawn.hosts)} {'host' if len(drawn.hosts) == 1 else 'hosts'} in {out}: {counts}.")
    return 0


def _live(site: str | None, hosts: tuple[str, ...]) -> Board:
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.usecases.draw_board import draw_live  # noqa: PLC0415

    view, receipts, anchors = wiring.site_view(site), wiring.receipts(site), wiring.anchors(site, ())
    around = wiring.board_governance(site, view, hosts)
    with working("collecting evidence"):
        evidence = wiring.evidence_source(view)
        return draw_live(view, hosts=hosts, clock=wiring.clock(), evidence=evidence, receipts=receipts, anchors=anchors, governance=around)


def _offline(site: str | None, hosts: tuple[str, ...], file: str, max_age: str | None, *, run_inventory: bool) -> Board:
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.options import age  # noqa: PLC0415
    from controlplane.usecases.draw_board import draw_offline  # noqa: PLC0415

    limit = age(max_age)
    view, receipts = wiring.site_view(site, run_inventory=run_inventory), wiring.receipts(site)
    return draw_offline(
        view,
        hosts=hosts,
        clock=wiring.clock(),
        seen=wiring.evidence_files().read(file),
        receipts=receipts,
        anchors=wiring.anchors(site, ()),
        max_age=limit,
        governance=wiring.board_governance(site, view, hosts),
    )


def _summary(drawn: Board) -> dict[str, int]:
    return drawn.report.summary.model_dump()
