"""Pin the host keys that machines were born with, as their hypervisor shows them: nobody has to trust a first connection."""

from __future__ import annotations

from collections.abc import Mapping

from controlplane.domain.capabilities import vm_provision
from controlplane.domain.evidence import Evidence, Reader, Unobserved, Unreached
from controlplane.domain.plan import Step
from controlplane.domain.site_view import SiteView
from controlplane.ports.hosts import KnownHosts


def pin_host_key(step: Step, site: SiteView, seen: Mapping[str, Evidence | Unreached], known_hosts: KnownHosts) -> str | None:
    """Pin the keys of the machine that the step made; return why that can't be, or None. A machine that is not finished is left for later."""
    evidence = seen.get(step.host)
    if step.capability != vm_provision.ID or not isinstance(evidence, Evidence):
        return None
    try:
        machine = Reader(evidence).machine
    except Unobserved:
        return None
    if not machine["made"] or not machine["host_keys"]:
        return None
    return known_hosts.pin(site.route(step.host), machine["host_keys"])
