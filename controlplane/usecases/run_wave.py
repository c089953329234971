"""wave run, resume: carry out the wave's approved plan, host after host, and look after each step.

Rules:
- Window, approval, undo and backup are asked right before, and the window once more before each step: one that ends stops the run before the next
  step, which a later window goes on with.
- The run takes the approval that the wave demands, also of a site that demands none: its intent names it, and covers whoever goes on with it.
- Before each step the store is asked whether this is still the wave's holder: who was taken over begins nothing more. What a step does on a host is
  fenced there by the host's own lease, and a step that is refused there for that is left to the new holder, neither failed nor carved out.
- After each step the wave's pack is judged. It never hides a failure and never undoes one: the receipt of the step says what became of it. Where it
  could not be, or a kill came before, no further step begins until it was.
- A host whose step failed is carved out with a receipt, and no later run of the wave begins it again; the others go on, up to the failure limit.
  The pack is judged without it from then on: it keeps no other from closing.
- What a run has come to is read from the receipts, so that a kill before the store knew of it loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from controlplane.domain.coordination import WaveHeld, moment_of
from controlplane.domain.coordination_rules import taken_over
from controlplane.domain.errors import ControlPlaneError, RefusedError, RunFailedError
from controlplane.domain.plan import Plan, Step
from controlplane.domain.receipt import Receipt
from controlplane.domain.run_result import RunResult
from controlplane.domain.waves.gates import judge_gates
from controlplane.domain.waves.order import stop_before
from controlplane.domain.waves.record import Planned, WaveRecord, record_of
from controlplane.domain.waves.trail import settled
from controlplane.domain.waves.values import AT_RUN, Wave
from controlplane.domain.waves.verified import awaits_pack
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.apply_plan import apply_plan
from controlplane.usecases.interrupted_run import how_to_go_on
from controlplane.usecases.look_at_wave import hosts_of_pack, pack_ran
from controlplane.usecases.open_wave import refuse_shut
from controlplane.usecases.run_gates import run_gates
from controlplane.usecases.settle_wave import caught_up, refuse_closed, state_of, with_carved
from controlplane.usecases.wave_case import case_of, demanded_of, governed, opening_now
from controlplane.usecases.wave_ports import TTL, WavePorts, WaveSite, begin_entry, held_wave, loaded, refuse_other_files, without_end


def run_wave(name: str, site: WaveSite, ports: WavePorts, *, progress: Callable[[str], None]) -> RunResult:
    """Run the wave's last plan, or go on with it. Raises `RefusedError`, `UnknownError`: then nothing was changed."""
    wave = governed(site.wave(name), site.view)
    unsettled = held_wave(name, ports, site.operator)[0].state == "running"
    held, record = caught_up(name, site, ports)
    refuse_closed(f"wave {name} does not run", name, record, loaded(ports))
    planned = record.last_plan
    if planned is not None and unsettled and held.state == "changed" and planned.outcome in ("done", "failed"):
        return _ended_before(planned, loaded(ports))
    if planned is None or not (planned.waits or planned.is_open):
        raise RefusedError(f"wave {name} has no plan that did not run yet. Nothing was changed. Make one: controlplane wave plan {name}")
    plan = ports.apply.plans.get(planned.plan)
    refuse_other_files(f"wave {name} does not run", name, site, record)
    refuse_outside(name, wave, plan, site)
    # First of all, so that the store has seen this time whatever is said of it: a clock that is set back revives neither window nor approval.
    held, now = _renewed(held, ports)
    case = case_of(name, wave, record, site, ports, look=None, plan=plan, planned=planned, now=now)
    judged = judge_gates(wave, "entry", case, at_run=True)
    refuse_shut(f"wave {name} does not run", judged, "Nothing was changed.")
    record = record.model_copy(update={"entry": (*(one for one in record.entry if one.kind not in AT_RUN), *judged)})
    course = _Course(name, wave, site, ports, held, record, progress)
    stricter = site.view.model_copy(update={"approval": demanded_of(wave, site)})
    result = apply_plan(plan, stricter, operator=site.operator, ports=ports.apply, progress=progress, course=course)
    return course.conclude(result)


def resume_wave(name: str, site: WaveSite, ports: WavePorts) -> WaveHeld:
    """Take a wave over whose holder's lease is over, or go on with one's own, from what the store holds. Raises `RefusedError`."""
    sound_chain(ports.apply.receipts, now=ports.apply.clock.now())
    held = ports.waves.find(name)
    if held is None or held.ended_at is not None:
        raise RefusedError(f"wave {name} is not open. Nothing was changed. Open it: controlplane wave open {name}")
    entry = begin_entry("resume", name, site, ports) if held.holder != site.operator else None
    try:
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
    except RefusedError as lost:
        if entry is not None:
            entry.close(outcome="refused", reason=str(lost))
        raise
    if entry is not None:
        entry.close(told={"from": held.holder, "token": taken.token, "state": held.state})
    return taken


