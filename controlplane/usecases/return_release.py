"""release rollback: take deployments back, newest first, and prove by digest and by behaviour what then runs.

Rules:
- Each goes back by the undo that was prepared before it: files byte for byte, images by digest.
- What can't be undone is named before anything begins.
- The stack is held in its environment the whole time (hold_release.py), and what goes back is what was shown before.
- It counts as back only where fresh evidence shows the former digests, and the smoke tests of the environment pass; that holds as well of what ran
  before the first release, which no release brought. Where nothing ran before, fresh evidence has to show that nothing is there.
- Interrupted, the command that is named goes on: it names the manifest, so that it never takes more back than was asked for. Nor does the bare one
  once the newest deployment is back: killed behind its last receipt and called again, it says by what that went back, and changes nothing.
- A host of a wave that is not ended is left to it, before the first run and before each play; a failed promotion goes back all the same, by
  `take_back`: it does not wait for a wave with what does not work.
- A run of which all is back and whose end is not on record, because a call was killed in between, is closed first: it would be in the way of
  whatever is to be brought next.
- A host that does not answer keeps no other from going back; what is left is said.
- What is not proven of how the data fared on the way back is said once, however the way back ends.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from controlplane.domain.errors import ControlPlaneError, InterruptedRunError, RefusedError, UnknownError
from controlplane.domain.receipt import undone_keys
from controlplane.domain.releases.elsewhere import open_runs
from controlplane.domain.releases.history import Deployment, OnHost
from controlplane.domain.releases.result import ReleaseResult
from controlplane.domain.releases.values import EnvironmentName
from controlplane.domain.releases.wanted import ReleaseWanted
from controlplane.domain.run_result import RunResult
from controlplane.domain.told_proof import unproven_back
from controlplane.usecases.hold_release import HeldRelease, fenced, held_release
from controlplane.usecases.hosts_in_wave import refuse_in_wave, why_in_wave
from controlplane.usecases.judge_return import Judged, judge_return
from controlplane.usecases.release_case import Progress, ReleasePorts, ReleaseSite, history
from controlplane.usecases.release_way_back import WayBack, how_to_take_back, wanted_by, way_back
from controlplane.usecases.roll_back import roll_back
from controlplane.usecases.rollback_guards import intents_of
from controlplane.usecases.wave_ports import without_end


def return_release(site: ReleaseSite, stack: str, back: WayBack, ports: ReleasePorts, *, to: str | None, progress: Progress) -> ReleaseResult:
    """Carry out the way back to `to`, which was shown as `back`. Raises `RefusedError`, `UnknownError` and `RunFailedError` as `roll_back` does."""
    with held_release(site, stack, back.environment, "rollback", ports) as held:
        if way_back(site, stack, back.environment, to, held.ports) != back:
            raise RefusedError(
                f"what there is to take back of {stack} in {back.environment} changed since it was shown. Nothing was changed. "
                f"Look again: {back.command} --dry-run"
            )
        # Without runs only the proof is missing, which changes no machine.
        if back.runs:
            refuse_in_wave(back.hosts, ports.waves, what=f"{stack} in {back.environment} is not taken back")
        closed = _closed(site, back, held.ports, progress=progress)
        if back.already is not None:
            return _result(back, "rolled-back", (), messages=(*closed, back.already))
        result = _return(site, back, held, progress=progress)
        return result.model_copy(update={"messages": (*closed, *result.messages)})


def _closed(site: ReleaseSite, back: WayBack, ports: ReleasePorts, *, progress: Progress) -> tuple[str, ...]:
    """Put the end of each run on record of which all is back, and say so; no machine is changed by that."""
    chain = tuple(receipt for _, receipt in ports.apply.receipts.load())
    runs = open_runs(history(site, back.stack, back.environment, chain, ports.apply), chain, ports.apply.plans.get)
    ended = [one.run for one in runs if one.is_back]
    for run in ended:
        roll_back(run, site.view, operator=site.operator, ports=ports.apply, progress=progress, planned=site.view)
    return tuple(f"run {run} was back on all of its hosts and still open: it is closed now" for run in ended)


def _return(site: ReleaseSite, back: WayBack, held: HeldRelease, *, progress: Progress) -> ReleaseResult:
    returned: list[RunResult] = []

    def kept() -> str | None:
        return why_in_wave(back.hosts, held.ports.waves)

    stack, ports = back.stack, fenced(held.ports, kept)
    for number, run in enumerate(back.runs):
        lost = held.lost() or kept()
        if lost is not None:
            return _result(back, "interrupted", returned, messages=(lost, f"Go on with it: {back.command}"))
        progress(f"{run} | roll back ({number + 1} of {len(back.runs)})")
        try:
            result = take_back(site, stack, back.environment, run, ports, progress=progress)
        except (RefusedError, UnknownError) as away:
            # Once a run is back, something was changed.
            if not returned:
                raise
            return _result(back, "interrupted", returned, messages=(without_end(str(away)), f"Go on with it: {back.command}"))
        returned.append(result)
        if result.outcome != "rolled-back":
            outcome = "interrupted" if result.outcome == "interrupted" else "failed"
            return _result(back, outcome, returned, messages=(*result.messages, f"Go on with it: {back.command}"))
    return proven_back(site, back, returned, ports, progress=progress)


def take_back(site: ReleaseSite, stack: str, name: EnvironmentName, run: str, ports: ReleasePorts, *, progress: Progress) -> RunResult:
    """Take one run back, and judge each host by what it ran before. A host that does not answer keeps no other from going back.

    Raises `UnknownError` where none of its hosts could be observed, and `RefusedError`: then nothing was changed.
    """
    chain = tuple(receipt for _, receipt in ports.apply.receipts.load())
    mine = [one for host in history(site, stack, name, chain, ports.apply).hosts for one in host.deployments if one.run == run]
    view = site.view.releasing(former(site, stack, name, run, ports))
    planned = site.view.releasing({one.host: wanted_by(one, ports) for one in mine})

    def back(key: str) -> RunResult | UnknownError:
        try:
            return roll_back(key, view, operator=site.operator, ports=ports.apply, progress=progress, planned=planned)
        except UnknownError as away:
            return away

    # A host that was taken out of the environment keeps none of the others: nobody may govern it any more.
    left_out = sorted({intent.host for intent in intents_of(run, chain)} - {one.host for one in mine})
    result: RunResult | UnknownError = back(run) if not left_out else UnknownError(f"{', '.join(left_out)} is no host of {name} any more")
    if not left_out and (len(mine) < 2 or (isinstance(result, RunResult) and (result.outcome == "rolled-back" or _is_told_to_stop(result)))):
        whole = _or_raised(result)
        return _saying(whole, (*_doubts(mine, ports), *whole.messages))
    others: list[str] = []
    last: RunResult | RefusedError | UnknownError = result
    stays: set[str] = set()
    # The newest first: on a host that the run tried twice the second attempt stands on the first.
    for one in sorted(mine, key=lambda one: one.begun_seq, reverse=True):
        undone = undone_keys(tuple(receipt for _, receipt in ports.apply.receipts.load()))
        if one.key in undone or one.host in stays:
            continue
        alone = _alone(back, one.key)
        if not isinstance(alone, RunResult):
            others.append(without_end(str(alone)))
            stays.add(one.host)
            # That a host is left out is no reason to stay for those that are left.
            last = alone if left_out and not isinstance(last, RunResult) else last
            continue
        if _is_told_to_stop(alone):
            return _saying(alone, (*_doubts(mine, ports), *alone.messages))
        others += alone.messages if alone.outcome != "rolled-back" else ()
        last = alone
    if isinstance(result, UnknownError):
        # Nothing was begun as a whole; what went back went back by itself.
        last = _or_raised(last)
        said = _saying(last, (*_doubts(mine, ports), *others))
        return said if not others else said.model_copy(update={"outcome": "interrupted"})
    if others:
        return _saying(result, (*result.messages, *_doubts(mine, ports), *others))
    # The run is closed with the last of its steps.
    last = _or_raised(last)
    return _saying(last, (*_doubts(mine, ports), *last.messages))


def _doubts(mine: Sequence[Deployment], ports: ReleasePorts) -> tuple[str, ...]:
    """Return what is not proven of how these went back, each of them by itself or as a whole."""
    return unproven_back(tuple(receipt for _, receipt in ports.apply.receipts.load()), {one.key for one in mine})


def _saying(result: RunResult, messages: Sequence[str]) -> RunResult:
    return result.model_copy(update={"messages": tuple(dict.fromkeys(messages))})


def _alone(back: Callable[[str], RunResult | UnknownError], key: str) -> RunResult | RefusedError | UnknownError:
    """Take one host back by itself. What is refused there is said like what is not known: others may be back already, or go back yet."""
    try:
        return back(key)
    except RefusedError as held:
        return held


def _or_raised(result: RunResult | RefusedError | UnknownError) -> RunResult:
    if not isinstance(result, RunResult):
        raise result
    return result


def _is_told_to_stop(result: RunResult) -> bool:
    """Say whether somebody interrupted it; a connection that was lost leaves it open as well, and is no reason to leave the other hosts."""
    return result.outcome == "interrupted" and any(
        message.startswith("interrupted;") or "| roll back: interrupted" in message for message in result.messages
    )


def former(site: ReleaseSite, stack: str, name: EnvironmentName, run: str, ports: ReleasePorts) -> dict[str, ReleaseWanted]:
    """Return what each host ran before a run; a host to which it was the first is left out."""
    chain = tuple(receipt for _, receipt in ports.apply.receipts.load())
    found = history(site, stack, name, chain, ports.apply)
    return {host.host: wanted for host in found.hosts if (wanted := _before(host, run, ports)) is not None}


def _before(host: OnHost, run: str, ports: ReleasePorts) -> ReleaseWanted | None:
    earlier: Deployment | None = None
    for one in host.deployments:
        if one.run == run:
            break
        earlier = one if one.state == "done" else earlier
    return wanted_by(earlier, ports) if earlier is not None else None


def proven_back(site: ReleaseSite, back: WayBack, returned: Sequence[RunResult], ports: ReleasePorts, *, progress: Progress) -> ReleaseResult:
    """Prove what runs now: by digest on fresh evidence of every host, and by the environment's smoke tests."""
    name = back.environment
    judged = judge_return(site, back, ports)
    if judged.wrong:
        told = f"it went back, and is not proven by digest: {'; '.join(judged.wrong)}"
        return _result(back, "failed", returned, messages=(told, _look(site, back, judged, ports)))
    if back.to is None and not judged.unreleased:
        return _result(back, "rolled-back", returned, messages=judged.told)
    what = back.to or "what no release brought"
    progress(f"smoke tests of {back.stack} in {name}")
    try:
        proof = ports.prove(back.stack, name, progress=progress)
    except InterruptedRunError as stop:
        told = f"{what} is back by its digests; {stop}"
        return _result(back, "interrupted", returned, messages=(*judged.told, told, f"Prove it: {_prove(back, judged)}"))
    except ControlPlaneError as error:
        told = f"{what} is back by its digests, and its behaviour could not be proven: {without_end(str(error))}"
        return _result(back, "failed", returned, messages=(*judged.told, told, f"Prove it: {_prove(back, judged)}"))
    outcome = "rolled-back" if proof.passed else "failed"
    if proof.passed and judged.unreleased:
        met = f"its smoke tests passed, see {proof.run}"
        left = f"they met hosts with a release; how {', '.join(judged.unreleased)} behaves, by what no release brought, is not proven"
        judged = judged._replace(more=(f"{what}: {met}" if back.to is None else f"{what}: {met}: {left}",))
    unproven = f"{what} is back by its digests, and its behaviour is not proven: see {proof.run}"
    messages = () if proof.passed else (unproven, _look(site, back, judged, ports))
    return _result(back, outcome, returned, messages=(*judged.told, *messages)).model_copy(update={"proof": proof})


