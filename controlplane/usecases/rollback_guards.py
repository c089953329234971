"""Which steps a run key stands for, and what has to hold before they may go back."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence

from controlplane.domain.capabilities import CAPABILITIES, purge_retired, release_deploy
from controlplane.domain.coordination import WaveHeld
from controlplane.domain.errors import Fault, InputInvalidError, RefusedError
from controlplane.domain.evidence import Evidence, Reader, Unobserved, Unreached
from controlplane.domain.plan import Change, Plan, Step
from controlplane.domain.receipt import Receipt, open_intents, undone_keys
from controlplane.domain.releases.bringing import brings
from controlplane.domain.releases.standing import stands_on
from controlplane.domain.run_key import is_run_key
from controlplane.domain.site_view import SiteView
from controlplane.domain.waves.record import record_of
from controlplane.usecases.hosts_in_wave import Attempts
from controlplane.usecases.interrupted_run import ends_as, named_first, way_back_command
from controlplane.usecases.record_run import WHOLE
from controlplane.usecases.step_outcome import deletes

PlanOf = Callable[[str], Plan]


def intents_of(key: str, chain: Sequence[Receipt]) -> tuple[Receipt, ...]:
    """Return the step intents that `key` stands for, oldest first; none for a run that was stopped before its first step, or whose end is missing."""
    if not is_run_key(key):
        raise InputInvalidError([Fault("RUN_KEY", 0, "", f"{key!r} is no run key; 'controlplane runs list' shows them")])
    known = [r for r in chain if r.phase == "intent" and r.plan and r.undoes is None and key in (r.key, r.run)]
    if not known:
        raise InputInvalidError([Fault("RUN_KEY", 0, "", f"no run {key} that could go back is on record here; 'controlplane runs list' shows them")])
    undone = undone_keys(chain)
    left = tuple(r for r in known if r.capability != WHOLE and r.key not in undone)
    unclosed = known[0].capability == WHOLE and not any(r.key == key and r.phase == "result" for r in chain)
    if not left and not unclosed:
        raise RefusedError(f"{key} {_why_nothing_is_left(key, known, chain)}. Nothing was changed.")
    return left


def _why_nothing_is_left(key: str, known: Sequence[Receipt], chain: Sequence[Receipt]) -> str:
    begun = any(r.capability != WHOLE for r in known)
    if begun or any(r.key == key and r.phase == "result" and r.outcome == "rolled-back" for r in chain):
        return "was rolled back already"
    return "ended before its first step: there is nothing to take back"


def open_rollback(key: str, chain: Sequence[Receipt]) -> str | None:
    """Return the rollback of `key` that was begun and not ended, or None."""
    closed = {r.key for r in chain if r.phase == "result"}
    return next((r.key for r in chain if r.phase == "intent" and r.undoes == key and r.key not in closed), None)


def refuse_unless_undoable(key: str, intents: tuple[Receipt, ...], chain: Sequence[Receipt], plan_of: PlanOf) -> None:
    """Raise `RefusedError` for what a purge deleted, for what a purge made final, and for what later steps stand on."""
    final = [intent for intent in intents if _deletes(intent, chain, plan_of)]
    if final:
        rest = [f"controlplane rollback {intent.key}" for intent in reversed(intents) if intent not in final]
        alone = f" What else {key} did can, by itself: {'; '.join(rest)}" if rest else ""
        is_open = any(one.run == final[0].run and one.undoes is None for one in open_intents(chain))
        on = " Its run is open: go on with it by 'controlplane apply' and its plan file, which does what is left of it." if is_open else ""
        raise RefusedError(f"{final[0].key} deleted data by an approved plan: what is purged can't come back. Nothing was changed.{on}{alone}")
    for intent in intents:
        purge = _purge_of(intent, chain, plan_of)
        if purge is not None:
            raise RefusedError(
                f"{intent.key} can't go back: {purge.key} purged what it had retired, and with it the way back. Nothing was changed. "
                "Restore from a backup, or move the data by a new policy and plan."
            )
    later = _standing_on(intents, chain, plan_of)
    if later:
        last = later[-1]
        led = CAPABILITIES[last.capability].led_by is not None
        ends = ends_as(last.run, plan_of(last.plan), chain) if led else None
        before = named_first((r.host for r in later if r.run == last.run), plan_of(last.plan)) if led else ""
        first = way_back_command(last.run, plan_of(last.plan), chain) if led else f"controlplane rollback {last.key}"
        raise RefusedError(
            f"{key} can't go back while later steps stand on it: {', '.join(r.key for r in later)}. Nothing was changed. "
            + (f"Roll those back first: {first}{before}" if ends is None else f"Run {last.run} is open. How it is ended first: {ends}")
        )


def refuse_led_steps(key: str, intents: Sequence[Receipt], chain: Sequence[Receipt], plan_of: PlanOf) -> None:
    """Raise `RefusedError` for steps of a release: by its key alone nobody would name what stays, prove what then runs, or ask its other hosts.

    Of a run that is open it names what says how that is ended: `release rollback` is refused where the environment has none of its hosts any more.
    """
    led = next((intent for intent in intents if CAPABILITIES[intent.capability].led_by), None)
    found = brings(plan_of(led.plan)) if led is not None else None
    if led is None or found is None:
        return
    ends = ends_as(led.run, plan_of(led.plan), chain)
    back = f"controlplane release rollback {shlex.quote(found.stack)} --env {found.environment} --dry-run"
    before = named_first((intent.host for intent in intents), plan_of(led.plan))
    how = f"See what it would do: {back}{before}" if ends is None else f"Run {led.run} is open. How it goes on, or back: {ends}"
    raise RefusedError(
        f"{key} brought {found.manifest_name} of {found.stack} to {found.environment}: a release goes back by its own verb, which names what stays "
        f"as it is and proves what then runs. Nothing was changed. {how}"
    )


def refuse_ungoverned(key: str, intents: Sequence[Receipt], site: SiteView) -> None:
    """Raise `RefusedError` where the policy no longer governs a host of these steps, with the keys of those that can go back by themselves."""
    governed = site.desired.by_name()
    strange = sorted({intent.host for intent in intents} - governed.keys())
    if not strange:
        return
    rest = [
        f"controlplane rollback {intent.key}"
        for intent in reversed(intents)
        if intent.host in governed and not CAPABILITIES[intent.capability].led_by
    ]
    alone = f" Without {'it' if len(strange) == 1 else 'them'}, in this order: {'; '.join(rest)}" if rest else ""
    raise RefusedError(
        f"{key} can't go back, {site.folder}/policy.yml does not govern {', '.join(strange)} any more. Nothing was changed. "
        f"Govern {', '.join(strange)} again, then run this again.{alone}"
    )


def beside(plan: Plan, waves: Attempts) -> Attempts:
    """Return what asks for every attempt at those waves of which the plan is none.

    The way back of a wave's own run is that wave's, whoever takes it: also while its holder is gone, and after an attempt that was aborted.
    """

    def others() -> tuple[WaveHeld, ...]:
        attempts = tuple(waves())
        own = {held.wave for held in attempts if any(one.plan == plan.plan for one in record_of(held.record).plans)}
        return tuple(held for held in attempts if held.wave not in own)

    return others


def _changes_of(intent: Receipt, chain: Sequence[Receipt], plan_of: PlanOf) -> tuple[Change, ...]:
    """Return the change records of a step: those of its receipt, or those of its plan where no result has any."""
    recorded = next((r.changes for r in chain if r.key == intent.key and r.phase == "result"), ())
    step = None if recorded else _step_of(intent, plan_of)
    return recorded if step is None else step.changes


def _step_of(intent: Receipt, plan_of: PlanOf) -> Step | None:
    return next((one for one in plan_of(intent.plan).steps if (one.id, one.host) == (intent.step, intent.host)), None)


def _deletes(intent: Receipt, chain: Sequence[Receipt], plan_of: PlanOf) -> bool:
    """Say whether a step deletes for good; one that runs only by name, and of which no change is known, counts as one that does."""
    if not CAPABILITIES[intent.capability].only_by_name:
        return False
    changes = _changes_of(intent, chain, plan_of)
    return not changes or deletes(intent.capability, changes)


def _purge_of(intent: Receipt, chain: Sequence[Receipt], plan_of: PlanOf) -> Receipt | None:
    """Return the purge that deleted, or may have begun to delete, what this step retired: a purge's plan names the run of each path."""
    results = {r.key: r for r in chain if r.phase == "result"}
    for purge in (r for r in _steps(chain) if r.capability == purge_retired.ID and r.host == intent.host and r.seq > intent.seq):
        step = _step_of(purge, plan_of)
        mine = {item["path"] for item in step.variables["purge_retired_items"] if item["run"] == intent.key} if step is not None else set()
        result = results.get(purge.key)
        # What an abandoned one deleted before its machine was lost, nobody knows.
        if result is not None and result.outcome != "interrupted":
            mine &= {c.target for c in result.changes if c.kind == "delete" and c.status == "done"}
        if mine:
            return purge
    return None


