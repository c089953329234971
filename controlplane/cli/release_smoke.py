"""release smoke and release recert: prove a running stack by its behaviour, certify modules and site by their own commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from controlplane.cli.options import output_option, print_json, site_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from controlplane.domain.releases.smoke import CommandRan, RecertReport, SmokeReport, SmokeTest
    from controlplane.domain.releases.values import EnvironmentName

_COLOURS = {"passed": "green", "failed": "red", "skipped": "magenta", "error": "magenta"}


@click.command(epilog="Example: controlplane release smoke shop --env staging --junit smoke.xml")
@click.argument("stack")
@click.option("--env", "environment", required=True, type=click.Choice(["staging", "production"]), help="Environment whose stack is to prove itself.")
@click.option("--junit", metavar="FILE", help="Also write how the tests ended as JUnit XML.")
@site_option
@output_option("junit")
def smoke(stack: str, *, environment: str, junit: str | None, site: str | None, output: str) -> int:
    """Run the site's smoke tests against what is deployed, and put on record which manifest it was that proved itself.

    Exit 0: every test passed, against the manifest's images. 1: a test failed. 5: a test was skipped or could not be run, or other images ran.
    """
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.cli.stopping import ON_RECORD, leaving  # noqa: PLC0415
    from controlplane.render.junit import junit_of_smoke  # noqa: PLC0415
    from controlplane.usecases.release_way_back import how_to_take_back  # noqa: PLC0415
    from controlplane.usecases.run_smoke import run_smoke  # noqa: PLC0415
    from controlplane.wiring import releases  # noqa: PLC0415

    if junit is not None:
        releases.junit_files().refuse_unless_writable(junit)
    view = wiring.site_view(site)
    name = cast("EnvironmentName", environment)
    with leaving(ON_RECORD), working(f"smoke tests of {stack} in {environment}") as progress:
        ports = releases.smoke_ports(view)
        report = run_smoke(stack, name, view, operator=wiring.operator(), ports=ports, progress=progress)
    if output == "json":
        print_json({**report.model_dump(mode="json"), "passed": report.passed, "receipt": report.run})
    elif output == "junit":
        click.echo(junit_of_smoke(report), nl=False)
    else:
        _print_smoke(report, lambda: how_to_take_back(stack, name, files=ports.files, receipts=ports.receipts, plans=ports.plans))
    if junit is not None:
        releases.junit_files().write(junit, junit_of_smoke(report).encode())
    return report.exit_code()


@click.command(epilog="Example: controlplane release recert shop --manifest 2026-03-01")
@click.argument("stack")
@click.option("--manifest", required=True, metavar="NAME", help="Manifest that is certified: the name of its file, without .yml.")
@site_option
@output_option()
def recert(stack: str, *, manifest: str, site: str | None, output: str) -> int:
    """Run every command that the stack's file names under recert, and put on record for which manifest that was.

    Exit 0: each ended with 0. 1: one failed. 5: one could not be started, or did not end within its time.
    """
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.cli.stopping import ON_RECORD, leaving  # noqa: PLC0415
    from controlplane.usecases.run_recert import run_recert  # noqa: PLC0415
    from controlplane.wiring import releases  # noqa: PLC0415

    view = wiring.site_view(site)
    with leaving(ON_RECORD), working(f"certifying {stack}") as progress:
        report = run_recert(stack, manifest, view, operator=wiring.operator(), ports=releases.recert_ports(view), progress=progress)
    if output == "json":
        print_json({**report.model_dump(mode="json"), "passed": report.passed, "receipt": report.run})
    else:
        _print_recert(report)
    return report.exit_code()


def _print_smoke(report: SmokeReport, back: Callable[[], str]) -> None:
    from controlplane.cli.findings import plain  # noqa: PLC0415 - loaded when the verb runs

    for test in report.tests:
        _print_test(test)
    if report.doubt is not None:
        click.secho(f"doubt    {plain(report.doubt)}", fg="magenta")
    passed = sum(test.outcome == "passed" for test in report.tests)
    name = f"manifest {report.manifest_name}" if report.manifest else report.manifest_name
    what = f"{name} of {report.stack} in {report.environment}"
    verdict = f"{what} is proven" if report.passed else f"{what} is not proven"
    click.secho(f"{passed} of {len(report.tests)} tests passed: {verdict}.", fg="green" if report.passed else "red")
    click.echo(f"receipt  {report.run}")
    click.echo(f"next     {_after_smoke(report, back)}")


def _print_test(test: SmokeTest) -> None:
    from controlplane.cli.findings import plain  # noqa: PLC0415 - loaded when the verb runs

    where = f"  on {test.host}" if test.host else ""
    click.secho(f"{test.outcome:<8} {plain(test.name)}{where}  {test.seconds:.1f} s", fg=_COLOURS[test.outcome])
    if test.reason:
        click.echo(f"         {plain(test.reason)}")


def _after_smoke(report: SmokeReport, back: Callable[[], str]) -> str:
    """Return what comes next; `back` gives the command that takes back what stands."""
    # What no release brought opens no gate.
    stack, staging = report.stack, report.environment == "staging" and bool(report.manifest)
    if report.passed:
        return f"controlplane release promote {stack} --dry-run    (shows the gate)" if staging else f"controlplane release status {stack}"
    if report.doubt is not None:
        return f"controlplane release status {stack}    (what runs where)"
    if all(test.outcome != "failed" for test in report.tests):
        return f"mend what kept the tests from being run, then: controlplane release smoke {stack} --env {report.environment}"
    if not report.manifest:
        # So there is no release to take back for it, and no manifest to mend.
        return f"look at the hosts, then: controlplane release smoke {stack} --env {report.environment}"
    if staging:
        return f"mend it, then stage the manifest of a new build: controlplane release stage {stack} --manifest NAME"
    return f"{back()} --dry-run    (the way back)"


def _print_recert(report: RecertReport) -> None:
    for command in report.commands:
        _print_command(command)
    good = sum(command.code == 0 for command in report.commands)
    verdict = f"manifest {report.manifest_name} of {report.stack} is {'certified' if report.passed else 'not certified'}"
    click.secho(f"{good} of {len(report.commands)} commands ended well: {verdict}.", fg="green" if report.passed else "red")
    click.echo(f"receipt  {report.run}")
    again = f"mend what failed, then: controlplane release recert {report.stack} --manifest {report.manifest_name}"
    click.echo(f"next     {f'controlplane release promote {report.stack} --dry-run    (shows the gate)' if report.passed else again}")


def _print_command(command: CommandRan) -> None:
    import shlex  # noqa: PLC0415 - loaded when the verb runs

    from controlplane.cli.findings import plain  # noqa: PLC0415

    ended = {0: "passed", None: "error"}.get(command.code, "failed")
    code = f", exit code {command.code}" if command.code else ""
    click.secho(f"{ended:<8} {plain(command.name)}  {command.seconds:.1f} s{code}", fg=_COLOURS[ended])
    if command.code != 0:
        click.echo(f"         $ {plain(shlex.join(command.argv))}")
        for line in command.tail.splitlines():
            click.echo(f"         {plain(line)}")
