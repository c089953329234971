"""release: a stack from staging to production and back; each verb is imported when it runs."""

from __future__ import annotations

from importlib import import_module

import click

# verb -> (module, attribute, what `controlplane release --help` says of it)
VERBS: dict[str, tuple[str, str, str]] = {
    "check": ("controlplane.cli.release_check", "check", "Contract, compose files, secrets: everything that needs no machine."),
    "stage": ("controlplane.cli.release_run", "stage", "Preview and deploy a manifest in staging."),
    "smoke": ("controlplane.cli.release_smoke", "smoke", "Prove a running stack by its behaviour."),
    "recert": ("controlplane.cli.release_smoke", "recert", "Certify modules and site by their own commands."),
    "promote": ("controlplane.cli.release_run", "promote", "Show the gate, deploy to production, prove it."),
    "rollback": ("controlplane.cli.release_run", "rollback", "Bring the release before back, and prove it."),
    "status": ("controlplane.cli.release_show", "status", "What runs where, and what to do next."),
    "brief": ("controlplane.cli.release_show", "brief", "The runbook of a promotion."),
    "close": ("controlplane.cli.release_show", "close", "The closeout receipt of a release."),
}


class ReleaseGroup(click.Group):
    """The verbs by name; the one that runs is loaded."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in VERBS:
            return None
        module, attribute, _ = VERBS[cmd_name]
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.{attribute} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the verbs from the table above, without importing any."""
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, short) for verb, (_, _, short) in VERBS.items()])


@click.group(cls=ReleaseGroup, epilog="Example: controlplane release check shop")
def release() -> None:
    """Bring a compose stack from staging to production by its behaviour, and back."""
