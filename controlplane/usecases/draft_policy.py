"""policy suggest: collect once a host and draft a policy from what was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.evidence import Evidence
from controlplane.domain.inventory import Inventory, InventoryHost
from controlplane.domain.suggest import suggest_policy
from controlplane.ports.hosts import EvidenceSource


def chosen_routes(inventory: Inventory, names: Sequence[str]) -> tuple[InventoryHost, ...]:
    """Return the named hosts of the inventory, or all. Raises `InputInvalidError` for every name that it doesn't have."""
    known = inventory.by_name()
    unknown = [name for name in dict.fromkeys(names) if name not in known]
    if unknown:
        told = ", ".join(list(known)[:20]) or "none"
        raise InputInvalidError([Fault("command line", 0, "--host", f"{name!r} is not in the inventory: known are {told}") for name in unknown])
    return tuple(known[name] for name in dict.fromkeys(names)) or inventory.hosts


def draft_policy(routes: Sequence[InventoryHost], *, evidence: EvidenceSource) -> tuple[str, Mapping[str, str]]:
    """Return the draft, and for each host that gave no evidence why; such hosts are not in the draft."""
    seen = evidence.collect(routes, {})
    given = [one for one in seen.values() if isinstance(one, Evidence)]
    return suggest_policy(given), {host: one.reason for host, one in sorted(seen.items()) if not isinstance(one, Evidence)}
