"""wave run, resume: carry out the wave's approved plan, host after host, and look after each step.

Rules:
- Window, approval, undo and backup are asked right before, and the window once more before each step: one that ends stops the run before the next
  step, which a later window goes on with.
- Before each step the store is asked whether this is still the wave's holder: who was taken over begins nothing more. What a step does on a host is
  fenced there by the host's own lease.
- After each step the wave's pack is judged. It never hides a failure and never undoes one: the receipt of the step says what became of it.
- A host whose step failed is carved out with a receipt; the others go on, up to the failure limit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

from controlplane.domain.coordination import WaveHeld
from controlplane.domain.errors import RefusedError
from controlplane.domain.plan import Plan, Step
from controlplane.domain.receipt import open_intents
from controlplane.domain.run_result import RunResult
from controlplane.domain.waves.gates import judge_gates
from controlplane.domain.waves.order import stop_before
from controlplane.domain.waves.record import Carved, WaveRecord
from controlplane.domain.waves.values import Wave
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.apply_plan import apply_plan
from controlplane.usecases.look_at_wave import case_of, opening_now, pack_ran
from controlplane.usecases.open_wave import refuse_shut
from controlplane.usecases.record_run import STAMP
from controlplane.usecases.run_gates import run_gates
from controlplane.usecases.wave_ports import TTL, WavePorts, WaveSite, held_wave, last_run_of, put_on_record


def run_wave(name: str, site: WaveSite, ports: WavePorts, *, progress: Callable[[str], None]) -> RunResult:
    """Run the wave's last plan, or go on with it. Raises `RefusedError`, `UnknownError`: then nothing was changed."""
    wave = site.wave(name)
    sound_chain(ports.apply.receipts, now=ports.apply.clock.now())
    held, record = held_wave(name, ports, site.operator)
    planned = record.last_plan
    if planned is None or (planned.run is not None and not _is_open(planned.plan, ports)):
        raise RefusedError(f"wave {name} has no plan that did not run yet. Nothing was changed. Make one: controlplane wave plan {name}")
    plan = ports.apply.plans.get(planned.plan)
    refuse_outside(name, wave, plan)
    judged = judge_gates(wave, "entry", case_of(wave, record, site, ports, look=None, plan=plan, planned=planned), at_run=True)
    refuse_shut(f"wave {name} does not run", judged)
    held = ports.waves.write(held, state="running", record=record.plain(), now=ports.apply.clock.now())
    course = _Course(name, wave, site, ports, held, record, progress)
    result = apply_plan(plan, site.view, operator=site.operator, ports=ports.apply, progress=progress, course=course)
    _conclude(course, plan, result)
    return result


def resume_wave(name: str, site: WaveSite, ports: WavePorts) -> WaveHeld:
    """Take a wave over whose holder's lease is over, or go on with one's own, from what the store holds. Raises `RefusedError`."""
    sound_chain(ports.apply.receipts, now=ports.apply.clock.now())
    held = ports.waves.find(name)
    if held is None or held.ended_at is not None:
        raise RefusedError(f"wave {name} is not open. Nothing was changed. Open it: controlplane wave open {name}")
    taken = ports.waves.take(
        name,
        state=held.state,
        mutating=held.mutating,
        holder=site.operator,
        record=held.record,
        now=ports.apply.clock.now(),
        ttl=TTL,
        knows=held,
    )
    if held.holder != site.operator:
        put_on_record("resume", name, site, ports, told={"from": held.holder, "token": taken.token, "state": held.state})
    return taken


def refuse_outside(name: str, wave: Wave, plan: Plan) -> None:
    """Raise `RefusedError` where a plan reaches beyond the wave's scope, however it came there."""
    told = [f"{step.id} is on {step.host}, which the wave does not change" for step in plan.steps if step.host not in wave.hosts]
    told += [f"{step.id} uses {step.capability}, which the wave may not" for step in plan.steps if step.capability not in wave.capabilities]
    if wave.mutation != "controlled":
        told.append(f"the wave changes no machine (mutation: {wave.mutation})")
    if told:
        raise RefusedError(f"plan {plan.plan[:19]} is outside of wave {name}: {'; '.join(told)}. Nothing was changed. Make a new one.")


