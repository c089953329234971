"""release recert: certify modules and site by their own commands, and put on record for which manifest that was.

Rules:
- Every command runs, also after one that failed: whoever mends it wants to see all of it.
- Only a command that ended by itself with 0 is green.
- Each command is told which manifest and which commit it certifies; that the sources are at that commit only a command can tell.
- Nothing on a host is changed. No value of an environment file is in what is put on record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from controlplane.domain.errors import ControlPlaneError, Fault, InputInvalidError, InterruptedRunError
from controlplane.domain.releases.smoke import CommandRan, RecertReport
from controlplane.domain.releases.values import Recert
from controlplane.domain.run_key import make_run_key
from controlplane.domain.site_view import SiteView
from controlplane.ports.clocks import Clock, Entropy
from controlplane.ports.receipts import ReceiptStore
from controlplane.ports.releases import RecertRunner, ReleaseFiles
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.record_run import STAMP, Ledger
from controlplane.usecases.run_smoke import hidden_values

ID = "release.recert"
_ITSELF = ("controlplane", "release", "recert")


@dataclass(frozen=True)
class RecertPorts:
    """Everything that a recertification touches."""

    clock: Clock
    entropy: Entropy
    receipts: ReceiptStore
    files: ReleaseFiles
    runner: RecertRunner


def run_recert(stack: str, name: str, site: SiteView, *, operator: str, ports: RecertPorts, progress: Callable[[str], None]) -> RecertReport:
    """Return how each command ended; `run` of the report is the key of its receipt. `name` is the manifest's.

    Raises `InputInvalidError`, also where the stack names no command; then nothing was run.
    """
    spec, kept = ports.files.spec(stack), ports.files.manifest(stack, name)
    _refuse_unless_runnable(spec.recert, f"{site.folder}/releases/{stack}.yml")
    begun = ports.clock.now()
    sound_chain(ports.receipts, now=begun)
    hidden = hidden_values(spec, stack, ports.files, needed=None)
    key = make_run_key(ID, begun, ports.entropy.four_hex())
    ledger = Ledger(ports.receipts, ports.clock, run=key, site=site.name, plan="", policy=site.policy_digest, operator=operator)
    ledger.intend(key, host="*", capability=ID, step=stack)
    close = partial(ledger.close, key, host="*", capability=ID, step=stack)
    ran: list[CommandRan] = []
    # Nobody here knows where the sources lie: what is compared with the manifest's commit a command compares.
    release = {"manifest": kept.name, "commit": kept.manifest.commit}
    try:
        for command in spec.recert:
            progress(f"{command.name}: {' '.join(command.run)}")
            ran.append(ports.runner.run(command, release=release, hidden=hidden))
    except ControlPlaneError as error:
        close(outcome="interrupted" if isinstance(error, InterruptedRunError) else "failed", reason=str(error))
        raise
    report = RecertReport(
        run=key,
        stack=stack,
        manifest=kept.manifest.digest,
        manifest_name=kept.name,
        commit=kept.manifest.commit,
        at=begun.strftime(STAMP),
        commands=tuple(ran),
    )
    close(
        outcome="done" if report.passed else "failed",
        reason="; ".join(_why(one) for one in ran if one.code != 0) or None,
        told=report.model_dump(mode="json", include={"commit", "manifest", "commands"}),
    )
    return report


def _why(command: CommandRan) -> str:
    last = command.tail.rpartition("\n")[2]
    return f"{command.name}: {'did not end by itself' if command.code is None else f'exit code {command.code}'}{f': {last}' if last else ''}"


def _refuse_unless_runnable(commands: tuple[Recert, ...], file: str) -> None:
    faults = [] if commands else [Fault(file, 0, "recert", "names no command: write those that certify the modules and the site")]
    faults += [
        Fault(file, 0, f"recert.{number}.run", "is this very command, which would never end: leave it out")
        for number, command in enumerate(commands)
        if command.run[:3] == _ITSELF
    ]
    if faults:
        raise InputInvalidError(faults)
