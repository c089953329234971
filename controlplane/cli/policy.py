"""`controlplane policy`: check, show, describe or suggest the storage-placement policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.options import host_option, hosts_option, inventory_option, output_option, print_json, site_option

if TYPE_CHECKING:
    from controlplane.domain.desired import DesiredHost
    from controlplane.domain.errors import InputInvalidError
    from controlplane.domain.inventory import InventoryHost
    from controlplane.usecases.check_policy import PolicyReport


@click.group(epilog="Example: controlplane policy check --site inventory/lab")
def policy() -> None:
    """Check, show or suggest the storage-placement policy."""


@policy.command(epilog="Example: controlplane policy check --site inventory/lab")
@site_option
@inventory_option
@output_option()
def check(site: str | None, run_inventory: bool, output: str) -> int:
    """List every fault of a site's files and of its inventory at once; makes no connection."""
    from controlplane import wiring  # noqa: PLC0415 - a verb that isn't called costs nothing
    from controlplane.domain.errors import InputInvalidError  # noqa: PLC0415
    from controlplane.usecases.check_policy import check_policy  # noqa: PLC0415

    try:
        report = check_policy(wiring.site(site), run_inventory=run_inventory)
    except InputInvalidError as error:
        if output == "text":
            click.echo(f"{len(error.faults)} {'fault' if len(error.faults) == 1 else 'faults'}; no connection was made.", err=True)
            raise
        print_json({"valid": False, "faults": _faults(error)})
        return error.exit_code
    if output == "json":
        print_json({"valid": True, "faults": [], **report.model_dump(mode="json")})
        return 0
    click.echo(f"{report.site}: valid, {_counted(report)}, policy {report.policy_digest}")
    for note in report.notes:
        click.echo(f"note: {note}", err=True)
    return 0


@policy.command(epilog="Example: controlplane policy show --host mint-data")
@site_option
@host_option
@inventory_option
@output_option()
def show(site: str | None, host: str, run_inventory: bool, output: str) -> None:
    """Show what a host is to look like, resolved: host over group over defaults."""
    from controlplane import wiring  # noqa: PLC0415 - a verb that isn't called costs nothing
    from controlplane.usecases.show_policy import show_policy  # noqa: PLC0415

    desired, notes = show_policy(wiring.site(site), host, run_inventory=run_inventory)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    if output == "json":
        print_json(desired.model_dump(mode="json"))
        return
    for line in _lines(desired):
        click.echo(line)


@policy.command(epilog="Example: controlplane policy schema > policy.schema.json")
@output_option()
def schema(output: str) -> None:  # noqa: ARG001 - a schema has one form; the option is there because every verb has it
    """Print the JSON Schema of policy.yml, for editors and for CI."""
    from controlplane.domain.policy_schema import policy_schema  # noqa: PLC0415 - a verb that isn't called costs nothing

    print_json(policy_schema())


@policy.command(epilog="Example: controlplane policy suggest --target root@db1.example.org > policy.yml")
@site_option
@hosts_option
@click.option("--target", metavar="[USER@]ADDRESS|local", help="One machine instead of a site's inventory.")
@inventory_option
@output_option()
def suggest(site: str | None, hosts: tuple[str, ...], target: str | None, run_inventory: bool, output: str) -> int:
    """Draft a policy from live machines, each guess with its reason; changes nothing.

    Exit code 5 if a host could not be reached; the draft then leaves it out.
    """
    from controlplane import wiring  # noqa: PLC0415 - a verb that isn't called costs nothing
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.domain.target import target_host  # noqa: PLC0415
    from controlplane.usecases.draft_policy import chosen_routes, draft_policy  # noqa: PLC0415

    if target is not None:
        if site is not None or hosts:
            raise click.UsageError("--target stands for itself: leave --site and --host out, or name a host of the site with --host.")
        routes: tuple[InventoryHost, ...] = (target_host(target),)
    else:
        routes = chosen_routes(wiring.site(site).read_inventory(run_inventory=run_inventory), hosts)
    with working("collecting evidence"):
        text, unreached = draft_policy(routes, evidence=wiring.evidence_source())
    if output == "json":
        print_json({"policy": text, "unreached": dict(unreached)})
    else:
        click.echo(text, nl=False)
    for host, reason in unreached.items():
        click.echo(f"{host}: not reached, so not in the draft: {reason}", err=True)
    return 5 if unreached else 0


def _counted(report: PolicyReport) -> str:
    from controlplane.domain.amounts import counted  # noqa: PLC0415 - a verb that isn't called costs nothing

    counts = {"host": report.hosts, "group": report.groups, "waiver": report.waivers}
    return ", ".join(counted(number, what) for what, number in counts.items())


def _faults(error: InputInvalidError) -> list[dict[str, Any]]:
    return [{"file": fault.file, "line": fault.line, "field": fault.field, "message": fault.message} for fault in error.faults]


def _lines(desired: DesiredHost) -> list[str]:
    from controlplane.domain.show import shown  # noqa: PLC0415 - a verb that isn't called costs nothing

    return shown(desired)
