"""release rollback: take deployments back, newest first, and prove by digest and by behaviour what then runs.

Rules:
- Each goes back by the undo that was prepared before it: files byte for byte, images by digest.
- What can't be undone is named before anything begins.
- It counts as back only where fresh evidence shows the former digests, and the smoke tests of the environment pass.
- Interrupted, the command that is named goes on: it names the manifest, so that it never takes more back than was asked for.
- A host that does not answer keeps no other from going back; what is left is said.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from controlplane.domain.errors import ControlPlaneError, Fault, InputInvalidError, InterruptedRunError, RefusedError, UnknownError
from controlplane.domain.finding import Verdict
from controlplane.domain.receipt import undone_keys
from controlplane.domain.releases.history import Deployed, Deployment, OnHost
from controlplane.domain.releases.proof import proof_since
from controlplane.domain.releases.result import ReleaseResult
from controlplane.domain.releases.values import EnvironmentName
from controlplane.domain.releases.wanted import ReleaseWanted
from controlplane.domain.run_result import RunResult
from controlplane.domain.values import Value
from controlplane.ports.releases import ReleaseFiles
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.judge_hosts import judge_site
from controlplane.usecases.release_case import Progress, ReleasePorts, ReleaseSite, history, ran
from controlplane.usecases.roll_back import roll_back
from controlplane.usecases.rollback_guards import intents_of, refuse_unless_undoable
from controlplane.usecases.wave_ports import without_end


class WayBack(Value):
    """What a rollback would do: from which manifest to which (None: nothing ran before), by taking back which runs, newest first.

    Without `runs` they are back already, and only a proof that passes is missing. `images` are those that run then, by compose service.
    `not_undone` is what stays as the newer releases left it.
    """

    stack: str
    environment: EnvironmentName
    hosts: tuple[str, ...]
    leaves: str
    to: str | None
    images: dict[str, str]
    runs: tuple[str, ...]
    not_undone: tuple[str, ...]

    @property
    def command(self) -> str:
        """Return the command that goes on with it, to the same end however often."""
        to = f" --to {self.to}" if self.to is not None else ""
        return f"controlplane release rollback {shlex.quote(self.stack)} --env {self.environment}{to}"


def way_back(site: ReleaseSite, stack: str, name: EnvironmentName, to: str | None, ports: ReleasePorts) -> WayBack:
    """Return what a rollback to manifest `to`, or to the one before, would do. Raises `InputInvalidError`, `RefusedError`.

    What failed, or was begun and did not end, goes back first: nothing is passed over.
    """
    chain = tuple(receipt for _, receipt in sound_chain(ports.apply.receipts, now=ports.apply.clock.now()))
    found = history(site, stack, name, chain, ports.apply)
    left = _left(found)
    if not left:
        raise RefusedError(f"no release of {stack} stands in {name}. Nothing was changed.")
    proof = proof_since(chain, found)
    unproven = _went_back(found) and (proof is None or not proof.passed)
    if unproven and found.current is not None and to in (None, found.current.manifest_name):
        # Only the proof is missing, or did not pass: asked for once more it must not take a further release back.
        return _way(site, found, (), to=found.current.manifest_name, left=left, ports=ports)
    runs = _runs_back(left, to, stack)
    intents = sorted((intent for run in runs for intent in intents_of(run, chain)), key=lambda intent: intent.seq)
    refuse_unless_undoable(runs[-1], tuple(intents), chain, ports.apply.plans.get)
    return _way(site, found, runs, to=_target(found, runs, stack), left=left, ports=ports)


def _way(site: ReleaseSite, found: Deployed, runs: tuple[str, ...], *, to: str | None, left: Sequence[Deployment], ports: ReleasePorts) -> WayBack:
    taken = [one for one in left if one.run in runs]
    before = next((one for host in found.hosts if (one := _stands_without(host, runs)) is not None), None)
    return WayBack(
        stack=found.stack,
        environment="production" if found.environment == "production" else "staging",
        hosts=tuple(dict.fromkeys(one.host for one in taken)) or tuple(host.host for host in found.hosts),
        leaves=left[0].manifest_name,
        to=to,
        images=dict(_wanted_by(before, ports).images) if before is not None else {},
        runs=runs,
        not_undone=not_undone(site.files, found.stack, taken),
    )


def _left(found: Deployed) -> list[Deployment]:
    """Return whatever was brought and not taken back, over all hosts, the newest first; how it ended does not matter."""
    held = [one for host in found.hosts for one in host.deployments if one.state != "undone"]
    return sorted(held, key=lambda one: (one.begun_at, one.key), reverse=True)


def _went_back(found: Deployed) -> bool:
    """Say whether the last thing that became of the environment is that a deployment was taken back."""
    every = [one for host in found.hosts for one in host.deployments]
    back = max((one.undone_at for one in every if one.undone_at is not None), default=None)
    return back is not None and back >= max(one.begun_at for one in every)


def _runs_back(left: Sequence[Deployment], to: str | None, stack: str) -> tuple[str, ...]:
    """Return the runs to take back, newest first: up to the one before the newest that is done, or to the named manifest."""
    order = tuple(dict.fromkeys(one.run for one in left))
    by_run = {run: [one for one in left if one.run == run] for run in order}
    stands = [all(one.state == "done" for one in by_run[run]) for run in order]
    names = [by_run[run][0].manifest_name for run in order]
    # What did not end well is no release that could be left or gone back to.
    whole = [number for number, well in enumerate(stands) if well]
    if to is None:
        newest = whole[0] if whole else len(order)
        if newest > 0:
            return order[:newest]
        return order[: whole[1]] if len(whole) > 1 else order
    if whole and whole[0] == 0 and names[0] == to:
        raise RefusedError(f"{to} is what {stack} runs now. Nothing was changed.")
    target = next((number for number in whole if names[number] == to), None)
    if target is None:
        known = ", ".join(dict.fromkeys(names[number] for number in whole[1:])) or "none"
        raise InputInvalidError([Fault("--to", 0, "", f"no deployment of {to} stands behind the current one; there are {known}")])
    return order[:target]


def _stands_without(host: OnHost, runs: Sequence[str]) -> Deployment | None:
    """Return what a host runs once these runs are taken back."""
    return next((one for one in reversed(host.deployments) if one.state == "done" and one.run not in runs), None)


def _target(found: Deployed, runs: Sequence[str], stack: str) -> str | None:
    """Return the manifest that all hosts run then. Raises `RefusedError` where they would run different ones."""
    after = {host.host: _stands_without(host, runs) for host in found.hosts}
    names = {host: one.manifest_name if one is not None else None for host, one in after.items()}
    if len(set(names.values())) > 1:
        told = ", ".join(f"{host} {name or 'nothing'}" for host, name in names.items())
        raise RefusedError(
            f"the hosts of {stack} would run different releases: {told}. Nothing was changed. Bring one release to all of them instead."
        )
    return next(iter(names.values()))


def not_undone(files: ReleaseFiles, stack: str, taken: Sequence[Deployment]) -> tuple[str, ...]:
    """Return what going back from these deployments leaves as it is."""
    told: list[str] = []
    for name, digest in dict.fromkeys((one.manifest_name, one.manifest) for one in taken):
        try:
            manifest = files.manifest(stack, name).manifest
        except InputInvalidError:
            manifest = None
        if manifest is None or manifest.digest != digest:
            told.append(f"whatever {name} changed for good: its manifest can't be read, or is another one now")
        else:
            told += [f"{line} ({name})" for line in manifest.irreversible]
    return tuple(told)


def return_release(site: ReleaseSite, stack: str, back: WayBack, ports: ReleasePorts, *, progress: Progress) -> ReleaseResult:
    """Carry the way back out. Raises `RefusedError`, `UnknownError` and `RunFailedError` as `roll_back` does."""
    returned: list[RunResult] = []
    for number, run in enumerate(back.runs):
        progress(f"{run} | roll back ({number + 1} of {len(back.runs)})")
        try:
            result = take_back(site, stack, back.environment, run, ports, progress=progress)
        except UnknownError as away:
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

    Raises `UnknownError` where none of its hosts could be observed: then nothing was changed.
    """
    chain = tuple(receipt for _, receipt in ports.apply.receipts.load())
    mine = [one for host in history(site, stack, name, chain, ports.apply).hosts for one in host.deployments if one.run == run]
    view = site.view.releasing(former(site, stack, name, run, ports))
    planned = site.view.releasing({one.host: _wanted_by(one, ports) for one in mine})

    def back(key: str) -> RunResult | UnknownError:
        try:
            return roll_back(key, view, operator=site.operator, ports=ports.apply, progress=progress, planned=planned)
        except UnknownError as away:
            return away

    # A host that was taken out of the environment keeps none of the others: nobody may govern it any more.
    left_out = sorted({intent.host for intent in intents_of(run, chain)} - {one.host for one in mine})
    result = back(run) if not left_out else UnknownError(f"{', '.join(left_out)} is no host of {name} any more")
    if not left_out and (len(mine) < 2 or (isinstance(result, RunResult) and (result.outcome == "rolled-back" or _is_told_to_stop(result)))):
        return _or_raised(result)
    others: list[str] = []
    last = result
    for one in mine:
        undone = undone_keys(tuple(receipt for _, receipt in ports.apply.receipts.load()))
        if one.key in undone:
            continue
        alone = back(one.key)
        if isinstance(alone, UnknownError):
            others.append(without_end(str(alone)))
            continue
        if _is_told_to_stop(alone):
            return alone
        others += alone.messages if alone.outcome != "rolled-back" else ()
        last = alone
    if isinstance(result, UnknownError):
        # Nothing was begun as a whole; what went back went back by itself.
        last = _or_raised(last)
        return last if not others else last.model_copy(update={"outcome": "interrupted", "messages": tuple(dict.fromkeys(others))})
    # The run is closed with the last of its steps.
    return _or_raised(last) if not others else result.model_copy(update={"messages": tuple(dict.fromkeys((*result.messages, *others)))})


