"""evidence: collect once a host, and hand on what was seen as it was seen."""

from __future__ import annotations

from collections.abc import Mapping

from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.site_view import SiteView
from controlplane.ports.hosts import EvidenceSource


def collect_site(site: SiteView, *, hosts: tuple[str, ...], evidence: EvidenceSource) -> Mapping[str, Evidence | Unreached]:
    """Collect from the named hosts, or all that the policy governs. Raises `InputInvalidError` for every name that is none."""
    chosen = site.chosen(hosts)
    return evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})


def collect_target(target: InventoryHost, *, evidence: EvidenceSource) -> Mapping[str, Evidence | Unreached]:
    """Collect from one machine without a site: what is looked at everywhere."""
    return evidence.collect([target], {})
