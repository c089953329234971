"""lease show, lease take: who may change a host, and how a lease that a killed program left behind is taken over.

Rules:
- Nothing is taken over while the run that holds the lease still works there, as its unit or from here.
- After it the old token is refused by the roles themselves, so a run that comes back to life changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from controlplane.domain.errors import InterruptedRunError, RefusedError, RunFailedError, UnknownError
from controlplane.domain.evidence import Reader, Unobserved, Unreached
from controlplane.domain.lease_view import LEASE_PROBES, LeaseView, lease_of
from controlplane.domain.run_key import make_run_key
from controlplane.domain.site_view import SiteView
from controlplane.ports.clocks import Clock
from controlplane.ports.hosts import EvidenceSource
from controlplane.render.project import render_take_over
from controlplane.usecases.apply_guards import refuse_backward_clock
from controlplane.usecases.apply_plan import ApplyPorts

TAKE_OVER = "host.lease"


def show_lease(site: SiteView, host: str, *, clock: Clock, evidence: EvidenceSource) -> LeaseView:
    """Return the host's lease. Raises `UnknownError` where it could not be observed."""
    ((_, route),) = site.chosen((host,))
    seen = evidence.collect([route], {}, only=LEASE_PROBES).get(host, Unreached(host=host, reason="it was not asked"))
    if isinstance(seen, Unreached):
        raise UnknownError(f"{host} could not be observed: {seen.reason}. Restore the connection, then run this again.")
    try:
        return lease_of(host, Reader(seen), now=clock.now())
    except Unobserved as doubt:
        raise UnknownError(f"the lease of {host} could not be observed: {doubt}") from None


def take_lease(site: SiteView, host: str, *, operator: str, ports: ApplyPorts, progress: Callable[[str], None]) -> LeaseView:
    """Take the lease over and give it back at once; return the one that was there. Raises `RefusedError`, `UnknownError`, `RunFailedError`."""
    refuse_backward_clock([receipt for _, receipt in ports.receipts.load()], ports.clock.now())
    with ports.locks.hold((host,), operator=operator):
        before = show_lease(site, host, clock=ports.clock, evidence=ports.evidence)
        if before.run is None:
            return before
        if before.working is not None:
            stop = f", or stop it on {host} with 'systemctl stop {before.working}'" if before.can_be_cancelled else ""
            raise RefusedError(
                f"{host} is leased to run {before.run} by {before.holder} since {before.taken_at}, and its unit {before.working} still works there. "
                f"Nothing was changed. Wait for it{stop}."
            )
        key = make_run_key(TAKE_OVER, ports.clock.now(), ports.entropy.four_hex())
        ((_, route),) = site.chosen((host,))
        project = render_take_over(route, key=key, of=before.run, holder=operator, roles=ports.roles.files())
        result = ports.runner.run(project, key=key, host=host, playbook="site.yml", progress=progress)
    if result.status == "interrupted":
        raise InterruptedRunError(f"Interrupted while the lease of {host} was taken over. Next: controlplane lease show {host}")
    if result.status == "unreachable":
        raise UnknownError(f"the connection to {host} was lost: {result.message}. Next: controlplane lease show {host}")
    if result.status == "failed" and "Nothing was changed" in result.message:
        raise RefusedError(result.message)
    if result.status == "failed":
        raise RunFailedError(f"the lease of {host} was not taken over: {result.message}. Next: controlplane lease show {host}")
    return before