class _Course:
    """The course of one run of a wave."""

    def __init__(  # noqa: PLR0917 - one run's whole surroundings
        self, name: str, wave: Wave, site: WaveSite, ports: WavePorts, held: WaveHeld, record: WaveRecord, progress: Callable[[str], None]
    ) -> None:
        self.name, self.wave, self.site, self.ports, self.progress = name, wave, site, ports, progress
        self.held, self.record = held, record
        self.failed: dict[str, str] = {}

    def ordered(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """Return the steps host by host, in the wave's order."""
        return tuple(sorted(steps, key=lambda step: self.wave.hosts.index(step.host)))

    def pause(self, step: Step) -> str | None:  # noqa: ARG002 - the protocol's signature
        """Say whether the window is over, or somebody else has the wave."""
        now = self.ports.apply.clock.now()
        closed = opening_now(self.wave, self.site, now)[1]
        if closed is not None:
            return f"{closed}. Go on with it then: controlplane wave run {self.name}"
        try:
            self.held = self.ports.waves.renew(self.held, now=now, ttl=TTL)
        except RefusedError as lost:
            return str(lost)
        return None

    def give_up(self, step: Step, failed: Collection[str]) -> str | None:
        """Say whether too many hosts failed before this one."""
        return stop_before(self.wave, step.host, self.wave.hosts, failed)

    def after(self, step: Step, failure: str | None) -> None:
        """Judge the pack, and keep what it found with the wave."""
        if failure is not None:
            self.failed[step.host] = failure
        if self.wave.pack is None:
            return
        self.progress(f"pack {self.wave.pack} after {step.id}")
        report = run_gates(
            self.site.view,
            pack=self.wave.pack,
            hosts=self.wave.seen,
            operator=self.site.operator,
            ports=self.ports.gates,
            more=self.wave.checks,
        )
        self.write(self.record.model_copy(update={"packs": (*self.record.packs, pack_ran(report, step.id))}), state="running")

    def write(self, record: WaveRecord, *, state: str) -> None:
        """Keep the record with the wave."""
        self.record = record
        self.held = self.ports.waves.write(self.held, state=state, record=record.plain(), now=self.ports.apply.clock.now())


def _conclude(course: _Course, plan: Plan, result: RunResult) -> None:
    """Carve out the hosts that failed, and keep with the wave how its plan ended."""
    record, planned = course.record, course.record.last_plan
    now = course.ports.apply.clock.now().strftime(STAMP)
    for host, reason in course.failed.items():
        key = put_on_record(
            "carve", course.name, course.site, course.ports, host=host, outcome="failed", reason=reason, told={"plan": plan.plan, "run": result.run}
        )
        record = record.model_copy(update={"carved": (*record.carved, Carved(host=host, at=now, reason=reason, receipt=key))})
    approvals = course.ports.apply.approvals
    if course.site.view.approval == "none" and result.run is not None and approvals.find(plan.plan, at=_begun(result.run)) is not None:
        # The site asks for none and the wave did: it serves one run all the same.
        approvals.use(plan.plan, result.run)
    if planned is not None:
        record = record.with_plan(planned.model_copy(update={"run": result.run or last_run_of(plan.plan, course.ports), "outcome": result.outcome}))
    course.write(record, state="running" if result.outcome == "interrupted" else "changed")


def _begun(run: str) -> datetime:
    """Return when a run began: its key begins with its time."""
    return datetime.strptime(run[4:19], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)


def _is_open(plan: str, ports: WavePorts) -> bool:
    chain = [receipt for _, receipt in sound_chain(ports.apply.receipts, now=ports.apply.clock.now())]
    return any(receipt.plan == plan for receipt in open_intents(chain))
