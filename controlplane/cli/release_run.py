"""release stage, promote, rollback: preview, deploy, prove, and bring back."""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING

import click

from controlplane.cli.options import output_option, print_json, site_option

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from controlplane.domain.plan import Plan
    from controlplane.domain.releases.gate import GateLine
    from controlplane.domain.releases.result import ReleaseResult
    from controlplane.domain.releases.values import EnvironmentName
    from controlplane.ports.releases import KeptManifest
    from controlplane.usecases.rehearse_release import Rehearsed
    from controlplane.usecases.rehearse_release_return import RehearsedReturn
    from controlplane.usecases.release_case import ReleasePorts, ReleaseSite
    from controlplane.usecases.release_way_back import WayBack

_stack = click.argument("stack", metavar="STACK")
_out = click.option("--out", metavar="FILE", help="Write the plan, for 'approve' and --plan.")
_plan = click.option("--plan", "plan_file", metavar="FILE", help="Carry out this plan, or go on with it.")
_dry = click.option("--dry-run", is_flag=True, help="Go through everything and change nothing; the default without --plan.")


@click.command(epilog="Example: controlplane release stage shop --manifest v2 --out plan.json")
@_stack
@click.option("--manifest", metavar="NAME", help="Manifest to stage; not with --plan, which names its own.")
@_out
@_plan
@_dry
@site_option
@output_option()
def stage(stack: str, manifest: str | None, out: str | None, plan_file: str | None, dry_run: bool, site: str | None, output: str) -> int:  # noqa: PLR0917 - click's
    """Preview what a manifest would change in staging; with --plan deploy it.

    Exit 3: changes to make. 4: refused, nothing was changed. 5: a host could not be observed. 1: it failed. 130: interrupted, to be gone on with.
    """
    from controlplane.usecases.deploy_release import stage_release  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.wiring.releases import releasing  # noqa: PLC0415

    if plan_file is None and manifest is None:
        raise click.UsageError("name what is to be staged: --manifest NAME, or --plan FILE to carry a plan out")
    plan = _read(plan_file, manifest=manifest, out=out) if plan_file is not None else None
    with releasing(site, stack, "staging") as (found, ports):
        if plan is not None and not dry_run:
            return _carry_out(partial(stage_release, found, stack), plan, ports, words=("stage", stack, str(plan_file)), output=output)
        shown = _preview(found, stack, "staging", plan or found.files.manifest(stack, str(manifest)), ports, out=out)
        approval = found.view.approval
    return _show_preview(shown, plan_file or out, output=output, then=f"controlplane release stage {shlex.quote(stack)} --plan", approval=approval)


@click.command(epilog="Example: controlplane release promote shop --out plan.json")
@_stack
@click.option("--manifest", metavar="NAME", help="Manifest to promote; otherwise what staging runs.")
@_out
@_plan
@_dry
@site_option
@output_option()
def promote(stack: str, manifest: str | None, out: str | None, plan_file: str | None, dry_run: bool, site: str | None, output: str) -> int:  # noqa: PLR0917 - click's
    """Show the gate of production, line by line, and the preview; with --plan deploy, prove by the smoke tests, or take back.

    Exit 3: the gate is open but for window and approval. 4 or 5: it is shut or UNKNOWN, nothing was changed. 1: it failed or was taken back.
    """
    from controlplane.usecases.deploy_release import promote_release  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.usecases.judge_promotion import staged_manifest  # noqa: PLC0415
    from controlplane.usecases.release_case import demanded_of  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.wiring.releases import releasing  # noqa: PLC0415

    plan = _read(plan_file, manifest=manifest, out=out) if plan_file is not None else None
    with releasing(site, stack, "production") as (found, ports):
        if plan is not None and not dry_run:
            return _carry_out(partial(promote_release, found, stack), plan, ports, words=("promote", stack, str(plan_file)), output=output)
        kept = plan or (found.files.manifest(stack, manifest) if manifest is not None else staged_manifest(found, stack, ports))
        shown = _preview(found, stack, "production", kept, ports, out=out)
        is_approved = any(line.name == "approval" and line.verdict.value == "MET" for line in shown.gate)
        approval = "none" if is_approved else demanded_of(found, found.files.spec(stack))
    return _show_preview(shown, plan_file or out, output=output, then=f"controlplane release promote {shlex.quote(stack)} --plan", approval=approval)


