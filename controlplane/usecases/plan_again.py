"""Look again at a plan's hosts, and make from what they show now the plan that compares with it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from controlplane.domain.errors import UnknownError
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.plan import Plan
from controlplane.domain.planning import plan_capabilities
from controlplane.domain.site_view import SiteView
from controlplane.ports.clocks import Clock
from controlplane.ports.hosts import EvidenceSource
from controlplane.usecases.interrupted_run import if_gone
from controlplane.usecases.make_plan import plan_from


class Watching(Protocol):
    """The ports that looking needs."""

    @property
    def clock(self) -> Clock: ...

    @property
    def evidence(self) -> EvidenceSource: ...


def observe(site: SiteView, hosts: tuple[str, ...], ports: Watching) -> Mapping[str, Evidence | Unreached]:
    """Return fresh evidence of these hosts."""
    if not hosts:
        return {}
    chosen = site.chosen(hosts)
    return ports.evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})


def collect(plan: Plan, site: SiteView, ports: Watching, resumed: str | None) -> Mapping[str, Evidence | Unreached]:
    """Return fresh evidence of every host of the plan. Raises `UnknownError` where one could not be observed."""
    seen = observe(site, plan.hosts, ports)
    blind = {host: blank for host, blank in seen.items() if isinstance(blank, Unreached)}
    if blind:
        told = "; ".join(f"{host}: {blank.reason}" for host, blank in sorted(blind.items()))
        what = f"plan {plan.plan[:19]} was not started" if resumed is None else f"run {resumed} was not resumed and stays open"
        gone = "" if resumed is None else f" {if_gone(resumed)}"
        raise UnknownError(
            f"{what}, {len(blind)} of {len(plan.hosts)} hosts could not be observed: {told}. Nothing was changed. "
            f"Restore the connection, then run this again.{gone}"
        )
    return seen


def plan_again(plan: Plan, site: SiteView, seen: Mapping[str, Evidence | Unreached], ports: Watching) -> Plan:
    """Return the plan that fresh evidence gives, comparable with `plan`."""
    return plan_from(
        site,
        hosts=plan.hosts,
        seen=seen,
        capabilities=plan_capabilities(plan),
        now=ports.clock.now(),
        roles=plan.binds.roles,
        as_of=_made_at(plan),
    )


def plan_for_host(plan: Plan, host: str, site: SiteView, seen: Mapping[str, Evidence | Unreached], now: datetime) -> Plan | None:
    """Return what one host's evidence leaves to do, None without evidence."""
    if not isinstance(seen.get(host), Evidence):
        return None
    return plan_from(site, hosts=(host,), seen=seen, capabilities=plan_capabilities(plan), now=now, roles=plan.binds.roles, as_of=_made_at(plan))


def _made_at(plan: Plan) -> datetime:
    return datetime.fromisoformat(plan.made_at.replace("Z", "+00:00"))