def refuse_outside(name: str, wave: Wave, plan: Plan, site: WaveSite) -> None:
    """Raise `RefusedError` where a plan reaches beyond the wave's scope, however it came there.

    A hypervisor that the policy does not govern no wave could name: a machine on it is in scope by the machine itself.
    """
    told = [f"{step.id} is on {step.host}, which the wave does not change" for step in plan.steps if step.host not in wave.hosts]
    governed_hosts = site.view.desired.by_name()
    told += [
        f"{step.id} works on {step.target}, which the wave does not change (name it among its hosts, in a wave that is opened anew)"
        for step in plan.steps
        if step.target not in (step.host, *wave.hosts) and step.target in governed_hosts
    ]
    told += [f"{step.id} uses {step.capability}, which the wave may not" for step in plan.steps if step.capability not in wave.capabilities]
    if wave.mutation != "controlled":
        told.append(f"the wave changes no machine (mutation: {wave.mutation})")
    if told:
        raise RefusedError(
            f"plan {plan.plan[:19]} is outside of wave {name}: {'; '.join(told)}. Nothing was changed. Make a new one: controlplane wave plan {name}"
        )


def _renewed(held: WaveHeld, ports: WavePorts) -> tuple[WaveHeld, datetime]:
    """Renew the wave's lease; return it and the site's time, which no controller's clock sets back. Raises `RefusedError`."""
    now = ports.apply.clock.now()
    renewed = ports.waves.renew(held, now=now, ttl=TTL)
    return renewed, max(now, moment_of(renewed.expires_at) - TTL)


def _ended_before(planned: Planned, chain: Sequence[Receipt]) -> RunResult:
    """Return the result of a run that ended and was not on the wave's record yet."""
    mine = [one for one in chain if one.run == planned.run and one.undoes is None]
    whole = next(one for one in reversed(mine) if one.step == "*" and one.phase == "result")
    return RunResult(
        run=planned.run,
        receipts=tuple(dict.fromkeys(one.key for one in mine)),
        plan=planned.plan,
        outcome=whole.outcome or "interrupted",
        changed=whole.changes,
        verify=None,
        remaining=(),
        downtime_s=whole.downtime_s,
        messages=(f"run {planned.run} had ended before ({whole.outcome}); now the wave has it on record. Nothing more was changed.",),
    )


