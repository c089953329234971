"""The root command: verbs are imported only when they are asked for, and errors are shown in one place.

Rules:
- A verb that isn't called isn't imported, so `--help` costs little more than click itself.
- `ControlPlaneError` is caught here and nowhere else in the command line; anything else is a bug: traceback, exit code 70.
"""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from controlplane import __version__
from controlplane.cli.stopping import ON_RECORD, UNCHANGED, stopping_in_order
from controlplane.cli.verb_group import VerbGroup

# verb -> (module, attribute, what `controlplane --help` says of it)
VERBS: dict[str, tuple[str, str, str]] = {
    "init": ("controlplane.cli.init", "init", "Write a site folder that validates."),
    "policy": ("controlplane.cli.policy", "policy", "Check, show or suggest the storage-placement policy."),
    "evidence": ("controlplane.cli.evidence", "evidence", "Collect what hosts show, once a host."),
    "audit": ("controlplane.cli.audit", "audit", "Judge hosts by the policy."),
    "plan": ("controlplane.cli.plan", "plan", "Preview the change; changes nothing."),
    "provision": ("controlplane.cli.provision", "provision", "Preview the machine of a host; changes nothing."),
    "bootstrap": ("controlplane.cli.bootstrap", "bootstrap", "Preview what a machine lacks of its baseline; changes nothing."),
    "approve": ("controlplane.cli.approve", "approve", "Sign a plan's digest."),
    "apply": ("controlplane.cli.apply", "apply", "Run a plan, then verify it on fresh evidence."),
    "rollback": ("controlplane.cli.rollback", "rollback", "Move a run's change back, with newer data."),
    "verify": ("controlplane.cli.verify", "verify", "Two witnesses: fresh evidence and live testinfra."),
    "ready": ("controlplane.cli.ready", "ready", "May this host be called ready?"),
    "runs": ("controlplane.cli.runs", "runs", "What ran, what is open, what to do next."),
    "lease": ("controlplane.cli.lease", "lease", "Who may change a host right now."),
    "render": ("controlplane.cli.render", "render", "Write a plan as a plain Ansible project."),
    "board": ("controlplane.cli.board", "board", "Write the site as one HTML page."),
    "receipts": ("controlplane.cli.receipts", "receipts", "The signed evidence trail."),
    "wave": ("controlplane.cli.wave", "wave", "Lead a wave from its entry gates to its closeout receipt."),
    "release": ("controlplane.cli.release", "release", "A stack from staging to production, proven, and back."),
    "gates": ("controlplane.cli.gates", "gates", "Run packs of checks; earn each from report to enforce."),
    "gaps": ("controlplane.cli.gaps", "gaps", "What is missing, who works on it, what may be closed."),
    "loops": ("controlplane.cli.loops", "loops", "Lines of work and the gaps in them."),
    "snapshot": ("controlplane.cli.snapshot", "snapshot", "Every STOR finding, its linkage, and what its checks say now."),
    "session": ("controlplane.cli.session", "session", "What drifted since last time, what is open, what is proposed."),
    "cap": ("controlplane.cli.cap", "cap", "Everything that can be done, by name."),
    "doctor": ("controlplane.cli.doctor", "doctor", "Is this site governed, or does it drift?"),
    "lab": ("controlplane.cli.lab", "lab", "Machines with real disks, in seconds."),
}


@click.group(cls=VerbGroup, verbs=VERBS, epilog="Example: controlplane audit --target root@db1.example.org")
@click.version_option(__version__, prog_name="controlplane")
def root() -> None:
    """Keep every machine's data on the disk that one policy names, and prove it."""


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    try:
        with stopping_in_order():
            result = root.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo(UNCHANGED, err=True)
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the outermost frame: a bug shows its traceback and exit code 70
        # The error tree is imported late: a successful `--help` never needs it.
        from controlplane.domain.errors import ControlPlaneError  # noqa: PLC0415

        if not isinstance(error, ControlPlaneError):
            import traceback  # noqa: PLC0415

            traceback.print_exc()
            click.echo(f"This is a bug in controlplane {__version__}; please report it with the lines above. {ON_RECORD}", err=True)
            sys.exit(70)
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    sys.exit(result if isinstance(result, int) else 0)
