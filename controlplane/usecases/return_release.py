"""release rollback: take deployments back, newest first, and prove by digest and by behaviour what then runs.

Rules:
- Each goes back by the undo that was prepared before it: files byte for byte, images by digest.
- What can't be undone is named before anything begins.
- It counts as back only where fresh evidence shows the former digests, and the smoke tests of the environment pass.
- Interrupted, the same command goes on.
"""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.errors import Fault, InputInvalidError, RefusedError
from controlplane.domain.finding import Verdict
from controlplane.domain.releases.history import Deployed, Deployment, OnHost
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


class WayBack(Value):
    """What a rollback would do: from which manifest to which (None: nothing ran before), by taking back which runs, newest first.

    `not_undone` is what stays as the newer releases left it. `going_on`: it was begun before.
    """

    stack: str
    environment: str
    hosts: tuple[str, ...]
    leaves: str
    to: str | None
    runs: tuple[str, ...]
    not_undone: tuple[str, ...]
    going_on: bool


def way_back(site: ReleaseSite, stack: str, name: EnvironmentName, to: str | None, ports: ReleasePorts) -> WayBack:
    """Return what a rollback to manifest `to`, or to the one before, would do. Raises `InputInvalidError`, `RefusedError`."""
    chain = tuple(receipt for _, receipt in sound_chain(ports.apply.receipts, now=ports.apply.clock.now()))
    found = history(site, stack, name, chain, ports.apply)
    going_on = any(one.state == "returning" for host in found.hosts for one in host.deployments)
    if not going_on and any(one.state == "open" for host in found.hosts for one in host.deployments):
        raise RefusedError(f"{stack} in {name}: {found.doubt}. Nothing was changed. See how to go on: controlplane release status {stack}")
    standing = _standing(found)
    if not standing:
        raise RefusedError(f"no release of {stack} stands in {name}. Nothing was changed.")
    runs, target = _runs_to(standing, to, stack)
    taken = [one for one in standing if one.run in runs]
    return WayBack(
        stack=stack,
        environment=name,
        hosts=tuple(dict.fromkeys(one.host for one in taken)),
        leaves=taken[0].manifest_name,
        to=target,
        runs=runs,
        not_undone=not_undone(site.files, stack, taken),
        going_on=going_on,
    )


def _standing(found: Deployed) -> list[Deployment]:
    """Return what is done or on its way back, over all hosts, the newest first."""
    held = [one for host in found.hosts for one in host.deployments if one.state in ("done", "returning")]
    return sorted(held, key=lambda one: (one.begun_at, one.key), reverse=True)


def _runs_to(standing: Sequence[Deployment], to: str | None, stack: str) -> tuple[tuple[str, ...], str | None]:
    """Return the runs to take back, newest first, and the manifest that stands then."""
    order = tuple(dict.fromkeys(one.run for one in standing))
    names = {one.run: one.manifest_name for one in standing}
    if to is None:
        return order[:1], names[order[1]] if len(order) > 1 else None
    kept = next((number for number, run in enumerate(order) if names[run] == to), None)
    if kept == 0:
        raise RefusedError(f"{to} is what {stack} runs now. Nothing was changed.")
    if kept is None:
        known = ", ".join(dict.fromkeys(names[run] for run in order[1:])) or "none"
        raise InputInvalidError([Fault("--to", 0, "", f"no deployment of {to} stands behind the current one; there are {known}")])
    return order[:kept], to


def not_undone(files: ReleaseFiles, stack: str, taken: Sequence[Deployment]) -> tuple[str, ...]:
    """Return what going back from these deployments leaves as it is."""
    kept = {one.name: one.manifest for one in files.manifests(stack)}
    told: list[str] = []
    for name, digest in dict.fromkeys((one.manifest_name, one.manifest) for one in taken):
        manifest = kept.get(name)
        if manifest is None or manifest.digest != digest:
            told.append(f"whatever {name} changed for good: its manifest is gone, or is another one now")
        else:
            told += [f"{line} ({name})" for line in manifest.irreversible]
    return tuple(told)


def return_release(site: ReleaseSite, stack: str, back: WayBack, ports: ReleasePorts, *, progress: Progress) -> ReleaseResult:
    """Carry the way back out. Raises `RefusedError` and `RunFailedError` as `roll_back` does."""
    returned: list[RunResult] = []
    name: EnvironmentName = "production" if back.environment == "production" else "staging"
    for number, run in enumerate(back.runs):
        progress(f"{run} | roll back ({number + 1} of {len(back.runs)})")
        result = take_back(site, stack, name, run, ports, progress=progress)
        returned.append(result)
        if result.outcome != "rolled-back":
            outcome = "interrupted" if result.outcome == "interrupted" else "failed"
            return _result(back, outcome, returned, messages=(*result.messages, _again(back)))
    return proven_back(site, back, returned, ports, progress=progress)


def take_back(site: ReleaseSite, stack: str, name: EnvironmentName, run: str, ports: ReleasePorts, *, progress: Progress) -> RunResult:
    """Take one run back, and judge each host by what it ran before."""
    before = former(site, stack, name, run, ports)
    return roll_back(run, site.view.releasing(before), operator=site.operator, ports=ports.apply, progress=progress)


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
    name: EnvironmentName = "production" if back.environment == "production" else "staging"
    wrong = _wrong_digests(site, back.stack, name, ports)
    if wrong:
        return _result(back, "failed", returned, messages=(f"it went back, and is not proven by digest: {'; '.join(wrong)}", _look(back)))
    progress(f"smoke tests of {back.stack} in {name}")
    proof = ports.prove(back.stack, name, progress=progress)
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


def _again(back: WayBack) -> str:
    to = f" --to {back.to}" if back.to is not None and len(back.runs) > 1 else ""
    return f"Go on with it: controlplane release rollback {back.stack} --env {back.environment}{to}"


def _look(back: WayBack) -> str:
    return f"See what runs where: controlplane release status {back.stack}"
