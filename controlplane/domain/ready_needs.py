"""What is in the way of ready, one finding at a time, and what would mend it.

Rules:
- A capability is named only where a plan made from the same evidence says that it mends this very finding; else why there is none is told.
- One that runs by its name only deletes what can't be had back: it is named with the command that previews it, and is in no plan that `ready` writes.
"""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.capabilities import docker_hygiene, purge_retired, tmp_files, vm_provision
from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.plan import Plan
from controlplane.domain.values import Value

# What is not in its place while a data disk is not mounted, whatever else is the matter with it.
_ON_MOUNTS = frozenset({"D235", "D236", "D240", "D241", "D245"})
# The surfaces, up to their first colon, that a capability which runs by its name only can mend.
_BY_NAME = {
    "budget.images": docker_hygiene.ID,
    "budget.build_cache": docker_hygiene.ID,
    "docker.hygiene_timer": docker_hygiene.ID,
    "tmp": tmp_files.ID,
    "retired": purge_retired.ID,
}
# What the refusals of those begin with, where they are about one thing of several that is no path.
_BUDGETS = {"budget.images": "images", "budget.build_cache": "build cache"}


class Need(Value):
    """Something that is in the way, or (`noted`) that is not but has to be known. `capability` would mend it; `next` says what to do."""

    what: str
    verdict: Verdict
    reason: str
    capability: str | None
    next: str


def in_the_way(finding: Finding) -> bool:
    """Say whether a host with this finding is not ready."""
    return finding.verdict is Verdict.UNKNOWN or (finding.verdict is Verdict.DRIFTED and finding.severity != "low")


def need_of(finding: Finding, plan: Plan, by_name: Sequence[Plan]) -> Need:
    """Return a finding that is not MET with what to do about it, as the plan says, and those of the capabilities that run by name only."""
    host, planned = finding.host, _mending(finding, plan)
    capability = planned or next((found for one in by_name if (found := _mending(finding, one)) is not None), None)
    if finding.verdict is Verdict.WAIVED:
        step = "nothing, while the waiver holds"
    elif finding.verdict is Verdict.UNKNOWN:
        capability, step = None, "see why it could not be observed; doubt is never ready"
    elif finding.check == "D242":
        # A reboot mends it, and no plan reboots.
        step = f"controlplane ready {host} --after-reboot"
    elif finding.check == "D244" and finding.severity == "low":
        capability, step = purge_retired.ID, f"{_preview(host, purge_retired.ID)}, once it has proven itself"
    elif planned is not None:
        step = f"controlplane ready {host} --plan FILE, then approve and apply it"
    elif capability is not None:
        step = f"{_preview(host, capability)} --out FILE, then approve and apply it: what deletes has a plan of its own"
    elif finding.surface == "boot.usage":
        # Several things take that room, each with a way of its own: the finding of D234 names them.
        step = f"free some of it, by what D234 names as seen there and by hand, then ask again: controlplane ready {host}"
    elif _kind(finding) in _BY_NAME:
        step = _not_even_by_name(finding, by_name)
    else:
        step = _without_a_step(finding, plan)
    return Need(what=f"{finding.check} {finding.surface}", verdict=finding.verdict, reason=finding.reason, capability=capability, next=step)


def _preview(host: str, capability: str) -> str:
    return f"controlplane plan --host {host} --capability {capability}"


def _kind(finding: Finding) -> str:
    return finding.surface.partition(":")[0]


def _mending(finding: Finding, plan: Plan) -> str | None:
    """Return the capability of the step that promises to mend the finding, None where there is none."""
    told = (step for step in plan.steps for mend in step.mends if step.host == finding.host and (mend.check, mend.surface) == _key(finding))
    return next((step.capability for step in told), None)


def _key(finding: Finding) -> tuple[str, str]:
    return finding.check, finding.surface


def _not_even_by_name(finding: Finding, by_name: Sequence[Plan]) -> str:
    """Return why the capability that alone mends such a thing does not mend this one."""
    kind, _, named = finding.surface.partition(":")
    capability, subject = _BY_NAME[kind], named or _BUDGETS.get(kind, kind)
    refused = [
        r.reason for one in by_name for r in one.refusals if (r.host, r.capability) == (finding.host, capability) and _is_about(r.reason, subject)
    ]
    if refused:
        return f"no plan mends it: {'; '.join(refused)}"
    if named == "*" and any(step.host == finding.host and step.capability == capability for one in by_name for step in one.steps):
        return f"{_preview(finding.host, capability)} --out FILE mends what is listed: approve and apply it, then ask again"
    if kind in _BUDGETS:
        return f"no plan mends it: {capability} would, once policy.yml has docker.hygiene for {finding.host}; else by hand"
    return "no capability mends it: by hand"


def _is_about(reason: str, subject: str) -> bool:
    """Say whether a refusal is about this thing, or about none in particular."""
    named = reason.partition(": ")[0]
    return named == subject or not (named.startswith("/") or named in _BUDGETS.values())


def _without_a_step(finding: Finding, plan: Plan) -> str:
    """Return what to do about a drift that no step of the plan promises to mend."""
    host, of_machine = finding.host, finding.check == "D246"
    mounting = next((s.capability for s in plan.steps if s.host == host and any(m.surface.startswith("mount:") for m in s.mends)), None)
    if mounting is not None and finding.check in _ON_MOUNTS:
        return f"see whether it goes with the mount that {mounting} brings: controlplane ready {host} --plan FILE, approve and apply it, ask again"
    # Nothing but provision works on the machine itself, and it works on nothing else.
    refused = [refusal.reason for refusal in plan.refusals if refusal.host == host and (refusal.capability == vm_provision.ID) is of_machine]
    return f"no plan mends it: {'; '.join(refused)}" if refused else "no capability mends it: by hand"
