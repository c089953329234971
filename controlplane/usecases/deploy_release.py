"""release stage, release promote: bring a planned release to an environment, and for production prove it, or take it back.

Rules:
- Production begins only through an open gate. What was begun goes on without it, but for window and approval: the ready receipts of its hosts
  ended with the first change.
- A deployment to production that fails, or whose smoke tests do not all pass, is taken back at once, and that is said.
- Interrupted anywhere, the same command goes on: with the deployment, the proof, or the way back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from controlplane.domain.errors import RefusedError, UnknownError
from controlplane.domain.finding import Verdict
from controlplane.domain.plan import Plan
from controlplane.domain.planning import differences
from controlplane.domain.receipt import Receipt
from controlplane.domain.releases.gate import GateLine, is_open
from controlplane.domain.releases.history import Deployment, deployments
from controlplane.domain.releases.result import ReleaseResult
from controlplane.domain.releases.smoke import SmokeReport
from controlplane.domain.releases.values import ReleaseSpec
from controlplane.domain.run_result import RunResult
from controlplane.domain.site_view import SiteView
from controlplane.ports.releases import KeptManifest
from controlplane.usecases.apply_plan import apply_plan
from controlplane.usecases.judge_promotion import SMOKE, judge_promotion
from controlplane.usecases.release_case import Progress, ReleaseCourse, ReleasePorts, ReleaseSite, brings, environment_of, plan_release, planned
from controlplane.usecases.return_release import WayBack, former, not_undone, proven_back, take_back

_STRICTNESS = ("none", "self", "other")


def stage_release(site: ReleaseSite, stack: str, plan: Plan, ports: ReleasePorts, *, command: str, progress: Progress) -> ReleaseResult:
    """Bring a plan to staging, or go on with it. `command` is how. Raises `RefusedError`, `UnknownError`: then nothing was changed."""
    kept, view = planned(site, stack, "staging", plan)
    result = _deploy(site, view, plan, ports, command=command, progress=progress)
    outcome = result.outcome if result.outcome in ("done", "interrupted") else "failed"
    said = {"stack": stack, "environment": "staging", "manifest": kept.name, "outcome": outcome, "messages": result.messages}
    return ReleaseResult.model_validate({**said, "deployed": result})


def promote_release(site: ReleaseSite, stack: str, plan: Plan, ports: ReleasePorts, *, command: str, progress: Progress) -> ReleaseResult:
    """Bring a plan to production through the gate, prove it, and take it back where it is not proven; or go on with that.

    Raises `RefusedError`, `UnknownError`: then nothing was changed.
    """
    spec, _ = environment_of(site, stack, "production")
    kept, view = planned(site, stack, "production", plan)
    site = _stricter(site, spec)
    own = _own(plan, ports)
    states = {one.state for one in own}
    if states == {"undone"}:
        raise RefusedError(
            f"plan {plan.plan[:19]} was carried out and taken back. Nothing was changed. "
            f"Make a new one: controlplane release promote {stack} --out FILE"
        )
    course = _Promotion(site, stack, kept, plan, ports, progress)
    if states & {"returning", "undone"}:
        return course.take_back("its way back goes on")
    if not own:
        course.gate = judge_promotion(site, stack, kept, plan, ports)
        refuse_shut(course.gate, f"{kept.name} is not promoted")
    course.deployed = _deploy(site, view.model_copy(update={"approval": site.view.approval}), plan, ports, command=command, progress=progress)
    if course.deployed.outcome == "interrupted":
        return course.result("interrupted", course.deployed.messages)
    if course.deployed.outcome != "done":
        return course.take_back("its deployment failed") if _own(plan, ports) else course.result("failed", course.deployed.messages)
    course.proof = course.proof_on_record()
    if course.proof is None:
        progress(f"smoke tests of {stack} in production")
        course.proof = ports.prove(stack, "production", progress=progress)
    if course.proof.passed:
        return course.result("done", course.deployed.messages)
    return course.take_back(f"its behaviour is not proven, see {course.proof.run}")


def rehearse_promotion(site: ReleaseSite, stack: str, plan: Plan, ports: ReleasePorts) -> tuple[tuple[GateLine, ...], Plan]:
    """Return the gate for a plan, and the plan that fresh evidence gives. Raises `RefusedError` where that is another one."""
    spec, _ = environment_of(site, stack, "production")
    kept, _ = planned(site, stack, "production", plan)
    fresh = plan_release(site, stack, "production", kept, ports=ports.apply)
    told = differences(plan, fresh)
    if told:
        listed = "\n  ".join(told)
        raise RefusedError(
            f"plan {plan.plan[:19]} no longer fits:\n  {listed}\nNothing was changed. Make a new one: controlplane release promote {stack} --out FILE"
        )
    return judge_promotion(_stricter(site, spec), stack, kept, plan, ports), fresh


def refuse_shut(gate: Sequence[GateLine], what: str) -> None:
    """Raise `RefusedError` where a line of the gate does not hold, `UnknownError` where one could not be told."""
    if is_open(gate):
        return
    told = "\n  ".join(f"{line.name}: {line.reason}{f'    ({line.next})' if line.next else ''}" for line in gate if line.verdict is not Verdict.MET)
    unknown = any(line.verdict is Verdict.UNKNOWN for line in gate)
    raise (UnknownError if unknown else RefusedError)(f"{what}, its gate is shut:\n  {told}\nNothing was changed.")


def _deploy(site: ReleaseSite, view: SiteView, plan: Plan, ports: ReleasePorts, *, command: str, progress: Progress) -> RunResult:
    found = brings(plan)
    windows = site.files.spec(found.stack).promotion.windows if found is not None and found.environment == "production" else ()
    course = ReleaseCourse(command, windows, site, ports.apply)
    return apply_plan(plan, view, operator=site.operator, ports=ports.apply, progress=progress, course=course)


def _stricter(site: ReleaseSite, spec: ReleaseSpec) -> ReleaseSite:
    """Return the site with the approval that the release demands, where it demands more."""
    asked = max(spec.promotion.approval or "none", site.view.approval, key=_STRICTNESS.index)
    return replace(site, view=site.view.model_copy(update={"approval": asked}))


def _own(plan: Plan, ports: ReleasePorts) -> tuple[Deployment, ...]:
    """Return the deployments that this plan's last run began."""
    chain: tuple[Receipt, ...] = tuple(receipt for _, receipt in ports.apply.receipts.load())
    mine = [one for one in deployments(chain, ports.apply.plans.get) if one.plan == plan.plan]
    return tuple(one for one in mine if one.run == mine[-1].run)


