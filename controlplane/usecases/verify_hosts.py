"""verify: fresh evidence and live machines as two witnesses, after a controlled reboot where that is asked for."""

from __future__ import annotations

from collections.abc import Callable

from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import InterruptedRunError, RefusedError, RunFailedError
from controlplane.domain.finding import AuditReport
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.receipt import Outcome, open_intents
from controlplane.domain.run_key import make_run_key
from controlplane.domain.site_view import SiteView
from controlplane.ports import Clock, Entropy, EvidenceSource, PlayRunner, ReceiptStore, RunLocks, Witness
from controlplane.render.project import render_reboot
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.judge_hosts import judge_by_two
from controlplane.usecases.record_run import Ledger

REBOOT = "host.reboot"


def verify_hosts(site: SiteView, *, hosts: tuple[str, ...], clock: Clock, evidence: EvidenceSource, witness: Witness) -> AuditReport:
    """Return what two witnesses say of the named hosts, or all."""
    chosen = site.chosen(hosts)
    seen = evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})
    return judge_by_two(site, hosts=tuple(d.host for d, _ in chosen), seen=seen, now=clock.now(), witness=witness)


def reboot_hosts(
    site: SiteView,
    *,
    hosts: tuple[str, ...],
    operator: str,
    clock: Clock,
    entropy: Entropy,
    runner: PlayRunner,
    receipts: ReceiptStore,
    locks: RunLocks,
    progress: Callable[[str], None],
) -> tuple[str, ...]:
    """Reboot the hosts one after the other and return the receipts.

    Raises `RefusedError` where a run is open on one of them, `RunFailedError` for the first that does not come back, `InterruptedRunError`.
    """
    chosen = site.chosen(hosts)
    names = tuple(desired.host for desired, _ in chosen)
    busy = [r for r in open_intents([receipt for _, receipt in sound_chain(receipts)]) if r.host in names]
    if busy:
        told = "; ".join(f"{r.key} on {r.host} since {r.at}" for r in busy)
        raise RefusedError(f"a run is still open: {told}. Nothing was rebooted. Resume it or take it back first: controlplane runs list")
    keys = []
    with locks.hold(names, operator=operator):
        for desired, route in chosen:
            key = make_run_key(REBOOT, clock.now(), entropy.four_hex())
            keys.append(key)
            _reboot(
                Ledger(receipts, clock, run=key, site=site.name, plan="", policy=site.policy_digest, operator=operator),
                desired,
                route,
                runner,
                progress,
            )
    return tuple(keys)


def _reboot(ledger: Ledger, desired: DesiredHost, route: InventoryHost, runner: PlayRunner, progress: Callable[[str], None]) -> None:
    key, host = ledger.run, desired.host
    stopped = f"Interrupted while {host} was rebooting; it may still be on its way. Next: controlplane verify --host {host}"
    ledger.intend(key, host=host, capability=REBOOT, step="*")
    progress(f"{host} reboots")
    try:
        result = runner.run(render_reboot([route]), key=key, host=host, playbook="site.yml", progress=progress)
    except KeyboardInterrupt:
        raise InterruptedRunError(stopped) from None
    outcome: Outcome = "done" if result.status == "done" else "interrupted" if result.status == "interrupted" else "failed"
    ledger.close(key, host=host, capability=REBOOT, step="*", outcome=outcome, reason=result.message or None)
    if outcome == "interrupted":
        raise InterruptedRunError(stopped)
    if outcome == "failed":
        raise RunFailedError(f"{host} did not come back from its reboot: {result.message}. Look at its console, then run verify again.")
