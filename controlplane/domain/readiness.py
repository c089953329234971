"""infra.vm.ready.status: whether a host may be called ready, and how long a receipt that says so holds.

Rules:
- Ready means: every finding on fresh evidence is MET and not contradicted by the second witness, or waived; every declared container runs, also
  one of which only a write surface is declared, and nothing is open on the host.
- Doubt is never ready. Of drift only what is low (old data that awaits its purge) is not in the way; it is named all the same.
- Each "no" names the capability that would mend it, as plans made from the same evidence say, or why there is none (ready_needs).
- Nothing may be done to the host while it is judged: not by what is on record here, nor by a run of elsewhere that holds its lease.
- A ready receipt ends by itself, at the latest with the first waiver that it rests on; and as soon as the policy changes or the host does.
- It ends with a reset of the site's time too: how long it holds was said by a clock that may be the one that ran ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from controlplane.domain.chain import last_reset
from controlplane.domain.desired import DesiredHost
from controlplane.domain.docker_presence import is_without_docker
from controlplane.domain.evidence import Evidence, Reader, Unobserved, Unreached
from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.lease_view import lease_of
from controlplane.domain.plan import Plan
from controlplane.domain.ready_needs import Need, in_the_way, need_of
from controlplane.domain.receipt import Receipt, open_intents
from controlplane.domain.values import Value

ID = "infra.vm.ready.status"


class Readiness(Value):
    """The JSON of `ready`. `receipt` and `expires_at` are None unless the host is ready."""

    host: str
    ready: bool
    judged_at: str
    policy_digest: str
    evidence_digest: str | None
    met: int
    needs: tuple[Need, ...]
    noted: tuple[Need, ...]
    receipt: str | None = None
    expires_at: str | None = None

    def exit_code(self) -> int:
        """Return 0 where it is ready, 5 where anything is UNKNOWN, else 3."""
        if self.ready:
            return 0
        return 5 if any(need.verdict is Verdict.UNKNOWN for need in self.needs) else 3


def judge_readiness(
    desired: DesiredHost,
    seen: Evidence | Unreached,
    findings: Sequence[Finding],
    *,
    plan: Plan,
    by_name: Sequence[Plan],
    chain: Sequence[Receipt],
    judged_at: str,
    policy: str,
) -> Readiness:
    """Return whether the host is ready. `findings` are those of two witnesses, `plan` the one that the same evidence gives.

    `by_name` are the plans that it gives of each capability that runs by its name only: what they would mend is told, and no more.
    """
    host = desired.host
    own = [finding for finding in findings if finding.host == host]
    needs = [need_of(finding, plan, by_name) for finding in own if in_the_way(finding)]
    noted = [need_of(finding, plan, by_name) for finding in own if finding.verdict is not Verdict.MET and not in_the_way(finding)]
    needs += [_open_run(receipt) for receipt in _open_on(host, chain)] + _meanwhile(host, chain)
    if isinstance(seen, Unreached):
        needs.insert(0, _unknown("reachability", f"the host was not reached: {seen.reason}", "restore the connection"))
    elif not seen.reached:
        needs.insert(0, _unknown("reachability", f"the host itself showed nothing ({_first_failure(seen)})", "restore the connection"))
    else:
        needs += _holder(host, Reader(seen), now=_moment(judged_at)) + _services(desired, Reader(seen))
    met = sum(finding.verdict is Verdict.MET for finding in own)
    if not own:
        needs.append(_unknown("findings", "nothing was judged on this host", "controlplane audit"))
    return Readiness(
        host=host,
        ready=not needs,
        judged_at=judged_at,
        policy_digest=policy,
        evidence_digest=seen.digest() if isinstance(seen, Evidence) else None,
        met=met,
        needs=tuple(needs),
        noted=tuple(noted),
    )


def _first_failure(seen: Evidence) -> str:
    return next((record.error for record in seen.probes.values() if record.error), "no probe of it gave a reason")


def holds_until(desired: DesiredHost, findings: Sequence[Finding], *, now: datetime, ready_for: timedelta) -> datetime:
    """Return when readiness that rests on these findings ends: with the first of its waivers, if that is earlier."""
    waived = [(finding.check, finding.surface) for finding in findings if finding.host == desired.host and finding.verdict is Verdict.WAIVED]
    ends = [waiver.ends_at for waiver in desired.waivers for what in waived if waiver.in_force(now=now) and waiver.covers(*what)]
    return min([now + ready_for, *ends])


def void_because(receipt: Receipt, chain: Sequence[Receipt], *, policy: str, route: str, now: datetime) -> str | None:
    """Return why a ready receipt no longer holds, or None while it does."""
    if receipt.capability != ID or receipt.phase != "result" or receipt.outcome != "done" or receipt.expires_at is None:
        return f"{receipt.key} does not say that {receipt.host} is ready"
    if receipt.policy != policy:
        return "the policy changed since"
    if receipt.route != route:
        return "the inventory leads to it by another way since, so it may be another machine"
    own = [r for r in chain if r.host == receipt.host]
    later = next((r for r in own if r.seq > receipt.seq), None) or next(iter(_done_since(receipt.key, own)), None)
    if later is not None:
        return f"{later.key} came after it ({later.at})"
    reset = last_reset(chain)
    if reset is not None and reset.seq > receipt.seq:
        return f"it was given before the site's time was reset at {reset.at}"
    return f"it ended at {receipt.expires_at}" if now >= _moment(receipt.expires_at) else None


def last_ready(chain: Sequence[Receipt], host: str) -> Receipt | None:
    """Return the newest answer to whether the host is ready, whatever it was."""
    return next((r for r in reversed(chain) if r.capability == ID and r.host == host and r.phase == "result"), None)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _open_on(host: str, chain: Sequence[Receipt]) -> list[Receipt]:
    """Return one open intent of each run that has not ended and that touched this host; that of the whole run names no host."""
    touched = {receipt.run for receipt in chain if receipt.host == host}
    still = {receipt.run: receipt for receipt in open_intents(chain) if receipt.host == host or (receipt.host == "*" and receipt.run in touched)}
    return list(still.values())


def _done_since(key: str, own: Sequence[Receipt]) -> list[Receipt]:
    """Return what was done to a host since the judgement `key` began; another judgement does nothing to it."""
    begun = next((r.seq for r in own if r.key == key), None)
    return [] if begun is None else [r for r in own if r.seq > begun and r.capability != ID]


def _meanwhile(host: str, chain: Sequence[Receipt]) -> list[Need]:
    """Return what was done to the host while this judgement, the last that began, was looking."""
    own = [r for r in chain if r.host == host]
    begun = next((r.key for r in reversed(own) if r.capability == ID and r.phase == "intent"), "")
    keys = dict.fromkeys(r.key for r in _done_since(begun, own))
    return [_unknown("runs", f"{key} worked on the host while it was judged", f"controlplane ready {host}, once it has ended") for key in keys]


def _open_run(receipt: Receipt) -> Need:
    reason = f"run {receipt.run} has not ended here since {receipt.at}"
    return Need(what="runs", verdict=Verdict.DRIFTED, reason=reason, capability=receipt.capability, next=f"controlplane runs show {receipt.run}")


def _holder(host: str, reader: Reader, *, now: datetime) -> list[Need]:
    """Return who is changing the host right now, as its lease says."""
    try:
        lease = lease_of(host, reader, now=now)
    except Unobserved as doubt:
        return [_unknown("lease", str(doubt), "see why it could not be observed; doubt is never ready")]
    if not lease.held or (lease.expired and lease.working is None):
        return []
    reason = f"it is leased to run {lease.run} by {lease.holder} since {lease.taken_at}, until {lease.expires_at}"
    step = f"wait for it, or see it: controlplane lease show {host}"
    return [Need(what="lease", verdict=Verdict.DRIFTED, reason=reason, capability=None, next=step)]


def _services(desired: DesiredHost, reader: Reader) -> list[Need]:
    """Return each declared container that does not run, and an engine that is down; a container that is missing is D236's or D238's."""
    names = dict.fromkeys([*desired.services, *(surface.container for surface in desired.write_surfaces)])
    try:
        if not names and is_without_docker(reader):
            return []
        docker = reader.units.get("docker.service")
        if docker is None:
            raise Unobserved("docker.service was not looked at")
        needs = []
        if docker["load_state"] != "loaded":
            _ = reader.docker_info  # started by something else, an engine is up where it answers; Unobserved where it does not
        elif docker["active_state"] != "active":
            needs.append(_down("docker.service", f"docker.service is {docker['active_state']}", f"systemctl status docker on {desired.host}"))
        if names:
            # Docker calls a container running that it has paused, or that it starts again and again.
            states = {container["name"]: container["state"] for container in reader.containers}
            needs += [
                _down(name, f"container {name} is not running, but {states[name]}", f"docker logs {name} on {desired.host}")
                for name in names
                if states.get(name, "running") != "running"
            ]
    except Unobserved as doubt:
        return [_unknown("services", str(doubt), "see why it could not be observed; doubt is never ready")]
    return needs


def _down(what: str, reason: str, step: str) -> Need:
    return Need(what=f"services {what}", verdict=Verdict.DRIFTED, reason=reason, capability=None, next=step)


def _unknown(what: str, reason: str, step: str) -> Need:
    return Need(what=what, verdict=Verdict.UNKNOWN, reason=reason, capability=None, next=step)