class _Promotion:
    """One promotion, from its gate to its proof, or back."""

    def __init__(self, site: ReleaseSite, stack: str, kept: KeptManifest, plan: Plan, ports: ReleasePorts, progress: Progress) -> None:  # noqa: PLR0917 - one run's whole surroundings
        self.site, self.stack, self.kept, self.plan, self.ports, self.progress = site, stack, kept, plan, ports, progress
        self.gate: tuple[GateLine, ...] = ()
        self.deployed: RunResult | None = None
        self.proof: SmokeReport | None = None

    def proof_on_record(self) -> SmokeReport | None:
        """Return the newest proof of this deployment: one that failed is not asked again, the deployment is taken back."""
        since = max((one.ended_at or one.begun_at for one in _own(self.plan, self.ports)), default=None)
        for _, receipt in reversed(self.ports.apply.receipts.load()):
            if receipt.capability == SMOKE and receipt.step == f"{self.stack}/production" and receipt.phase == "result":
                report = SmokeReport.model_validate({**(receipt.told or {}), "run": receipt.key})
                is_of_it = since is not None and receipt.at >= since and report.manifest == self.kept.manifest.digest
                return report if is_of_it else None
        return None

    def take_back(self, why: str) -> ReleaseResult:
        """Take the deployment back, prove what ran before, and say what it came to."""
        own = _own(self.plan, self.ports)
        before = former(self.site, self.stack, "production", own[0].run, self.ports)
        back = WayBack(
            stack=self.stack,
            environment="production",
            hosts=tuple(before),
            leaves=self.kept.name,
            to=next((one.manifest_name for one in before.values()), None),
            runs=(own[0].run,),
            not_undone=not_undone(self.site.files, self.stack, own),
            going_on=True,
        )
        self.progress(f"{self.kept.name} is taken back: {why}")
        for line in back.not_undone:
            self.progress(f"not undone by that: {line}")
        returned = take_back(self.site, self.stack, "production", own[0].run, self.ports, progress=self.progress)
        told = (f"{self.kept.name} was taken back by itself: {why}", *(self.deployed.messages if self.deployed is not None else ()))
        if returned.outcome != "rolled-back":
            outcome = "interrupted" if returned.outcome == "interrupted" else "failed"
            return self.result(outcome, (*told, *returned.messages), (returned,))
        proven = proven_back(self.site, back, [returned], self.ports, progress=self.progress)
        left = tuple(f"not undone: {line}" for line in back.not_undone)
        return self.result(proven.outcome, (*told, *proven.messages, *left), (returned,))

    def result(self, outcome: str, messages: Sequence[str], returned: tuple[RunResult, ...] = ()) -> ReleaseResult:
        """Return what the promotion came to."""
        said = {"stack": self.stack, "environment": "production", "manifest": self.kept.name, "outcome": outcome, "gate": self.gate}
        more = {"deployed": self.deployed, "proof": self.proof, "returned": returned, "messages": tuple(messages)}
        return ReleaseResult.model_validate({**said, **more})
