"""verify: fresh evidence and live machines as two witnesses, after a controlled reboot where that is asked for."""

from __future__ import annotations

from collections.abc import Callable

from controlplane.domain.errors import RunFailedError
from controlplane.domain.finding import AuditReport
from controlplane.domain.run_key import make_run_key
from controlplane.domain.site_view import SiteView
from controlplane.ports import Clock, Entropy, EvidenceSource, PlayRunner, ReceiptStore, Witness
from controlplane.render.project import render_reboot
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
    progress: Callable[[str], None],
) -> tuple[str, ...]:
    """Reboot the hosts one after the other and return the receipts. Raises `RunFailedError` for the first that does not come back."""
    keys = []
    for desired, route in site.chosen(hosts):
        key = make_run_key(REBOOT, clock.now(), entropy.four_hex())
        keys.append(key)
        ledger = Ledger(receipts, clock, run=key, site=site.name, plan="", policy=site.policy_digest, operator=operator)
        ledger.intend(key, host=desired.host, capability=REBOOT, step="*")
        progress(f"{desired.host} reboots")
        result = runner.run(render_reboot([route]), key=key, host=desired.host, playbook="site.yml", progress=progress)
        done = result.status == "done"
        ledger.close(
            key, host=desired.host, capability=REBOOT, step="*", outcome="done" if done else "failed", reason=None if done else result.message
        )
        if not done:
            raise RunFailedError(f"{desired.host} did not come back from its reboot: {result.message}. Look at its console, then run verify again.")
    return tuple(keys)