def _or_raised(result: RunResult | UnknownError) -> RunResult:
    if isinstance(result, UnknownError):
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
    return _wanted_by(earlier, ports) if earlier is not None else None


def _wanted_by(deployment: Deployment, ports: ReleasePorts) -> ReleaseWanted:
    return ran(next(step for step in ports.apply.plans.get(deployment.plan).steps if step.host == deployment.host))


def proven_back(site: ReleaseSite, back: WayBack, returned: Sequence[RunResult], ports: ReleasePorts, *, progress: Progress) -> ReleaseResult:
    """Prove what runs now: by digest on fresh evidence of every host, and by the environment's smoke tests."""
    if back.to is None:
        told = f"nothing of {back.stack} ran in {back.environment} before: its containers are gone, its volumes stay"
        return _result(back, "rolled-back", returned, messages=(told,))
    name = back.environment
    wrong = _wrong_digests(site, back.stack, name, ports)
    if wrong:
        return _result(back, "failed", returned, messages=(f"it went back, and is not proven by digest: {'; '.join(wrong)}", _look(back)))
    progress(f"smoke tests of {back.stack} in {name}")
    try:
        proof = ports.prove(back.stack, name, progress=progress)
    except InterruptedRunError as stop:
        return _result(back, "interrupted", returned, messages=(f"{back.to} is back by its digests; {stop}", f"Prove it: {back.command}"))
    except ControlPlaneError as error:
        told = f"{back.to} is back by its digests, and its behaviour could not be proven: {without_end(str(error))}"
        return _result(back, "failed", returned, messages=(told, f"Prove it: {back.command}"))
    outcome = "rolled-back" if proof.passed else "failed"
    messages = () if proof.passed else (f"{back.to} is back by its digests, and its behaviour is not proven: see {proof.run}", _look(back))
    return _result(back, outcome, returned, messages=messages).model_copy(update={"proof": proof})