def _standing_on(intents: tuple[Receipt, ...], chain: Sequence[Receipt], plan_of: PlanOf) -> list[Receipt]:
    """Return later steps on the same hosts that are open, done or partly done, and neither go back now nor went back before."""
    settled = {intent.key for intent in intents} | undone_keys(chain)
    first = {host: min(i.seq for i in intents if i.host == host) for host in {intent.host for intent in intents}}
    untouched = {r.key for r in chain if r.phase == "result" and r.outcome in ("failed", "refused") and all(c.status != "done" for c in r.changes)}
    later = [r for r in _steps(chain) if r.host in first and r.seq > first[r.host] and r.key not in settled | untouched]
    later = [r for r in later if not _deletes(r, chain, plan_of)]
    return [r for r in later if any(_stands_on(r, one, chain, plan_of) for one in intents if one.host == r.host and one.seq < r.seq)]


def _stands_on(later: Receipt, intent: Receipt, chain: Sequence[Receipt], plan_of: PlanOf) -> bool:
    """Say whether a later step of the host stands on one that goes back: any does, but on a deployment only what changed the same."""
    if later.capability != intent.capability and any(CAPABILITIES[one.capability].only_by_name for one in (later, intent)):
        # That can only be a timer, by now: its units are its own, it needs nothing else and nothing else needs it.
        return False
    result = next((r for r in chain if r.key == later.key and r.phase == "result"), None)
    if intent.capability != release_deploy.ID or result is None or not result.changes:
        return True
    step = _step_of(intent, plan_of)
    return step is None or stands_on(step, result.changes)