def _result(back: WayBack, outcome: str, returned: Sequence[RunResult], *, messages: tuple[str, ...]) -> ReleaseResult:
    said = {"stack": back.stack, "environment": back.environment, "manifest": back.goes_to, "outcome": outcome, "asked_back": True}
    # The runs that went back say what of that is not proven, and one that did not says why.
    every = dict.fromkeys((*(message for run in returned for message in run.messages), *messages))
    return ReleaseResult.model_validate({**said, "returned": tuple(returned), "messages": tuple(every)})


def _prove(back: WayBack, judged: Judged) -> str:
    """Return the command by which it is proven, and nothing more is taken back: a rollback that names no release only where none stands."""
    alone = back.to is not None or not (judged.stands or judged.unreleased)
    return back.command if alone else f"controlplane release smoke {shlex.quote(back.stack)} --env {back.environment}"


def _look(site: ReleaseSite, back: WayBack, judged: Judged, ports: ReleasePorts) -> str:
    status = f"what runs where: controlplane release status {shlex.quote(back.stack)}"
    if back.to is None:
        again = back.command if judged.wrong and not judged.stands else _prove(back, judged)
        return f"Look at the hosts; prove {'what no release brought' if judged.unreleased else 'it'} again: {again}; {status}"
    further = how_to_take_back(back.stack, back.environment, files=site.files, receipts=ports.apply.receipts, plans=ports.apply.plans)
    return f"Prove it again: {_prove(back, judged)}; or go further back: {further}; {status}"