def _wrong_digests(site: ReleaseSite, stack: str, name: EnvironmentName, ports: ReleasePorts) -> list[str]:
    """Return where a host does not run what the receipts say was brought there last."""
    chain = tuple(receipt for _, receipt in ports.apply.receipts.load())
    found = history(site, stack, name, chain, ports.apply)
    current = {host.host: _wanted_by(host.current, ports) for host in found.hosts if host.current is not None}
    view = site.view.releasing(current)
    chosen = view.chosen(tuple(current))
    seen = ports.apply.evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})
    report = judge_site(view, hosts=tuple(current), seen=seen, now=ports.apply.clock.now())
    told = [one for one in report.findings if (one.check, one.surface) == ("D249", f"release:{stack}") and one.verdict is not Verdict.MET]
    return [f"{one.host}: {one.reason}" for one in told]


def _result(back: WayBack, outcome: str, returned: Sequence[RunResult], *, messages: tuple[str, ...]) -> ReleaseResult:
    said = {"stack": back.stack, "environment": back.environment, "manifest": back.to or "nothing", "outcome": outcome, "asked_back": True}
    return ReleaseResult.model_validate({**said, "returned": tuple(returned), "messages": messages})


def _look(back: WayBack) -> str:
    further = f"controlplane release rollback {shlex.quote(back.stack)} --env {back.environment} --to MANIFEST"
    return f"Prove it again: {back.command}; or go further back: {further}; what runs where: controlplane release status {shlex.quote(back.stack)}"
