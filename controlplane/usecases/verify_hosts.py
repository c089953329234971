"""verify: fresh evidence and live machines as two witnesses."""

from __future__ import annotations

from controlplane.domain.finding import AuditReport
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.site_view import SiteView
from controlplane.ports.clocks import Clock
from controlplane.ports.hosts import EvidenceSource, Witness
from controlplane.usecases.audit import refuse_one_machine_twice
from controlplane.usecases.judge_hosts import judge_by_two, judge_target_by_two
from controlplane.usecases.reboot_hosts import named, telling, were_rebooted

UNCHANGED = "Nothing was changed; run the same command again."


def verify_hosts(
    site: SiteView, *, hosts: tuple[str, ...], clock: Clock, evidence: EvidenceSource, witness: Witness, rebooted: bool = False
) -> AuditReport:
    """Return what two witnesses say of the named hosts, or all; `rebooted` says that this comes after `reboot_hosts`.

    Raises `InputInvalidError` where two of them are one machine, `InterruptedRunError`.
    """
    chosen = site.chosen(hosts)
    names = tuple(desired.host for desired, _ in chosen)
    with telling(f"{were_rebooted(names)} Next: controlplane verify{named(hosts)}    (judges without another reboot)" if rebooted else UNCHANGED):
        seen = evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})
        refuse_one_machine_twice(seen, names)
        return judge_by_two(site, hosts=names, seen=seen, now=clock.now(), witness=witness)


def verify_target(target: InventoryHost, *, clock: Clock, evidence: EvidenceSource, witness: Witness) -> AuditReport:
    """Return what two witnesses say of one machine without a site, by the general checks."""
    return judge_target_by_two(target, seen=evidence.collect([target], {}), now=clock.now(), witness=witness)