class _Course:
    """The course of one run of a wave. `trouble` is what kept the wave's record from being written; then no further step begins."""

    def __init__(  # noqa: PLR0917 - one run's whole surroundings
        self, name: str, wave: Wave, site: WaveSite, ports: WavePorts, held: WaveHeld, record: WaveRecord, progress: Callable[[str], None]
    ) -> None:
        self.name, self.wave, self.site, self.ports, self.progress = name, wave, site, ports, progress
        self.held, self.record = held, record
        self.trouble: str | None = None
        # Whether the pack was judged after whatever an earlier run, or an earlier attempt of this one, did last.
        self._made_good = False

    def ordered(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """Return the steps host by host, in the wave's order."""
        return tuple(sorted(steps, key=lambda step: self.wave.hosts.index(step.host)))

    def go_on(self, run: str) -> str:
        """Name the wave's own verb, 'apply' would ask neither window nor store; none where the run went over to somebody else."""
        if self.taken_over() is not None:
            return f"Run {run} is no longer led from here. What becomes of it: controlplane wave status {self.name}"
        return how_to_go_on(run, f"controlplane wave run {self.name}")

    def anew(self, plan: Plan) -> str:  # noqa: ARG002 - the protocol's signature
        """Name the wave's own verb: nothing else is applied to its hosts."""
        return f"controlplane wave plan {self.name}"

    def shut(self, at: datetime) -> str | None:
        """Return why none of the wave's windows is open at that time."""
        return opening_now(self.wave, self.site, at)[1]

    def begin(self) -> None:
        """Ask store and chain once more, right before the run's intent: hosts are looked at for minutes, and the wave may have ended meanwhile."""
        gone = taken_over(self.held, self.ports.waves.find(self.name))
        if gone is not None:
            then = f"Nothing was changed. What became of it: controlplane wave status {self.name}"
            raise RefusedError(f"wave {self.name} does not run: {without_end(gone)} {then}")
        refuse_closed(f"wave {self.name} does not run", self.name, self.record, loaded(self.ports))

    def pause(self, step: Step, run: str) -> str | None:  # noqa: ARG002 - the protocol's signature
        """Say whether the window is over, or somebody else has the wave; put the run on the wave's record before its first step."""
        if self.trouble is not None:
            return self.trouble
        try:
            closed = self._shut()
            if closed is None:
                self._begun(run)
                # A run of the pack takes its time, and the window may be over by then.
                closed = self._shut() if self._make_good() else None
        except ControlPlaneError as lost:
            return self.taken_over() or without_end(str(lost))
        return closed

    def taken_over(self) -> str | None:
        """Ask the store whether somebody else has the wave. One that can't be asked takes nothing away: the next write finds that out."""
        try:
            return taken_over(self.held, self.ports.waves.find(self.name))
        except ControlPlaneError:
            return None

    def give_up(self, step: Step, failed: Collection[str]) -> str | None:
        """Say whether the host was carved out before, or too many failed before this one."""
        out = next((one for one in self.record.carved if one.host == step.host), None)
        if out is not None:
            return f"it was carved out of the wave, {out.receipt}"
        return stop_before(self.wave, step.host, self.wave.hosts, {*failed, *self.record.out})

    def after(self, step: Step, failure: str | None) -> None:
        """Carve out a host that failed, judge the pack, and keep what it found with the wave."""
        ended = f"{step.id} ended and its receipt says how, but what followed it did not"
        gone = self.taken_over()
        if gone is not None:
            self.trouble = f"{ended}: {gone}"
            return
        try:
            if failure is not None:
                self._write(with_carved(self.name, self._settled(), self.site, self.ports))
            self._judge_pack(step.id)
        except ControlPlaneError as error:
            # The step itself is on record; the next one finds that out before it begins.
            self.trouble = f"{ended}: {without_end(str(error))}"

    def _judge_pack(self, after: str) -> None:
        if self.wave.pack is None:
            return
        self.progress(f"pack {self.wave.pack} after {after}")
        hosts = hosts_of_pack(self.wave, self.record.out)
        report = run_gates(
            self.site.view, pack=self.wave.pack, hosts=hosts, operator=self.site.operator, ports=self.ports.gates, more=self.wave.checks
        )
        self._write(self.record.model_copy(update={"packs": (*self.record.packs, pack_ran(report, after))}))

    def _make_good(self) -> bool:
        """Judge the pack for the step that ended last, where nobody did: a kill came between, or it could not be judged then. Say whether it was."""
        if self._made_good or self.wave.pack is None:
            return False
        plans = [one.plan for one in self.record.plans]
        last = awaits_pack(loaded(self.ports), plans=plans, packs=self.record.packs)
        if last is not None:
            self._judge_pack(last.step)
        self._made_good = True
        return last is not None

    def _shut(self) -> str | None:
        """Renew the wave's lease, and return why no window is open, None where one is. Raises `RefusedError` where somebody else has the wave."""
        self.held, now = _renewed(self.held, self.ports)
        return self.shut(now)

    def conclude(self, result: RunResult) -> RunResult:
        """Keep with the wave how its plan ended. Raises `RunFailedError` where it can't be: the receipts say it all the same."""
        if result.outcome == "interrupted" and self.taken_over() is not None:
            return result
        try:
            self._read_again()
            self._write(with_carved(self.name, self._settled(), self.site, self.ports))
        except ControlPlaneError as error:
            told = f"run {result.run} is {result.outcome}, as its receipts say, and the wave's record does not know it yet: {without_end(str(error))}"
            if result.outcome != "interrupted":
                raise RunFailedError(told) from error
            # What kept it from going on was told already, and is what keeps this from being written.
            return result if self.trouble is not None else result.model_copy(update={"messages": (*result.messages, told)})
        # What followed the last step is made good by closing the wave; the person is told all the same.
        return result if self.trouble is None else result.model_copy(update={"messages": (*result.messages, self.trouble)})

    def _begun(self, run: str) -> None:
        """Put the run on the wave's record."""
        planned = self.record.last_plan
        if planned is not None and planned.run != run:
            self._write(self._settled())

    def _read_again(self) -> None:
        """Take what the store holds of this very taking: an interruption may have come after a write and before its answer."""
        latest = self.ports.waves.find(self.name)
        if latest is not None and latest.token == self.held.token:
            self.held, self.record = latest, record_of(latest.record)

    def _settled(self) -> WaveRecord:
        return settled(self.record, loaded(self.ports))

    def _write(self, record: WaveRecord) -> None:
        self.held = self.ports.waves.write(self.held, state=state_of(record), record=record.plain(), now=self.ports.apply.clock.now())
        self.record = record
