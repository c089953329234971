"""verify: fresh evidence and live machines as two witnesses, after a controlled reboot where that is asked for.

Rules:
- A host is rebooted only where fresh evidence shows that nobody holds its lease and no run's unit works there, whoever's controller that is.
- What could not be observed is not rebooted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import InterruptedRunError, RefusedError, RunFailedError, UnknownError
from controlplane.domain.evidence import Reader, Unobserved, Unreached
from controlplane.domain.finding import AuditReport
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.lease_view import LEASE_PROBES, reboot_objections
from controlplane.domain.receipt import Outcome, open_intents
from controlplane.domain.run_key import make_run_key
from controlplane.domain.site_view import SiteView
from controlplane.ports import Clock, Entropy, EvidenceSource, PlayRunner, ReceiptStore, RoleContent, RunLocks, StepResult, Witness
from controlplane.render.project import render_reboot
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.judge_hosts import judge_by_two, judge_target_by_two
from controlplane.usecases.record_run import Ledger

REBOOT = "host.reboot"
UNCHANGED = "Nothing was changed; run the same command again."


def verify_hosts(
    site: SiteView, *, hosts: tuple[str, ...], clock: Clock, evidence: EvidenceSource, witness: Witness, rebooted: bool = False
) -> AuditReport:
    """Return what two witnesses say of the named hosts, or all; `rebooted` says that this comes after `reboot_hosts`.

    Raises `InterruptedRunError`.
    """
    chosen = site.chosen(hosts)
    names = tuple(desired.host for desired, _ in chosen)
    with _telling(f"{_so_far(names)} Next: controlplane verify{_named(hosts)}    (judges without another reboot)" if rebooted else UNCHANGED):
        seen = evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})
        return judge_by_two(site, hosts=names, seen=seen, now=clock.now(), witness=witness)


def verify_target(target: InventoryHost, *, clock: Clock, evidence: EvidenceSource, witness: Witness) -> AuditReport:
    """Return what two witnesses say of one machine without a site, by the general checks."""
    return judge_target_by_two(target, seen=evidence.collect([target], {}), now=clock.now(), witness=witness)


def reboot_hosts(
    site: SiteView,
    *,
    hosts: tuple[str, ...],
    operator: str,
    clock: Clock,
    entropy: Entropy,
    evidence: EvidenceSource,
    runner: PlayRunner,
    receipts: ReceiptStore,
    locks: RunLocks,
    roles: RoleContent,
    progress: Callable[[str], None],
) -> tuple[str, ...]:
    """Reboot the hosts one after the other and return the receipts.

    Raises `RefusedError` where a run is open on one of them or changes it from elsewhere, `UnknownError` where that could not be observed,
    `RunFailedError` for the first that does not come back, `InterruptedRunError`.
    """
    chosen = site.chosen(hosts)
    names = tuple(desired.host for desired, _ in chosen)
    busy = [r for r in open_intents([receipt for _, receipt in sound_chain(receipts)]) if r.host in names]
    if busy:
        told = "; ".join(f"{r.key} on {r.host} since {r.at}" for r in busy)
        raise RefusedError(f"a run is still open: {told}. Nothing was rebooted. Resume it or take it back first: controlplane runs list")
    keys: list[str] = []
    files = roles.files()

    def restart(route: InventoryHost, key: str) -> StepResult:
        return runner.run(render_reboot([route], roles=files), key=key, host=route.name, playbook="site.yml", progress=progress)

    with locks.hold(names, operator=operator):
        _refuse_unless_idle(chosen, clock=clock, evidence=evidence, rebooted=())
        for number, (desired, route) in enumerate(chosen):
            if number:
                # The reboots before took their time.
                with _telling(
                    f"{_so_far(names[:number])} Next: controlplane verify --after-reboot{_named(names[number:])}    (goes on with the others)"
                ):
                    _refuse_unless_idle(chosen[number : number + 1], clock=clock, evidence=evidence, rebooted=names[:number])
            key = make_run_key(REBOOT, clock.now(), entropy.four_hex())
            keys.append(key)
            _reboot(
                Ledger(receipts, clock, run=key, site=site.name, plan="", policy=site.policy_digest, operator=operator),
                desired,
                partial(restart, route),
                progress,
            )
    return tuple(keys)


def _refuse_unless_idle(
    chosen: Sequence[tuple[DesiredHost, InventoryHost]], *, clock: Clock, evidence: EvidenceSource, rebooted: tuple[str, ...]
) -> None:
    """Raise `RefusedError` where somebody changes one of the hosts, `UnknownError` where that is not known."""
    seen = evidence.collect([route for _, route in chosen], {}, only=LEASE_PROBES)
    so_far = f"Only {_so_far(rebooted)}" if rebooted else "Nothing was rebooted."
    busy, doubts = [], []
    for host in (desired.host for desired, _ in chosen):
        record = seen.get(host, Unreached(host=host, reason="it was not asked"))
        try:
            told = () if isinstance(record, Unreached) else reboot_objections(host, Reader(record), now=clock.now())
        except Unobserved as doubt:
            doubts.append(f"whether {host} is being changed could not be observed: {doubt}")
            continue
        if isinstance(record, Unreached):
            doubts.append(f"{host} could not be observed: {record.reason}")
        elif told:
            busy.append((host, "; ".join(told)))
    if busy:
        host = busy[0][0]
        raise RefusedError(
            f"{'; '.join(told for _, told in busy)}. {so_far} Wait for it; 'controlplane lease show {host}' tells how it stands. "
            f"If its controller is dead and no unit of it works any more: controlplane lease take {host}"
        )
    if doubts:
        raise UnknownError(f"{'; '.join(doubts)}. {so_far} Restore the connection, then run this again.")


def _so_far(rebooted: tuple[str, ...]) -> str:
    return f"{', '.join(rebooted)} {'was' if len(rebooted) == 1 else 'were'} rebooted."


def _named(hosts: tuple[str, ...]) -> str:
    return "".join(f" --host {host}" for host in hosts)


@contextmanager
def _telling(state: str) -> Iterator[None]:
    """Tell what is true here of an interruption: who collects evidence only knows that it changed nothing itself."""
    try:
        yield
    except (KeyboardInterrupt, InterruptedRunError):
        raise InterruptedRunError(f"Interrupted. {state}") from None


def _reboot(ledger: Ledger, desired: DesiredHost, run: Callable[[str], StepResult], progress: Callable[[str], None]) -> None:
    key, host = ledger.run, desired.host
    stopped = f"Interrupted while {host} was rebooting; it may still be on its way. Next: controlplane verify --host {host}"
    ledger.intend(key, host=host, capability=REBOOT, step="*")
    progress(f"{host} reboots")
    try:
        result = run(key)
    except KeyboardInterrupt:
        raise InterruptedRunError(stopped) from None
    outcome: Outcome = "done" if result.status == "done" else "interrupted" if result.status == "interrupted" else "failed"
    ledger.close(key, host=host, capability=REBOOT, step="*", outcome=outcome, reason=result.message or None)
    if outcome == "interrupted":
        raise InterruptedRunError(stopped)
    if outcome == "failed":
        raise RunFailedError(f"{host} did not come back from its reboot: {result.message}. Look at its console, then run verify again.")
