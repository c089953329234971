"""render: a plan as files, bound as an apply would be."""

from __future__ import annotations

from controlplane.domain.inventory import works_here
from controlplane.domain.plan import Plan
from controlplane.domain.run_key import make_run_key
from controlplane.domain.site_view import SiteView
from controlplane.render.project import render_plan
from controlplane.usecases.apply_guards import refuse_unless_bound
from controlplane.usecases.apply_plan import ApplyPorts
from controlplane.usecases.make_plan import roles_digest


def render_project(plan: Plan, site: SiteView, *, operator: str, ports: ApplyPorts) -> dict[str, bytes]:
    """Return the project. Raises `RefusedError` where the plan is no longer bound to this site's policy, inventory or roles."""
    refuse_unless_bound(plan, site, roles_digest(ports.roles))
    keys = {step.id: make_run_key(step.capability, ports.clock.now(), ports.entropy.four_hex()) for step in plan.steps}
    # The controller itself is in no inventory.
    here = {step.target for step in plan.steps if works_here(step.target)}
    hosts = (*site.inventory.hosts, *(site.route(name) for name in sorted(here)))
    return render_plan(plan, keys=keys, holder=operator, hosts=hosts, roles=ports.roles.files())