def _steps(chain: Sequence[Receipt]) -> list[Receipt]:
    return [r for r in chain if r.phase == "intent" and r.plan and r.undoes is None and r.capability in CAPABILITIES]


def blind_to(plan: Plan, intents: Sequence[Receipt], seen: Mapping[str, Evidence | Unreached]) -> dict[str, str]:
    """Return the hosts that could not be observed, with the reason. What goes back through a hypervisor takes no more than its answer."""
    steps = {step.id: step for step in plan.steps}
    themselves = {step.host for intent in intents if (step := steps[intent.step]).target == step.host}
    blind = {host: record.reason for host, record in seen.items() if isinstance(record, Unreached)}
    alone = (host for host, record in seen.items() if isinstance(record, Evidence) and not record.reached and host in themselves)
    return blind | dict.fromkeys(alone, "its hypervisor answers, it does not")


def begun_to_purge(intents: Sequence[Receipt], seen: Mapping[str, Evidence | Unreached]) -> str | None:
    """Return which of the steps' retired trees a purge has begun to delete, None where the hosts show none."""
    told = []
    for record in seen.values():
        if isinstance(record, Unreached):
            continue
        try:
            retired = Reader(record).target_state["retired"]
        except Unobserved:
            continue  # the roles look at the tree themselves
        told += [
            f"{intent.key} can't go back: {one['purging']['run'] or 'a purge'} began to delete {one['path']}, which it had retired"
            for intent in intents
            for one in retired
            if one["run"] == intent.key and one["purging"] is not None and not one["exists"]
        ]
    return f"{'; '.join(told)}. Nothing was changed. Restore from a backup, or move the data by a new policy and plan." if told else None
