"""Check everything of a release that needs no machine: its files, its environment files, and secrets where everybody reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from controlplane.domain.amounts import counted
from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.names import AsTuple
from controlplane.domain.releases.leaks import fault_of
from controlplane.domain.releases.values import EnvironmentName, ReleaseSpec
from controlplane.domain.site import SiteContent
from controlplane.domain.values import Value
from controlplane.ports.releases import CheckedFiles, SecretSearch
from controlplane.usecases.judge_release import Part, judge_environment

_LINES = 3


class Row(Value):
    """One part of the check: of which environment (empty: of all), how it stands, and what there is to say."""

    what: str
    environment: str
    verdict: Literal["met", "fault", "unknown"]
    told: str


class ReleaseCheck(Value):
    """The whole check; `faults` have file, line, field and message, and no value of an environment file."""

    stack: str
    environments: Annotated[tuple[str, ...], AsTuple]
    rows: Annotated[tuple[Row, ...], AsTuple]
    faults: tuple[Fault, ...]
    doubts: Annotated[tuple[str, ...], AsTuple]

    def exit_code(self) -> int:
        """Return 0 where everything is as it should be, 2 for a fault, else 5 for what could not be judged."""
        return 2 if self.faults else 5 if self.doubts else 0


@dataclass(frozen=True)
class CheckPorts:
    """What the check needs. `content` reads the site without running its inventory, and raises `InputInvalidError`."""

    files: CheckedFiles
    search: SecretSearch
    content: Callable[[], SiteContent]


def check_release(stack: str, *, environment: EnvironmentName | None, ports: CheckPorts) -> ReleaseCheck:
    """Return how the release stands, with every fault at once. Raises `InputInvalidError` where there is no such stack or environment."""
    if stack not in ports.files.stacks():
        # Its error names those that there are.
        ports.files.spec(stack)
    desired, site = _site(stack, ports)
    spec, of_spec = _spec(stack, environment, ports, site)
    found: list[tuple[Part, str]] = [(part, "") for part in (*site, *of_spec)]
    names: tuple[EnvironmentName, ...] = ()
    if spec is None:
        found.append((_unsearched(), ""))
    else:
        names = (environment,) if environment else tuple(spec.environments)
        judged = {name: judge_environment(ports.files, stack, name, spec, desired) for name in names}
        found += [(part, name) for name, one in judged.items() for part in one.parts]
        secrets = {f"{variable} ({name})": values for name, one in judged.items() for variable, values in one.secrets.items()}
        # Of the others too: what holds another environment's secrets is no file to look for these in.
        env_files = [ports.files.env_file(stack, name) for name in spec.environments]
        untold = [
            f"which secrets {name} has can't all be told, {one.untold}, so not all were looked for" for name, one in judged.items() if one.untold
        ]
        found.append((_search(secrets, env_files, untold, ports), ""))
    return ReleaseCheck(
        stack=stack,
        environments=names,
        rows=tuple(_row(part, name) for part, name in found),
        faults=tuple(sorted({fault for part, _ in found for fault in part.faults})),
        doubts=tuple(dict.fromkeys(f"{f'{name} ' if name else ''}{part.what}: {doubt}" for part, name in found for doubt in part.doubts)),
    )


def _site(stack: str, ports: CheckPorts) -> tuple[dict[str, DesiredHost] | None, list[Part]]:
    """Return the hosts of the policy, and how what the site says around the release stands."""
    try:
        content = ports.content()
        desired = content.desired().by_name()
    except InputInvalidError as error:
        return None, [Part("site", error.faults)]
    own = (f"{content.folder}/releases/{stack}.yml", f"{content.folder}/releases/{stack}/")
    faults = tuple(fault for fault in content.governance.release_faults if fault.file.startswith(own))
    return desired, [Part("site", faults, told="its policy, gates and registers know what the release names")]


def _spec(stack: str, environment: EnvironmentName | None, ports: CheckPorts, site: Sequence[Part]) -> tuple[ReleaseSpec | None, list[Part]]:
    known = {fault for part in site for fault in part.faults}
    try:
        spec = ports.files.spec(stack)
    except InputInvalidError as error:
        return None, [Part("release file", tuple(error.faults))]
    if environment is not None and environment not in spec.environments:
        told = f"has no {environment}: add it, or name one of {', '.join(spec.environments)}"
        raise InputInvalidError([ports.files.fault(stack, ("environments",), told)])
    parts = [Part("release file", told=f"{counted(len(spec.environments), 'environment')}, {counted(len(spec.images), 'image')}")]
    try:
        kept = ports.files.manifests(stack)
    except InputInvalidError as error:
        parts.append(Part("manifests", tuple(fault for fault in error.faults if fault not in known) or error.faults))
    else:
        parts.append(Part("manifests", told=", ".join(one.name for one in kept[-_LINES:]) or "none yet"))
    return spec, parts


def _search(secrets: Mapping[str, tuple[str, ...]], env_files: Sequence[str], untold: Sequence[str], ports: CheckPorts) -> Part:
    what = "secrets"
    try:
        looked = ports.search.look(secrets, env_files)
    except InputInvalidError as error:
        return Part(what, error.faults, ("git and its history were not looked through", *untold))
    told = f"none in {looked.files} files, {looked.blobs} contents of {looked.commits} commits"
    told += f"; {looked.revoked} stand as revoked" if looked.revoked else ""
    return Part(what, tuple(fault_of(leak) for leak in looked.leaks), (*looked.doubts, *untold), told)


def _unsearched() -> Part:
    return Part("secrets", doubts=("which environment files there are can't be told while the release's file has faults",))


def _row(part: Part, environment: str) -> Row:
    if part.faults:
        number = len(set(part.faults))
        return Row(what=part.what, environment=environment, verdict="fault", told=f"{number} {'fault' if number == 1 else 'faults'}")
    if part.doubts:
        return Row(what=part.what, environment=environment, verdict="unknown", told="; ".join(part.doubts))
    return Row(what=part.what, environment=environment, verdict="met", told=part.told)
