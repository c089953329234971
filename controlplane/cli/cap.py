"""cap: everything that can be done by name, and one way to run it."""

from __future__ import annotations

import shlex
import sys

import click

from controlplane.cli.options import output_option, print_json


@click.group(epilog="Example: controlplane cap list")
def cap() -> None:
    """List, show and run capabilities by their names."""


@cap.command("list", epilog="Example: controlplane cap list")
@output_option()
def list_caps(output: str) -> int:
    """List every capability with its safety class and the verb that it is."""
    from controlplane.domain.capability_registry import REGISTRY  # noqa: PLC0415 - loaded when the verb runs

    if output == "json":
        print_json({"capabilities": [one.model_dump(mode="json") for one in REGISTRY.values()]})
        return 0
    for one in REGISTRY.values():
        click.echo(f"{one.name:<30} {one.safety:<12} {one.title}")
    return 0


@cap.command(epilog="Example: controlplane cap show docker.data_root")
@click.argument("name")
@output_option()
def show(name: str, output: str) -> int:
    """Show a capability: what it takes, what it needs, what it leaves behind."""
    from controlplane.domain.capability_registry import REGISTRY  # noqa: PLC0415 - loaded when the verb runs

    _refuse_unknown(name)
    one = REGISTRY[name]
    if output == "json":
        print_json(one.model_dump(mode="json"))
        return 0
    click.echo(f"{one.name}  {one.title}")
    click.echo(f"safety    {one.safety}: {one.safety_text}")
    click.echo(f"approval  {'of the plan that it previews, as the site asks' if one.approval == 'plan' else 'none'}")
    click.echo(f"inputs    {' '.join(one.inputs) or 'none'}")
    click.echo(f"role      {one.role or 'none'}")
    click.echo(f"receipt   {'yes' if one.receipt else 'none'}")
    click.echo(f"verb      controlplane {shlex.join(one.verb)}")
    return 0


@cap.command(
    epilog="Example: controlplane cap run verify.pack.run mint    (what follows the name is the verb's own)",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": ["--help"]},
)
@click.argument("name")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@output_option()
def run(name: str, words: tuple[str, ...], output: str) -> int:
    """Run a capability as the verb that it is; what changes machines is previewed, to be approved and applied.

    The exit code is the verb's. `-o` stands before the name, or with the verb's own words.
    """
    from controlplane.cli.app import root  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.domain.capability_registry import REGISTRY  # noqa: PLC0415

    _refuse_unknown(name)
    argv = [*REGISTRY[name].verb, *words, *(["-o", output] if output != "text" else [])]
    click.echo(f"$ controlplane {shlex.join(argv)}", err=True)
    result = root.main(args=argv, prog_name="controlplane", standalone_mode=False)
    sys.stdout.flush()
    return result if isinstance(result, int) else 0


def _refuse_unknown(name: str) -> None:
    from controlplane.domain.capability_registry import REGISTRY  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.domain.errors import Fault, InputInvalidError  # noqa: PLC0415

    if name not in REGISTRY:
        raise InputInvalidError([Fault("NAME", 0, "", f"there is no capability {name!r}; there are {', '.join(REGISTRY)}")])
