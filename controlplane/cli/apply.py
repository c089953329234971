"""apply: run a plan."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from controlplane.cli.options import output_option, print_json, site_option

if TYPE_CHECKING:
    from controlplane.domain.run_result import RunResult


@click.command(epilog="Example: controlplane apply plan.json")
@click.argument("plan_file", metavar="PLAN_FILE")
@site_option
@output_option()
def apply(plan_file: str, site: str | None, output: str) -> int:
    """Run exactly what a plan says, then verify it on fresh evidence; an interrupted run is resumed.

    Exit 1: failed, or a promised finding is not met. 4: refused, nothing was changed. 5: a host could not be observed. 130: interrupted.
    """
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.cli.stopping import ON_RECORD, leaving  # noqa: PLC0415
    from controlplane.domain.errors import ControlPlaneError  # noqa: PLC0415
    from controlplane.domain.releases.bringing import refuse_led  # noqa: PLC0415
    from controlplane.usecases.apply_plan import apply_plan  # noqa: PLC0415
    from controlplane.usecases.interrupted_run import ended_early  # noqa: PLC0415

    plan = wiring.plan_files().read(plan_file)
    view, ports = wiring.governed_site(site)
    with leaving(ON_RECORD):
        try:
            with leaving(ON_RECORD):
                refuse_led(plan, plan_file)
                course = wiring.plain_course(view, plan)
                with working("applying") as progress:
                    result = apply_plan(plan, view, operator=wiring.operator(), ports=ports, progress=progress, course=course)
        except ControlPlaneError as error:
            if output == "json":
                print_json(ended_early(plan, ports.receipts, error).model_dump(mode="json"))
            raise
        print_result(result, output)
        if result.outcome == "interrupted":
            click.echo(f"Next: controlplane apply {shlex.quote(plan_file)}    ({_left(result)})", err=True)
    return result.exit_code()


def _left(result: RunResult) -> str:
    """Return what state a stopped run is in, for its last line."""
    done = sum(change.status == "done" for change in result.changed)
    return f"{done} of {len(result.changed)} changes are on record as done; {result.run} is open and goes on where it stopped"


def print_result(result: RunResult, output: str) -> None:
    """Print the result as `-o` asks; messages go to standard error in either form, the last one says what is next."""
    if output == "json":
        print_json(result.model_dump(mode="json"))
        for message in result.messages:
            click.echo(message, err=True)
    else:
        show_result(result)


def show_result(result: RunResult) -> None:
    """Print what became of a run: changes and verdicts on standard output, what failed and what is next on standard error."""
    from controlplane.cli.findings import plain  # noqa: PLC0415 - loaded when the verb runs

    for change in result.changed:
        click.echo(f"{change.status:<9} {change.kind:<9} {plain(change.target)}")
    for name, seconds in sorted(result.downtime_s.items()):
        click.echo(f"downtime  {name} {seconds:.1f} s")
    for finding in result.remaining:
        click.echo(f"remains   {finding.verdict:<8} {finding.check} {finding.host} {plain(finding.surface)}: {plain(finding.reason)}")
    if result.run is not None:
        click.echo(f"run       {result.run}")
    click.echo(f"outcome   {result.outcome}")
    for message in result.messages:
        click.echo(message, err=True)
