"""Whether a step ever came to its host: what ended, or was killed, before that left no undo there, and nothing to take back."""

from __future__ import annotations

from controlplane.domain.capabilities import release_deploy
from controlplane.domain.evidence import Evidence, Reader, Unobserved
from controlplane.domain.plan import Change, Plan, Step
from controlplane.domain.receipt import Receipt
from controlplane.domain.site_view import SiteView
from controlplane.usecases.apply_plan import ApplyPorts
from controlplane.usecases.plan_again import plan_for_host


def never_begun(step: Step, intent: Receipt, chain: tuple[Receipt, ...], *, plan: Plan, site: SiteView, ports: ApplyPorts) -> bool:
    """Say whether fresh evidence shows that a step ended, or was killed, before it came to the host; `site` is as the plan had it. Doubt says no."""
    # Of a run that was abandoned nobody knows. A release that failed may have failed before the host gave it its lease; what other steps leave
    # on a host shows nothing any more once a later run changed it.
    doubtful = ("interrupted", "failed") if step.capability == release_deploy.ID else ("interrupted",)
    if any(r.key == intent.key and r.phase == "result" and r.outcome not in doubtful for r in chain):
        return False
    chosen = site.chosen((step.host,))
    seen = ports.evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})
    evidence = seen.get(step.host)
    fresh = plan_for_host(plan, step.host, site, seen, ports.clock.now())
    if not isinstance(evidence, Evidence) or fresh is None:
        return False
    try:
        traces = _traces(step, Reader(evidence))
    except Unobserved:
        return False
    left = {change for later in fresh.steps if later.host == step.host for change in _demanded(later)}
    return intent.key not in traces and set(_demanded(step)) <= left


def _traces(step: Step, reader: Reader) -> set[str]:
    """Return the runs that the host shows: in work, of its lease, its last change, what it retired, its deployments. Raises `Unobserved`."""
    state = reader.target_state
    told = {held["run"] for held in (*state["runs"], *state["retired"])} | {held["run"] for held in (state["lease"], state["last_change"]) if held}
    if step.capability == release_deploy.ID:
        told |= {seen["record"]["run"] for seen in reader.releases.values() if seen["record"] is not None}
    return told


def _demanded(step: Step) -> tuple[Change, ...]:
    """Return the changes of a step, as far as they say what is still to be done."""
    if step.capability != release_deploy.ID:
        return step.changes
    # Containers are in another state from one minute to the next; that this run made none of them, the record on the host says. Where the services
    # keep their data the plan does not say as the compose files do, and Compose makes no volume before the files are there.
    return tuple(change.model_copy(update={"before": None}) for change in step.changes if change.kind not in ("volume", "mount"))
