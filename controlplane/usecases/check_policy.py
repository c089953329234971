"""Check a site's policy without touching a machine."""

from __future__ import annotations

from controlplane.domain.errors import InputInvalidError
from controlplane.domain.values import Value
from controlplane.ports.sites import SiteReader


class PolicyReport(Value):
    """What a valid site says, in numbers; `inventory_checked` is False where the inventory needs a script or plugin."""

    site: str
    policy_digest: str
    hosts: int
    groups: int
    waivers: int
    inventory_checked: bool
    notes: tuple[str, ...]


def check_policy(site: SiteReader, *, run_inventory: bool) -> PolicyReport:
    """Return the report; InputInvalidError lists every fault of the site's files, registers, waves and releases included."""
    content = site.read(run_inventory=run_inventory)
    if content.governance.faults:
        raise InputInvalidError(content.governance.faults)
    return PolicyReport(
        site=content.site.name,
        policy_digest=content.policy_digest,
        hosts=len(content.policy.hosts),
        groups=len(content.policy.groups),
        waivers=len(content.policy.waivers),
        inventory_checked=content.inventory is not None,
        notes=content.notes,
    )
