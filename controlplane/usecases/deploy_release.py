"""release stage, release promote: bring a planned release to an environment, and for production prove it, or take it back.

Rules:
- Production is changed only through an open gate, or to end what began through one: a host's ready receipt ends with its first change. A later
  attempt of a run asks the gate again, before the first host that was not begun.
- Before anything is changed each host says whether what runs there could come back; without that the gate is shut.
- A deployment to production that fails, or whose smoke tests do not all pass or can't be run, is taken back at once, and that is said.
- A host that belongs to a wave that is not ended is left to it: asked before anything begins, and before each host once more. The way back of a
  promotion that failed waits for no wave.
- The stack is held in its environment the whole time (hold_release.py): two verbs never take turns between a deployment and its proof.
- How the site stood before is looked at once the gate is open, no wave is in the way, and the plan's own guards hold that need no look. It goes on
  record when the others hold too, before the first host is begun (begin_release.py).
- Interrupted anywhere, the same command goes on: with the deployment, the proof, or the way back (promotion_state.py).
- Once it is proven the plan is finished: run again it changes nothing, however a later smoke run ended.
- A deployment that failed, and is seen to be there on fresh evidence, is put on record as done; it is not brought twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controlplane.domain.errors import ControlPlaneError, InterruptedRunError, RefusedError, UnknownError
from controlplane.domain.finding import Verdict
from controlplane.domain.plan import Plan, Step
from controlplane.domain.releases.gate import GateLine, is_open
from controlplane.domain.releases.history import Deployed, Deployment
from controlplane.domain.releases.result import ReleaseResult
from controlplane.domain.releases.smoke import SmokeReport
from controlplane.domain.releases.values import ReleaseSpec
from controlplane.domain.run_key import make_run_key
from controlplane.domain.run_result import RunResult
from controlplane.ports.releases import KeptManifest
from controlplane.usecases.apply_plan import apply_plan
from controlplane.usecases.ask_release import asked_of_hosts
from controlplane.usecases.begin_release import look_before
from controlplane.usecases.hold_release import HeldRelease, held_release
from controlplane.usecases.hosts_in_wave import refuse_in_wave, wave_line
from controlplane.usecases.interrupted_run import open_run, way_back_command
from controlplane.usecases.judge_promotion import judge_promotion
from controlplane.usecases.promotion_state import finished, left_of, loaded, not_proven, own_of, proof_of, reached
from controlplane.usecases.record_run import WHOLE, Ledger, with_status
from controlplane.usecases.release_case import (
    Progress,
    ReleaseCourse,
    ReleasePorts,
    ReleaseSite,
    brought,
    environment_of,
    history,
    manifest_of,
    planned,
    shut,
    stricter,
)
from controlplane.usecases.release_way_back import WayBack, not_undone
from controlplane.usecases.return_release import former, proven_back, take_back
from controlplane.usecases.wave_ports import without_end


def stage_release(site: ReleaseSite, stack: str, plan: Plan, ports: ReleasePorts, *, command: str, progress: Progress) -> ReleaseResult:
    """Bring a plan to staging, or go on with it. `command` is how. Raises `RefusedError`, `UnknownError`: then nothing was changed."""
    with held_release(site, stack, "staging", "stage", ports) as held:
        return _stage(site, stack, plan, held, command=command, progress=progress)


def _stage(site: ReleaseSite, stack: str, plan: Plan, held: HeldRelease, *, command: str, progress: Progress) -> ReleaseResult:
    ports = held.ports
    kept, view = planned(site, stack, "staging", plan)
    hosts = environment_of(site, stack, "staging")[1].hosts
    course = ReleaseCourse(command, hosts, held, ports.waves, lambda _: None, _way_back(plan, ports))
    _refuse_in_wave(plan, f"{kept.name} is not staged", course, ports)
    course.begins = look_before(site, stack, "staging", plan, ports, view=view)
    result = apply_plan(plan, view, operator=site.operator, ports=ports.apply, progress=progress, course=course)
    if result.outcome == "done" and result.run is None:
        _found_done(plan, history(site, stack, "staging", loaded(ports), ports.apply), site, ports)
    outcome = result.outcome if result.outcome in ("done", "interrupted") else "failed"
    said = {"stack": stack, "environment": "staging", "manifest": kept.name, "outcome": outcome, "messages": result.messages}
    return ReleaseResult.model_validate({**said, "deployed": result})


def promote_release(site: ReleaseSite, stack: str, plan: Plan, ports: ReleasePorts, *, command: str, progress: Progress) -> ReleaseResult:
    """Bring a plan to production through the gate, prove it, and take it back where it is not proven; or go on with that.

    Raises `RefusedError`, `UnknownError`: then nothing was changed.
    """
    with held_release(site, stack, "production", "promote", ports) as held:
        return _promote(site, stack, plan, held, command=command, progress=progress)


def _promote(site: ReleaseSite, stack: str, plan: Plan, held: HeldRelease, *, command: str, progress: Progress) -> ReleaseResult:
    ports = held.ports
    spec, environment = environment_of(site, stack, "production")
    site = stricter(site, spec)
    at = reached(site, stack, plan, ports)
    course = _Promotion(site, stack, plan, held, progress, command)
    if at.next == "back":
        return course.take_back(at.why)
    if at.next == "prove":
        return course.prove()
    if at.next == "nothing":
        course.proof = at.proof.report if at.proof is not None else None
        return course.result("done", finished(plan, stack, at))
    kept = manifest_of(site, stack, "production", plan)
    course.begun = at.begun
    by = ReleaseCourse(command, environment.hosts, held, ports.waves, lambda step: course.waits(step, spec, kept), _way_back(plan, ports))
    # As `waits` does it: what was begun is ended at any time.
    by.shuts = lambda at: None if course.begun else shut(spec.promotion.windows, site, at)
    if not course.begun:
        # Whoever took it back on a host itself, or changed it by hand, has to come through the gate again; so has a run that began nothing yet.
        course.gate = course.judged(kept)
        before = f" It was carried out before, and proven by {at.proof.receipt.key}." if at.proof is not None else ""
        refuse_shut(course.gate, f"{kept.name} is not promoted", f"{before}{_open_and_empty(at.run)}")
    else:
        _refuse_in_wave(plan, f"{kept.name} is not promoted further", by, ports)
    # Files with faults shut the gate before this; what was begun is not ended by them either.
    view = site.view.releasing(brought(site, stack, "production", kept))
    by.begins = look_before(site, stack, "production", plan, ports, view=view)
    course.deployed = apply_plan(plan, view, operator=site.operator, ports=ports.apply, progress=progress, course=by)
    if course.deployed.outcome == "interrupted":
        return course.result("interrupted", course.deployed.messages)
    if course.deployed.outcome != "done":
        return course.take_back("its deployment failed") if own_of(site, stack, plan, ports) else course.result("failed", course.deployed.messages)
    return course.prove()


def refuse_shut(gate: Sequence[GateLine], what: str, then: str = "") -> None:
    """Raise `RefusedError` where a line of the gate does not hold, `UnknownError` where one could not be told; `then` ends what they say."""
    if is_open(gate):
        return
    told = "\n  ".join(_missing(gate))
    unknown = any(line.verdict is Verdict.UNKNOWN for line in gate)
    raise (UnknownError if unknown else RefusedError)(f"{what}, its gate is shut:\n  {told}\nNothing was changed.{then}")


def _missing(gate: Sequence[GateLine]) -> list[str]:
    return [f"{line.name}: {line.reason}{f'    ({line.next})' if line.next else ''}" for line in gate if line.verdict is not Verdict.MET]


def _open_and_empty(run: str | None) -> str:
    """Return what there is to do with a run that is on record and began nothing; nothing without one."""
    if run is None:
        return ""
    return f" Run {run} is open and began nothing yet: mend that and run this again, or close it: controlplane rollback {run}"


def _refuse_in_wave(plan: Plan, what: str, course: ReleaseCourse, ports: ReleasePorts) -> None:
    """Raise `RefusedError` where a host that is still to be changed belongs to a wave."""
    run = open_run(plan, ports.apply.receipts)
    refuse_in_wave(left_of(plan, ports), ports.waves, what=what, then="" if run is None else f" {course.go_on(run)}")


def _found_done(plan: Plan, found: Deployed, site: ReleaseSite, ports: ReleasePorts) -> None:
    """Put on record as done what an earlier run left as failed, or did not come to, and was just seen to be there on fresh evidence.

    Nothing was changed for it, so no second witness was asked: its reason says so.
    """
    current = {host.host: host.current for host in found.hosts if host.failed is None}
    missing = [step for step in plan.steps if (held := current.get(step.host)) is None or held.plan != plan.plan]
    if not missing:
        return
    apply = ports.apply
    run = make_run_key(WHOLE, apply.clock.now(), apply.entropy.four_hex())
    ledger = Ledger(apply.receipts, apply.clock, run=run, site=site.view.name, plan=plan.plan, policy=site.view.policy_digest, operator=site.operator)
    ledger.intend(run, host="*", capability=WHOLE, step="*")
    for step in missing:
        key = make_run_key(step.capability, apply.clock.now(), apply.entropy.four_hex())
        ledger.intend(key, host=step.host, capability=step.capability, step=step.id)
        reason = "it did not end well, or was not begun, and was found to be there on fresh evidence; no second witness was asked"
        changes = with_status(step, "done")
        ledger.close(key, host=step.host, capability=step.capability, step=step.id, outcome="done", reason=reason, changes=changes)
    ledger.close(run, host="*", capability=WHOLE, step="*", outcome="done", changes=tuple(c for step in missing for c in with_status(step, "done")))


def _way_back(plan: Plan, ports: ReleasePorts) -> Callable[[str], str]:
    """Return what gives the command that takes a run of the plan back, as the receipts are then."""
    return lambda run: way_back_command(run, plan, loaded(ports))


class _Promotion:
    """One promotion, from its gate to its proof, or back. `begun` is what the run that goes on began, when that was last asked."""

    def __init__(  # noqa: PLR0917 - one run's whole surroundings
        self, site: ReleaseSite, stack: str, plan: Plan, held: HeldRelease, progress: Progress, command: str
    ) -> None:
        self.site, self.stack, self.plan, self.held, self.progress, self.command = site, stack, plan, held, progress, command
        self.ports = held.ports
        self.name = str(plan.steps[0].variables.get("compose_stack_manifest_name", "it")) if plan.steps else "it"
        self.begun: tuple[Deployment, ...] = ()
        self.gate: tuple[GateLine, ...] = ()
        self.deployed: RunResult | None = None
        self.proof: SmokeReport | None = None

    def waits(self, step: Step, spec: ReleaseSpec, kept: KeptManifest) -> str | None:
        """Return why a host may not be begun now, None where it may. What was begun is ended: half of it runs already."""
        if step.host in {one.host for one in self.begun}:
            return None
        told = shut(spec.promotion.windows, self.site, self.ports.apply.clock.now())
        if told is not None or self.gate:
            return told
        try:
            self.gate = self.judged(kept)
        except InterruptedRunError:
            raise
        except ControlPlaneError as error:
            return f"its gate could not be judged: {without_end(str(error))}"
        return None if is_open(self.gate) else f"its gate is shut: {'; '.join(_missing(self.gate))}"

    def judged(self, kept: KeptManifest) -> tuple[GateLine, ...]:
        """Return the gate; where all else holds, with what each host that was not begun says of the way back."""
        # By now this attempt began more: what failed is tried again by a key of its own, which must not stand in the way of the rest either.
        run = open_run(self.plan, self.ports.apply.receipts)
        self.begun = tuple(one for one in own_of(self.site, self.stack, self.plan, self.ports) if one.run == run)
        judged = judge_promotion(self.site, self.stack, kept, self.plan, self.ports, begun=self.begun)
        lines = (*judged, wave_line(left_of(self.plan, self.ports), self.ports.waves))
        if not is_open(lines):
            return lines
        begun = [one.host for one in self.begun]
        said = asked_of_hosts(self.site, self.plan, self.ports, progress=self.progress, besides=begun)
        return (*lines, *(one.way_back for one in said))

    def prove(self) -> ReleaseResult:
        """Run the smoke tests, unless that was done since; what is not proven is taken back."""
        known = proof_of(self.stack, own_of(self.site, self.stack, self.plan, self.ports), loaded(self.ports))
        self.proof = known.report if known is not None else None
        if self.proof is None:
            self.progress(f"smoke tests of {self.stack} in production")
            try:
                self.proof = self.ports.prove(self.stack, "production", progress=self.progress)
            except InterruptedRunError as stop:
                return self.result("interrupted", (f"{self.name} is deployed and not proven: {stop}", f"Go on: {self.command}"))
            except ControlPlaneError as error:
                return self.take_back(f"its behaviour could not be proven: {without_end(str(error))}")
        if self.proof.passed:
            return self.result("done", self.deployed.messages if self.deployed is not None else ())
        return self.take_back(not_proven(self.proof.run))

    def take_back(self, why: str) -> ReleaseResult:
        """Take the deployment back, prove what ran before, and say what it came to."""
        lost = self.held.lost()
        if lost is not None:
            told = f"{self.name} does not stand: {why}; it was not taken back from here: {lost}"
            return self.result("interrupted", (told, f"Go on: {self.command}"))
        own = own_of(self.site, self.stack, self.plan, self.ports)
        before = former(self.site, self.stack, "production", own[0].run, self.ports)
        back = WayBack(
            stack=self.stack,
            environment="production",
            hosts=tuple(dict.fromkeys(one.host for one in own)),
            leaves=self.name,
            to=", ".join(dict.fromkeys(one.manifest_name for one in before.values())) or None,
            images={},
            runs=(own[0].run,),
            not_undone=not_undone(self.site.files, self.stack, own),
        )
        self.progress(f"{self.name} goes back: {why}")
        for line in back.not_undone:
            self.progress(f"not undone by that: {line}")
        deployed = self.deployed.messages if self.deployed is not None else ()
        try:
            returned = take_back(self.site, self.stack, "production", own[0].run, self.ports, progress=self.progress)
        except ControlPlaneError as error:
            told = f"{self.name} does not stand: {why}; it could not be taken back: {without_end(str(error))}"
            return self.result("failed", (told, *deployed, f"Go on: {self.command}"))
        if returned.outcome != "rolled-back":
            outcome = "interrupted" if returned.outcome == "interrupted" else "failed"
            told = f"{self.name} does not stand: {why}; its way back is not at its end"
            return self.result(outcome, (told, *deployed, *returned.messages, f"Go on: {self.command}"), (returned,))
        proven = proven_back(self.site, back, [returned], self.ports, progress=self.progress)
        left = tuple(f"not undone: {line}" for line in back.not_undone)
        return self.result(proven.outcome, (f"{self.name} was taken back by itself: {why}", *deployed, *proven.messages, *left), (returned,))

    def result(self, outcome: str, messages: Sequence[str], returned: tuple[RunResult, ...] = ()) -> ReleaseResult:
        """Return what the promotion came to."""
        said = {"stack": self.stack, "environment": "production", "manifest": self.name, "outcome": outcome, "gate": self.gate}
        more = {"deployed": self.deployed, "proof": self.proof, "returned": returned, "messages": tuple(dict.fromkeys(messages))}
        return ReleaseResult.model_validate({**said, **more})
