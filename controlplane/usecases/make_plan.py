"""plan: collect, then decide. Nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from controlplane.domain.capabilities import Capability
from controlplane.domain.digest import digest_of
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.plan import Plan
from controlplane.domain.planning import make_plan
from controlplane.domain.site_view import SiteView
from controlplane.domain.witness_route import no_way
from controlplane.ports.clocks import Clock
from controlplane.ports.hosts import EvidenceSource
from controlplane.ports.plays import RoleContent
from controlplane.usecases.audit import refuse_one_machine_twice


def roles_digest(roles: RoleContent) -> str:
    """Return the digest of every role file."""
    return digest_of({path: digest_of(content.hex()) for path, content in roles.files().items()})


def plan_site(
    site: SiteView, *, hosts: tuple[str, ...], capabilities: Sequence[Capability], clock: Clock, evidence: EvidenceSource, roles: RoleContent
) -> Plan:
    """Return the plan for the named hosts, or all."""
    chosen = site.chosen(hosts)
    seen = evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})
    refuse_one_machine_twice(seen, [desired.host for desired, _ in chosen])
    return plan_from(site, hosts=tuple(d.host for d, _ in chosen), seen=seen, capabilities=capabilities, now=clock.now(), roles=roles_digest(roles))


def plan_from(
    site: SiteView,
    *,
    hosts: tuple[str, ...],
    seen: Mapping[str, Evidence | Unreached],
    capabilities: Sequence[Capability],
    now: datetime,
    roles: str,
    as_of: datetime | None = None,
) -> Plan:
    """Return the plan that this evidence gives."""
    return make_plan(
        site=site.name,
        now=now,
        as_of=as_of,
        hosts=[desired for desired, _ in site.chosen(hosts)],
        evidence=seen,
        policy=site.policy_digest,
        inventory=site.inventory_digest(),
        roles=roles,
        capabilities=capabilities,
        retention=site.retention,
        unconfirmed={desired.host: why for desired, route in site.chosen(hosts) if (why := no_way(route)) is not None},
    )
