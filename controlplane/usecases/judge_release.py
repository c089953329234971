"""Judge one environment of a release on the controller: contract, compose files, where they would put data, the real environment file, and what
it would share with other releases of its hosts.

Rules:
- Nothing is deployed by what has faults here; what could not be judged is a doubt, and doubt is no pass either.
- Of the others on its hosts, those count whose files can be read. One that can't be read can't be deployed either, and when it can, it is judged
  beside this one; what of it runs meanwhile, the plan of a deployment sees by evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple, TypeVar

from controlplane.domain.amounts import counted
from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import Fault, InputInvalidError, UnknownError
from controlplane.domain.faults import Place
from controlplane.domain.releases.compose_said import Asked
from controlplane.domain.releases.compose_view import ComposeView, compose_view
from controlplane.domain.releases.contract import Contract
from controlplane.domain.releases.dotenv import read_env
from controlplane.domain.releases.env_judge import judge_env, secret_values
from controlplane.domain.releases.places import place_faults, unnamed_of, volume_doubt
from controlplane.domain.releases.rules import same_project
from controlplane.domain.releases.sharing import shared
from controlplane.domain.releases.values import Environment, EnvironmentName, ReleaseSpec
from controlplane.ports.releases import CheckedFiles

Read = TypeVar("Read")


class Part(NamedTuple):
    """How one part was judged: what it is, its faults, why it could not be judged, and what a reader is told of a sound one."""

    what: str
    faults: tuple[Fault, ...] = ()
    doubts: tuple[str, ...] = ()
    told: str = ""


class Judged(NamedTuple):
    """One environment: its parts, and what may be relied on where none of them has a fault or a doubt.

    `views` are by host; `secrets` are values by the names of their variables, for a search alone; `untold` says why some are missing
    there, None where none is.
    """

    parts: tuple[Part, ...]
    views: dict[str, ComposeView]
    secrets: dict[str, tuple[str, ...]]
    untold: str | None

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Return every fault of every part."""
        return tuple(fault for part in self.parts for fault in part.faults)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Return every doubt of every part."""
        return tuple(doubt for part in self.parts for doubt in part.doubts)


class _Of(NamedTuple):
    """The environment that is judged."""

    files: CheckedFiles
    stack: str
    name: EnvironmentName
    spec: ReleaseSpec

    @property
    def environment(self) -> Environment:
        return self.spec.environments[self.name]

    def fault(self, place: Place, message: str) -> Fault:
        return self.files.fault(self.stack, ("environments", self.name, *place), message)


def judge_environment(files: CheckedFiles, stack: str, name: EnvironmentName, spec: ReleaseSpec, desired: Mapping[str, DesiredHost] | None) -> Judged:
    """Return how one environment stands. `desired` are the hosts of the policy, None where that could not be read."""
    of = _Of(files, stack, name, spec)
    contract, contract_faults = _tried(lambda: files.contract(stack, name))
    told = f"{counted(len(contract.variables), 'variable')}, {len(contract.secrets)} secret" if contract is not None else ""
    compose, views = _compose(of, contract, desired)
    env, secrets, untold = _env(of, contract, views)
    return Judged((Part("contract", contract_faults, told=told), compose, env, _beside(of, views, desired)), views, secrets, untold)


def sound_views(
    files: CheckedFiles, stack: str, name: EnvironmentName, spec: ReleaseSpec, desired: Mapping[str, DesiredHost]
) -> dict[str, ComposeView]:
    """Return what each host of an environment would run. Raises `InputInvalidError` with every fault, `UnknownError` for what can't be told."""
    judged = judge_environment(files, stack, name, spec, desired)
    if judged.faults:
        raise InputInvalidError(judged.faults)
    if judged.doubts:
        raise UnknownError(f"{stack} can't be brought to {name}: {'; '.join(judged.doubts)}. Nothing was changed.")
    return judged.views


def _compose(of: _Of, contract: Contract | None, desired: Mapping[str, DesiredHost] | None) -> tuple[Part, dict[str, ComposeView]]:
    what = "compose files"
    environment = of.environment
    parsed, faults = _tried(lambda: of.files.parsed(of.stack, of.name))
    if parsed is None:
        return Part(what, faults), {}
    if contract is None:
        return Part(what, doubts=("their variables can't be told while the contract has faults",)), {}
    if desired is None:
        return Part(what, doubts=("where they would put data can't be told while the policy has faults",)), {}
    views: dict[str, ComposeView] = {}
    wrong: list[Fault] = []
    doubts: list[str] = []
    unnamed: set[str] = set()
    covers = of.files.covering()
    for host in environment.hosts:
        governed = desired.get(host)
        folder = next((one.dir for one in governed.stacks if one.project == environment.project), None) if governed else None
        if governed is None or folder is None:
            doubts.append(f"policy.yml does not say where {environment.project} lies on {host}")
            continue
        asked = Asked(environment.project, folder, of.spec.images, contract.known(), contract.secrets)
        view, found = compose_view(parsed, asked)
        wrong += found
        if view is not None:
            views[host] = view
            # The others are told by the file that they are of, which covers by itself.
            wrong += [fault.covered(covers) for fault in place_faults(view, governed, of.name)]
            unnamed |= {f"{host} {one}" for one in unnamed_of(view, governed)}
            wrong += [of.fault(("compose",), why)] if (why := volume_doubt(view, governed)) else []
    wrong += [fault for view in list(views.values())[:1] for fault in _of_smoke(of, view)]
    told = ", ".join(_said(view) for view in list(views.values())[:1])
    if unnamed:
        told += covers(f"; on the boot disk, and named nowhere in the policy, so that D236 will drift there: {', '.join(sorted(unnamed))}")
    return Part(what, tuple(dict.fromkeys(wrong)), tuple(doubts), told), views


