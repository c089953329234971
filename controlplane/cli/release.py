"""release: a stack from staging to production and back; each verb is imported when it runs."""

from __future__ import annotations

import click

from controlplane.cli.verb_group import VerbGroup

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


@click.group(cls=VerbGroup, verbs=VERBS, epilog="Example: controlplane release check shop")
def release() -> None:
    """Bring a compose stack from staging to production by its behaviour, and back."""