@click.command(epilog="Example: controlplane release rollback shop --env production --dry-run")
@_stack
@click.option("--env", "environment", default="production", show_default=True, type=click.Choice(["staging", "production"]), help="Where.")
@click.option("--to", metavar="MANIFEST", help="Manifest, run that brought it, or 'nothing' to go back to; else what was brought last goes.")
@click.option("--dry-run", is_flag=True, help="Ask every host, say what would go back and change, and change nothing.")
@site_option
@output_option()
def rollback(stack: str, environment: str, to: str | None, dry_run: bool, site: str | None, output: str) -> int:  # noqa: PLR0917 - click's
    """Take back what was brought last: the images, compose and environment files of before; proven by digest and by the smoke tests.

    What can't be undone is said first. Exit 0 also where that is back already: further it goes by --to alone. 1: it is not proven. 4: refused,
    nothing was changed. 130: interrupted, the same command goes on. With --dry-run exit 3: it could go back. 4: a host would refuse. 5: one could
    not be asked.
    """
    from controlplane.cli.progress import working  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.stopping import leaving  # noqa: PLC0415
    from controlplane.usecases.rehearse_release_return import rehearse_return  # noqa: PLC0415
    from controlplane.usecases.release_way_back import way_back  # noqa: PLC0415
    from controlplane.usecases.return_release import return_release  # noqa: PLC0415
    from controlplane.wiring.releases import releasing  # noqa: PLC0415

    name: EnvironmentName = "production" if environment == "production" else "staging"
    with releasing(site, stack, name) as (found, ports):
        if dry_run:
            with working("asking what would go back") as progress:
                told = rehearse_return(found, stack, name, to, ports, progress=progress)
            return _show_rehearsed(told, output)
        back = way_back(found, stack, name, to, ports)
        if back.already is None:
            _show_way_back(back, err=True)
        with leaving(f"What went back stays back. Next: {back.command}"), working("rolling back") as progress:
            result = return_release(found, stack, back, ports, to=to, progress=progress)
    return _show_result(result, output)


def _read(plan_file: str, *, manifest: str | None, out: str | None) -> Plan:
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs

    if manifest is not None or out is not None:
        raise click.UsageError("--plan carries out what a plan says: leave --manifest and --out out")
    return wiring.plan_files().read(plan_file)


def _preview(found: ReleaseSite, stack: str, name: EnvironmentName, of: Plan | KeptManifest, ports: ReleasePorts, *, out: str | None) -> Rehearsed:
    """Return what would be done and what speaks against it; the plan goes to `out` where that is named."""
    from dataclasses import replace  # noqa: PLC0415 - loaded when the verb runs

    from controlplane import wiring  # noqa: PLC0415
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.domain.plan import Plan  # noqa: PLC0415
    from controlplane.usecases.ask_release import asked_of_hosts  # noqa: PLC0415
    from controlplane.usecases.rehearse_release import rehearse  # noqa: PLC0415

    if out is not None:
        wiring.plan_files().refuse_unless_writable(out)
    with working("collecting evidence") as progress:
        shown = rehearse(found, stack, name, of, ports)
        asked = asked_of_hosts(found, of if isinstance(of, Plan) else shown.plan, ports, progress=progress, besides=shown.finished)
    if out is not None and not shown.unplanned:
        wiring.plan_files().write(out, shown.plan)
    # What staging runs may be given up; its way back shuts no gate.
    hosts = [line for one in asked for line in (one if name == "production" else (one.docker,))]
    return replace(shown, gate=(*shown.gate, *hosts))


def _carry_out(act: Callable[..., ReleaseResult], plan: Plan, ports: ReleasePorts, *, words: tuple[str, str, str], output: str) -> int:
    from controlplane.cli.progress import working  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.stopping import leaving  # noqa: PLC0415

    verb, stack, plan_file = words
    command = f"controlplane release {verb} {shlex.quote(stack)} --plan {shlex.quote(plan_file)}"
    with leaving(f"What was begun is on record. Next: {command}"), working(f"release {verb} {stack}") as progress:
        result = act(plan, ports, command=command, progress=progress)
    code = _show_result(result, output)
    if result.outcome == "interrupted":
        click.echo(f"Next: {command}", err=True)
    elif result.outcome == "done" and verb == "stage":
        click.echo(f"Next: controlplane release smoke {stack} --env staging", err=True)
    return code


def _show_preview(shown: Rehearsed, plan_file: str | None, *, output: str, then: str, approval: str) -> int:
    from controlplane.cli.findings import plain  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.plan import exit_code_of  # noqa: PLC0415
    from controlplane.cli.preview import show_plan  # noqa: PLC0415

    made, gate, lands = shown.plan, shown.gate, shown.lands
    if output == "json":
        plan = None if shown.unplanned else made.model_dump(mode="json")
        print_json({"gate": [line.model_dump(mode="json") for line in gate], "lands": list(lands), "plan": plan})
    else:
        show_gate(gate)
        for one in lands:
            click.echo(plain(f"lands     {one['host']} {one['service']} {one['path']}: {one['lands']}"))
        click.echo("")
        missing = ", ".join(line.name for line in gate if line.verdict.value != "MET")
        nothing = f"Nothing is planned; what does not hold stands above: {plain(missing)}." if missing else "Nothing to do."
        if shown.unplanned:
            click.echo(f"{nothing} No plan was written.")
        else:
            show_plan(made, plan_file, then=then, approval=approval, nothing=nothing)
    # What only holds for a time is asked again at the deployment itself.
    shut = [line for line in gate if line.verdict.value != "MET" and line.name not in ("window", "approval")]
    if any(line.verdict.value == "UNKNOWN" for line in shut):
        return 5
    # A release is brought whole, or not at all.
    code = exit_code_of(made)
    return 4 if shut or (made.refusals and code == 3) else code


