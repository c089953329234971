"""What each host of an environment is to run: a release's files and a manifest, laid out for the host's own folder of the stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.releases.values import Environment


def folder_of(host: DesiredHost, project: str) -> str | None:
    """Return the folder on the host that the policy names for a compose project."""
    return next((stack.dir for stack in host.stacks if stack.project == project), None)


def folders(environment: Environment, hosts: Mapping[str, DesiredHost], *, stack: str, site: str) -> dict[str, str]:
    """Return the stack's folder on each host of an environment. Raises `InputInvalidError` for every host that the policy gives none."""
    place = f"{site}/releases/{stack}.yml"
    faults: list[Fault] = []
    found: dict[str, str] = {}
    for name in environment.hosts:
        host = hosts.get(name)
        folder = folder_of(host, environment.project) if host is not None else None
        if host is None:
            faults.append(Fault(place, 0, "hosts", f"{name} is not governed by {site}/policy.yml: name one of {_listed(sorted(hosts))}"))
        elif folder is None:
            told = f"{name} has no folder for project {environment.project}: add it to the stacks of {name} in {site}/policy.yml"
            faults.append(Fault(place, 0, "project", told))
        else:
            found[name] = folder
    if faults:
        raise InputInvalidError(faults)
    return found


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