def _of_smoke(of: _Of, view: ComposeView) -> Iterator[Fault]:
    known = [service.name for service in view.services]
    for service in of.environment.smoke.urls:
        if service not in known:
            yield of.fault(("smoke", "urls", service), f"{service} is no service of the compose files: name one of {', '.join(sorted(known))}")


def _beside(of: _Of, views: Mapping[str, ComposeView], desired: Mapping[str, DesiredHost] | None) -> Part:
    """Judge what the environment has in common with every other release of its hosts."""
    what = "neighbours"
    wrong: list[Fault] = []
    others, unread = _others(of)
    for other in others:
        whose = other.name if other.stack == of.stack else f"{other.stack} ({other.name})"
        hosts = [host for host in of.environment.hosts if host in other.environment.hosts]
        if other.stack != of.stack and other.environment.project == of.environment.project:
            wrong += [of.fault(("project",), same_project(other.stack, host)) for host in hosts]
            continue
        contract, _ = _tried(partial(of.files.contract, other.stack, other.name))
        theirs = _compose(other, contract, desired)[1] if hosts else {}
        unread += [whose] if hosts and not theirs else []
        for host in (host for host in hosts if host in views and host in theirs):
            found = shared(views[host], theirs[host], whose=whose, host=host, one_stack=other.stack == of.stack)
            wrong += [of.fault(("compose",), told) for told in found]
    doubts = () if views else ("what it shares can't be told while the compose files are not judged",)
    more = f"; not judged, as their files have faults: {', '.join(unread)}" if unread else ""
    return Part(what, tuple(dict.fromkeys(wrong)), doubts, f"nothing is shared with other releases of its hosts{more}")


def _others(of: _Of) -> tuple[list[_Of], list[str]]:
    """Return every other environment of every stack, and the stacks that can't be read."""
    found: list[_Of] = []
    unread: list[str] = []
    for stack in of.files.stacks():
        spec = of.spec if stack == of.stack else _tried(partial(of.files.spec, stack))[0]
        if spec is None:
            unread.append(stack)
            continue
        found += [_Of(of.files, stack, name, spec) for name in spec.environments if (stack, name) != (of.stack, of.name)]
    return found, unread


def _env(of: _Of, contract: Contract | None, views: Mapping[str, ComposeView]) -> tuple[Part, dict[str, tuple[str, ...]], str | None]:
    """Return how the environment file stands, its secrets, and why some of them can't be told (None: all can)."""
    what = "environment file"
    text, faults = of.files.env_seen(of.stack, of.name)
    if text is None:
        return Part(what, faults), {}, "its environment file could not be read"
    file = of.files.shown(of.files.env_file(of.stack, of.name))
    said = read_env(text, file)
    if contract is None:
        told = "what it has to hold can't be told while the contract has faults"
        return Part(what, (*faults, *said.faults), (told,)), {}, "its contract has faults"
    deciding = {variable for view in views.values() for variable in view.deciding}
    contract_file = of.files.shown(f"releases/{of.environment.contract}")
    wrong = judge_env(contract, said, file=file, contract_file=contract_file, deciding=deciding)
    untold = f"{counted(len(said.faults), 'line')} of its environment file could not be read" if said.faults else None
    told = f"{counted(len(said.entries), 'variable')}, as the contract asks"
    return Part(what, (*faults, *wrong), told=told), secret_values(contract, said), untold


def _tried(read: Callable[[], Read]) -> tuple[Read | None, tuple[Fault, ...]]:
    try:
        return read(), ()
    except InputInvalidError as error:
        return None, error.faults


def _said(view: ComposeView) -> str:
    binds = tuple(bind for one in view.binds().values() for bind in one)
    volumes = tuple({volume.name for one in view.volumes().values() for volume in one})
    return f"{counted(len(view.services), 'service')}, {counted(len(binds), 'bind')}, {counted(len(volumes), 'named volume')}"