def show_gate(gate: Sequence[GateLine]) -> None:
    """Print the gate, a line each; what does not hold says what would bring it."""
    from controlplane.cli.findings import plain  # noqa: PLC0415 - loaded when the verb runs

    for line in gate:
        colour = {"MET": "green", "UNKNOWN": "yellow"}.get(line.verdict.value, "red")
        click.secho(f"{line.verdict.value:<8} {plain(line.name):<22} {plain(line.reason)}", fg=colour)
        if line.next:
            click.echo(f"{'':<31} Next: {line.next}")
    if gate:
        click.echo("")


def _show_way_back(back: WayBack, *, err: bool) -> None:
    if not back.runs:
        click.echo(f"{back.stack} in {back.environment} is back on {back.goes_to}; what is left is its proof", err=err)
        return
    by = f", brought by {back.to_run}" if back.to_run is not None else ""
    click.echo(f"{back.stack} in {back.environment} on {', '.join(back.hosts)}: from {back.leaves} to {back.goes_to}{by}", err=err)
    for run in back.runs:
        click.echo(f"takes back  {run}", err=err)
    for service, image in sorted(back.images.items()):
        click.echo(f"runs then   {service}: {image}", err=err)
    for host, images in back.unreleased.items():
        click.echo(f"runs then   {host}: what ran there before, which no release brought: {'; '.join(images)}", err=err)
    for host in back.unknown:
        click.secho(f"UNKNOWN     {host}: what ran there before its first release is not on record", fg="yellow", err=err)
    for host in back.emptied:
        click.echo(f"empties     {host}: nothing of it ran there before, so its containers go; its volumes stay", err=err)
    for line in back.not_undone:
        click.secho(f"not undone  {line}", fg="yellow", err=err)
    if not back.not_undone:
        click.echo("not undone  nothing that the manifests name", err=err)


def _show_rehearsed(told: RehearsedReturn, output: str) -> int:
    from controlplane.cli.findings import plain  # noqa: PLC0415 - loaded when the verb runs

    back, lines, hosts = told
    verdicts = {line.verdict.value for line in lines}
    code = 0 if back.already is not None else 5 if "UNKNOWN" in verdicts else 4 if verdicts - {"MET"} else 3
    if output == "json":
        said = {"gate": [line.model_dump(mode="json") for line in lines], "changes": [one.model_dump(mode="json") for one in hosts]}
        print_json({**back.model_dump(mode="json"), **said})
        return code
    if back.already is not None:
        click.echo(plain(back.already))
        return code
    _show_way_back(back, err=False)
    show_gate(lines)
    for one in hosts:
        click.echo(plain(f"runs now    {one.host} {one.runs}"))
        for change in one.services:
            click.echo(plain(f"changes     {one.host} {change['target']}: {change['before']} -> {change['after']}"))
        for change in one.files:
            click.echo(plain(f"changes     {one.host} {change['target']}: {change['after']}"))
        if any(not change["target"].endswith("/compose.release.yml") for change in one.files):
            click.echo(plain(f"            {one.host}: files differ, so Compose may make every service anew"))
        if one.pull:
            click.echo(plain(f"pulls       {one.host} {', '.join(one.pull)}"))
    click.echo(f"Next: {back.command}    (nothing was changed)")
    return code


def _show_result(result: ReleaseResult, output: str) -> int:
    from controlplane.cli.apply import show_result  # noqa: PLC0415 - loaded when the verb runs

    if output == "json":
        print_json({**result.model_dump(mode="json", exclude={"asked_back"}), "exit": result.exit_code()})
        for message in result.messages:
            click.echo(message, err=True)
        return result.exit_code()
    show_gate(result.gate)
    for run in (result.deployed, *result.returned):
        if run is not None:
            # What failed stands below, once.
            show_result(run.model_copy(update={"messages": ()}))
    if result.proof is not None:
        passed = sum(test.outcome == "passed" for test in result.proof.tests)
        click.echo(f"proof     {result.proof.run}: {passed} of {len(result.proof.tests)} tests passed")
    click.echo(f"{result.stack} {result.environment} {result.manifest}: {result.outcome}")
    for message in result.messages:
        click.echo(message, err=True)
    return result.exit_code()
