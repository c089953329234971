"""What a rollback of a release would take back, as the receipts say; nothing is changed.

Rules:
- What failed, or was begun and did not end, goes back first: nothing is passed over.
- What can't be undone is named.
- It is refused where the hosts would run different releases, or where a run can't be undone any more; judged by the environment's hosts alone.
- It is refused where the newest run is open and nothing of it is left on these hosts (elsewhere.py): what stands on them is no part of it. Where
  nothing was to go back anyway there is nothing to refuse: then that run is named beside it.
- Where all of it is back and that is not proven, what is left is its proof: it can be asked for as often as it takes.
- Without a manifest it is the newest deployment that goes back. Where that is back already nothing does: asked twice, it goes no further. Nor does
  it where the release that is named runs because a way back brought it there.
- A release is named by its manifest, or by the run that brought it: the same manifest may stand more than once, by another environment file.
- A host to which what goes back was the first runs then what ran there before, which no release brought, or nothing, as the plan of that first
  one saw it; where that plan does not tell, it is said that nobody knows.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pydantic import Field

from controlplane.domain.errors import Fault, InputInvalidError, RefusedError
from controlplane.domain.receipt import Receipt
from controlplane.domain.releases.bare import bare
from controlplane.domain.releases.before import before, went_back_last
from controlplane.domain.releases.elsewhere import in_the_way, open_runs
from controlplane.domain.releases.history import Deployed, Deployment, OnHost, deployed
from controlplane.domain.releases.proof import proof_since
from controlplane.domain.releases.taken_back import NOTHING, TakenBack, means, named, still_there, taken_back, targets
from controlplane.domain.releases.values import EnvironmentName
from controlplane.domain.releases.wanted import ReleaseWanted
from controlplane.domain.values import Value
from controlplane.ports.plans import PlanArchive
from controlplane.ports.receipts import ReceiptStore
from controlplane.ports.releases import ReleaseFiles
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.interrupted_run import named_again
from controlplane.usecases.release_case import ReleasePorts, ReleaseSite, history, ran
from controlplane.usecases.rollback_guards import intents_of, refuse_unless_undoable


class WayBack(Value):
    """What a rollback would do: from which manifest to which (None: nothing ran before), by taking back which runs, newest first.

    Without `runs` they are back already, and only a proof that passes is missing. `images` are those that run then, by compose service. `hosts` are
    those that change, or without `runs` those that are proven; one that an earlier call took back does not change, and is proven all the same.
    Of hosts on which no release stands then, `unreleased` says what comes back (host -> service and image each), `emptied` are those on which nothing
    of it ran before, and of `unknown` ones it is not on record; `not_undone` is what stays as the newer releases left it.
    `already` says what took the newest deployment back before this was asked: then there is nothing to do. `is_all` is a way back from every release.
    `to_run` is the run that brought `to`, where that manifest stands more than once; else None.
    """

    stack: str
    environment: EnvironmentName
    hosts: tuple[str, ...]
    leaves: str
    to: str | None
    images: dict[str, str]
    runs: tuple[str, ...]
    not_undone: tuple[str, ...]
    unreleased: dict[str, tuple[str, ...]] = Field(default={})
    emptied: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    already: str | None = None
    is_all: bool = False
    to_run: str | None = None

    @property
    def goes_to(self) -> str:
        """Return what runs then, in a word or two: of what no release brought a manifest says nothing."""
        if self.to is not None:
            return self.to
        return "what no release brought" if self.unreleased else "UNKNOWN" if self.unknown else "nothing"

    @property
    def command(self) -> str:
        """Return the command that goes on with it, to the same end however often."""
        return _command(self.stack, self.environment, self.to_run or self.to or (NOTHING if self.is_all else None))


def way_back(site: ReleaseSite, stack: str, name: EnvironmentName, to: str | None, ports: ReleasePorts) -> WayBack:
    """Return what a rollback to `to` (a manifest, the run that brought it, or `nothing`), or (None) of the newest deployment would do.

    Raises `InputInvalidError`, `RefusedError`.

    What failed, or was begun and did not end, goes back first: nothing is passed over.
    """
    chain = tuple(receipt for _, receipt in sound_chain(ports.apply.receipts, now=ports.apply.clock.now()))
    found = history(site, stack, name, chain, ports.apply)
    left = still_there(found)
    is_all = to == NOTHING and not any(one.manifest_name == NOTHING for one in left)
    taken = taken_back(found, chain)
    if not left:
        is_bare = to is None or is_all
        if is_bare and (again := bare(found, chain, ports.apply.plans.get)) is not None and not again.is_proven:
            return _way(site, found, (), to=None, left=(again.newest,), ports=ports)
        if is_bare and taken is not None:
            return _nothing_to_do(site, found, taken, ports)
        raise RefusedError(f"no release of {stack} stands in {name}. Nothing was changed.")
    # What is meant stands already, or is whatever stands once the newest deployment is back.
    stays = to is None or means(to, left[0], left)
    stands = found.reached
    proof = proof_since(chain, stands)
    unproven = found.went_back and found.unfinished is None and (proof is None or not proof.passed)
    if unproven and stands.current is not None and stays:
        # Only the proof is missing, or did not pass: asked for once more it must not take a further release back.
        proven = {*(one.host for one in stands.hosts), *found.went_back}
        whole = found.model_copy(update={"hosts": tuple(one for one in found.hosts if one.host in proven)})
        way = _way(site, whole, (), to=stands.current.manifest_name, left=left, ports=ports)
        return way.model_copy(update={"to_run": _to_run(left, ())})
    away = in_the_way(open_runs(found, chain, ports.apply.plans.get), left)
    first = named_again(away, stack, name) if away is not None else None
    if stays and taken is not None:
        return _nothing_to_do(site, found, taken, ports, first=first)
    if first is not None:
        raise RefusedError(f"{stack} in {name} is not taken back: {first}. Nothing was changed.")
    runs = tuple(dict.fromkeys(one.run for one in left)) if is_all else _runs_back(left, to, found)
    hosts = {one.host for one in found.hosts}
    intents = sorted((one for run in runs for one in intents_of(run, chain) if one.host in hosts), key=lambda intent: intent.seq)
    refuse_unless_undoable(runs[-1], tuple(intents), chain, ports.apply.plans.get)
    way = _way(site, found, runs, to=_target(found, runs, stack), left=left, ports=ports)
    return way.model_copy(update={"is_all": is_all, "to_run": _to_run(left, runs)})


def take_back_command(found: Deployed, chain: Sequence[Receipt]) -> str:
    """Return the command that takes back what stands, or is open: one that names no release does nothing where what was brought last is back."""
    taken = taken_back(found, chain)
    return _command(found.stack, found.environment, taken.further if taken is not None else None)


def how_to_take_back(stack: str, name: EnvironmentName, *, files: ReleaseFiles, receipts: ReceiptStore, plans: PlanArchive) -> str:
    """Return the command that takes back what stands in an environment as the receipts are now. Raises what `files.spec` and `plans.get` do."""
    chain = tuple(receipt for _, receipt in receipts.load())
    hosts = files.spec(stack).environments[name].hosts
    return take_back_command(deployed(chain, plans.get, stack=stack, environment=name, hosts=hosts), chain)


def _nothing_to_do(site: ReleaseSite, found: Deployed, taken: TakenBack, ports: ReleasePorts, *, first: str | None = None) -> WayBack:
    """Return the way back of a call whose newest deployment is back already, and that asks for no more: none.

    `first` is what keeps everything else from going back before it is ended, None for nothing.
    """
    newest, by = taken.newest, taken.by
    names = dict.fromkeys(one.current.manifest_name for one in found.hosts if one.current is not None)
    way = _way(site, found, (), to=", ".join(names) or None, left=(newest,), ports=ports)
    told = f"{newest.manifest_name}, brought last to {found.environment} by run {newest.run}, was taken back already, at {by.at} by {by.key}"
    further = "no release stands behind it" if taken.further is None else f"further back: {_command(found.stack, found.environment, taken.further)}"
    further = further if first is None else f"nothing goes further back before this is ended: {first}"
    stands = f"; {way.goes_to} stands" if names else ""
    return way.model_copy(update={"hosts": (), "already": f"{told}{stands}. Nothing was changed; {further}"})


def _command(stack: str, environment: str, to: str | None) -> str:
    return f"controlplane release rollback {shlex.quote(stack)} --env {environment}{f' --to {to}' if to is not None else ''}"


def _way(site: ReleaseSite, found: Deployed, runs: tuple[str, ...], *, to: str | None, left: Sequence[Deployment], ports: ReleasePorts) -> WayBack:
    taken = [one for one in left if one.run in runs]
    then = {host.host: _stands_without(host, runs) for host in found.hosts}
    stands = next(filter(None, then.values()), None)
    hosts = tuple(dict.fromkeys(one.host for one in taken)) or tuple(then)
    # What goes back last brings what was before it; where only the proof is missing, that is what was taken back last.
    first = {host.host: oldest for host in found.hosts if (oldest := _first(host, taken)) is not None}
    emptied = [host for host in first if then[host] is None and (host in hosts or host in found.went_back)]
    were = {host: before(first[host], ports.apply.plans.get) for host in emptied}
    return WayBack(
        stack=found.stack,
        environment="production" if found.environment == "production" else "staging",
        hosts=hosts,
        emptied=tuple(host for host, was in were.items() if was == ()),
        leaves=left[0].manifest_name,
        to=to,
        images=dict(wanted_by(stands, ports).images) if stands is not None else {},
        runs=runs,
        not_undone=not_undone(site.files, found.stack, taken),
        unreleased={host: tuple(dict.fromkeys(one.told for one in was)) for host, was in were.items() if was},
        unknown=tuple(host for host, was in were.items() if was is None),
    )


def _first(host: OnHost, taken: Sequence[Deployment]) -> Deployment | None:
    """Return the deployment of a host whose undo comes last."""
    return min((one for one in taken if one.host == host.host), key=lambda one: one.begun_seq, default=None) or went_back_last(host)


def _to_run(left: Sequence[Deployment], runs: Sequence[str]) -> str | None:
    """Return the run that brought what stands once these are taken back, where its manifest stands more than once."""
    stays = next((one for one in left if one.run not in runs), None)
    return stays.run if stays is not None and named(left, stays.run) == stays.run else None


def _runs_back(left: Sequence[Deployment], to: str | None, found: Deployed) -> tuple[str, ...]:
    """Return the runs to take back, newest first: up to the one before the newest that is done, or to the named release."""
    ends = targets(left, found)
    order, by_run = tuple(ends), {one.run: one for one in left}
    # What did not end well, or went back from some of its hosts, is no release that could be left or gone back to.
    whole = [number for number, may_end in enumerate(ends.values()) if may_end]
    if to is None:
        newest = whole[0] if whole else len(order)
        if newest > 0:
            return order[:newest]
        return order[: whole[1]] if len(whole) > 1 else order
    target = next((number for number in whole if means(to, by_run[order[number]], left)), None)
    if target == 0:
        again = next((order[number] for number in whole[1:] if means(to, by_run[order[number]], left)), None)
        before_that = f" It stands behind that once more, by an earlier run: {_command(found.stack, found.environment, again)}" if again else ""
        raise RefusedError(f"{to} is what {found.stack} runs now. Nothing was changed.{before_that}")
    if target is None:
        known = ", ".join(named(left, order[number]) for number in whole if number > 0) or "none"
        raise InputInvalidError([Fault("--to", 0, "", f"no deployment of {to} stands behind the current one; there are {known}")])
    return order[:target]


def _stands_without(host: OnHost, runs: Sequence[str]) -> Deployment | None:
    """Return what a host runs once these runs are taken back."""
    return next((one for one in reversed(host.deployments) if one.state == "done" and one.run not in runs), None)


def _target(found: Deployed, runs: Sequence[str], stack: str) -> str | None:
    """Return the manifest that all hosts run then on which something does. Raises `RefusedError` where they would run different ones.

    A host on which nothing does had nothing before: it was no host of the environment then, or what was begun there for the first time goes back.
    """
    after = {host.host: _stands_without(host, runs) for host in found.hosts}
    names = {host: one.manifest_name for host, one in after.items() if one is not None}
    if len(set(names.values())) > 1:
        told = ", ".join(f"{host} {name}" for host, name in names.items())
        raise RefusedError(
            f"the hosts of {stack} would run different releases: {told}. Nothing was changed. Bring one release to all of them instead."
        )
    return next(iter(names.values()), None)


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


def wanted_by(deployment: Deployment, ports: ReleasePorts) -> ReleaseWanted:
    """Return what a deployment brought to its host."""
    return ran(next(step for step in ports.apply.plans.get(deployment.plan).steps if step.host == deployment.host))
