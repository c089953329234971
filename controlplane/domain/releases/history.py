"""Which release runs where, as the receipts say.

Rules:
- A deployment is a step of capability release.deploy with a receipt; what it deployed stands in the plan that the receipt names.
- Deployed is what was done and not taken back. One that failed changes nothing here: what a host really runs then, evidence alone tells. It is
  said all the same (`unfinished`), and nothing is proven over it.
- The chain says what came after what; times are what the clocks said, of which one may have run ahead.
- While a deployment or its way back is open nobody knows which of two releases a host runs.
- A manifest may have been brought twice, with another environment file: whether a way back has ended is asked of runs, never of manifests.
- What the receipts show to be another stack's is not asked for: a plan of that one that is lost keeps nobody from this one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Literal, NamedTuple

from controlplane.domain.chain import BEGINNING
from controlplane.domain.errors import RunFailedError
from controlplane.domain.plan import Plan, Step
from controlplane.domain.receipt import Receipt, open_intents, undone_keys
from controlplane.domain.values import Value

DEPLOY = "release.deploy"
State = Literal["open", "done", "failed", "returning", "undone"]


class Since(NamedTuple):
    """The number of the receipt since which something stands, by which it is compared, and its time, to be shown."""

    seq: int
    at: str


class Deployment(Value):
    """One deployment of a stack on one host. `run` is the whole run, `key` the host's part of it; `plan` and `manifest` are digests.

    `images` are by compose service, pinned; `env_digest` is the keyed digest of the environment file, None where its plan says none. `state` is open
    until its result is on record, and `returning` while its way back is; `undone_at` is when that ended. `begun_seq`, `ended_seq` and `undone_seq`
    are the numbers of the receipts of those times: their order is the one that counts.
    """

    stack: str
    environment: str
    host: str
    run: str
    key: str
    plan: str
    project: str
    manifest: str
    manifest_name: str
    images: dict[str, str]
    env_digest: str | None = None
    begun_at: str
    begun_seq: int
    ended_at: str | None
    ended_seq: int | None
    undone_at: str | None = None
    undone_seq: int | None = None
    state: State

    @property
    def brought(self) -> Since:
        """Return when it was brought; of one that did not end, when it was begun."""
        if self.ended_seq is None or self.ended_at is None:
            return Since(self.begun_seq, self.begun_at)
        return Since(self.ended_seq, self.ended_at)


class OnHost(Value):
    """What one host was given of a stack in one environment, the oldest first."""

    host: str
    deployments: tuple[Deployment, ...] = ()

    @property
    def current(self) -> Deployment | None:
        """Return the last one that stands."""
        return next((one for one in reversed(self.deployments) if one.state == "done"), None)

    @property
    def previous(self) -> Deployment | None:
        """Return the one that stood before the current one, which a way back brings."""
        standing = [one for one in self.deployments if one.state == "done"]
        return standing[-2] if len(standing) > 1 else None

    @property
    def since(self) -> Since | None:
        """Return since when the current one stands: since it was deployed, or since the last one over it was taken back."""
        current = self.current
        if current is None:
            return None
        back = (Since(one.undone_seq, one.undone_at) for one in self.deployments if one.undone_seq is not None and one.undone_at is not None)
        return max([current.brought, *back])

    @property
    def failed(self) -> Deployment | None:
        """Return the newest deployment that was not taken back, where that failed: none that stands followed it."""
        last = next((one for one in reversed(self.deployments) if one.state != "undone"), None)
        return last if last is not None and last.state == "failed" else None

    @property
    def is_bare(self) -> bool:
        """Say whether nothing of it is here: nothing was brought, or all of it was taken back."""
        return all(one.state == "undone" for one in self.deployments)

    @property
    def gone(self) -> tuple[Deployment, ...]:
        """Return what was taken back from here, and nothing was brought here since."""
        last = max((one.begun_seq for one in self.deployments if one.state != "undone"), default=0)
        return tuple(one for one in self.deployments if one.state == "undone" and one.begun_seq > last)

    @property
    def unsettled(self) -> Deployment | None:
        """Return the last one that is open, or on its way back."""
        return next((one for one in reversed(self.deployments) if one.state in ("open", "returning")), None)

    def without(self, runs: Collection[str]) -> OnHost:
        """Return it as it is once these runs are taken back."""
        back = (one.model_copy(update={"state": "undone"}) if one.run in runs else one for one in self.deployments)
        return self.model_copy(update={"deployments": tuple(back)})


class Deployed(Value):
    """A stack in one environment, host by host in the order that was asked for."""

    stack: str
    environment: str
    hosts: tuple[OnHost, ...]

    @property
    def current(self) -> Deployment | None:
        """Return the deployment of the first host, where all hosts run one manifest and nothing is open; else None."""
        return None if self.doubt is not None or not self.hosts else self.hosts[0].current

    @property
    def since(self) -> Since | None:
        """Return since when what stands stands on all hosts, None where nothing does."""
        return max((one.since for one in self.hosts if one.since is not None), default=None)

    @property
    def reached(self) -> Deployed:
        """Return it without the hosts that have nothing of it, such as one that the environment got since: they are in nothing's way.

        A host from which a run went back that still stands on another is no such host: that way back has not ended.
        """
        standing = {one.run for host in self.hosts for one in host.deployments if one.state == "done"}
        hosts = (host for host in self.hosts if not host.is_bare or any(one.run in standing for one in host.deployments))
        return self.model_copy(update={"hosts": tuple(hosts)})

    @property
    def went_back(self) -> tuple[str, ...]:
        """Return the hosts from which something was taken back since the last deployment was begun on any of them; none where nothing was.

        That is the last that became of the environment: however many calls it took, it is proven with all of these hosts.
        """
        begun = max((one.begun_seq for host in self.hosts for one in host.deployments), default=0)
        return tuple(host.host for host in self.hosts if any((one.undone_seq or 0) > begun for one in host.deployments))

    @property
    def half_back(self) -> dict[str, Deployment]:
        """Return what went back from one host and is what another still runs, by run: a way back that has not ended, whatever the manifests."""
        standing = {one.current.run for one in self.hosts if one.current is not None}
        return {one.run: one for host in self.hosts for one in host.gone if one.run in standing}

    def without(self, runs: Collection[str]) -> Deployed:
        """Return it as it is once these runs are taken back."""
        return self.model_copy(update={"hosts": tuple(host.without(runs) for host in self.hosts)})

    @property
    def disagree(self) -> bool:
        """Say whether the hosts run different manifests, or only some of them any."""
        return len({one.current.manifest if one.current is not None else None for one in self.hosts}) > 1

    @property
    def doubt(self) -> str | None:
        """Return why nobody can say which manifest is deployed, None where one is on every host, or none on any."""
        unsettled = [one for host in self.hosts if (one := host.unsettled) is not None]
        if unsettled:
            told = (f"{one.key} on {one.host}, of {one.manifest_name}, since {one.begun_at}" for one in unsettled)
            return f"a deployment has not ended: {'; '.join(told)}"
        if self.disagree:
            told = (f"{one.host} runs {one.current.manifest_name if one.current is not None else 'none'}" for one in self.hosts)
            return f"its hosts disagree: {', '.join(told)}"
        for run, gone in self.half_back.items():
            stays = (one.host for one in self.hosts if one.current is not None and one.current.run == run)
            return f"a way back has not ended: {gone.manifest_name} of run {run} went back from {gone.host}, and stands on {', '.join(stays)}"
        return None

    @property
    def unfinished(self) -> str | None:
        """Return which deployments were begun over what stands, failed and were not taken back; None where none was.

        The receipts say what was brought before them. Whether that runs they do not: a part of what failed may lie there.
        """
        left = [one for host in self.hosts if (one := host.failed) is not None]
        told = "; ".join(f"{one.key} on {one.host}, of {one.manifest_name}, since {one.begun_at}" for one in left)
        return f"a deployment failed and was not taken back: {told}" if told else None


def deployments(
    chain: Sequence[Receipt],
    plan_of: Callable[[str], Plan],
    *,
    stack: str | None = None,
    hosts: Collection[str] | None = None,
    plan: str | None = None,
) -> tuple[Deployment, ...]:
    """Return the deployments that the receipts hold, the oldest first: those of one stack, some hosts, one plan (its digest), where these are given.

    `plan_of` gives the plan of a digest; what it raises is raised here. Raises `RunFailedError` for a plan that does not say what was deployed.
    """
    others = frozenset[str]() if stack is None else plans_of_others(chain, stack)
    results = {receipt.key: receipt for receipt in chain if receipt.phase == "result"}
    undone = undone_keys(chain)
    back = {one.undoes: one for one in chain if one.phase == "result" and one.outcome == "rolled-back" and one.undoes is not None}
    returning = {receipt.undoes for receipt in open_intents(chain) if receipt.undoes is not None}
    plans: dict[str, Plan] = {}
    found = []
    for intent in chain:
        if intent.phase != "intent" or intent.capability != DEPLOY or intent.undoes is not None:
            continue
        if intent.plan in others or plan not in (None, intent.plan) or (hosts is not None and intent.host not in hosts):
            continue
        if intent.plan not in plans:
            plans[intent.plan] = plan_of(intent.plan)
        result = results.get(intent.key)
        made = _deployment(intent, result, _step(plans[intent.plan], intent), _state(intent, result, undone=undone, returning=returning))
        gone = back.get(intent.key)
        found.append(made if gone is None else made.model_copy(update={"undone_at": gone.at, "undone_seq": gone.seq}))
    return tuple(one for one in found if stack in (None, one.stack))


def plans_of_others(chain: Sequence[Receipt], stack: str) -> frozenset[str]:
    """Return the digests of plans that the receipts show to be of another stack: what stood before a release is on record under its stack."""
    begun = {(one.told or {}).get("run"): one.step.partition("/")[0] for one in chain if one.capability == BEGINNING and one.phase == "result"}
    return frozenset(one.plan for one in chain if one.plan and begun.get(one.run, stack) != stack)


def deployed(chain: Sequence[Receipt], plan_of: Callable[[str], Plan], *, stack: str, environment: str, hosts: Sequence[str]) -> Deployed:
    """Return what these hosts were given of a stack in one environment. Raises as `deployments` does."""
    own = [one for one in deployments(chain, plan_of, stack=stack, hosts=hosts) if one.environment == environment]
    rows = tuple(OnHost(host=host, deployments=tuple(one for one in own if one.host == host)) for host in hosts)
    return Deployed(stack=stack, environment=environment, hosts=rows)


def _state(intent: Receipt, result: Receipt | None, *, undone: frozenset[str], returning: set[str]) -> State:
    if intent.key in undone:
        return "undone"
    if intent.key in returning:
        return "returning"
    if result is None:
        return "open"
    return "done" if result.outcome == "done" else "failed"


def _step(plan: Plan, intent: Receipt) -> Step:
    step = next((one for one in plan.steps if (one.id, one.host) == (intent.step, intent.host)), None)
    if step is None or not isinstance(step.variables.get("compose_stack_images"), dict):
        raise RunFailedError(
            f"plan {plan.plan[:19]} does not say what {intent.key} deployed: restore the site's state folder from a backup. Nothing was changed."
        )
    return step


def _deployment(intent: Receipt, result: Receipt | None, step: Step, state: State) -> Deployment:
    said = step.variables
    return Deployment(
        stack=str(said.get("compose_stack_stack")),
        environment=str(said.get("compose_stack_environment")),
        host=intent.host,
        run=intent.run,
        key=intent.key,
        plan=intent.plan,
        project=str(said.get("compose_stack_project")),
        manifest=str(said.get("compose_stack_manifest")),
        manifest_name=str(said.get("compose_stack_manifest_name")),
        images={str(service): str(image) for service, image in said["compose_stack_images"].items()},
        env_digest=said.get("compose_stack_env_digest"),
        begun_at=intent.at,
        begun_seq=intent.seq,
        ended_at=result.at if result is not None else None,
        ended_seq=result.seq if result is not None else None,
        state=state,
    )
